//! Generations: the store's files as a whole, written anew beside the old ones and put in their
//! place at once.
//!
//! sled never overwrites in place and keeps old versions in its log, so a value is gone from its
//! files only when the files are. The first generation lies in the store's folder itself, a later
//! one in `data-<n>` inside it; `CURRENT` names the one in force and is replaced as a whole.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use ::sled::Db;

use super::folder::{Attempt, Dir, Folder, unavailable};
use super::mark;
use super::opening::{Opened, calm, make_in};
use super::{Batch, MAX_BATCH, Operation, Rewrite, StoreError};

const CURRENT: &str = "CURRENT";
const DATA: &str = "data-";
/// sled's own files and folders in the first generation, and ours beside them.
const FIRST: [&str; 4] = ["db", "conf", "blobs", mark::FILE];
const SNAPSHOT: &str = "snap.";
/// After how many bytes a write of a copy is full.
const MAX_BYTES: usize = 1024 * 1024;

/// The folder of the generation in force.
pub(super) fn current(dir: &Dir) -> Result<Dir, StoreError> {
    let Some(keep) = named(dir)? else {
        // Half a copy may lie beside the first generation, never alone.
        let others =
            dir.names()?.into_iter().filter(|name| number_in(&name.to_string_lossy()).is_some());
        let other = others.filter(|name| dir.path().join(name).join("db").is_file()).max();
        return match other {
            Some(other) if !dir.path().join("db").exists() => Err(StoreError::Corrupt {
                what: format!(
                    "`{CURRENT}` is not there, which names the files in force, of which some are in `{}`; nothing was touched",
                    other.to_string_lossy()
                ),
            }),
            _ => Ok(dir.clone()),
        };
    };
    if !dir.path().join(&keep).join("db").is_file() {
        let what = format!("`{CURRENT}` names `{keep}`, which is not there");
        return Err(StoreError::Corrupt { what });
    }
    dir.below(&keep)
}

/// Removes what is left of generations before that in force, or with `all` of those after it too,
/// which never were. To be called once that in force is open and known to be the one: until then
/// they may be all that can be read.
pub(super) fn clear(dir: &Dir, all: bool) -> Result<(), StoreError> {
    let keep = number(dir)?;
    let mut removed = false;
    for name in dir.names()? {
        let text = name.to_string_lossy();
        let first = FIRST.contains(&&*text) || text.starts_with(SNAPSHOT);
        let old = match (keep, number_in(&text)) {
            (Some(_), None) => first || (all && text.starts_with(DATA)),
            (Some(keep), Some(other)) => other < keep || (all && other > keep),
            (None, _) => all && text.starts_with(DATA),
        };
        if old {
            remove(&dir.path().join(&name)).map_err(|e| unavailable("remove old files", &e))?;
            removed = true;
        }
    }
    if removed { dir.sync() } else { Ok(()) }
}

/// The name of the folder of the generation in force; `None` for the first.
fn named(dir: &Dir) -> Result<Option<String>, StoreError> {
    Ok(number(dir)?.map(|number| format!("{DATA}{number}")))
}

/// The number of the generation in force; `None` for the first.
fn number(dir: &Dir) -> Result<Option<u64>, StoreError> {
    let text = match fs::read_to_string(dir.path().join(CURRENT)) {
        Ok(text) => text,
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(unavailable("read `CURRENT`", &error)),
    };
    number_in(text.trim_end()).map(Some).ok_or_else(|| StoreError::Corrupt {
        what: format!("`{CURRENT}` does not name a folder of the store"),
    })
}

/// The number in the name of a later generation's folder.
fn number_in(name: &str) -> Option<u64> {
    let number = name.strip_prefix(DATA)?.parse().ok()?;
    (format!("{DATA}{number}") == name).then_some(number)
}

/// How many bytes the files of the generation in force take.
pub(super) fn bytes(dir: &Dir) -> Result<u64, StoreError> {
    let path = match number(dir)? {
        Some(number) => dir.path().join(format!("{DATA}{number}")),
        None => dir.path().to_owned(),
    };
    let mut bytes = 0_u64;
    let failed = |error: std::io::Error| unavailable("look at its files", &error);
    for name in fs::read_dir(&path).map_err(failed)?.flatten() {
        let text = name.file_name();
        let text = text.to_string_lossy();
        if (FIRST.contains(&&*text) || text.starts_with(SNAPSHOT))
            && let Ok(file) = name.metadata()
        {
            bytes = bytes.saturating_add(file.len());
        }
    }
    Ok(bytes)
}

fn remove(path: &Path) -> std::io::Result<()> {
    let gone = if fs::symlink_metadata(path)?.is_dir() {
        fs::remove_dir_all(path)
    } else {
        fs::remove_file(path)
    };
    match gone {
        Err(error) if error.kind() != ErrorKind::NotFound => Err(error),
        _ => Ok(()),
    }
}

/// A generation that was not put in force for certain.
pub(super) struct Unfinished {
    /// Why.
    pub(super) error: StoreError,
    /// Whether it may be in force all the same: the handle must not be used any more.
    pub(super) in_force: bool,
}

/// A generation that is being written.
pub(super) struct Fresh {
    name: String,
    sled: Opened,
    dir: Dir,
    /// The lock of a folder of its own.
    own: Option<Folder>,
    batch: Batch,
    /// How many records there are: to ask sled is to read them all.
    records: u64,
}

impl std::fmt::Debug for Fresh {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "<fresh {}>", self.name)
    }
}

impl Fresh {
    /// An empty generation beside the one in force.
    pub(super) fn make(dir: &Dir) -> Result<Self, StoreError> {
        let next = number(dir)?.unwrap_or(0).saturating_add(1);
        let name = format!("{DATA}{next}");
        let left = dir.path().join(&name);
        if fs::symlink_metadata(&left).is_ok() {
            remove(&left).map_err(|error| unavailable("remove half a copy", &error))?;
        }
        let inner = dir.below(&name)?;
        dir.sync()?;
        let sled = make_in(&inner)?;
        Ok(Self { name, sled, dir: inner, own: None, batch: Batch::new(), records: 0 })
    }

    /// An empty store in a folder that is not there yet.
    pub(super) fn make_at(path: &Path) -> Result<Self, StoreError> {
        if fs::symlink_metadata(path).is_ok() {
            let what = format!("`{}` is there already: name a new folder", path.display());
            return Err(StoreError::Refused { what });
        }
        let Attempt::Taken(folder) = Folder::take_to_copy(path, 0)? else {
            return Err(StoreError::Busy { holder: None, path: path.to_owned() });
        };
        let dir = folder.dir().clone();
        let sled = make_in(&dir)?;
        let name = path.display().to_string();
        Ok(Self { name, sled, dir, own: Some(folder), batch: Batch::new(), records: 0 })
    }

    /// Makes room for a record: its key, with nothing under it. Called in the order of the keys, one by
    /// one, this leaves pages of eight keys: so few that their values are added to them, each written
    /// once, where a fuller page would be written again with all its values.
    pub(super) fn make_room(&self, key: &[u8]) -> Result<(), StoreError> {
        calm(|| self.sled.db().insert(key, &[])).map(drop)
    }

    /// Takes up a record that was not there, or removes its key.
    pub(super) fn copy(
        &mut self,
        key: &[u8],
        value: Option<&[u8]>,
        change: &mut Rewrite<'_>,
    ) -> Result<(), StoreError> {
        match value.map(|value| change(key, value)).transpose()?.flatten() {
            Some(value) => {
                self.records = self.records.saturating_add(1);
                self.batch.put(key, value)
            }
            None => self.batch.delete(key),
        };
        if self.batch.len() >= MAX_BATCH / 10 || self.batch.bytes() >= MAX_BYTES {
            self.apply()?;
        }
        Ok(())
    }

    fn apply(&mut self) -> Result<(), StoreError> {
        let batch = std::mem::take(&mut self.batch);
        batch.check()?;
        let bytes = batch.bytes();
        let mut writes = ::sled::Batch::default();
        for operation in batch.into_operations() {
            match operation {
                Operation::Put(key, value) => writes.insert(key, value),
                Operation::Delete(key) => writes.remove(key),
            }
        }
        self.sled.cache().wrote(bytes);
        calm(|| self.sled.db().apply_batch(writes))
    }

    /// As [`Store::settle`](super::Store::settle).
    pub(super) fn settle(&self) -> Result<(), StoreError> {
        self.sled.settle()
    }

    /// Makes what was copied durable.
    pub(super) fn flush(&mut self) -> Result<(), StoreError> {
        self.apply()?;
        self.sled.barrier()?;
        self.dir.sync()
    }

    /// Copies what was written meanwhile, and `last` after it, durably.
    pub(super) fn catch_up(
        mut self,
        old: &Db,
        touched: BTreeSet<Vec<u8>>,
        change: &mut Rewrite<'_>,
        last: Batch,
    ) -> Result<Self, StoreError> {
        let done = (|| {
            // No key is added that is to be removed: sled writes neighbours anew to fill such gaps.
            let mut stale = Vec::new();
            for key in touched {
                let there = self.forget(&key)?;
                if calm(|| old.contains_key(&key))? {
                    self.make_room(&key)?;
                    stale.push(key);
                } else if there {
                    self.copy(&key, None, change)?;
                }
            }
            for key in stale {
                let value = calm(|| old.get(&key))?;
                self.copy(&key, value.as_deref(), change)?;
            }
            self.apply()?;
            let ends: BTreeMap<&[u8], bool> = last.keys().zip(last.puts()).collect();
            for (key, put) in ends {
                self.forget(key)?;
                self.records = self.records.saturating_add(u64::from(put));
            }
            self.batch = last;
            self.flush()
        })();
        match done {
            Ok(()) => Ok(self),
            Err(error) => {
                self.abandon();
                Err(error)
            }
        }
    }

    /// Counts a record no more that is about to be written anew. Answers whether it is there.
    fn forget(&mut self, key: &[u8]) -> Result<bool, StoreError> {
        let there = calm(|| self.sled.db().contains_key(key))?;
        self.records = self.records.saturating_sub(u64::from(there));
        Ok(there)
    }

    /// How many records there are.
    pub(super) fn count(&self) -> u64 {
        self.records
    }

    /// Whether it is a store of its own.
    pub(super) fn is_apart(&self) -> bool {
        self.own.is_some()
    }

    /// Puts this generation in force.
    pub(super) fn put_in_force(self, store: &Dir) -> Result<Opened, Unfinished> {
        let named = format!("{}\n", self.name);
        if let Err(error) = store.write_whole(CURRENT, named.as_bytes(), true) {
            // Once it may be named as the one in force, it must not be removed.
            let named = number(store).map(|found| found.map(|n| format!("{DATA}{n}")));
            if named.is_ok_and(|named| named.as_deref() != Some(&*self.name)) {
                self.abandon();
                return Err(Unfinished { error, in_force: false });
            }
            self.sled.discard();
            return Err(Unfinished { error, in_force: true });
        }
        Ok(self.sled)
    }

    /// Ends a store of its own.
    pub(super) fn close(self) -> Result<(), StoreError> {
        let mut done = self.sled.shut();
        if let Some(own) = self.own {
            // Only now is it a store.
            done = done.and_then(|()| own.name_format());
            own.release();
        }
        done
    }

    /// Removes what was written. What is left of it is removed at the next opening; a store of its
    /// own is left unfinished where it is.
    pub(super) fn abandon(self) {
        self.sled.discard();
        match self.own {
            Some(own) => own.release(),
            None => {
                if let Err(error) = remove(self.dir.path()) {
                    tracing::warn!(%error, "half a copy of the store was not removed");
                }
            }
        }
    }
}
