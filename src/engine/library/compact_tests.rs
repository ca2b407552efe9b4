#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::engine::{Engine, Options};
use crate::principal::Assurance;
use crate::registry::NewHuman;

#[test]
fn files_are_weighed_when_they_are_large_and_have_grown() {
    assert!(!worth_weighing(LEAST - 1, LEAST, 0));
    assert!(worth_weighing(LEAST, LEAST, 0));
    assert!(worth_weighing(6 * LEAST, LEAST, 4 * LEAST));
    assert!(!worth_weighing(6 * LEAST - 1, LEAST, 4 * LEAST));
}

#[test]
fn half_as_much_again_as_the_records_is_waste() {
    assert!(is_waste(150, 100));
    assert!(!is_waste(149, 100));
    assert!(is_waste(0, 0));
    assert!(!is_waste(u64::MAX - 1, u64::MAX - 1));
}

#[test]
fn wasteful_files_compact_themselves_and_thrifty_ones_do_not() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let register = |engine: &Engine, number: u32| {
        let account = format!("h{number}@example.com");
        let new = NewHuman {
            account: &account,
            issuer: "local",
            name: None,
            assurance: Assurance::Asserted,
            by: None,
        };
        engine.register_human(&new).unwrap();
    };
    let engine = Engine::open(&path, Options::default()).unwrap();
    (0..20).for_each(|number| register(&engine, number));
    engine.close().unwrap();
    // Opened once more, the data file has a whole segment of 8 MiB, and some 20 KiB of records.
    let engine = Engine::open(&path, Options::default()).unwrap();
    let size = engine.size().unwrap();
    let current = || std::fs::read_to_string(path.join("CURRENT")).ok();
    let before = engine.library.store.bytes_on_disk().unwrap().unwrap();
    assert!(before > 1024 * 1024, "{before}");
    engine.library.compact_waste().unwrap();
    assert_eq!(current(), None, "files below the least size are left alone");
    engine.library.least.store(1024 * 1024, Ordering::Release);
    engine.library.compact_waste().unwrap();
    let after = engine.library.store.bytes_on_disk().unwrap().unwrap();
    assert!(after < before / 4, "{before} became {after}");
    assert_eq!(current().as_deref(), Some("data-1\n"));
    // What is small now stays as it is, and is the store.
    engine.library.compact_waste().unwrap();
    assert_eq!(current().as_deref(), Some("data-1\n"));
    register(&engine, 20);
    assert_eq!(engine.size().unwrap(), size + 1);
    assert!(engine.verify(&[]).unwrap().is_ok());
    engine.close().unwrap();
}

#[test]
fn the_thread_compacts_wasteful_files_without_being_asked() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    Engine::open(&path, Options::default()).unwrap().close().unwrap();
    // Opened once more, the data file has a whole segment.
    let engine = Engine::open(&path, Options::default()).unwrap();
    engine.library.least.store(1024 * 1024, Ordering::Release);
    let mut turns = 0;
    while !path.join("CURRENT").exists() {
        turns += 1;
        assert!(turns < 12_000, "nothing was compacted");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    assert!(engine.verify(&[]).unwrap().is_ok());
    engine.close().unwrap();
}

#[test]
fn what_the_records_weighed_is_known_when_the_store_is_opened_again() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("store");
    let engine = Engine::open(&path, Options::default()).unwrap();
    assert_eq!(engine.library.last_weight().unwrap(), 0, "nobody weighed them");
    let compacted = engine.library.compact().unwrap();
    assert!(compacted.live > 0);
    engine.close().unwrap();
    let engine = Engine::open(&path, Options::default()).unwrap();
    assert_eq!(engine.library.last_weight().unwrap(), compacted.live);
    engine.close().unwrap();
}
