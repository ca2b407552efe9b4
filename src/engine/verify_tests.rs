#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;

use super::*;
use crate::canonical::{Value, decode};
use crate::engine::Options;
use crate::principal::Assurance;
use crate::recorder::keyspace;
use crate::registry::{NewHuman, draft};
use crate::store::{Batch, SledStore, Store};
use crate::trail::block::pack;
use crate::trail::entry::kind;
use crate::trail::verify::{Code, Fault};

fn place() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

fn register(engine: &Engine, number: u32) {
    let account = format!("h{number}@example.com");
    let new = NewHuman {
        account: &account,
        issuer: "local",
        name: Some("Somebody"),
        assurance: Assurance::Asserted,
        by: None,
    };
    engine.register_human(&new).unwrap();
}

fn faults(engine: &Engine) -> Vec<Fault> {
    match engine.verify(&[]).unwrap() {
        Ok(_) => Vec::new(),
        Err(VerifyError::Corrupted(report)) => report.faults,
        Err(other) => panic!("{other}"),
    }
}

#[test]
fn every_leaf_and_every_value_comes_before_the_verifier() {
    let dir = place();
    let engine = Engine::open(&dir.path().join("store"), Options::default()).unwrap();
    (0..40).for_each(|number| register(&engine, number));
    let (mut size, mut values) = (0, 0);
    engine
        .each_entry(0, &mut |entry| {
            size += 1;
            values += entry.opened.len() as u64;
            Ok(true)
        })
        .unwrap();
    assert!(values >= 80, "{values}");
    for merged in [false, true] {
        let report = engine.verify(&[]).unwrap().unwrap();
        assert_eq!((report.size, report.disclosed, report.withheld), (size, values, 0), "{merged}");
        assert_eq!(report.kinds.values().sum::<u64>(), size);
        engine.library.settle().unwrap();
    }
    engine.close().unwrap();
}

#[test]
fn blocks_that_are_merged_under_the_verification_are_met_once() {
    let dir = place();
    let engine = Engine::open(&dir.path().join("store"), Options::default()).unwrap();
    // Nothing is merged while this is held: each registration is a block of its own.
    let mut held = Some(engine.library.shelf.lock());
    (0..1300).for_each(|number| register(&engine, number));
    let mut told = Vec::new();
    let report = engine
        .verify_watched(&[], &[], &mut |done, of| {
            if held.take().is_some() {
                engine.library.settle().unwrap();
            }
            told.push((done, of));
            true
        })
        .unwrap()
        .unwrap();
    assert_eq!(told, [(1024, report.size), (report.size, report.size)]);
    assert!(report.size > 1300);
    let mut blocks = 0;
    let mut count = |_: &[u8], _: &[u8]| {
        blocks += 1;
        true
    };
    engine.store.scan(keyspace::BLOCK, None, &mut count).unwrap();
    assert!(blocks < 300, "{blocks} blocks are left: nothing was merged");
    engine.close().unwrap();
}

/// A way to change what the store keeps of the trail.
type Change<'a> = &'a dyn Fn(&dyn Store, &[(u64, Vec<u8>)]) -> Batch;

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    std::fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in std::fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to);
        } else {
            std::fs::copy(&path, to).unwrap();
        }
    }
}

/// The block at a place with its leaves as `change` makes them.
fn releaved(bytes: &[u8], change: impl Fn(&mut Vec<Value>)) -> Vec<u8> {
    let Value::Map(mut block) = decode(bytes).unwrap() else { panic!("no map") };
    let Some(Value::List(leaves)) = block.get("leaves") else { panic!("no leaves") };
    let mut leaves = leaves.clone();
    change(&mut leaves);
    block.insert("leaves", Value::List(leaves));
    Value::Map(block).encode()
}

#[test]
fn what_was_changed_in_the_store_is_found_with_its_place() {
    let dir = place();
    let path = dir.path().join("store");
    let engine = Engine::open(&path, Options::default()).unwrap();
    (0..12).for_each(|number| register(&engine, number));
    let last = engine.size().unwrap() - 1;
    let mut owner = None;
    engine
        .each_entry(last, &mut |entry| {
            owner = Some(entry.text("human").to_owned());
            Ok(true)
        })
        .unwrap();
    let owner = Owner::human(owner.unwrap());
    let key = engine.library.key_of(&owner).unwrap().unwrap();
    let authority_id = engine.authority_id.clone();
    engine.close().unwrap();

    let put = |at: u64, bytes: Vec<u8>| {
        let mut batch = Batch::new();
        batch.put(keyspace::block(at), bytes);
        batch
    };
    let dropped = |_: &dyn Store, blocks: &[(u64, Vec<u8>)]| {
        let mut batch = Batch::new();
        batch.delete(keyspace::block(blocks[blocks.len() - 2].0));
        batch
    };
    let cut = |_: &dyn Store, blocks: &[(u64, Vec<u8>)]| {
        let mut batch = Batch::new();
        batch.delete(keyspace::block(last));
        assert_eq!(blocks.last().unwrap().0, last);
        batch
    };
    let edited = |_: &dyn Store, blocks: &[(u64, Vec<u8>)]| {
        let bytes = releaved(&blocks.last().unwrap().1, |leaves| {
            let mut leaf = leaves[0].as_bytes().unwrap().to_vec();
            let at = leaf.windows(10).position(|part| part == b"registered").unwrap();
            leaf[at] ^= 1;
            leaves[0] = Value::bytes(&leaf);
        });
        put(last, bytes)
    };
    let swapped = |_: &dyn Store, blocks: &[(u64, Vec<u8>)]| {
        let [.., (one, first), (two, second)] = blocks else { panic!("too few") };
        let leaves =
            |bytes: &[u8]| Block::read(0, bytes).unwrap().leaves().map(Value::bytes).collect();
        let (of_first, of_second): (Vec<Value>, Vec<Value>) = (leaves(first), leaves(second));
        let mut batch = put(*one, releaved(first, |leaves| *leaves = of_second.clone()));
        batch.put(keyspace::block(*two), releaved(second, |leaves| *leaves = of_first.clone()));
        batch
    };
    let doubled = |_: &dyn Store, blocks: &[(u64, Vec<u8>)]| {
        let [.., (_, first), (two, second)] = blocks else { panic!("too few") };
        let again = Block::read(0, first).unwrap().leaves().map(Value::bytes).collect::<Vec<_>>();
        put(*two, releaved(second, |leaves| *leaves = again.clone()))
    };
    let revalued = |_: &dyn Store, blocks: &[(u64, Vec<u8>)]| {
        let block = Block::read(last, &blocks.last().unwrap().1).unwrap();
        let leaf = block.leaves().next().unwrap().to_vec();
        let other = draft(kind::IDENTITY).unwrap();
        let other = other.beside("name", Value::str("Somebody else"), &owner);
        let entries = [(&other, leaf)];
        put(last, pack(&authority_id, last, &entries, &mut |_| Ok(key.clone())).unwrap())
    };
    let changes: [(&str, Change<'_>, Code, u64); 6] = [
        ("dropped", &dropped, Code::MissingEntries, last - 1),
        ("cut", &cut, Code::CutTail, last),
        ("edited", &edited, Code::CheckpointRoot, 0),
        ("swapped", &swapped, Code::CheckpointRoot, 0),
        ("doubled", &doubled, Code::DuplicateId, last),
        ("revalued", &revalued, Code::ValueMismatch, last),
    ];
    for (name, change, code, index) in changes {
        let target = dir.path().join(name);
        copy(&path, &target);
        std::fs::copy(dir.path().join("store.key"), dir.path().join(format!("{name}.key")))
            .unwrap();
        // Behind the back of an engine that is open: opening reads some of the trail, and refuses.
        let engine = Engine::open(&target, Options::default()).unwrap();
        let mut blocks = Vec::new();
        engine
            .store
            .scan(keyspace::BLOCK, None, &mut |key, value| {
                blocks.push((keyspace::first_of(key), value.to_vec()));
                true
            })
            .unwrap();
        engine.store.commit(change(&*engine.store, &blocks)).unwrap();
        let found = faults(&engine);
        let told: Vec<String> = found.iter().map(ToString::to_string).collect();
        assert!(
            found.iter().any(|fault| fault.code == code && fault.place.index == Some(index)),
            "{name}: {told:#?}"
        );
        // Some of it could not be indexed, which closing may say.
        let _ = engine.close();
    }
    // Values that do not open at all are told with their place too.
    let target = dir.path().join("closed");
    copy(&path, &target);
    std::fs::copy(dir.path().join("store.key"), dir.path().join("closed.key")).unwrap();
    let store = SledStore::open(&target, 0).unwrap();
    let bytes = store.get(&keyspace::block(last)).unwrap().unwrap();
    let Value::Map(mut block) = decode(&bytes).unwrap() else { panic!("no map") };
    let Some(Value::Map(mut sealed)) = block.get("sealed").cloned() else { panic!("no values") };
    let (owner, body) = sealed.iter().next().unwrap();
    let (owner, mut body) = (owner.to_owned(), body.as_bytes().unwrap().to_vec());
    *body.last_mut().unwrap() ^= 1;
    sealed.insert(&owner, Value::bytes(&body));
    block.insert("sealed", Value::Map(sealed));
    store.commit(put(last, Value::Map(block).encode())).unwrap();
    store.close().unwrap();
    let engine = Engine::open(&target, Options::default()).unwrap();
    let found = faults(&engine);
    let [fault] = found.as_slice() else { panic!("{found:?}") };
    assert_eq!((fault.code, fault.place.index), (Code::ValuesClosed, Some(last)));
    let _ = engine.close();
    let engine = Engine::open(&path, Options::default()).unwrap();
    assert_eq!(faults(&engine), []);
    engine.close().unwrap();
}

#[test]
fn values_that_are_gone_without_an_erasure_are_found() {
    let dir = place();
    let path = dir.path().join("store");
    let engine = Engine::open(&path, Options::default()).unwrap();
    (0..3).for_each(|number| register(&engine, number));
    assert_eq!(faults(&engine), []);
    engine.close().unwrap();
    let store = SledStore::open(&path, 0).unwrap();
    let mut keys = Vec::new();
    let mut take = |key: &[u8], _: &[u8]| {
        keys.push(key.to_vec());
        true
    };
    store.scan(b"k/data/hum_", None, &mut take).unwrap();
    assert!(keys.len() >= 3);
    let mut without = Batch::new();
    without.delete(keys[0].clone());
    store.commit(without).unwrap();
    store.close().unwrap();
    let engine = Engine::open(&path, Options::default()).unwrap();
    let found = faults(&engine);
    assert!(!found.is_empty());
    assert!(found.iter().all(|fault| fault.code == Code::ValueMissing), "{found:?}");
    assert!(found.iter().all(|fault| fault.place.index.is_some()), "{found:?}");
    engine.close().unwrap();
}

/// The block at a place of a store with one byte of its first sealed part changed.
fn unsealed(bytes: &[u8]) -> Vec<u8> {
    let Value::Map(mut block) = decode(bytes).unwrap() else { panic!("no map") };
    let Some(Value::Map(mut sealed)) = block.get("sealed").cloned() else { panic!("no values") };
    let (owner, body) = sealed.iter().next().unwrap();
    let (owner, mut body) = (owner.to_owned(), body.as_bytes().unwrap().to_vec());
    *body.last_mut().unwrap() ^= 1;
    sealed.insert(&owner, Value::bytes(&body));
    block.insert("sealed", Value::Map(sealed));
    Value::Map(block).encode()
}

#[test]
fn damage_does_not_hide_further_damage() {
    let dir = place();
    let path = dir.path().join("store");
    let engine = Engine::open(&path, Options::default()).unwrap();
    // Nothing is merged while this is held: each registration is a block of its own. The store is
    // damaged under the engine: opening reads the blocks too, and refuses those that are none.
    let held = engine.library.shelf.lock();
    (0..14).for_each(|number| register(&engine, number));
    let size = engine.size().unwrap();
    let mut blocks = Vec::new();
    let mut take = |key: &[u8], value: &[u8]| {
        blocks.push((keyspace::first_of(key), value.to_vec()));
        true
    };
    engine.store.scan(keyspace::BLOCK, None, &mut take).unwrap();
    let [.., (one, first), _, (two, second), (three, _), (four, fourth), (five, fifth), _, _] =
        blocks.as_slice()
    else {
        panic!("too few")
    };
    let mut batch = Batch::new();
    // Values, values with a sound block between, no block, one that is cut, and a leaf behind.
    batch.put(keyspace::block(*one), unsealed(first));
    batch.put(keyspace::block(*two), unsealed(second));
    batch.delete(keyspace::block(*three));
    batch.put(keyspace::block(*four), fourth[..fourth.len() / 2].to_vec());
    batch.put(keyspace::block(*five), unsealed(fifth));
    engine.store.commit(batch).unwrap();
    let mut told = Vec::new();
    let watch = &mut |done, of| {
        told.push((done, of));
        true
    };
    let Err(VerifyError::Corrupted(report)) = engine.verify_watched(&[], &[], watch).unwrap()
    else {
        panic!("sound")
    };
    let places = report.faults.iter().map(|f| (f.code, f.place.index, f.place.through));
    let expected = [
        (Code::ValuesClosed, Some(*one), Some(*one)),
        (Code::ValuesClosed, Some(*two), Some(*two)),
        (Code::MissingEntries, Some(*three), Some(*three)),
        (Code::BlockUnreadable, Some(*four), Some(*four)),
        (Code::ValuesClosed, Some(*five), Some(*five)),
        (Code::TreeUnproved, Some(report.newest_checkpoint_size), Some(report.size - 1)),
    ];
    assert_eq!(places.collect::<Vec<_>>(), expected, "{:#?}", report.faults);
    assert!(report.newest_checkpoint_size <= *three);
    assert!(report.faults.iter().all(|fault| fault.code == Code::MissingEntries
        || (fault.expected.is_some() && fault.found.is_some())));
    assert_eq!(report.size, told.last().unwrap().1);
    assert!(report.size >= size);
    drop(held);
    // Some of it could not be indexed, which closing may say.
    let _ = engine.close();
}
