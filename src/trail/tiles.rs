//! Tiles: the tree as C2SP tlog-tiles has it in files (`docs/formats.md`, section "Archives").
//!
//! A tile holds up to 256 hashes of one level, each over 256 of the tile level below; an entry
//! bundle holds up to 256 leaves. The last of each is partial until it is full.

use super::merkle::node_hash;
use crate::canonical::Digest;

/// How many hashes or leaves a full tile or bundle has.
pub const WIDTH: u64 = 256;

/// A file of an archive, relative to its folder, and what is in it.
pub type TileFile = (String, Vec<u8>);

/// Makes the files of a tree that grows by leaves.
#[derive(Debug, Clone, Default)]
pub struct Tiles {
    size: u64,
    bundle: Vec<u8>,
    /// By tile level: how many full tiles there are, and the hashes of the one that is not.
    levels: Vec<(u64, Vec<Digest>)>,
    /// What is full and was not taken yet.
    full: Vec<TileFile>,
}

impl Tiles {
    /// Takes up the next leaf: its bytes and hash. `None` if it is larger than a bundle can hold.
    pub fn push(&mut self, leaf: &[u8], hash: Digest) -> Option<()> {
        let length = u16::try_from(leaf.len()).ok()?;
        self.bundle.extend_from_slice(&length.to_be_bytes());
        self.bundle.extend_from_slice(leaf);
        self.size += 1;
        if self.size.is_multiple_of(WIDTH) {
            let bundle = std::mem::take(&mut self.bundle);
            self.full.push((bundle_path(self.size / WIDTH - 1, WIDTH), bundle));
        }
        let mut rises = Some(hash);
        for level in 0.. {
            let Some(hash) = rises.take() else { break };
            if self.levels.len() <= level {
                self.levels.push((0, Vec::new()));
            }
            let Some((count, hashes)) = self.levels.get_mut(level) else { break };
            hashes.push(hash);
            if hashes.len() as u64 == WIDTH {
                self.full.push((tile_path(level, *count, WIDTH), hashes.concat()));
                rises = Some(root_of_full(hashes));
                *count += 1;
                hashes.clear();
            }
        }
        Some(())
    }

    /// The files that became full since they were last taken.
    pub fn take(&mut self) -> Vec<TileFile> {
        std::mem::take(&mut self.full)
    }

    /// The files that are not full, at the end.
    #[must_use]
    pub fn rest(self) -> Vec<TileFile> {
        let mut rest = Vec::new();
        if !self.bundle.is_empty() {
            let path = bundle_path(self.size / WIDTH, self.size % WIDTH);
            rest.push((path, self.bundle));
        }
        for (level, (count, hashes)) in self.levels.into_iter().enumerate() {
            if !hashes.is_empty() {
                rest.push((tile_path(level, count, hashes.len() as u64), hashes.concat()));
            }
        }
        rest
    }
}

/// The root over as many hashes as a full tile has.
fn root_of_full(hashes: &[Digest]) -> Digest {
    let mut row = hashes.to_vec();
    while row.len() > 1 {
        row = row
            .chunks(2)
            .filter_map(|pair| match pair {
                [left, right] => Some(node_hash(left, right)),
                _ => None,
            })
            .collect();
    }
    row.first().copied().unwrap_or_default()
}

fn tile_path(level: usize, number: u64, width: u64) -> String {
    format!("tile/{level}/{}", place(number, width))
}

fn bundle_path(number: u64, width: u64) -> String {
    format!("tile/entries/{}", place(number, width))
}

/// Three digits a part, all but the last after an `x`; what is partial says how wide it is.
fn place(number: u64, width: u64) -> String {
    let mut text = format!("{:03}", number % 1000);
    let mut rest = number / 1000;
    while rest > 0 {
        text = format!("x{:03}/{text}", rest % 1000);
        rest /= 1000;
    }
    if width < WIDTH { format!("{text}.p/{width}") } else { text }
}
