//! The leaves that say what is in force, kept together in one file beside the index, so that an
//! opening need not read the blocks that they are spread over. The file is derived and tagged like
//! the index: one that cannot be read, or is of another trail, is not used, and made anew.

use std::sync::atomic::Ordering;

use super::told::EachTold;
use super::{EngineError, Library};
use crate::canonical::{map_view, put_varint, take_varint};
use crate::engine::agree::{in_force, says_in_force};
use crate::trail::block::BlockError;
use crate::trail::merkle::leaf_hash;

const NAME: &str = "in-force";
/// How many entries may follow before the file is written anew, at least, and as a part of it.
const BEHIND: u64 = 16 * 1024;
const PART: u64 = 4;
/// How many when the engine closes.
const WORTH_IT: u64 = 2048;
const TAG: usize = 16;

/// What the file holds: the leaves below a place, each behind its distance from the one before and
/// its length.
struct Kept {
    end: u64,
    leaves: Vec<u8>,
}

impl Library {
    /// Calls `each` with the leaves below a size that say what is in force, in order, and with some
    /// that do not.
    ///
    /// # Errors
    /// As [`Library::each_told`].
    pub(in crate::engine) fn each_in_force(
        &self,
        size: u64,
        each: &mut EachTold<'_>,
    ) -> Result<(), EngineError> {
        let mut from = 0;
        if let Some(kept) = self.kept_in_force(size)? {
            let (mut rest, mut place) = (kept.leaves.as_slice(), 0);
            while let Some((step, leaf)) = next(&mut rest) {
                place += step;
                let keys =
                    map_view(leaf).map_err(|error| BlockError::Damaged(error.to_string()))?;
                each(place, leaf, &keys)?;
            }
            from = kept.end;
        }
        self.each_told(&in_force(), (from, size), each)
    }

    /// Writes the file anew where enough came since.
    pub(super) fn keep_in_force(&self, closing: bool) -> Result<(), EngineError> {
        let (durable, end) = (self.recorder.durable(), self.in_force.load(Ordering::Acquire));
        let worth = if closing { WORTH_IT } else { BEHIND.max(end / PART) };
        if self.store.remote().is_some() || durable.saturating_sub(end) < worth {
            return Ok(());
        }
        let kept = self.kept_in_force(durable)?;
        let mut kept = kept.unwrap_or(Kept { end: 0, leaves: Vec::new() });
        let mut last = 0;
        let mut rest = kept.leaves.as_slice();
        while let Some((step, _)) = next(&mut rest) {
            last += step;
        }
        self.each_told(&in_force(), (kept.end, durable), &mut |place, leaf, keys| {
            if says_in_force(keys) {
                put_varint(&mut kept.leaves, place - last);
                put_varint(&mut kept.leaves, leaf.len() as u64);
                kept.leaves.extend_from_slice(leaf);
                last = place;
            }
            Ok(())
        })?;
        let Some(hash) = self.hash_before(durable)? else { return Ok(()) };
        let mut bytes = Vec::with_capacity(kept.leaves.len() + 64);
        put_varint(&mut bytes, durable);
        bytes.extend_from_slice(&hash);
        bytes.append(&mut kept.leaves);
        let tag = self.tagger()(&[NAME.as_bytes(), self.authority_id.as_bytes(), &bytes]);
        bytes.extend_from_slice(&tag);
        // What cannot be written now is tried again when as much came once more.
        self.in_force.store(durable, Ordering::Release);
        if let Err(error) = self.index.shelf.write_name(NAME, &bytes) {
            tracing::debug!(%error, "what is in force is not kept beside the index");
        }
        Ok(())
    }

    /// What the file holds, if it is of this trail and ends at a size or below.
    fn kept_in_force(&self, size: u64) -> Result<Option<Kept>, EngineError> {
        let Some(mut bytes) = self.index.shelf.read_name(NAME) else { return Ok(None) };
        let Some(at) = bytes.len().checked_sub(TAG) else { return Ok(None) };
        let tag = bytes.split_off(at);
        let told = self.tagger()(&[NAME.as_bytes(), self.authority_id.as_bytes(), &bytes]);
        if told.as_slice() != tag {
            return Ok(None);
        }
        let mut rest = bytes.as_slice();
        let Some((end, (hash, leaves))) =
            take_varint(&mut rest).zip(rest.split_first_chunk::<32>())
        else {
            return Ok(None);
        };
        if end > size || self.hash_before(end)? != Some(*hash) {
            return Ok(None);
        }
        self.in_force.fetch_max(end, Ordering::AcqRel);
        Ok(Some(Kept { end, leaves: leaves.to_vec() }))
    }

    /// The hash of the leaf before a place.
    fn hash_before(&self, place: u64) -> Result<Option<[u8; 32]>, EngineError> {
        let Some(last) = place.checked_sub(1) else { return Ok(None) };
        let block = self.block_of(last)?;
        Ok(block.as_ref().and_then(|block| block.leaf(last)).map(leaf_hash))
    }
}

/// The next leaf, and how far it is from the one before.
fn next<'a>(rest: &mut &'a [u8]) -> Option<(u64, &'a [u8])> {
    let step = take_varint(rest)?;
    let length = usize::try_from(take_varint(rest)?).ok()?;
    let (leaf, after) = rest.split_at_checked(length)?;
    *rest = after;
    Some((step, leaf))
}
