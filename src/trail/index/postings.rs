//! Ascending offsets in few bytes: the distance from the one before, as LEB128.

use crate::canonical::{put_varint, take_varint};

/// Which entries hold a term, as offsets from the first entry of the table.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Postings {
    count: u32,
    last: u32,
    bytes: Vec<u8>,
}

impl Postings {
    /// From what a table holds.
    #[must_use]
    pub fn from_bytes(count: u32, bytes: &[u8]) -> Option<Self> {
        let (mut rest, mut last) = (bytes, 0u32);
        for place in 0..count {
            let step = u32::try_from(take_varint(&mut rest)?).ok()?;
            if place > 0 && step == 0 {
                return None;
            }
            last = last.checked_add(step)?;
        }
        rest.is_empty().then(|| Self { count, last, bytes: bytes.to_vec() })
    }

    /// Adds an offset that is not below the last one; the last one again changes nothing.
    pub fn push(&mut self, offset: u32) {
        if self.count > 0 && offset <= self.last {
            return;
        }
        put_varint(&mut self.bytes, u64::from(offset - self.last));
        self.last = offset;
        self.count += 1;
    }

    /// Adds those of a table that begins `shift` entries later, all beyond the last one.
    pub fn append(&mut self, other: &Self, shift: u32) {
        let mut rest = other.bytes.as_slice();
        let Some(first) = take_varint(&mut rest).and_then(|first| u32::try_from(first).ok()) else {
            return;
        };
        let first = first.saturating_add(shift);
        put_varint(&mut self.bytes, u64::from(first.saturating_sub(self.last)));
        self.bytes.extend_from_slice(rest);
        self.last = other.last.saturating_add(shift);
        self.count += other.count;
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u32 {
        self.count
    }

    /// The encoded bytes.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The offsets, ascending.
    #[must_use]
    pub fn offsets(&self) -> Vec<u32> {
        let mut offsets = Vec::with_capacity(self.count as usize);
        let (mut rest, mut last) = (self.bytes.as_slice(), 0u32);
        while let Some(step) = take_varint(&mut rest) {
            last = last.saturating_add(u32::try_from(step).unwrap_or(u32::MAX));
            offsets.push(last);
        }
        offsets
    }
}
