//! Repair, where it is asked for: what is derived or left over is made anew or removed, what is
//! evidence is moved aside, and an entry says what was done.
//!
//! What only the records themselves could tell is not guessed at: a store whose records are damaged
//! is refused as ever, and a backup is the remedy.

use std::fs;
use std::io::ErrorKind;
use std::path::Path;

use super::anchor::kept_file;
use super::{Engine, EngineError};
use crate::canonical::Value;
use crate::keys::Owner;
use crate::registry::draft;
use crate::store::StoreError;
use crate::trail::checkpoint::SignedCheckpoint;
use crate::trail::entry::kind;

/// Files that were to be renamed into place begin with this.
const UNFINISHED: &str = ".new-";
const HOLDER_FILE: &str = "holder.json";
/// How many damaged checkpoints are kept aside at most.
const ASIDE: u32 = 1_000;

/// What was found and done so far: a word each, and a sentence.
#[derive(Debug, Default)]
pub(super) struct Mending {
    done: Vec<(&'static str, String)>,
}

impl Mending {
    /// What can only be seen before the store is opened.
    pub(super) fn look(path: &Path) -> Self {
        let mut mending = Self::default();
        if fs::symlink_metadata(path.join(HOLDER_FILE)).is_ok() {
            let what = "the process that held the store before ended without closing it";
            mending.done.push(("holder_gone", what.to_owned()));
        }
        mending
    }

    /// Takes up which snapshots were moved aside, as they did not let the store open.
    pub(super) fn opened(&mut self, moved: &[String]) {
        if !moved.is_empty() {
            let what = format!("as {}; the records were read without", moved.join(", "));
            self.done.push(("snapshot_aside", what));
        }
    }

    /// Removes what is left over, and moves a checkpoint that cannot be read out of the way. The
    /// store's lock is held.
    pub(super) fn tidy(&mut self, path: &Path) -> Result<(), StoreError> {
        let failed = |doing: &str, error: &std::io::Error| StoreError::Unavailable {
            what: format!("cannot {doing}: {error}"),
        };
        let listed =
            fs::read_dir(path).map_err(|error| failed("list the store's folder", &error))?;
        let mut left = 0;
        for name in listed.flatten() {
            let file = name.file_type().is_ok_and(|kind| kind.is_file());
            if file && name.file_name().to_string_lossy().starts_with(UNFINISHED) {
                fs::remove_file(name.path())
                    .map_err(|error| failed("remove a file left over", &error))?;
                left += 1;
            }
        }
        if left > 0 {
            self.done.push(("left_over_removed", format!("{left} files half written")));
        }
        let file = kept_file(path);
        let read = match fs::read(&file) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(()),
            read => read.map_err(|error| failed("read the checkpoint kept beside it", &error))?,
        };
        let text = String::from_utf8_lossy(&read);
        let Err(error) = SignedCheckpoint::parse(&text) else { return Ok(()) };
        for number in 1..ASIDE {
            let mut name = file.file_name().unwrap_or_default().to_os_string();
            name.push(format!(".damaged-{number}"));
            let aside = file.with_file_name(&name);
            if fs::symlink_metadata(&aside).is_ok() {
                continue;
            }
            fs::rename(&file, &aside).map_err(|error| failed("move a checkpoint aside", &error))?;
            let name = name.to_string_lossy();
            self.done.push(("checkpoint_aside", format!("as `{name}`: {error}")));
            return Ok(());
        }
        let what = "the checkpoint kept beside it is damaged, and there is no name to move it to";
        Err(StoreError::Corrupt { what: what.to_owned() })
    }
}

impl Engine {
    /// Makes the index anew, and records what was done.
    pub(super) fn mended(&self, mut mending: Mending) -> Result<(), EngineError> {
        let had = self.size()?;
        self.library.forget();
        self.library.settle()?;
        mending.done.push(("index_made_anew", format!("over {had} entries")));
        let by = self.who(None)?;
        let words = mending.done.iter().map(|(word, _)| Value::str(word)).collect();
        let told: Vec<Value> = mending
            .done
            .iter()
            .map(|(word, what)| Value::str(&format!("{word}: {what}")))
            .collect();
        let (_, ticket) = self.recorder.sequence(|slot| {
            let entry = draft(kind::REPAIR)?
                .with("done", Value::List(words))
                .with("had", Value::int(i64::try_from(had).unwrap_or(i64::MAX)))
                .with("by", Value::str(&by.to_string()))
                .beside("detail", Value::List(told), &Owner::human(by));
            slot.push(entry, Vec::new());
            Ok::<(), EngineError>(())
        })?;
        self.recorder.wait(ticket.upto)?;
        self.checkpoint()?;
        Ok(())
    }

    /// Copies the store's records into fresh files, which take the place of the old ones: they grow
    /// with all that was ever written. Calls go on meanwhile.
    ///
    /// # Errors
    /// The store's; the old files are in force then.
    pub fn compact(&self) -> Result<super::Compacted, EngineError> {
        self.check()?;
        self.library.compact()
    }
}
