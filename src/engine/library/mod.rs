//! The library: how blocks are read, and the thread that keeps them in order behind the recorder:
//! it merges small blocks into larger ones, keeps the index, and the store's files small.
//!
//! Blocks are rewritten while others read: a block that was seen may be part of a larger one a
//! moment later. So readers go by the index of the next entry, never by the key of the next block.

mod compact;
mod in_force;
mod index;
mod merge;
mod shelf;
mod told;

pub use compact::Compacted;
pub use index::Holder;
pub(super) use index::Stretch;

use std::collections::VecDeque;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::EngineError;
use crate::keys::{KeyError, KeyRing, Owner, SealKey};
use crate::recorder::{Recorder, keyspace};
use crate::registry::load_data_key;
use crate::store::{Store, StoreError};
use crate::trail::block::{Block, BlockError};

/// How often the thread looks for something to do.
const EVERY: Duration = Duration::from_millis(250);
/// How many blocks are kept unpacked.
const CACHED: usize = 96;
/// How often a block that does not open is read again.
const REREAD: usize = 3;
/// How many blocks are read at a time.
const AHEAD: usize = 16;
/// How often a block is looked for that was merged away while it was.
const LOOKS: usize = 1_000;

/// What is called with blocks: where to begin in it, and the block. It answers whether to go on.
pub(super) type EachBlock<'a> = dyn FnMut(u64, &Arc<Block>) -> Result<bool, EngineError> + 'a;

/// As [`EachBlock`], and why a block cannot be read.
pub(super) type EachReadable<'a> =
    dyn FnMut(u64, Result<Arc<Block>, BlockError>) -> Result<bool, EngineError> + 'a;

/// Blocks and their index.
pub struct Library {
    store: Arc<dyn Store>,
    ring: Arc<KeyRing>,
    recorder: Arc<Recorder>,
    authority_id: String,
    /// Held by whoever rewrites or drops blocks. Never taken under the sequencing lock.
    pub shelf: Mutex<()>,
    index: index::Index,
    blocks: Mutex<VecDeque<Arc<Block>>>,
    /// Counts how often what is cached had to be forgotten.
    epoch: AtomicU64,
    /// How many bytes the records had when they were last weighed.
    weighed: AtomicU64,
    /// Up to which entry the leaves that say what is in force are kept together.
    in_force: AtomicU64,
    /// Below how many bytes on disk nothing is compacted by itself.
    least: AtomicU64,
    closing: AtomicBool,
    asleep: Mutex<()>,
    wake: Condvar,
}

impl Library {
    /// The library of a store whose folder is `path`.
    #[must_use]
    pub(super) fn new(
        path: &Path,
        store: Arc<dyn Store>,
        ring: Arc<KeyRing>,
        recorder: Arc<Recorder>,
        authority_id: String,
    ) -> Self {
        Self {
            index: index::Index::new(path, store.remote().is_none()),
            store,
            ring,
            recorder,
            authority_id,
            shelf: Mutex::new(()),
            blocks: Mutex::default(),
            epoch: AtomicU64::new(0),
            weighed: AtomicU64::new(0),
            in_force: AtomicU64::new(0),
            least: AtomicU64::new(compact::LEAST),
            closing: AtomicBool::new(false),
            asleep: Mutex::new(()),
            wake: Condvar::new(),
        }
    }

    /// Starts the thread.
    ///
    /// # Errors
    /// `Unavailable` if the operating system gives no thread.
    pub(super) fn start(self: &Arc<Self>) -> Result<JoinHandle<()>, StoreError> {
        let library = self.clone();
        std::thread::Builder::new()
            .name("answerable-library".to_owned())
            .spawn(move || library.run())
            .map_err(|error| StoreError::Unavailable { what: error.to_string() })
    }

    fn run(&self) {
        // At the priority of all others: whoever asks may wait for a lock that it holds.
        let mut turns = 0_u32;
        while !self.is_closing() {
            turns = turns.wrapping_add(1);
            let kept = self.keep().and_then(|()| match turns % compact::TURNS {
                0 => self.compact_waste(),
                _ => Ok(()),
            });
            if let Err(error) = kept
                && !self.is_closing()
            {
                // Nothing depends on it: readers take blocks as they are, and index what is not.
                tracing::warn!(%error, "the trail's blocks could not be merged or indexed");
            }
            let mut asleep = self.asleep.lock();
            if !self.is_closing() {
                self.wake.wait_for(&mut asleep, EVERY);
            }
        }
    }

    /// Merges and indexes what came since.
    fn keep(&self) -> Result<(), EngineError> {
        while !self.is_closing() && self.merge_some()? {
            self.store.settle()?;
        }
        self.index_behind()?;
        self.keep_in_force(false)?;
        Ok(self.store.settle()?)
    }

    /// Merges all that can be merged and indexes all there is, now. For tests and benches.
    ///
    /// # Errors
    /// The store's, or `Block` for a damaged one.
    pub fn settle(&self) -> Result<(), EngineError> {
        while self.merge_some()? {}
        self.index_up_to(self.recorder.durable())
    }

    /// Asks the thread to end; what is indexed in memory is kept in a file.
    pub(super) fn end(&self) {
        self.closing.store(true, Ordering::Release);
        drop(self.asleep.lock());
        self.wake.notify_all();
        self.keep_growing();
        if let Err(error) = self.keep_in_force(true) {
            // The next opening reads the trail itself.
            tracing::debug!(%error, "what is in force is not kept beside the index");
        }
    }

    fn is_closing(&self) -> bool {
        self.closing.load(Ordering::Acquire)
    }

    /// Whose trail it is.
    pub(super) fn authority_id(&self) -> &str {
        &self.authority_id
    }

    /// Forgets the blocks that are kept unpacked.
    #[cfg(test)]
    pub(super) fn forget_blocks(&self) {
        self.blocks.lock().clear();
    }

    /// Forgets everything that was derived from the blocks or opened from them: after values were
    /// erased, or the keys replaced that it lies under.
    pub fn forget(&self) {
        self.epoch.fetch_add(1, Ordering::AcqRel);
        self.blocks.lock().clear();
        self.index.forget();
    }

    /// The data key of an owner, if there is one.
    ///
    /// # Errors
    /// As [`KeyRing::find`].
    pub fn key_of(&self, owner: &Owner) -> Result<Option<SealKey>, KeyError> {
        self.ring.find(owner, &|owner: &Owner| load_data_key(&*self.store, owner))
    }

    /// The block that holds an entry; `None` beyond the last, or where it was taken away.
    ///
    /// # Errors
    /// The store's, or `Block` for a damaged one.
    pub fn block_of(&self, index: u64) -> Result<Option<Arc<Block>>, EngineError> {
        let mut blocks = self.blocks.lock();
        let holds = |block: &Arc<Block>| (block.first()..block.end()).contains(&index);
        if let Some(at) = blocks.iter().position(holds)
            && let Some(block) = blocks.remove(at)
        {
            blocks.push_front(block.clone());
            return Ok(Some(block));
        }
        drop(blocks);
        let epoch = self.epoch.load(Ordering::Acquire);
        let mut found = None;
        let before = keyspace::block(index.saturating_add(1));
        self.store.scan_back(keyspace::BLOCK, Some(&before), &mut |key, value| {
            found = Some(Block::read(keyspace::first_of(key), value));
            false
        })?;
        let Some(block) = found.transpose()?.map(Arc::new).filter(holds) else { return Ok(None) };
        let mut blocks = self.blocks.lock();
        if self.epoch.load(Ordering::Acquire) == epoch {
            blocks.push_front(block.clone());
            blocks.truncate(CACHED);
        }
        Ok(Some(block))
    }

    /// Opens values of a block. Where they do not open, an erasure may have sealed them anew since
    /// the block was read: once that is through, it is read again. `open` is called anew then, and
    /// with a block that may reach further on both sides.
    ///
    /// # Errors
    /// What `open` answered.
    pub(super) fn opened<R>(
        &self,
        block: &Block,
        open: &mut dyn FnMut(&Block) -> Result<R, BlockError>,
    ) -> Result<R, EngineError> {
        let mut opened = open(block);
        for _ in 0..REREAD {
            if !matches!(opened, Err(BlockError::Key(KeyError::Sealed))) {
                break;
            }
            self.recorder.flush()?;
            self.blocks.lock().clear();
            let Some(again) = self.block_of(block.first())? else { break };
            opened = open(&again);
        }
        Ok(opened?)
    }

    /// Calls `each` with every block from the one that holds `from` on, in order, until it answers
    /// `false`. Each entry is met once, however blocks are merged meanwhile; what `each` is not to
    /// look at again are the entries below the index it is called with.
    ///
    /// # Errors
    /// The store's, or `Block` for a damaged one; and what `each` answered.
    pub fn each_block(&self, from: u64, each: &mut EachBlock<'_>) -> Result<(), EngineError> {
        self.each_readable(from, &mut |next, block| each(next, &block?))
    }

    /// As [`Library::each_block`], but goes on behind a block that cannot be read: `each` is told
    /// why, with the index of its first entry. How many it held is not known.
    ///
    /// # Errors
    /// The store's, and what `each` answered.
    pub(super) fn each_readable(
        &self,
        from: u64,
        each: &mut EachReadable<'_>,
    ) -> Result<(), EngineError> {
        let (mut next, mut unread, mut looks) = (from, None, 0);
        loop {
            let Some(start) = self.start_of(next)? else { return Ok(()) };
            let mut raw: Vec<(u64, Vec<u8>)> = Vec::with_capacity(AHEAD);
            let key = keyspace::block(start);
            self.store.scan(keyspace::BLOCK, Some(&key), &mut |key, value| {
                raw.push((keyspace::first_of(key), value.to_vec()));
                raw.len() < AHEAD
            })?;
            self.store.settle()?;
            if raw.is_empty() && looks < LOOKS {
                // The last one was merged into one before it since it was found.
                looks += 1;
                continue;
            }
            looks = 0;
            let before = next;
            let mut again = false;
            for (first, bytes) in raw {
                // What stood between was merged into a block that was passed, or into one before
                // that at which the scan began: look again. Behind a block that cannot be read it
                // is not known where the next one begins.
                if first > next
                    && unread.is_none()
                    && (next > before || self.start_of(next)? != Some(start))
                {
                    again = true;
                    break;
                }
                let block = match Block::read(first, &bytes) {
                    Ok(block) => Arc::new(block),
                    Err(_) if unread == Some(first) => continue,
                    Err(error) => {
                        next = next.max(first);
                        if !each(next, Err(error))? {
                            return Ok(());
                        }
                        (next, unread) = (next.saturating_add(1), Some(first));
                        continue;
                    }
                };
                if block.end() <= next {
                    continue;
                }
                (next, unread) = (next.max(first), None);
                let end = block.end();
                if !each(next, Ok(block))? {
                    return Ok(());
                }
                next = end;
            }
            if next == before && !again {
                return Ok(());
            }
        }
    }

    /// The key of the block that holds an entry, or of the next one after it.
    fn start_of(&self, index: u64) -> Result<Option<u64>, EngineError> {
        let mut start = None;
        let before = keyspace::block(index.saturating_add(1));
        self.store.scan_back(keyspace::BLOCK, Some(&before), &mut |key, _| {
            start = Some(keyspace::first_of(key));
            false
        })?;
        if start.is_none() {
            self.store.scan(keyspace::BLOCK, Some(&before), &mut |key, _| {
                start = Some(keyspace::first_of(key));
                false
            })?;
        }
        Ok(start)
    }
}

impl std::fmt::Debug for Library {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<library>")
    }
}

#[cfg(test)]
#[path = "race_tests.rs"]
mod tests;
