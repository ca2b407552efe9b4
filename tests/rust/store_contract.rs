//! What every store promises, checked through the contract alone: a store joins by one line in
//! `stores!`. Below it, what is promised of the store in a folder only.
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::indexing_slicing
)]

use std::collections::BTreeMap;
use std::sync::Barrier;
use std::sync::atomic::{AtomicUsize, Ordering};

use answerable::store::{
    Batch, MAX_BATCH, MAX_BATCH_BYTES, MAX_KEY, MAX_VALUE, SledStore, Store, StoreError,
};

/// A store, empty at first, that can be let go of and opened again.
trait Lab {
    fn open(&self) -> Box<dyn Store>;
}

struct SledLab(tempfile::TempDir);

impl Lab for SledLab {
    fn open(&self) -> Box<dyn Store> {
        Box::new(SledStore::open(self.0.path().join("store"), 0).unwrap())
    }
}

macro_rules! stores {
    ($($check:ident)*) => {
        mod sled {
            $(#[test]
            fn $check() {
                super::$check(&super::SledLab(tempfile::tempdir().unwrap()));
            })*
        }
    };
}

stores! {
    reads_what_was_committed
    scans_agree_with_a_sorted_map
    a_scan_can_stop_and_can_call_the_store
    the_later_of_two_operations_stands
    bounds_are_refused_and_harm_nothing
    everything_survives_a_reopening
    batches_are_seen_whole
    closing_while_others_work
    threads_commit_side_by_side
}

fn put(store: &dyn Store, key: impl Into<Vec<u8>>, value: impl Into<Vec<u8>>) {
    let mut batch = Batch::new();
    batch.put(key, value);
    store.commit(batch).unwrap();
}

type Entries = Vec<(Vec<u8>, Vec<u8>)>;

fn up(store: &dyn Store, prefix: &[u8], from: Option<&[u8]>) -> Entries {
    let mut found = Vec::new();
    let mut each = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        true
    };
    store.scan(prefix, from, &mut each).unwrap();
    found
}

fn down(store: &dyn Store, prefix: &[u8], before: Option<&[u8]>) -> Entries {
    let mut found = Vec::new();
    let mut each = |key: &[u8], value: &[u8]| {
        found.push((key.to_vec(), value.to_vec()));
        true
    };
    store.scan_back(prefix, before, &mut each).unwrap();
    found
}

fn reads_what_was_committed(lab: &dyn Lab) {
    let store = lab.open();
    assert_eq!(store.get(b"a").unwrap(), None);
    put(&*store, "a", "1");
    put(&*store, "empty", "");
    put(&*store, "large", vec![7; MAX_VALUE]);
    put(&*store, vec![255; MAX_KEY], "long");
    assert_eq!(store.get(b"a").unwrap().unwrap(), b"1");
    assert_eq!(store.get(b"empty").unwrap().unwrap(), b"");
    assert_eq!(store.get(b"large").unwrap().unwrap(), vec![7; MAX_VALUE]);
    assert_eq!(store.get(&[255; MAX_KEY]).unwrap().unwrap(), b"long");
    let mut batch = Batch::new();
    batch.delete("a").delete("never there");
    store.commit(batch).unwrap();
    assert_eq!(store.get(b"a").unwrap(), None);
    store.commit(Batch::new()).unwrap();
}

fn scans_agree_with_a_sorted_map(lab: &dyn Lab) {
    let store = lab.open();
    let mut model = BTreeMap::new();
    let mut dice = Dice(1);
    // Few distinct bytes, 0 and 255 among them, so that prefixes meet and successors carry.
    let key = |dice: &mut Dice| -> Vec<u8> {
        (0..=dice.below(4)).map(|_| [0, 1, 7, 254, 255][dice.below(5)]).collect()
    };
    for _ in 0..6 {
        let mut batch = Batch::new();
        for _ in 0..100 {
            let (key, value) = (key(&mut dice), dice.below(1000).to_le_bytes().to_vec());
            if dice.below(4) == 0 {
                model.remove(&key);
                batch.delete(key);
            } else {
                model.insert(key.clone(), value.clone());
                batch.put(key, value);
            }
        }
        store.commit(batch).unwrap();
    }
    assert!(model.len() > 150, "more than a page: {}", model.len());
    for round in 0..400 {
        let prefix = if round % 4 == 0 { Vec::new() } else { key(&mut dice) };
        let edge = if round % 3 == 0 { None } else { Some(key(&mut dice)) };
        let edge = edge.as_deref();
        let inside = || model.iter().filter(|(key, _)| key.starts_with(&prefix));
        let expected: Entries = inside()
            .filter(|(key, _)| edge.is_none_or(|from| key.as_slice() >= from))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        assert_eq!(up(&*store, &prefix, edge), expected, "{prefix:?} from {edge:?}");
        let mut expected: Entries = inside()
            .filter(|(key, _)| edge.is_none_or(|before| key.as_slice() < before))
            .map(|(key, value)| (key.clone(), value.clone()))
            .collect();
        expected.reverse();
        assert_eq!(down(&*store, &prefix, edge), expected, "{prefix:?} before {edge:?}");
    }
}

fn a_scan_can_stop_and_can_call_the_store(lab: &dyn Lab) {
    let store = lab.open();
    let mut batch = Batch::new();
    for number in 0..200_u8 {
        batch.put([b'n', number], [number]);
    }
    store.commit(batch).unwrap();
    let mut met = 0;
    let mut each = |key: &[u8], value: &[u8]| {
        met += 1;
        assert_eq!(store.get(key).unwrap().unwrap(), value);
        put(&*store, [b"copy", key].concat(), value);
        met < 3
    };
    store.scan(b"n", None, &mut each).unwrap();
    assert_eq!(met, 3);
    assert_eq!(up(&*store, b"copy", None).len(), 3);
    // Closing from within ends the scan at the next page.
    let mut met = 0;
    let mut each = |_: &[u8], _: &[u8]| {
        met += 1;
        store.close().unwrap();
        true
    };
    assert_eq!(store.scan(b"n", None, &mut each), Err(StoreError::Closed));
    assert!(met < 200);
}

fn the_later_of_two_operations_stands(lab: &dyn Lab) {
    let store = lab.open();
    let mut batch = Batch::new();
    batch.put("a", "1").delete("a").put("b", "1").put("b", "2").delete("c").put("c", "3");
    store.commit(batch).unwrap();
    let expected: Entries = vec![(b"b".into(), b"2".into()), (b"c".into(), b"3".into())];
    assert_eq!(up(&*store, b"", None), expected);
}

fn bounds_are_refused_and_harm_nothing(lab: &dyn Lab) {
    let store = lab.open();
    let refused = |fill: &dyn Fn(&mut Batch)| {
        let mut batch = Batch::new();
        batch.put("kept out", "1");
        fill(&mut batch);
        let error = store.commit(batch).unwrap_err();
        assert_eq!(error.code(), "store_refused", "{error}");
    };
    refused(&|batch| _ = batch.put("", "1"));
    refused(&|batch| _ = batch.delete(""));
    refused(&|batch| _ = batch.put(vec![1; MAX_KEY + 1], "1"));
    refused(&|batch| _ = batch.put("a", vec![1; MAX_VALUE + 1]));
    refused(&|batch| {
        for number in 0..MAX_BATCH {
            batch.put(number.to_le_bytes(), "1");
        }
    });
    refused(&|batch| {
        for number in 0..=MAX_BATCH_BYTES / MAX_VALUE {
            batch.put(number.to_le_bytes(), vec![1; MAX_VALUE]);
        }
    });
    assert_eq!(up(&*store, b"", None), Entries::new());
    let mut batch = Batch::new();
    for number in 0..MAX_BATCH {
        batch.put(number.to_be_bytes(), "1");
    }
    store.commit(batch).unwrap();
    assert_eq!(up(&*store, b"", None).len(), MAX_BATCH);
}

fn everything_survives_a_reopening(lab: &dyn Lab) {
    for round in 0..5_u8 {
        let store = lab.open();
        assert_eq!(up(&*store, b"", None).len(), usize::from(round) * 20);
        let mut batch = Batch::new();
        for number in 0..20 {
            batch.put([round, number], vec![number; 3000]);
        }
        store.commit(batch).unwrap();
        if round % 2 == 0 {
            store.close().unwrap();
            store.close().unwrap();
            assert_eq!(store.get(b"a"), Err(StoreError::Closed));
        }
    }
}

fn batches_are_seen_whole(lab: &dyn Lab) {
    let store = lab.open();
    let store = &*store;
    let ended = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            for round in 0..60_u32 {
                let mut batch = Batch::new();
                for key in 0..30_u8 {
                    batch.put([key], round.to_le_bytes());
                }
                store.commit(batch).unwrap();
            }
            ended.store(1, Ordering::SeqCst);
        });
        while ended.load(Ordering::SeqCst) == 0 {
            // A later read never sees an earlier round than one before it: no batch was halved.
            let first = store.get(&[29]).unwrap();
            let second = store.get(&[0]).unwrap();
            let number = |value: Option<Vec<u8>>| {
                value.map(|value| u32::from_le_bytes(value.try_into().unwrap()))
            };
            assert!(number(first) <= number(second));
        }
    });
}

fn closing_while_others_work(lab: &dyn Lab) {
    let store = lab.open();
    let store = &*store;
    let barrier = Barrier::new(5);
    std::thread::scope(|scope| {
        for thread in 0..4_u8 {
            let barrier = &barrier;
            scope.spawn(move || {
                barrier.wait();
                for round in 0..u32::MAX {
                    let mut batch = Batch::new();
                    batch.put([&[thread][..], &round.to_be_bytes()].concat(), "value");
                    let done = store
                        .commit(batch)
                        .and_then(|()| store.scan(&[thread], None, &mut |_, _| true));
                    match done {
                        Ok(()) => {}
                        Err(StoreError::Closed) => return,
                        Err(error) => panic!("{error}"),
                    }
                }
            });
        }
        barrier.wait();
        std::thread::sleep(std::time::Duration::from_millis(30));
        store.close().unwrap();
    });
    let again = lab.open();
    assert!(!up(&*again, b"", None).is_empty());
}

fn threads_commit_side_by_side(lab: &dyn Lab) {
    let store = lab.open();
    let shared = &*store;
    std::thread::scope(|scope| {
        for thread in 0..8_u8 {
            scope.spawn(move || {
                for round in 0..25_u8 {
                    let mut batch = Batch::new();
                    batch.put([thread, round], "value").put([b'l', thread], [round]);
                    shared.commit(batch).unwrap();
                }
            });
        }
    });
    drop(store);
    let store = lab.open();
    assert_eq!(up(&*store, b"", None).len(), 8 * 25 + 8);
}

/// Numbers that look random and are the same in each run.
struct Dice(u64);

impl Dice {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        usize::try_from(self.0 >> 33).unwrap() % bound
    }
}

/// Runs in the child of the test below, and in no other way.
#[test]
fn second_process() {
    let Ok(path) = std::env::var("STORE_CONTRACT_CHILD") else { return };
    match SledStore::open(path, 0) {
        Err(StoreError::Busy { holder: Some(holder), .. }) => println!("busy {}", holder.pid),
        other => println!("unexpected {other:?}"),
    }
}

#[test]
fn a_second_process_learns_who_holds_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = SledStore::open(&path, 0).unwrap();
    let child = std::process::Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "second_process", "--nocapture"])
        .env("STORE_CONTRACT_CHILD", &path)
        .output()
        .unwrap();
    let said = String::from_utf8_lossy(&child.stdout).into_owned();
    assert!(said.contains(&format!("busy {}", std::process::id())), "{said}");
    put(&store, "a", "still mine");
}
