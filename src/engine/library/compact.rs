//! Compacting: the records copied into fresh files, which take the place of the old ones at once.
//!
//! The embedded store never writes in place: its files grow with all that was ever written, several
//! times over. The copy is the one that an erasure makes, with every record as it is: whatever ends
//! it early, either the old files are in force or the fresh ones.

use std::sync::atomic::Ordering;

use super::{EngineError, Library};
use crate::recorder::keyspace;
use crate::store::{Batch, StoreError};

/// Below how many bytes on disk nothing is compacted by itself.
pub(super) const LEAST: u64 = 64 * 1024 * 1024;
/// How many turns of the thread lie between two looks at the files.
pub(super) const TURNS: u32 = 8;

/// What compacting did.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Compacted {
    /// How many bytes the files took.
    pub before: u64,
    /// How many they take now.
    pub after: u64,
    /// How many records there are.
    pub records: u64,
    /// How many bytes their keys and values have.
    pub live: u64,
}

impl Library {
    /// Copies every record into fresh files, while calls go on; they wait for the last step only.
    ///
    /// # Errors
    /// The store's; the old files are in force then. `Closed` if the engine is closing.
    pub(in crate::engine) fn compact(&self) -> Result<Compacted, EngineError> {
        while self.merge_some()? {}
        // Held by whoever rewrites: an erasure, a backup, and this.
        let _shelf = self.shelf.lock();
        let before = self.store.bytes_on_disk()?.unwrap_or_default();
        let mut live = 0_u64;
        let mut same = |key: &[u8], value: &[u8]| {
            if self.is_closing() {
                return Err(StoreError::Closed);
            }
            live = live.saturating_add(key.len() as u64).saturating_add(value.len() as u64);
            Ok(Some(value.to_vec()))
        };
        self.store.prepare_rewrite(None, &mut same)?;
        let done = self.recorder.still(|| self.store.finish_rewrite(&mut same, Batch::new()));
        if done.is_err() {
            self.store.drop_rewrite();
        }
        let records = done?;
        let after = self.store.bytes_on_disk()?.unwrap_or_default();
        self.keep_weight(live)?;
        tracing::info!(before, after, records, "the store's files were compacted");
        Ok(Compacted { before, after, records, live })
    }

    /// Compacts files that take several times what their records take.
    pub(super) fn compact_waste(&self) -> Result<(), EngineError> {
        let Some(disk) = self.store.bytes_on_disk()? else { return Ok(()) };
        // All records are read to weigh them: not before it could be too much.
        let least = self.least.load(Ordering::Acquire);
        if disk < least || !worth_weighing(disk, least, self.last_weight()?) {
            return Ok(());
        }
        let mut live = 0_u64;
        self.store.scan(&[], None, &mut |key, value| {
            live = live.saturating_add(key.len() as u64).saturating_add(value.len() as u64);
            !self.is_closing()
        })?;
        if self.is_closing() {
            return Ok(());
        }
        self.keep_weight(live)?;
        if !is_waste(disk, live) {
            return Ok(());
        }
        match self.store.room()? {
            Some(room) if room / 2 < live => {
                tracing::warn!(disk, live, room, "no room to compact the store's files in");
                Ok(())
            }
            _ => self.compact().map(drop),
        }
    }

    /// What the records weighed last: also before this process, so that opening a store does not
    /// read all of it.
    fn last_weight(&self) -> Result<u64, EngineError> {
        let known = self.weighed.load(Ordering::Acquire);
        if known > 0 {
            return Ok(known);
        }
        let kept = self.store.get(keyspace::WEIGHED)?;
        // One that cannot be read is none: they are weighed then.
        let kept = kept.and_then(|bytes| bytes.try_into().ok()).map_or(0, u64::from_be_bytes);
        self.weighed.store(kept, Ordering::Release);
        Ok(kept)
    }

    fn keep_weight(&self, live: u64) -> Result<(), EngineError> {
        self.weighed.store(live, Ordering::Release);
        let mut batch = Batch::new();
        batch.put(keyspace::WEIGHED, live.to_be_bytes());
        Ok(self.recorder.commit(batch)?)
    }
}

/// Whether files are large enough to weigh what is in them, and would be wasteful if it were no more
/// than when it was weighed last.
fn worth_weighing(disk: u64, least: u64, weighed: u64) -> bool {
    disk >= least && is_waste(disk, weighed)
}

/// Whether files take more than their records justify: half as much again. A copy takes about a fifth
/// more than its records.
fn is_waste(disk: u64, live: u64) -> bool {
    disk >= live.saturating_add(live / 2)
}

#[cfg(test)]
#[path = "compact_tests.rs"]
mod tests;
