//! The tree (RFC 6962, section 2.1): hashing, the compact range that grows, roots and proofs.

use sha2::{Digest as _, Sha256};

use crate::canonical::Digest;

/// The most leaves that a tree may have.
pub const MAX_SIZE: u64 = 1 << 48;

/// Why a tree, or something over it, could not be made.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum MerkleError {
    /// A tree of 2^48 leaves takes no more.
    #[error("the tree is full: it holds 2^48 leaves")]
    Full,
    /// Stored bytes that are not one compact range in its only form.
    #[error("not a stored compact range: {0}")]
    Malformed(&'static str),
    /// A place outside the tree.
    #[error("place {place} is outside a tree of {size} leaves")]
    OutOfRange {
        /// The index or size asked for.
        place: u64,
        /// How many leaves there are.
        size: u64,
    },
    /// The source of leaf hashes failed.
    #[error("a leaf hash could not be read: {0}")]
    Source(String),
}

/// The hash of a leaf: SHA-256(0x00, bytes).
#[must_use]
pub fn leaf_hash(bytes: &[u8]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update([0]);
    hasher.update(bytes);
    hasher.finalize().into()
}

/// The hash of an inner node: SHA-256(0x01, left, right).
#[must_use]
pub fn node_hash(left: &Digest, right: &Digest) -> Digest {
    let mut joined = [1; 65];
    for (byte, from) in joined.iter_mut().skip(1).zip(left.iter().chain(right)) {
        *byte = *from;
    }
    Sha256::digest(joined).into()
}

/// The root of a tree without leaves: SHA-256 of nothing.
#[must_use]
pub fn empty_root() -> Digest {
    Sha256::digest([]).into()
}

/// The compact range of a growing tree: the roots of its perfect subtrees, the largest first.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Frontier {
    size: u64,
    // INVARIANT: one hash for each bit that is set in `size`, from the highest.
    peaks: Vec<Digest>,
}

impl Frontier {
    /// The compact range of the empty tree.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// How many leaves were appended.
    #[must_use]
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Appends a leaf by its hash.
    ///
    /// # Errors
    /// `Full` at 2^48 leaves.
    pub fn append(&mut self, leaf: Digest) -> Result<(), MerkleError> {
        if self.size >= MAX_SIZE {
            return Err(MerkleError::Full);
        }
        let mut node = leaf;
        for _ in 0..self.size.trailing_ones() {
            if let Some(left) = self.peaks.pop() {
                node = node_hash(&left, &node);
            }
        }
        self.peaks.push(node);
        self.size += 1;
        Ok(())
    }

    /// The root over all leaves so far.
    #[must_use]
    pub fn root(&self) -> Digest {
        let mut from_right = self.peaks.iter().rev();
        let Some(last) = from_right.next() else { return empty_root() };
        from_right.fold(*last, |right, left| node_hash(left, &right))
    }

    /// The only stored form: the size in 8 bytes, the highest first, then the hashes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(8 + 32 * self.peaks.len());
        out.extend_from_slice(&self.size.to_be_bytes());
        for peak in &self.peaks {
            out.extend_from_slice(peak);
        }
        out
    }

    /// Reads what [`Frontier::to_bytes`] wrote.
    ///
    /// # Errors
    /// `Malformed` for any other bytes.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, MerkleError> {
        let (size, rest) =
            bytes.split_first_chunk::<8>().ok_or(MerkleError::Malformed("it ends early"))?;
        let size = u64::from_be_bytes(*size);
        if size > MAX_SIZE {
            return Err(MerkleError::Malformed("it states more than 2^48 leaves"));
        }
        let (peaks, odd) = rest.as_chunks::<32>();
        if !odd.is_empty() || peaks.len() != size.count_ones() as usize {
            return Err(MerkleError::Malformed("its hashes do not fit its size"));
        }
        Ok(Self { size, peaks: peaks.to_vec() })
    }
}

/// Where leaf hashes are read from.
pub trait LeafHashes {
    /// How many leaves there are.
    fn len(&self) -> u64;

    /// The hash of one leaf.
    ///
    /// # Errors
    /// `OutOfRange` beyond the end, `Source` if it cannot be read.
    fn leaf_hash(&self, index: u64) -> Result<Digest, MerkleError>;

    /// Whether there is no leaf.
    fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The root of the perfect subtree over leaves `index * 2^level` and on, where it is at hand;
    /// a source that keeps some makes proofs over large trees cheap.
    ///
    /// # Errors
    /// `Source` if it cannot be read.
    fn subtree(&self, level: u32, index: u64) -> Result<Option<Digest>, MerkleError> {
        let _ = (level, index);
        Ok(None)
    }
}

impl LeafHashes for [Digest] {
    fn len(&self) -> u64 {
        <[Digest]>::len(self) as u64
    }

    fn leaf_hash(&self, index: u64) -> Result<Digest, MerkleError> {
        let size = LeafHashes::len(self);
        let at = usize::try_from(index).ok().and_then(|at| self.get(at));
        at.copied().ok_or(MerkleError::OutOfRange { place: index, size })
    }
}

/// The root over the first `size` leaves.
///
/// # Errors
/// `OutOfRange` if there are fewer, `Source` if one cannot be read.
pub fn root<L: LeafHashes + ?Sized>(leaves: &L, size: u64) -> Result<Digest, MerkleError> {
    within(leaves, size)?;
    if size == 0 {
        return Ok(empty_root());
    }
    range(leaves, 0, size)
}

/// The inclusion path of leaf `index` in the tree of the first `size` leaves (RFC 9162, 2.1.3.1).
///
/// # Errors
/// As [`root`].
pub fn inclusion<L: LeafHashes + ?Sized>(
    leaves: &L,
    index: u64,
    size: u64,
) -> Result<Vec<Digest>, MerkleError> {
    within(leaves, size)?;
    if index >= size {
        return Err(MerkleError::OutOfRange { place: index, size });
    }
    let (mut start, mut end) = (0, size);
    let mut path = Vec::new();
    while end - start > 1 {
        let middle = start + split(end - start);
        if index < middle {
            path.push(range(leaves, middle, end)?);
            end = middle;
        } else {
            path.push(range(leaves, start, middle)?);
            start = middle;
        }
    }
    path.reverse();
    Ok(path)
}

/// The consistency path from the first `old` leaves to the first `new` (RFC 9162, 2.1.4.1); empty
/// where they are as many.
///
/// # Errors
/// As [`root`]; `OutOfRange` also for `old` of zero, to which no proof applies.
pub fn consistency<L: LeafHashes + ?Sized>(
    leaves: &L,
    old: u64,
    new: u64,
) -> Result<Vec<Digest>, MerkleError> {
    within(leaves, new)?;
    if old == 0 || old > new {
        return Err(MerkleError::OutOfRange { place: old, size: new });
    }
    let (mut start, mut end) = (0, new);
    let mut path = Vec::new();
    while old != end {
        let middle = start + split(end - start);
        if old <= middle {
            path.push(range(leaves, middle, end)?);
            end = middle;
        } else {
            path.push(range(leaves, start, middle)?);
            start = middle;
        }
    }
    // The old root itself is known to the reader; any other subtree is not.
    if start != 0 {
        path.push(range(leaves, start, end)?);
    }
    path.reverse();
    Ok(path)
}

fn within<L: LeafHashes + ?Sized>(leaves: &L, size: u64) -> Result<(), MerkleError> {
    let there = leaves.len();
    if size > there || size > MAX_SIZE {
        return Err(MerkleError::OutOfRange { place: size, size: there });
    }
    Ok(())
}

/// The largest power of two below `count`, which is at least 2.
fn split(count: u64) -> u64 {
    1 << (count - 1).ilog2()
}

/// The root over leaves `start` to `end`; not empty.
fn range<L: LeafHashes + ?Sized>(leaves: &L, start: u64, end: u64) -> Result<Digest, MerkleError> {
    let count = end - start;
    if count == 1 {
        return leaves.leaf_hash(start);
    }
    if count.is_power_of_two() {
        let level = count.ilog2();
        if let Some(root) = leaves.subtree(level, start >> level)? {
            return Ok(root);
        }
    }
    let middle = start + split(count);
    Ok(node_hash(&range(leaves, start, middle)?, &range(leaves, middle, end)?))
}
