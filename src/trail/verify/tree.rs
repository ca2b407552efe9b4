//! The tree once more, by another way than the writer's: a stack of perfect subtrees with levels.

use sha2::{Digest as _, Sha256};

pub(super) type Hash = [u8; 32];

pub(super) fn of_leaf(bytes: &[u8]) -> Hash {
    Sha256::new_with_prefix([0]).chain_update(bytes).finalize().into()
}

fn of_pair(left: &Hash, right: &Hash) -> Hash {
    Sha256::new_with_prefix([1]).chain_update(left).chain_update(right).finalize().into()
}

/// The roots over the first `n` leaves for each of `sizes`, which ascend; `None` beyond the end.
pub(super) fn roots(leaves: &[Hash], sizes: &[u64]) -> Vec<Option<Hash>> {
    let mut stack: Vec<(u32, Hash)> = Vec::new();
    let mut rest = leaves.iter();
    let mut grown = 0u64;
    let mut out = Vec::with_capacity(sizes.len());
    for size in sizes {
        while grown < *size {
            let Some(leaf) = rest.next() else { break };
            push(&mut stack, *leaf);
            grown += 1;
        }
        out.push((grown == *size).then(|| top(&stack)));
    }
    out
}

/// The root that a path leads to from the leaf at an index of a tree of `size`; `None` where the
/// path does not fit its place (RFC 9162, section 2.1.3).
pub(super) fn rebuilt(index: u64, size: u64, leaf: Hash, path: &[Hash]) -> Option<Hash> {
    if index >= size || size > 1 << 48 {
        return None;
    }
    if size == 1 {
        return path.is_empty().then_some(leaf);
    }
    let left = 1u64 << (size - 1).ilog2();
    let (sibling, below) = path.split_last()?;
    Some(if index < left {
        of_pair(&rebuilt(index, left, leaf, below)?, sibling)
    } else {
        of_pair(sibling, &rebuilt(index - left, size - left, leaf, below)?)
    })
}

fn push(stack: &mut Vec<(u32, Hash)>, leaf: Hash) {
    let mut node = (0, leaf);
    while let Some((level, left)) = stack.pop_if(|(level, _)| *level == node.0) {
        node = (level + 1, of_pair(&left, &node.1));
    }
    stack.push(node);
}

fn top(stack: &[(u32, Hash)]) -> Hash {
    let mut right: Option<Hash> = None;
    for (_, left) in stack.iter().rev() {
        right = Some(right.map_or(*left, |right| of_pair(left, &right)));
    }
    right.unwrap_or_else(|| Sha256::digest(b"").into())
}
