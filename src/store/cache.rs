//! Keeps sled's cache of pages near the size that it was told.
//!
//! sled 0.34.7 spreads its pages over 256 shelves, by the number of the page, and counts accesses
//! to a shelf only once 64 of them wait (`lru.rs`, `AccessQueue`); then it drops what was accessed
//! longest ago, but never the last page of a shelf. Pages of blocks are large and few: they are
//! accessed a few times each, so that a trail that was read once stays in memory whole. So a page
//! of nothing lies on each shelf. Whenever enough was read or written, these are accessed until
//! the shelves are counted, and whatever goes beyond their size is dropped.
//!
//! What sled drops, pages and the buffers of its log, of 8 MiB each, is not freed before the
//! thread that dropped it has dropped 64 such (`crossbeam-epoch`, `MAX_OBJECTS`): so it is told to.

use std::sync::atomic::{AtomicU64, Ordering};

use ::sled::{Db, Tree};
use parking_lot::Mutex;

/// Pages in a row get numbers in a row; a tree of nothing has two of them.
const TREES: u8 = 128;
/// How many accesses to a shelf make it count them.
const ACCESSES: usize = 65;
/// After how many bytes that were moved the shelves are counted.
const MOVED: u64 = 16 * 1024 * 1024;
/// A page has 16 entries at most; whoever asks for one gets all of them into the cache.
const PAGE: u64 = 16;
/// Garbage is freed two epochs after it was dropped; a flush begins one, if no thread lags behind:
/// so it is tried some times more.
const EPOCHS: usize = 6;
/// What the names of the trees begin with.
const NAME: u8 = b'c';

/// The pages of nothing, and how much was moved since they were last used.
#[derive(Debug)]
pub(super) struct Cache {
    trees: Vec<Tree>,
    moved: AtomicU64,
    counting: Mutex<()>,
}

impl Cache {
    /// The cache of a handle. The pages are made together with a new store, whose page numbers
    /// follow each other; one without them is left as it is.
    pub(super) fn of(db: &Db) -> ::sled::Result<Self> {
        let names: Vec<[u8; 2]> = (0..TREES).map(|number| [NAME, number]).collect();
        let made = if db.was_recovered() { db.tree_names() } else { Vec::new() };
        let there = |name: &[u8; 2]| !db.was_recovered() || made.iter().any(|made| made == name);
        let trees = names.iter().filter(|name| there(name)).map(|name| db.open_tree(name));
        let trees = trees.collect::<::sled::Result<_>>()?;
        Ok(Self { trees, moved: AtomicU64::new(0), counting: Mutex::new(()) })
    }

    /// Notes what was read: values that follow each other, of these lengths.
    pub(super) fn read(&self, lengths: impl ExactSizeIterator<Item = usize>) {
        let pages = if lengths.len() == 1 { PAGE } else { 1 };
        let bytes = lengths.map(|length| length as u64).sum::<u64>();
        self.moved.fetch_add(bytes.saturating_mul(pages), Ordering::Relaxed);
    }

    /// Notes how many bytes were written.
    pub(super) fn wrote(&self, bytes: usize) {
        self.moved.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Drops what goes beyond the size, if enough was moved since. Takes some milliseconds then.
    pub(super) fn settle(&self) -> ::sled::Result<()> {
        if self.moved.load(Ordering::Relaxed) < MOVED {
            return Ok(());
        }
        let Some(_counting) = self.counting.try_lock() else { return Ok(()) };
        self.moved.store(0, Ordering::Relaxed);
        for tree in &self.trees {
            for _ in 0..ACCESSES {
                tree.contains_key([])?;
            }
        }
        free();
        Ok(())
    }
}

/// Frees what this thread's calls made sled drop, once no other thread can be looking at it.
fn free() {
    for _ in 0..EPOCHS {
        pass_on();
        std::thread::yield_now();
    }
}

/// Passes on what this thread's calls made sled drop: some thread frees it before long.
pub(super) fn pass_on() {
    crossbeam_epoch::pin().flush();
}
