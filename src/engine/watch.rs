//! What is needed to watch: entries as they reach the disk, and a review that goes on from where
//! it was. The trail itself is the queue: who is slow reads later, and misses nothing.

use std::time::Duration;

use super::review::Reviewing;
use super::{Engine, EngineError, Review, Spans};
use crate::trail::entry::Entry;

impl Engine {
    /// How many entries are on the disk; waits so long, at most, until there are more than `size`.
    ///
    /// # Errors
    /// `Closed` or `Forked`, or `Unavailable` where nothing is recorded any more.
    pub fn await_beyond(&self, size: u64, most: Duration) -> Result<u64, EngineError> {
        self.check()?;
        Ok(self.recorder.await_beyond(size, most))
    }

    /// How many entries were appended, on the disk or not yet.
    ///
    /// # Errors
    /// `Closed` or `Forked`, or `Unavailable` where nothing is recorded any more.
    pub fn appended(&self) -> Result<u64, EngineError> {
        self.check()?;
        Ok(self.recorder.progress().1)
    }

    /// Entries that are on the disk from a place on, at most so many, and the place after the last
    /// one that was looked at; of these kinds only, all of them without one.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn written(
        &self,
        from: u64,
        most: usize,
        kinds: &[String],
    ) -> Result<(Vec<Entry>, u64), EngineError> {
        self.check()?;
        let (mut found, mut next) = (Vec::new(), from);
        self.each_written(from, &mut |entry| {
            next = entry.index + 1;
            if kinds.is_empty() || kinds.iter().any(|kind| kind == entry.kind()) {
                found.push(entry);
            }
            Ok(found.len() < most)
        })?;
        Ok((found, next))
    }

    /// As [`Engine::review`], reading only what was written since the last time.
    ///
    /// # Errors
    /// As [`Engine::review`].
    pub fn review_on(
        &self,
        reviewing: &mut Reviewing,
        spans: Spans,
    ) -> Result<Review, EngineError> {
        self.check()?;
        self.review_written(reviewing, spans)
    }
}
