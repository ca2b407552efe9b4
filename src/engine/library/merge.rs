//! Merging: many small blocks, each one group commit, become one of a good size.
//!
//! One atomic batch puts the merged block in the place of its first part and drops the others. The
//! leaves stay the same bytes in the same order, so that neither the tree nor a proof changes.

use super::{EngineError, Library};
use crate::recorder::keyspace;
use crate::store::{Batch, MAX_VALUE, StoreError};
use crate::trail::block::{Block, BlockError, MAX_LEAVES_BYTES, merge};

/// How many bytes of blocks go into a merged one, about. Larger ones take less room, smaller ones
/// are read faster where one entry is asked for.
const BYTES: usize = 48 * 1024;
/// The most blocks that go into one.
const BLOCKS: usize = 256;
/// How much room a merged block may take, the rest of a value being left for its key.
const ROOM: usize = MAX_VALUE - 1024;

impl Library {
    /// Makes one merged block, if enough entries wait for it; answers whether there was one.
    ///
    /// # Errors
    /// The store's, or `Block` for a damaged one: nothing was changed then.
    pub(super) fn merge_some(&self) -> Result<bool, EngineError> {
        if self.store.remote().is_some() {
            // Its holder does.
            return Ok(false);
        }
        let _shelf = self.shelf.lock();
        let merged = match self.store.get(keyspace::MERGED)? {
            Some(bytes) => u64::from_be_bytes(bytes.try_into().map_err(|_| {
                StoreError::Corrupt { what: "how far the trail's blocks were merged".to_owned() }
            })?),
            None => 0,
        };
        let durable = self.recorder.durable();
        let (mut parts, mut bytes, mut full) = (Vec::<Block>::new(), 0, false);
        let mut damaged = None;
        let from = keyspace::block(merged);
        self.store.scan(keyspace::BLOCK, Some(&from), &mut |key, value| {
            let first = keyspace::first_of(key);
            let gap = parts.last().is_some_and(|last| last.end() != first);
            let over = bytes + value.len() > BYTES || parts.len() >= BLOCKS;
            if gap || (over && !parts.is_empty()) {
                full = true;
                return false;
            }
            match Block::read(first, value) {
                Ok(block) if block.end() <= durable => parts.push(block),
                // It is not durable yet.
                Ok(_) => return false,
                Err(error) => damaged = Some(error),
            }
            bytes += value.len();
            damaged.is_none()
        })?;
        if let Some(error) = damaged {
            return Err(error.into());
        }
        if !full {
            return Ok(false);
        }
        self.put_merged(&parts)?;
        Ok(true)
    }

    pub(super) fn put_merged(&self, parts: &[Block]) -> Result<(), EngineError> {
        let mut parts = parts;
        let (bytes, end) = loop {
            let leaves: usize =
                parts.iter().map(|part| part.leaves().map(<[u8]>::len).sum::<usize>()).sum();
            let merged = merge(&self.authority_id, parts, &mut |owner| self.key_of(owner))?;
            let bytes = merged.encode();
            let fits = bytes.len() <= ROOM && leaves <= MAX_LEAVES_BYTES;
            if fits || parts.len() <= 1 {
                // What cannot be read back is never put in the place of what can.
                let again = Block::read(merged.first(), &bytes)?;
                let before = parts.iter().flat_map(Block::leaves);
                if !fits || !again.leaves().eq(before) {
                    break (None, merged.end());
                }
                break (Some(bytes), merged.end());
            }
            parts = parts.get(..parts.len() / 2).unwrap_or_default();
        };
        let first = parts.first().ok_or_else(|| BlockError::Damaged("none to merge".to_owned()))?;
        let mut batch = Batch::new();
        if let Some(bytes) = bytes {
            batch.put(keyspace::block(first.first()), bytes);
            for part in parts.iter().skip(1) {
                batch.delete(keyspace::block(part.first()));
            }
        }
        batch.put(keyspace::MERGED, end.to_be_bytes());
        Ok(self.recorder.commit(batch)?)
    }
}
