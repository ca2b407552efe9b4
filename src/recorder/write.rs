//! The way to the disk: packs what was sequenced into blocks, and writes them with all that goes
//! with them in batches that the store accepts.

use super::{Head, Queued, Recorder, keyspace};
use crate::keys::{KeyError, Owner, SealKey};
use crate::registry::{Put, data_key_at, load_data_key};
use crate::store::{Batch, StoreError};
use crate::trail::block::{TARGET_BYTES, pack};
use crate::trail::entry::Draft;
use crate::trail::merkle::{Frontier, leaf_hash};

/// After how many records a write of the store is full; about 100 is where it is at its best.
pub(super) const MAX_RECORDS: usize = 100;
/// After how many bytes a write of the store is full.
const MAX_BYTES: usize = 1024 * 1024;
/// After how many values, each of which may need a data key of its own, a write is full.
const MAX_VALUES: usize = 400;
/// How many entries ahead of the blocks room is made for them.
const AHEAD: u64 = 512;
/// There is a place for about so many bytes of a block, one for each block at least. A page of the
/// store has eight: some small blocks lie between them, or a large one alone.
const PLACE: usize = 4096;
/// The most places for one block.
const PLACES: usize = 8;
/// How many limits one call may draw on, so that its entry fits one write of the store.
pub(super) const MAX_DRAWS: usize = 400;

/// What is written: the tree's right edge, after the last entry that is durable.
pub(super) struct Writer {
    frontier: Frontier,
    /// Up to which entry the store was told to make room for blocks.
    roomed: u64,
}

impl Writer {
    pub(super) fn new(frontier: Frontier) -> Self {
        Self { frontier, roomed: 0 }
    }

    /// The store's files may be others now, in which there is no room for what comes.
    pub(super) fn forget_room(&mut self) {
        self.roomed = 0;
    }

    pub(super) fn frontier(&self) -> &Frontier {
        &self.frontier
    }
}

/// What one batch has taken up so far.
///
/// INVARIANT: no batch is refused for its size: a write that is refused ends the recorder.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Load {
    records: usize,
    bytes: usize,
    values: usize,
}

impl Load {
    fn with(self, queued: &Queued, size: usize) -> Self {
        let puts = queued.puts.iter().map(|put| match put {
            Put::Set(key, value) => key.len() + value.len(),
            Put::Index(key) | Put::Drop(key) => key.len() + 8,
            Put::Placed(key, value) => key.len() + value.len() + 8,
        });
        Self {
            records: self.records + queued.puts.len(),
            bytes: self.bytes + size + puts.sum::<usize>(),
            values: self.values + queued.draft.beside.len(),
        }
    }

    fn is_full(self) -> bool {
        self.records > MAX_RECORDS || self.bytes > MAX_BYTES || self.values > MAX_VALUES
    }
}

impl Recorder {
    /// Packs and writes a queue, the first entry at index `first`, in as few writes as bounds allow.
    pub(super) fn write(
        &self,
        writer: &mut Writer,
        first: u64,
        queue: Vec<Queued>,
    ) -> Result<(), StoreError> {
        let mut rest = queue.as_slice();
        let mut index = first;
        while !rest.is_empty() {
            let mut batch = Batch::default();
            let mut frontier = writer.frontier.clone();
            let mut load = Load::default();
            let (mut at, mut roomed) = (0, writer.roomed);
            while let Some((block, after, loaded)) = split_block(rest, load) {
                let entries: Vec<(&Draft, Vec<u8>)> = block
                    .iter()
                    .map(|queued| (&queued.draft, queued.draft.leaf(queued.at)))
                    .collect();
                for (_, leaf) in &entries {
                    frontier
                        .append(leaf_hash(leaf))
                        .map_err(|error| StoreError::Unavailable { what: error.to_string() })?;
                }
                let bytes = pack(&self.authority_id, index, &entries, &mut |owner| {
                    self.data_key(owner, &mut batch)
                })
                .map_err(|error| StoreError::Unavailable { what: error.to_string() })?;
                roomed = make_room(&mut batch, index, block.len(), bytes.len(), roomed);
                batch.put(keyspace::block(index), bytes);
                for (queued, index) in block.iter().zip(index..) {
                    at = queued.at;
                    for put in &queued.puts {
                        match put {
                            Put::Set(key, value) => batch.put(key.clone(), value.clone()),
                            Put::Index(key) => batch.put(key.clone(), index.to_be_bytes()),
                            Put::Placed(key, value) => {
                                let value = [value.as_slice(), &index.to_be_bytes()].concat();
                                batch.put(key.clone(), value)
                            }
                            Put::Drop(key) => batch.delete(key.clone()),
                        };
                    }
                }
                index += block.len() as u64;
                rest = after;
                load = Load { records: loaded.records + 2, ..loaded };
            }
            batch.put(keyspace::HEAD.to_vec(), Head::encode(&frontier, at));
            self.store.commit(batch)?;
            writer.frontier = frontier;
            writer.roomed = roomed;
            self.durable.store(index, std::sync::atomic::Ordering::Release);
        }
        Ok(())
    }

    fn data_key(&self, owner: &Owner, batch: &mut Batch) -> Result<SealKey, KeyError> {
        let key = data_key_at(owner);
        let load = |_: &Owner| load_data_key(&*self.store, owner);
        let (opened, made) = self.ring.find_or_make(owner, &load)?;
        if let Some(wrapped) = made {
            batch.put(key, wrapped);
        }
        Ok(opened)
    }
}

/// Makes room for blocks that come after one of `count` entries and `bytes` at `first`, if they are
/// like it. Answers up to which entry there is room; it was up to `roomed`.
fn make_room(batch: &mut Batch, first: u64, count: usize, bytes: usize, roomed: u64) -> u64 {
    let (from, end) = (roomed.max(first), first.saturating_add(count as u64).saturating_add(AHEAD));
    let places = (bytes / PLACE).clamp(1, PLACES);
    for index in (from..end).step_by((count / places).max(1)) {
        batch.room(keyspace::block(index));
    }
    roomed.max(end)
}

/// The entries of the next block, the rest, and what the batch has then taken up; `None` where
/// nothing is left or the batch is full.
fn split_block(queue: &[Queued], load: Load) -> Option<(&[Queued], &[Queued], Load)> {
    if queue.is_empty() || load.is_full() {
        return None;
    }
    let (mut bytes, mut count, mut load) = (0, 0, load);
    for queued in queue {
        let size = queued.bytes;
        bytes += size;
        if count > 0 && (bytes > TARGET_BYTES || load.is_full()) {
            break;
        }
        load = load.with(queued, size);
        count += 1;
    }
    let (block, rest) = queue.split_at(count);
    Some((block, rest, load))
}
