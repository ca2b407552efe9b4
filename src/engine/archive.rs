//! Archives: the leaves and the tree over them in a folder, as C2SP tlog-tiles: what strangers'
//! tools read, and what verifies with the authority's public key alone. No value is in it.

use std::fs::{self, File};
use std::io::Write;
use std::path::Path;

use super::{Engine, EngineError};
use crate::trail::checkpoint::SignedCheckpoint;
use crate::trail::merkle::{Frontier, leaf_hash};
use crate::trail::tiles::{TileFile, Tiles};

const CHECKPOINT: &str = "checkpoint";
/// More bytes than any checkpoint has.
const MAX_CHECKPOINT: u64 = 1024 * 1024;

/// What an archive holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Archived {
    /// How many entries it covers.
    pub entries: u64,
    /// How many it covered before.
    pub before: u64,
}

impl Engine {
    /// Writes the trail's leaves and tree into a folder, or what came since into the archive that
    /// lies there, once all its files were compared with the trail. Its checkpoint is replaced last: until then the archive is the one before.
    ///
    /// # Errors
    /// `Invalid` for a folder that holds other things or cannot be written, for an archive of
    /// another trail or history, for one whose files were changed or removed, and for one that is ahead of this store; as
    /// [`Engine::each_leaf`].
    pub fn archive(&self, folder: &Path) -> Result<Archived, EngineError> {
        let checkpoint = self.checkpoint()?;
        let size = checkpoint.claimed().size;
        let old = there(folder, &checkpoint)?;
        let before = old.as_ref().map_or(0, |old| old.claimed().size);
        let (mut tiles, mut frontier) = (Tiles::default(), Frontier::new());
        let agrees = |frontier: &Frontier| match &old {
            Some(old) if frontier.size() == before => old.claimed().root == frontier.root(),
            _ => true,
        };
        let other = || {
            invalid(folder, "the archive there is of another history than this trail: keep both")
        };
        let mut amiss = None;
        self.each_leaf(&mut |entry| {
            if entry.index >= size {
                return Ok(false);
            }
            let hash = leaf_hash(&entry.leaf);
            frontier.append(hash).map_err(|error| EngineError::Invalid(error.to_string()))?;
            if !agrees(&frontier) {
                return Err(other());
            }
            tiles
                .push(&entry.leaf, hash)
                .ok_or_else(|| invalid(folder, "a leaf is too large for an entry bundle"))?;
            let full = tiles.take();
            if frontier.size() > before {
                full.iter().try_for_each(|file| write(folder, file))?;
                return Ok(true);
            }
            let mut there = full;
            if frontier.size() == before {
                there.extend(tiles.clone().rest());
            }
            if amiss.is_none() {
                amiss = there.iter().find_map(|file| compare(folder, file).err());
            }
            // Only now is it known to be one of this trail.
            if let Some(error) = amiss.take_if(|_| frontier.size() == before) {
                return Err(error);
            }
            Ok(true)
        })?;
        tiles.rest().iter().try_for_each(|file| write(folder, file))?;
        let synced = File::open(folder).and_then(|folder| Ok(rustix::fs::syncfs(&folder)?));
        synced.map_err(|error| unwritable(folder, &error))?;
        write(folder, &(CHECKPOINT.to_owned(), checkpoint.text().as_bytes().to_vec()))?;
        let synced = File::open(folder).and_then(|folder| folder.sync_all());
        synced.map_err(|error| unwritable(folder, &error))?;
        Ok(Archived { entries: size, before })
    }
}

/// The checkpoint of the archive that lies in a folder, if one does; anything else is refused.
fn there(folder: &Path, now: &SignedCheckpoint) -> Result<Option<SignedCheckpoint>, EngineError> {
    let listed = match fs::read_dir(folder) {
        Ok(listed) => listed.flatten().map(|name| name.file_name()).collect::<Vec<_>>(),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            fs::create_dir_all(folder).map_err(|error| unwritable(folder, &error))?;
            Vec::new()
        }
        Err(error) => return Err(unwritable(folder, &error)),
    };
    if listed.is_empty() {
        return Ok(None);
    }
    let file = folder.join(CHECKPOINT);
    if !listed.iter().any(|name| name == CHECKPOINT) {
        // One that was ended before its first checkpoint.
        let ours = listed.iter().all(|name| name == "tile" || name == UNFINISHED);
        let what = "it holds other things: name a new folder, or the one of an archive";
        return if ours { Ok(None) } else { Err(invalid(folder, what)) };
    }
    let small = fs::metadata(&file).is_ok_and(|file| file.len() < MAX_CHECKPOINT);
    let text = if small { fs::read_to_string(&file).ok() } else { None };
    let old = text.and_then(|text| SignedCheckpoint::parse(&text).ok());
    let old = old.ok_or_else(|| invalid(folder, "the archive's checkpoint cannot be read"))?;
    if old.claimed().origin != now.claimed().origin {
        return Err(invalid(folder, "the archive there is of another trail"));
    }
    if old.claimed().size > now.claimed().size {
        let what = "the archive there is ahead of this store, which was put back: keep both";
        return Err(invalid(folder, what));
    }
    Ok(Some(old))
}

const KEEP: &str =
    "keep it as it is for who looks into that, and name a new folder to write all anew";
const UNFINISHED: &str = ".new";

/// Refuses an archive in which a file is not what the trail makes.
fn compare(folder: &Path, (name, bytes): &TileFile) -> Result<(), EngineError> {
    let place = folder.join(name);
    // By its kind and size first: nothing else is read, and no more.
    let same = match fs::symlink_metadata(&place) {
        Ok(file) if !file.is_file() || file.len() != bytes.len() as u64 => false,
        Ok(_) => fs::read(&place).map_err(|error| unwritable(folder, &error))? == *bytes,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => {
            return Err(invalid(folder, &format!("its `{name}` is gone: {KEEP}")));
        }
        Err(error) => return Err(unwritable(folder, &error)),
    };
    if same {
        return Ok(());
    }
    Err(invalid(folder, &format!("its `{name}` was changed: {KEEP}")))
}

/// Writes a file of an archive, whole or not at all.
fn write(folder: &Path, (name, bytes): &TileFile) -> Result<(), EngineError> {
    let (place, unfinished) = (folder.join(name), folder.join(UNFINISHED));
    let written = (|| {
        if let Some(above) = place.parent() {
            fs::create_dir_all(above)?;
        }
        let mut file = File::create(&unfinished)?;
        file.write_all(bytes)?;
        if name == CHECKPOINT {
            file.sync_all()?;
        }
        fs::rename(&unfinished, &place)
    })();
    written.map_err(|error| unwritable(folder, &error))
}

fn invalid(folder: &Path, what: &str) -> EngineError {
    EngineError::Invalid(format!("cannot archive into `{}`: {what}", folder.display()))
}

fn unwritable(folder: &Path, error: &std::io::Error) -> EngineError {
    invalid(folder, &error.to_string())
}
