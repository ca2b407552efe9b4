//! The live trail before the verifier: one thread reads blocks and opens their values, the other
//! verifies, so that of the trail no more than a few blocks are in memory.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use super::{Engine, EngineError};
use crate::canonical::Salt;
use crate::keys::Owner;
use crate::store::StoreError;
use crate::trail::block::{Block, BlockError, Closed};
use crate::trail::verify::{Disclosed, Report, Verifier, VerifyError};

/// After how many entries whoever watches a verification is told.
const WATCHED: u64 = 1024;
/// How many blocks are read ahead.
const AHEAD: usize = 4;

/// A value beside a leaf: its field, its salt, its canonical bytes.
type Shown = (Box<str>, Salt, Vec<u8>);

/// What was read next.
enum Read {
    /// A block, from which entry on it is new, the values beside each of its leaves, and which of
    /// them do not open.
    Block { from: u64, block: Arc<Block>, values: Vec<Vec<Shown>>, closed: Vec<Closed> },
    /// A block that cannot be read: the index of its first entry, and why.
    Unread { first: u64, why: BlockError },
}

impl Engine {
    /// Feeds the live trail to the verifier.
    ///
    /// # Errors
    /// As [`Engine::each_entry`]; what the verifier finds is its own answer.
    pub fn verify(&self, since: &[String]) -> Result<Result<Report, VerifyError>, EngineError> {
        self.verify_witnessed(since, &[])
    }

    /// As [`Engine::verify`], and asks that each of these witnesses cosigned a checkpoint.
    ///
    /// # Errors
    /// As [`Engine::verify`].
    pub fn verify_witnessed(
        &self,
        since: &[String],
        witnesses: &[String],
    ) -> Result<Result<Report, VerifyError>, EngineError> {
        self.verify_watched(since, witnesses, &mut |_, _| true)
    }

    /// As [`Engine::verify_witnessed`]; now and then `watch` is called with how many entries were
    /// verified so far, and of how many. It answers whether to go on.
    ///
    /// # Errors
    /// As [`Engine::verify`], and `Invalid` where `watch` ended it.
    pub fn verify_watched(
        &self,
        since: &[String],
        witnesses: &[String],
        watch: &mut dyn FnMut(u64, u64) -> bool,
    ) -> Result<Result<Report, VerifyError>, EngineError> {
        let size = self.checkpoint()?.claimed().size;
        let since: Vec<&str> = since.iter().map(String::as_str).collect();
        let witnesses: Vec<&str> = witnesses.iter().map(String::as_str).collect();
        let mut verifier =
            Verifier::new(&self.authority(), &since).witnessed_by(&witnesses).complete();
        std::thread::scope(|scope| {
            let (send, receive) = sync_channel::<Result<Read, EngineError>>(AHEAD);
            std::thread::Builder::new()
                .name("answerable-reader".to_owned())
                .spawn_scoped(scope, move || self.read_ahead(size, &send))
                .map_err(|error| StoreError::Unavailable { what: error.to_string() })?;
            // What was verified so far, and what cannot be read from there on.
            let (mut done, mut unread): (u64, Option<BlockError>) = (0, None);
            for read in receive {
                let (from, block, values, closed) = match read? {
                    Read::Block { from, block, values, closed } => (from, block, values, closed),
                    Read::Unread { first, why } => {
                        done = lose(&mut verifier, done, first.min(size), unread.take());
                        unread = Some(why);
                        continue;
                    }
                };
                done = lose(&mut verifier, done, from.min(size), unread.take());
                verifier.begin_block();
                for Closed { entries, error } in &closed {
                    let new = entries.iter().copied().filter(|index| (from..size).contains(index));
                    let new: Vec<u64> = new.collect();
                    if !new.is_empty() {
                        verifier.close_values(&new, &error.to_string());
                    }
                }
                for ((leaf, shown), index) in block.leaves().zip(&values).zip(block.first()..) {
                    if index < from || index >= size {
                        continue;
                    }
                    let values: Vec<Disclosed<'_>> = shown
                        .iter()
                        .map(|(field, salt, value)| Disclosed { field, salt: *salt, value })
                        .collect();
                    verifier.leaf(index, leaf, &values);
                    done = index + 1;
                    if (done.is_multiple_of(WATCHED) || done == size) && !watch(done, size) {
                        // Without a receiver the reader ends.
                        return Err(EngineError::Invalid("the verification was ended".to_owned()));
                    }
                }
            }
            if unread.is_some() {
                lose(&mut verifier, done, size, unread);
                if !watch(size, size) {
                    return Err(EngineError::Invalid("the verification was ended".to_owned()));
                }
            }
            Ok(())
        })?;
        for checkpoint in self.checkpoints()? {
            if checkpoint.claimed().size <= size {
                verifier.checkpoint(checkpoint.text());
            }
        }
        let report = verifier.finish();
        if report.fault_count == 0 {
            return Ok(Ok(report));
        }
        Ok(Err(VerifyError::Corrupted(Box::new(report))))
    }

    /// Reads the blocks below `size` and hands them over, until nobody takes them any more.
    fn read_ahead(&self, size: u64, send: &SyncSender<Result<Read, EngineError>>) {
        let read = self.library.each_readable(0, &mut |from, block| {
            let block = match block {
                Ok(block) => block,
                Err(why) => return Ok(send.send(Ok(Read::Unread { first: from, why })).is_ok()),
            };
            let opened = self.library.opened(&block, &mut |block| {
                let mut key_of = |owner: &Owner| self.library.key_of(owner);
                let wanted = vec![true; block.len()];
                let values = block.values_of(&self.authority_id, &mut key_of, &wanted)?;
                Ok((block.first(), values))
            });
            let (first, mut values, closed) = match opened {
                Ok((first, values)) => (first, values, Vec::new()),
                Err(EngineError::Block(_)) => {
                    let mut key_of = |owner: &Owner| self.library.key_of(owner);
                    let (values, closed) = block.values_and_closed(&self.authority_id, &mut key_of);
                    (block.first(), values, closed)
                }
                Err(error) => return Err(error),
            };
            // A block that was read again may reach further on both sides.
            let before = usize::try_from(block.first().saturating_sub(first)).unwrap_or(0);
            values.drain(..before.min(values.len()));
            let values = values
                .into_iter()
                .map(|opened| {
                    opened.into_iter().map(|o| (o.field, o.salt, o.value.encode())).collect()
                })
                .collect();
            let end = block.end();
            let read = Read::Block { from, block, values, closed };
            Ok(send.send(Ok(read)).is_ok() && end < size)
        });
        if let Err(error) = read {
            // Nobody listens any more where the verification was ended.
            let _ = send.send(Err(error));
        }
    }
}

/// Tells the verifier that the entries from `from` up to `to` cannot be read; `why`, if a block is
/// there. Answers up to where it was told.
fn lose(verifier: &mut Verifier, from: u64, to: u64, why: Option<BlockError>) -> u64 {
    if from >= to {
        return from;
    }
    verifier.lose(from, to - 1, why.map(|why| why.to_string()).as_deref());
    to
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
