//! The wrapping key: it lies outside the store's own files, and each erasure replaces it.
//!
//! `wrap.key` in the store's folder holds it sealed; where the master key lies in a key file, under
//! the secret of the newest erasure too, which stands in that file beside the master key. So old
//! copies of the store's folder open nothing with today's key file. While an erasure is under way
//! both files hold two; which one is in force is said by the store itself (`m/wrap`).

use std::path::{Path, PathBuf};

use data_encoding::BASE64URL_NOPAD;

use super::EngineError;
use crate::keys::{
    KeyError, MasterKey, SealKey, check_private_file, replace_private_file, write_private_file,
};
use crate::store::{Store, StoreError};

/// Which wrapping key the store's data keys lie under: its digest.
const IN_FORCE: &[u8] = b"m/wrap";
const ASSERTION: &str = "answerable/v1/wrap-key";
const FILE: &str = "wrap.key";

/// Where the wrapping key lies, and what it is sealed under.
pub(super) struct Wrapping {
    master: MasterKey,
    /// The file of the master key, if the engine keeps it.
    key_file: Option<PathBuf>,
    file: PathBuf,
}

/// A wrapping key that can be opened, and the place of the secret that it takes.
struct Found {
    key: SealKey,
    place: usize,
}

impl Wrapping {
    pub(super) fn new(master: MasterKey, key_file: Option<PathBuf>, store: &Path) -> Self {
        Self { master, key_file, file: store.join(FILE) }
    }

    /// Refuses where no wrapping key opens, touching nothing.
    pub(super) fn check(&self) -> Result<(), EngineError> {
        self.found().map(|_| ())
    }

    /// The wrapping key in force; made if the store is new. What an erasure that was cut short left
    /// in the files is taken out of them.
    pub(super) fn open(&mut self, store: &dyn Store, fresh: bool) -> Result<SealKey, EngineError> {
        if fresh && self.file.symlink_metadata().is_err() {
            let key = SealKey::generate()?;
            let line = seal(&self.master, &key)?;
            write_private_file(&self.file, line.as_bytes())?;
            return Ok(key);
        }
        let mut found = self.found()?;
        let lines = found.len();
        let at = match store.get(IN_FORCE)? {
            Some(id) => found.iter().position(|found| id == id_of(&found.key)),
            // A store of before there were erasures: a first one, cut short, wrote its own key
            // before the one in force.
            None => lines.checked_sub(1),
        };
        let found = at.map(|at| found.swap_remove(at)).ok_or_else(wrong_master)?;
        let settled = self.master.only(found.place);
        // Where another process holds the store, an erasure may be under way in it.
        let ours = store.remote().is_none();
        if ours && (lines > 1 || settled.count() != self.master.count()) {
            self.settle(settled, &found.key)?;
        }
        Ok(found.key)
    }

    /// Makes the next wrapping key and lays it beside the one in force.
    pub(super) fn prepare(&mut self, now: &SealKey) -> Result<SealKey, EngineError> {
        let next = SealKey::generate()?;
        let before = seal(&self.master, now)?;
        let master = match &self.key_file {
            // A key file without such a secret was written by hand: it is left alone.
            Some(file) if self.master.count() > 0 => {
                let master = self.master.with_erasure()?;
                master.save(file)?;
                master
            }
            _ => self.master.clone(),
        };
        let lines = format!("{}{before}", seal(&master, &next)?);
        replace_private_file(&self.file, lines.as_bytes())?;
        self.master = master;
        Ok(next)
    }

    /// The record of the store that says which wrapping key its data keys lie under.
    pub(super) fn mark(key: &SealKey) -> (Vec<u8>, Vec<u8>) {
        (IN_FORCE.to_vec(), id_of(key))
    }

    /// Takes all but a wrapping key out of the files.
    pub(super) fn keep(&mut self, key: &SealKey) -> Result<(), EngineError> {
        let found = self.found()?.into_iter().find(|found| id_of(&found.key) == id_of(key));
        let place = found.ok_or_else(wrong_master)?.place;
        self.settle(self.master.only(place), key)
    }

    /// Copies the sealed key into another folder.
    pub(super) fn copy_to(&self, folder: &Path) -> Result<(), EngineError> {
        let bytes = std::fs::read(&self.file).map_err(|error| KeyError::File {
            path: self.file.display().to_string(),
            what: error.to_string(),
        })?;
        Ok(write_private_file(&folder.join(FILE), &bytes)?)
    }

    fn settle(&mut self, master: MasterKey, key: &SealKey) -> Result<(), EngineError> {
        replace_private_file(&self.file, seal(&master, key)?.as_bytes())?;
        if let Some(file) = &self.key_file
            && master.count() != self.master.count()
        {
            master.save(file)?;
        }
        self.master = master;
        Ok(())
    }

    /// The wrapping keys that open, in the order of the file.
    fn found(&self) -> Result<Vec<Found>, EngineError> {
        if self.file.symlink_metadata().is_err() {
            return Err(EngineError::Key(KeyError::File {
                path: self.file.display().to_string(),
                what: "the key that wraps the store's data keys is not there; restore it from a backup of the store's folder".to_owned(),
            }));
        }
        check_private_file(&self.file)?;
        let text = std::fs::read_to_string(&self.file).map_err(|error| KeyError::File {
            path: self.file.display().to_string(),
            what: error.to_string(),
        })?;
        let mut found = Vec::new();
        for line in text.lines() {
            let sealed =
                BASE64URL_NOPAD.decode(line.trim().as_bytes()).map_err(|_| KeyError::Sealed)?;
            for (place, sealing) in self.master.wrapping().into_iter().enumerate() {
                if let Ok(opened) = sealing.open(&sealed, ASSERTION) {
                    found.push(Found { key: SealKey::from_text(&opened)?, place });
                    break;
                }
            }
        }
        if found.is_empty() { Err(wrong_master().into()) } else { Ok(found) }
    }
}

/// One line of the file, under the newest secret.
fn seal(master: &MasterKey, key: &SealKey) -> Result<String, KeyError> {
    let wrapping = master.wrapping();
    let sealing = wrapping.first().ok_or(KeyError::Sealed)?;
    let sealed = sealing.seal(&key.expose_text(), ASSERTION)?;
    Ok(format!("{}\n", BASE64URL_NOPAD.encode(&sealed)))
}

fn id_of(key: &SealKey) -> Vec<u8> {
    key.digest("answerable/v1/wrap-id", &[]).to_vec()
}

pub(super) fn wrong_master() -> StoreError {
    StoreError::Unavailable {
        what: "the master key is not the one this store was made with, or the sealed keys were changed or are those of before an erasure; give the right key, nothing was touched".to_owned(),
    }
}
