//! Replacing the master key of an open store, while calls go on.
//!
//! What is given or lies in the key file seals one key only, the inner one, in `inner.key`. So
//! nothing else is written anew, and one file decides which key opens the store.

use super::open::key_file;
use super::{Engine, EngineError};
use crate::canonical::Value;
use crate::keys::{MasterKey, Owner};
use crate::principal::{EntryId, HumanId};
use crate::registry::{Change, check_text, draft};
use crate::trail::entry::kind;

impl Engine {
    /// Puts another master key in the place of the one that the store has: a given one, or a new
    /// one in the store's key file. The old one does not open the store any more; whoever has it and
    /// an old copy of `inner.key` has the inner key all the same.
    ///
    /// Recorded first, as what was decided. Where this ends before its end, the store opens with
    /// one of the two keys.
    ///
    /// # Errors
    /// `Attached` where another process holds the store; `Invalid` for the key that it has, a
    /// store of before there were inner keys, or an empty reason; the store's, and key files'.
    pub fn rewrap(
        &self,
        given: Option<&MasterKey>,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<EntryId, EngineError> {
        self.check()?;
        self.knows_secrets()?;
        check_text("the reason", reason, 4_096)?;
        let by = self.who(by)?;
        let mut wrapping = self.wrapping.lock();
        wrapping.may_rewrap(given)?;
        let draft = draft(kind::CREDENTIAL)
            .map_err(EngineError::Key)?
            .with("action", Value::str("rewrapped"))
            .with("source", Value::str(if given.is_some() { "given" } else { "file" }))
            .with("by", Value::str(&by.to_string()))
            .beside("reason", Value::str(reason), &Owner::human(by));
        let id = draft.id;
        let change = Change { draft, puts: Vec::new() };
        self.transition(|_, _, _| Ok(((), vec![change])))?;
        wrapping.rewrap(given, &key_file(&self.path), &self.ring.wrapping())?;
        tracing::info!(entry = %id, "the master key was replaced");
        Ok(id)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use std::path::Path;
    use std::sync::Arc;

    use super::super::{MasterSource, Options};
    use super::*;

    fn options(master: &MasterSource) -> Options {
        Options { master: master.clone(), ..Options::default() }
    }

    fn opened(path: &Path, master: &MasterSource) -> Result<Arc<Engine>, EngineError> {
        Engine::open(path, options(master))
    }

    fn given(byte: u8) -> MasterSource {
        MasterSource::Given(MasterKey::from_bytes(&(byte..byte + 32).collect::<Vec<_>>()).unwrap())
    }

    fn outer(source: &MasterSource) -> Option<MasterKey> {
        match source {
            MasterSource::Given(key) => Some(key.clone()),
            MasterSource::File => None,
        }
    }

    /// From, to, and how many steps that takes.
    fn ways() -> Vec<(MasterSource, MasterSource, usize)> {
        vec![
            (MasterSource::File, MasterSource::File, 5),
            (MasterSource::File, given(1), 4),
            (given(1), MasterSource::File, 4),
            (given(1), given(2), 3),
        ]
    }

    /// What a process leaves that was killed after so many steps.
    fn killed_after(path: &Path, from: &MasterSource, to: &MasterSource, most: usize) -> usize {
        let engine = opened(path, from).unwrap();
        let wrapping = engine.wrapping.lock();
        let taken = wrapping.take_some(outer(to).as_ref(), path, &engine.ring.wrapping(), most);
        drop(wrapping);
        engine.close().unwrap();
        taken.unwrap()
    }

    #[test]
    fn a_kill_after_any_step_leaves_a_store_that_one_of_the_keys_opens() {
        for (from, to, count) in ways() {
            for most in 0..=count {
                let folder = tempfile::tempdir().unwrap();
                let path = folder.path().join("store");
                let file = key_file(&path);
                let engine = opened(&path, &from).unwrap();
                let authority = engine.authority();
                engine.close().unwrap();
                let old_file = std::fs::read(&file).ok();
                assert_eq!(killed_after(&path, &from, &to, most), most.min(count));
                let new = opened(&path, &to).is_ok();
                // With the old key file, where there was one: what a thief of it has.
                let old = if let Some(old_file) = &old_file {
                    let now = std::fs::read(&file).ok();
                    std::fs::write(&file, old_file).unwrap();
                    let opens = opened(&path, &from).is_ok();
                    match now {
                        Some(now) => std::fs::write(&file, now).unwrap(),
                        None => std::fs::remove_file(&file).unwrap(),
                    }
                    opens
                } else {
                    opened(&path, &from).is_ok()
                };
                let both_files = old_file.is_some() && outer(&to).is_none();
                // A key file of both opens the store at every point; its old text, or another
                // source, up to the step that counts.
                let counts = count - if both_files { 3 } else { 2 };
                let counts =
                    if outer(&from).is_none() && outer(&to).is_some() { 1 } else { counts };
                assert_eq!(old, most <= counts, "{from:?} to {to:?}, {most} of {count}");
                assert_eq!(new, both_files || most > counts, "{from:?} to {to:?}, {most}");
                // Whichever it is, it is the same store, and goes on to be.
                let source = if new { &to } else { &from };
                for _ in 0..2 {
                    let engine = opened(&path, source).unwrap();
                    assert_eq!(engine.authority(), authority);
                    engine.close().unwrap();
                }
            }
        }
    }

    #[test]
    fn a_replaced_key_opens_nothing_while_the_engine_goes_on() {
        for (from, to, _) in ways() {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("store");
            let file = key_file(&path);
            let engine = opened(&path, &from).unwrap();
            let authority = engine.authority();
            let old_file = std::fs::read(&file).ok();
            engine.rewrap(outer(&to).as_ref(), "the old one was seen", None).unwrap();
            if let Some(same) = outer(&to) {
                assert!(engine.rewrap(Some(&same), "again", None).is_err());
            }
            let copy = folder.path().join("copy");
            engine.backup(&copy).unwrap();
            engine.close().unwrap();
            let engine = opened(&path, &to).unwrap();
            assert_eq!(engine.authority(), authority);
            engine.close().unwrap();
            if outer(&to).is_some() {
                assert!(!file.exists(), "no key is left that opens nothing");
                assert!(opened(&copy, &to).is_ok());
            }
            if let Some(old_file) = old_file {
                crate::keys::replace_private_file(&file, &old_file).unwrap();
            }
            assert!(opened(&path, &from).is_err(), "{from:?} to {to:?}");
        }
    }
}
