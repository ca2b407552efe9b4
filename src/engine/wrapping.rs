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
/// The inner master key, sealed under the outer one.
const INNER: &str = "inner.key";

/// Where the wrapping key lies, and what it is sealed under.
pub(super) struct Wrapping {
    master: MasterKey,
    /// The file of the master key, if the engine keeps it.
    key_file: Option<PathBuf>,
    file: PathBuf,
    inner: PathBuf,
}

/// A wrapping key that can be opened, and the place of the secret that it takes.
struct Found {
    key: SealKey,
    place: usize,
}

impl Wrapping {
    pub(super) fn new(master: MasterKey, key_file: Option<PathBuf>, store: &Path) -> Self {
        Self { master, key_file, file: store.join(FILE), inner: store.join(INNER) }
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
        let (mut found, lines) = self.found()?;
        let at = match store.get(IN_FORCE)? {
            Some(id) => found.iter().position(|found| id == id_of(&found.key)),
            // A store of before there were erasures: a first one, cut short, wrote its own key
            // before the one in force.
            None => found.len().checked_sub(1),
        };
        let found = at.map(|at| found.swap_remove(at)).ok_or_else(wrong_master)?;
        let settled = self.master.only(found.place);
        // Where another process holds the store, an erasure may be under way in it.
        let ours = store.remote().is_none();
        let half = settled.count() != self.master.count() || self.master.has_next();
        if ours && (lines > 1 || half) {
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
        let found = self.found()?.0.into_iter().find(|found| id_of(&found.key) == id_of(key));
        let place = found.ok_or_else(wrong_master)?.place;
        self.settle(self.master.only(place), key)
    }

    /// Copies the sealed key into another folder.
    pub(super) fn copy_to(&self, folder: &Path) -> Result<(), EngineError> {
        for (file, name) in [(&self.file, FILE), (&self.inner, INNER)] {
            if name == INNER && !self.master.has_inner() {
                continue;
            }
            let bytes = std::fs::read(file).map_err(|error| unread(file, &error))?;
            write_private_file(&folder.join(name), &bytes)?;
        }
        Ok(())
    }

    fn settle(&mut self, master: MasterKey, key: &SealKey) -> Result<(), EngineError> {
        replace_private_file(&self.file, seal(&master, key)?.as_bytes())?;
        if let Some(file) = &self.key_file
            && (master.count() != self.master.count() || self.master.has_next())
        {
            master.save(file)?;
        }
        self.master = master;
        Ok(())
    }

    /// The wrapping keys that open, in the order of the file, and how many it has.
    fn found(&self) -> Result<(Vec<Found>, usize), EngineError> {
        if self.file.symlink_metadata().is_err() {
            return Err(EngineError::Key(KeyError::File {
                path: self.file.display().to_string(),
                what: "the key that wraps the store's data keys is not there; restore it from a backup of the store's folder".to_owned(),
            }));
        }
        check_private_file(&self.file)?;
        let text =
            std::fs::read_to_string(&self.file).map_err(|error| unread(&self.file, &error))?;
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
        if found.is_empty() {
            Err(wrong_master().into())
        } else {
            Ok((found, text.lines().count()))
        }
    }

    /// What has to be written, in this order, for another outer key to take the place of this one.
    /// Each step replaces one file whole. Up to [`Step::Inner`] the old key opens the store, from
    /// then on the new one does, and never both.
    fn steps(
        &self,
        next: &MasterKey,
        file: Option<&Path>,
        wrap: &SealKey,
    ) -> Result<Vec<Step>, EngineError> {
        let mut steps = Vec::new();
        match (&self.key_file, file) {
            (Some(_), Some(_)) => steps.push(Step::KeyFile(self.master.before(next))),
            (None, Some(_)) => steps.push(Step::KeyFile(next.clone())),
            _ => {}
        }
        // The wrapping key lies under the secrets of erasures too, which are the key file's.
        let (before, after) = (seal(&self.master, wrap)?, seal(next, wrap)?);
        steps.push(Step::Wrap(format!("{after}{before}")));
        steps.push(Step::Inner(next.seal_inner()?));
        steps.push(Step::Wrap(after));
        match (&self.key_file, file) {
            (Some(_), Some(_)) => steps.push(Step::KeyFile(next.clone())),
            (Some(_), None) => steps.push(Step::NoKeyFile),
            _ => {}
        }
        Ok(steps)
    }

    fn take(&self, step: &Step, key_file: &Path) -> Result<(), EngineError> {
        match step {
            Step::KeyFile(key) => key.replace(key_file)?,
            Step::Wrap(lines) => replace_private_file(&self.file, lines.as_bytes())?,
            Step::Inner(sealed) => {
                replace_private_file(&self.inner, BASE64URL_NOPAD.encode(sealed).as_bytes())?;
            }
            Step::NoKeyFile => {
                std::fs::remove_file(key_file).map_err(|error| unread(key_file, &error))?;
            }
        }
        Ok(())
    }

    /// Refuses where the outer key cannot be replaced by a given one.
    pub(super) fn may_rewrap(&self, given: Option<&MasterKey>) -> Result<(), EngineError> {
        let why = if !self.master.has_inner() {
            "this store was made before master keys could be replaced; make it anew"
        } else if given.is_some_and(|given| given.is_same(&self.master)) {
            "that is the master key that the store has; give another"
        } else {
            return Ok(());
        };
        Err(EngineError::Invalid(why.to_owned()))
    }

    /// Puts another outer key in the place of this one: a given one, or a new one in the key file
    /// at `key_file`.
    pub(super) fn rewrap(
        &mut self,
        given: Option<&MasterKey>,
        key_file: &Path,
        wrap: &SealKey,
    ) -> Result<(), EngineError> {
        let next = match given {
            Some(outer) => self.master.over(outer),
            None => self.master.fresh_over()?,
        };
        let file = given.is_none().then(|| key_file.to_path_buf());
        let mut settled = false;
        for step in self.steps(&next, file.as_deref(), wrap)? {
            let taken = self.take(&step, key_file);
            if settled && let Err(error) = &taken {
                // The new key is in force; what is left over opens nothing, and the next opening
                // or erasure takes it away.
                tracing::error!(%error, "something of the old master key was left in the files");
                continue;
            }
            taken?;
            settled |= matches!(step, Step::Inner(_));
        }
        (self.master, self.key_file) = (next, file);
        Ok(())
    }
}

#[cfg(test)]
impl Wrapping {
    /// Takes the first steps of a rewrap alone, as a process that is killed; answers how many.
    pub(super) fn take_some(
        &self,
        given: Option<&MasterKey>,
        store: &Path,
        wrap: &SealKey,
        most: usize,
    ) -> Result<usize, EngineError> {
        let key_file = super::open::key_file(store);
        let next = match given {
            Some(outer) => self.master.over(outer),
            None => self.master.fresh_over()?,
        };
        let file = given.is_none().then_some(key_file.as_path());
        let steps = self.steps(&next, file, wrap)?;
        for step in steps.iter().take(most) {
            self.take(step, &key_file)?;
        }
        Ok(steps.len().min(most))
    }
}

/// One step in replacing the outer key.
enum Step {
    /// The key file, written anew.
    KeyFile(MasterKey),
    /// `wrap.key`, written anew.
    Wrap(String),
    /// `inner.key`, written anew: from here on the new key opens the store.
    Inner(Vec<u8>),
    /// The key file, taken away.
    NoKeyFile,
}

/// A master key with the store's inner key; made if the store is new.
pub(super) fn unlocked(
    master: &MasterKey,
    store: &Path,
    fresh: bool,
) -> Result<MasterKey, EngineError> {
    let file = store.join(INNER);
    match file.symlink_metadata() {
        Err(_) if fresh => {
            let made = master.with_new_inner()?;
            let sealed = BASE64URL_NOPAD.encode(&made.seal_inner()?);
            write_private_file(&file, sealed.as_bytes())?;
            return Ok(made);
        }
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(master.clone()),
        _ => check_private_file(&file)?,
    }
    let text = std::fs::read_to_string(&file).map_err(|error| unread(&file, &error))?;
    let sealed = BASE64URL_NOPAD.decode(text.trim().as_bytes()).map_err(|_| wrong_master())?;
    Ok(master.with_inner(&sealed).map_err(|_| wrong_master())?)
}

fn unread(file: &Path, error: &std::io::Error) -> KeyError {
    KeyError::File { path: file.display().to_string(), what: error.to_string() }
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
