//! Proofs, verified: a leaf lies in a tree, and a tree is the beginning of another.

use super::merkle::{MAX_SIZE, node_hash};
use crate::canonical::Digest;

/// Why a proof was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ProofError {
    /// The places are outside the tree, or no proof applies to them.
    #[error("the proof is about places outside the tree")]
    OutOfRange,
    /// The path has another length than these places need.
    #[error("the proof has {found} hashes, which does not fit its places")]
    Length {
        /// How many hashes the path has.
        found: usize,
    },
    /// The hashes lead to another root.
    #[error("the hashes of the proof do not lead to the {which} root")]
    Root {
        /// `old` or `new`; for an inclusion proof always `new`.
        which: &'static str,
        /// The root that was to be proven.
        expected: Digest,
        /// The root that the path leads to.
        found: Digest,
    },
}

/// Checks that `leaf` is leaf `index` of the tree of `size` leaves under `root` (RFC 9162,
/// section 2.1.3.2).
///
/// # Errors
/// What does not fit.
pub fn verify_inclusion(
    leaf: &Digest,
    index: u64,
    size: u64,
    path: &[Digest],
    root: &Digest,
) -> Result<(), ProofError> {
    if index >= size || size > MAX_SIZE {
        return Err(ProofError::OutOfRange);
    }
    let length = ProofError::Length { found: path.len() };
    let (mut at, mut last) = (index, size - 1);
    let mut hash = *leaf;
    for next in path {
        if last == 0 {
            return Err(length);
        }
        if at & 1 == 1 || at == last {
            hash = node_hash(next, &hash);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            hash = node_hash(&hash, next);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    same("new", root, &hash)
}

/// Checks that the tree of `old` leaves under `old_root` is the beginning of the tree of `new`
/// leaves under `new_root` (RFC 9162, section 2.1.4.2).
///
/// Sizes that are equal need equal roots and an empty path. Nothing is provable about an `old` of
/// zero, which is refused.
///
/// # Errors
/// What does not fit.
pub fn verify_consistency(
    old: u64,
    old_root: &Digest,
    new: u64,
    new_root: &Digest,
    path: &[Digest],
) -> Result<(), ProofError> {
    if old == 0 || old > new || new > MAX_SIZE {
        return Err(ProofError::OutOfRange);
    }
    let length = ProofError::Length { found: path.len() };
    if old == new {
        return if path.is_empty() { same("old", old_root, new_root) } else { Err(length) };
    }
    let mut rest = path.iter();
    let start = if old.is_power_of_two() { Some(old_root) } else { rest.next() };
    let start = *start.ok_or(length.clone())?;
    let (mut at, mut last) = (old - 1, new - 1);
    let shift = at.trailing_ones();
    at >>= shift;
    last >>= shift;
    let (mut to_old, mut to_new) = (start, start);
    for next in rest {
        if last == 0 {
            return Err(length);
        }
        if at & 1 == 1 || at == last {
            to_old = node_hash(next, &to_old);
            to_new = node_hash(next, &to_new);
            while at & 1 == 0 && at != 0 {
                at >>= 1;
                last >>= 1;
            }
        } else {
            to_new = node_hash(&to_new, next);
        }
        at >>= 1;
        last >>= 1;
    }
    if last != 0 {
        return Err(length);
    }
    same("old", old_root, &to_old)?;
    same("new", new_root, &to_new)
}

fn same(which: &'static str, expected: &Digest, found: &Digest) -> Result<(), ProofError> {
    if expected == found {
        return Ok(());
    }
    Err(ProofError::Root { which, expected: *expected, found: *found })
}
