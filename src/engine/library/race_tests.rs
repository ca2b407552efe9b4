#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::engine::{Engine, Options};
use crate::principal::Assurance;
use crate::registry::NewHuman;
use crate::store::{Batch, Visit};

/// A store in which something happens right before the next scan that begins at a key.
struct Meddled {
    store: Arc<dyn Store>,
    before: Mutex<Option<Box<dyn FnOnce() + Send>>>,
}

impl Store for Meddled {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.store.get(key)
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, each: &mut Visit) -> Result<(), StoreError> {
        let before = from.and_then(|_| self.before.lock().take());
        if let Some(before) = before {
            before();
        }
        self.store.scan(prefix, from, each)
    }

    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        each: &mut Visit,
    ) -> Result<(), StoreError> {
        self.store.scan_back(prefix, before, each)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        self.store.commit(batch)
    }

    fn close(&self) -> Result<(), StoreError> {
        self.store.close()
    }
}

fn blocks(store: &dyn Store) -> Vec<Block> {
    let mut blocks = Vec::new();
    store
        .scan(keyspace::BLOCK, None, &mut |key, value| {
            blocks.push(Block::read(keyspace::first_of(key), value).unwrap());
            true
        })
        .unwrap();
    blocks
}

/// What a reader meets from an entry on, if these blocks are merged between its looking where to
/// begin and its reading.
fn walked(engine: &Arc<Engine>, path: &Path, from: u64, parts: Vec<Block>) -> (Vec<u64>, Library) {
    let merging = engine.clone();
    let merge = move || merging.library.put_merged(&parts).unwrap();
    let store =
        Meddled { store: engine.library.store.clone(), before: Mutex::new(Some(Box::new(merge))) };
    let library = Library::new(
        path,
        Arc::new(store),
        engine.library.ring.clone(),
        engine.library.recorder.clone(),
        engine.library.authority_id.clone(),
    );
    let mut met = Vec::new();
    library
        .each_block(from, &mut |next, block| {
            met.extend(next..block.end());
            Ok(true)
        })
        .unwrap();
    (met, library)
}

#[test]
fn a_block_that_is_merged_before_it_is_read_is_not_passed_over() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let engine = Engine::open(&path, Options::default()).unwrap();
    for number in 0..6 {
        let account = format!("h{number}@example.com");
        let new = NewHuman {
            account: &account,
            issuer: "local",
            name: None,
            assurance: Assurance::Asserted,
            by: None,
        };
        engine.register_human(&new).unwrap();
    }
    let size = engine.size().unwrap();
    let parts = blocks(&*engine.library.store);
    assert!(parts.len() > 4, "each registration is a block");
    // Where the reader looks for it the block is there; where it reads on, it lies in one before.
    let (from, merged) = (parts[2].first(), parts.get(1..3).unwrap().to_vec());
    let (met, library) = walked(&engine, &path, from, merged);
    assert_eq!(met, (from..size).collect::<Vec<_>>());
    // The same where it is the last.
    let last = parts.len() - 1;
    let (end, merged) = (parts[last].first(), parts.get(last - 1..).unwrap().to_vec());
    assert_eq!(walked(&engine, &path, end, merged).0, (end..size).collect::<Vec<_>>());
    // A gap that stays is passed to whoever reads, and no reason to look for ever.
    let gone = blocks(&*engine.library.store)[2].first();
    let mut batch = Batch::new();
    batch.delete(keyspace::block(gone));
    engine.library.store.commit(batch).unwrap();
    let mut firsts = Vec::new();
    library
        .each_block(from, &mut |_, block| {
            firsts.push(block.first());
            Ok(true)
        })
        .unwrap();
    assert!(!firsts.contains(&gone) && firsts.len() > 1);
    engine.close().unwrap();
}
