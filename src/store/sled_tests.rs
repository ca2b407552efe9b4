#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::fs;

use ::sled::Config;

use super::super::opening::{BLOBS, CONF, CONF_FILE, SEGMENT, SNAPSHOT};
use super::*;

fn put(store: &SledStore, key: &str) -> Result<(), StoreError> {
    let mut batch = Batch::new();
    batch.put(key, "value");
    store.commit(batch)
}

#[test]
fn conf_is_what_sled_writes() {
    let dir = tempfile::tempdir().unwrap();
    drop(Config::new().path(dir.path()).segment_size(SEGMENT).open().unwrap());
    assert_eq!(fs::read(dir.path().join(CONF_FILE)).unwrap(), CONF);
}

#[test]
fn twenty_entries_of_the_largest_size_fit_a_page() {
    const { assert!(20 * (super::super::MAX_KEY + super::super::MAX_VALUE + 64) < SEGMENT / 4) }
}

#[test]
fn no_page_spills_into_a_blob() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = SledStore::open(&path, 0).unwrap();
    for round in 0..4_u8 {
        for chunk in 0..2_u8 {
            let mut batch = Batch::new();
            for key in 0..40_u8 {
                batch.put([chunk, key], vec![round ^ key; super::super::MAX_VALUE]);
            }
            store.commit(batch).unwrap();
        }
    }
    assert_eq!(fs::read_dir(path.join(BLOBS)).unwrap().count(), 0);
}

#[test]
fn a_forked_child_is_told_so_and_never_touches_the_store() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let mut store = SledStore::open(&path, 0).unwrap();
    put(&store, "a").unwrap();
    store.process = store.process.wrapping_add(1);
    // A lock that was held at the fork stays so in the child: nothing may wait for it.
    let held = store.open.write();
    let results = [
        store.get(b"a").map(|_| ()),
        put(&store, "b"),
        store.scan(b"", None, &mut |_, _| true),
        store.scan_back(b"", None, &mut |_, _| true),
        store.close(),
    ];
    for result in results {
        assert_eq!(result, Err(StoreError::Forked));
    }
    drop(held);
    drop(store);
    // It was leaked, not closed: the folder is still held, by this process.
    let again = SledStore::open(&path, 0);
    assert!(matches!(again, Err(StoreError::Busy { holder: Some(holder), .. })
        if holder.pid == std::process::id()));
}

#[test]
fn a_failed_write_is_never_retried() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path().join("store"), 0).unwrap();
    put(&store, "a").unwrap();
    store.fail(StoreError::Unavailable { what: "no space".to_owned() });
    for result in [put(&store, "b"), store.get(b"a").map(|_| ())] {
        assert_eq!(result.unwrap_err().code(), "store_unavailable");
    }
    assert_eq!(store.close(), Ok(()));
    assert_eq!(store.get(b"a"), Err(StoreError::Closed));
}

#[test]
fn half_a_snapshot_does_not_stop_the_open() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for round in 0..3 {
        let store = SledStore::open(&path, 0).unwrap();
        put(&store, &format!("key {round}")).unwrap();
        store.close().unwrap();
        fs::write(path.join("snap.7FFFFFFFFFFFFFFF.generating"), b"half").unwrap();
    }
    let store = SledStore::open(&path, 0).unwrap();
    assert!((0..3).all(|round| store.get(format!("key {round}").as_bytes()).unwrap().is_some()));
}

#[test]
fn a_damaged_store_is_reported_and_left_alone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    for key in ["a", "b"] {
        let store = SledStore::open(&path, 0).unwrap();
        put(&store, key).unwrap();
        store.close().unwrap();
    }
    let snapshot = fs::read_dir(&path)
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .find(|path| path.file_name().unwrap().to_string_lossy().starts_with(SNAPSHOT))
        .unwrap();
    fs::write(&snapshot, b"not a snapshot at all").unwrap();
    let error = SledStore::open(&path, 0).unwrap_err();
    assert_eq!(error.code(), "store_corrupt");
    assert_eq!(fs::read(&snapshot).unwrap(), b"not a snapshot at all");
    // And it is still there to be copied: nobody holds it.
    assert!(!path.join("holder.json").exists());
}

#[test]
fn a_rewrite_answers_how_many_records_there_are() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path().join("store"), 0).unwrap();
    let write = |puts: &[u32], deletes: &[u32]| {
        let mut batch = Batch::new();
        for number in puts {
            batch.put(format!("k/{number:04}"), "value");
        }
        for number in deletes {
            batch.delete(format!("k/{number:04}"));
        }
        batch
    };
    let all: Vec<u32> = (0..500).collect();
    store.commit(write(&all, &[])).unwrap();
    // Every tenth is dropped on the way.
    let mut change = |key: &[u8], value: &[u8]| Ok((!key.ends_with(b"0")).then(|| value.to_vec()));
    store.prepare_rewrite(None, &mut change).unwrap();
    // Meanwhile some are written again, some are new, some go, some that never were go as well.
    store.commit(write(&[1, 2, 10, 600, 601, 610], &[3, 20, 999])).unwrap();
    store.commit(write(&[3], &[4])).unwrap();
    let mut last = write(&[700, 5, 20], &[6, 600, 998]);
    last.put("k/0998", "after all").put("k/0007", "once").delete("k/0007");
    let answered = store.finish_rewrite(&mut change, last).unwrap();
    let mut there = 0;
    store
        .scan(&[], None, &mut |_, _| {
            there += 1;
            true
        })
        .unwrap();
    assert_eq!(answered, there);
    assert_eq!(there, 450 + 2 + 1 + 1 + 1 - 1 - 1 - 1 - 1);
}

/// Keys that grow, with long values, as blocks have them: some of each ten are put together later.
fn grow(store: &SledStore, with_room: bool) {
    let key = |number: u64| [b"b/".as_slice(), &number.to_be_bytes()].concat();
    for number in 0..400 {
        let mut batch = Batch::new();
        batch.put(key(number * 100), vec![1; 20_000]);
        for ahead in 0..8 {
            if with_room {
                batch.room(key(number * 100 + 600 + ahead * 12));
            }
        }
        store.commit(batch).unwrap();
        if let Some(old) = number.checked_sub(3).filter(|old| old % 2 == 0) {
            let mut batch = Batch::new();
            batch.put(key(old * 100), vec![2; 30_000]).delete(key(old * 100 + 100));
            store.commit(batch).unwrap();
        }
    }
}

#[test]
fn what_there_is_room_for_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let written = |name: &str, with_room: bool| {
        let store = SledStore::open(dir.path().join(name), 0).unwrap();
        grow(&store, with_room);
        let end = store.open.read().as_ref().unwrap().sled.end();
        end / (400 * 20_000 + 200 * 30_000)
    };
    assert_eq!(written("with", true), 1);
    assert!(written("without", false) >= 2);
}

#[test]
fn what_comes_while_files_are_copied_is_written_once() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path().join("store"), 0).unwrap();
    let mut same = |_: &[u8], value: &[u8]| Ok(Some(value.to_vec()));
    store.prepare_rewrite(None, &mut same).unwrap();
    grow(&store, false);
    store.finish_rewrite(&mut same, Batch::new()).unwrap();
    let end = store.open.read().as_ref().unwrap().sled.end();
    let live = 199 * 30_000 + 2 * 20_000;
    assert!(end < live / 4 * 5, "{end} for {live}");
}

#[test]
fn room_is_met_by_nobody() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let store = SledStore::open(&path, 0).unwrap();
    grow(&store, true);
    let key = |number: u64| [b"b/".as_slice(), &number.to_be_bytes()].concat();
    let records = |store: &SledStore, back: bool| {
        let mut met = Vec::new();
        let mut each = |key: &[u8], value: &[u8]| {
            assert!(!value.is_empty());
            met.push(key.to_vec());
            true
        };
        match back {
            true => store.scan_back(b"b/", None, &mut each).unwrap(),
            false => store.scan(b"b/", None, &mut each).unwrap(),
        }
        met
    };
    let all = records(&store, false);
    assert_eq!(all.len(), 400 - 199);
    assert!(all.is_sorted());
    assert_eq!(records(&store, true), all.iter().rev().cloned().collect::<Vec<_>>());
    // Also where whoever looks begins among what is nothing.
    let mut newest = None;
    let before = key(40_000 + 700);
    store
        .scan_back(b"b/", Some(&before), &mut |key, _| {
            newest = Some(key.to_vec());
            false
        })
        .unwrap();
    assert_eq!(newest, Some(key(39_900)));
    let nothing = super::super::room::key(&key(40_500));
    assert!(store.open.read().as_ref().unwrap().sled.db().contains_key(&nothing).unwrap());
    assert_eq!(store.get(&nothing).unwrap(), None);
    let mut batch = Batch::new();
    batch.put(nothing.clone(), "value");
    assert_eq!(store.commit(batch).unwrap_err().code(), "store_refused");
    // A copy has none of it.
    let mut same = |_: &[u8], value: &[u8]| Ok(Some(value.to_vec()));
    store.prepare_rewrite(None, &mut same).unwrap();
    grow(&store, true);
    let count = store.finish_rewrite(&mut same, Batch::new()).unwrap();
    assert_eq!(count, all.len() as u64);
    assert_eq!(records(&store, false), all);
    assert!(!store.open.read().as_ref().unwrap().sled.db().contains_key(&nothing).unwrap());
}

#[test]
fn a_copy_that_was_not_finished_is_no_store() {
    let dir = tempfile::tempdir().unwrap();
    let store = SledStore::open(dir.path().join("store"), 0).unwrap();
    put(&store, "key").unwrap();
    let mut same = |_: &[u8], value: &[u8]| Ok(Some(value.to_vec()));
    let (half, whole) = (dir.path().join("half"), dir.path().join("whole"));
    store.prepare_rewrite(Some(&half), &mut same).unwrap();
    store.drop_rewrite();
    assert!(matches!(SledStore::open(&half, 0), Err(StoreError::Refused { .. })));
    store.prepare_rewrite(Some(&whole), &mut same).unwrap();
    store.finish_rewrite(&mut same, Batch::new()).unwrap();
    let copy = SledStore::open(&whole, 0).unwrap();
    assert_eq!(copy.get(b"key").unwrap().as_deref(), Some(&b"value"[..]));
    copy.close().unwrap();
}
