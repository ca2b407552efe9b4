//! The live trail before the verifier: one thread reads blocks and opens their values, the other
//! verifies, so that of the trail no more than a few blocks are in memory.

use std::sync::Arc;
use std::sync::mpsc::{SyncSender, sync_channel};

use super::{Engine, EngineError};
use crate::canonical::Salt;
use crate::keys::Owner;
use crate::store::StoreError;
use crate::trail::block::{Block, BlockError};
use crate::trail::verify::{Disclosed, Report, Verifier, VerifyError};

/// After how many entries whoever watches a verification is told.
const WATCHED: u64 = 1024;
/// How many blocks are read ahead.
const AHEAD: usize = 4;

/// A value beside a leaf: its field, its salt, its canonical bytes.
type Shown = (Box<str>, Salt, Vec<u8>);

/// A block, from which entry on it is new, and the values beside each of its leaves.
struct Read {
    from: u64,
    block: Arc<Block>,
    values: Vec<Vec<Shown>>,
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
            for read in receive {
                let Read { from, block, values } = read?;
                for ((leaf, shown), index) in block.leaves().zip(&values).zip(block.first()..) {
                    if index < from || index >= size {
                        continue;
                    }
                    let values: Vec<Disclosed<'_>> = shown
                        .iter()
                        .map(|(field, salt, value)| Disclosed { field, salt: *salt, value })
                        .collect();
                    verifier.leaf(index, leaf, &values);
                    let done = index + 1;
                    if (done.is_multiple_of(WATCHED) || done == size) && !watch(done, size) {
                        // Without a receiver the reader ends.
                        return Err(EngineError::Invalid("the verification was ended".to_owned()));
                    }
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
        let read = self.library.each_block(0, &mut |from, block| {
            let opened = self.library.opened(block, &mut |block| {
                let mut key_of = |owner: &Owner| self.library.key_of(owner);
                let wanted = vec![true; block.len()];
                let values = block.values_of(&self.authority_id, &mut key_of, &wanted)?;
                Ok((block.first(), values))
            });
            let (first, mut values) = opened.map_err(|error| placed(error, block))?;
            // A block that was read again may reach further on both sides.
            let before = usize::try_from(block.first().saturating_sub(first)).unwrap_or(0);
            values.drain(..before.min(values.len()));
            let values = values
                .into_iter()
                .map(|opened| {
                    opened.into_iter().map(|o| (o.field, o.salt, o.value.encode())).collect()
                })
                .collect();
            let read = Read { from, block: block.clone(), values };
            Ok(send.send(Ok(read)).is_ok() && block.end() < size)
        });
        if let Err(error) = read {
            // Nobody listens any more where the verification was ended.
            let _ = send.send(Err(error));
        }
    }
}

/// Says of which entries the values are that do not open.
fn placed(error: EngineError, block: &Block) -> EngineError {
    let EngineError::Block(error) = error else { return error };
    let last = block.end().saturating_sub(1);
    let what = format!("the values beside the entries {} to {last}: {error}", block.first());
    EngineError::Block(BlockError::Damaged(what))
}

#[cfg(test)]
#[path = "verify_tests.rs"]
mod tests;
