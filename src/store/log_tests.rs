#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::{Path, PathBuf};

use super::super::{Batch, Remedy, SledStore, Store, settled};
use super::*;

/// So many bytes that are of this seed.
fn bytes_of(length: usize, seed: u64) -> Vec<u8> {
    let mut bytes =
        (seed.wrapping_mul(0x9E37_79B9_7F4A_7C15) | 1).to_le_bytes().repeat(length / 8 + 1);
    bytes.truncate(length);
    bytes
}

fn place() -> tempfile::TempDir {
    tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap())
}

/// Batch `number`: one key of its own, and one that each tenth batch writes over.
fn put(store: &SledStore, number: u64, length: usize) {
    let mut batch = Batch::new();
    batch.put(format!("own {number:04}"), bytes_of(length, number));
    batch.put(format!("over {}", number % 10), bytes_of(length, number << 20));
    store.commit(batch).unwrap();
}

fn holds(store: &SledStore, number: u64, length: usize) -> bool {
    let own = store.get(format!("own {number:04}").as_bytes()).unwrap();
    own == Some(bytes_of(length, number))
}

/// What lies in a folder, but for the name of who holds it.
fn content(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            found.extend(content(&path));
        } else {
            found.insert(path.clone(), fs::read(&path).unwrap());
        }
    }
    found
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    let _ = fs::remove_dir_all(to);
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.ends_with("holder.json") {
            continue;
        }
        if path.is_dir() {
            copy(&path, &to);
        } else {
            fs::copy(&path, to).unwrap();
        }
    }
}

fn flip(file: &Path, at: usize) {
    let mut bytes = fs::read(file).unwrap();
    bytes[at] ^= 0x10;
    fs::write(file, bytes).unwrap();
}

fn aside(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().file_name());
    names.map(|name| name.into_string().unwrap()).filter(|name| name.starts_with(ASIDE)).collect()
}

/// Opens it; answers whether it was refused, in which case its files are as they were.
fn refused(store: &Path) -> bool {
    let before = content(store);
    match SledStore::open(store, 0) {
        Ok(store) => {
            store.close().unwrap();
            false
        }
        Err(error) => {
            assert!(["store_corrupt", "store_cut_short"].contains(&error.code()), "{error}");
            assert!(error.to_string().contains("nothing was touched"), "{error}");
            assert!(content(store) == before, "{error}");
            true
        }
    }
}

#[test]
fn a_bit_that_was_flipped_in_the_log_is_refused_and_nothing_is_touched() {
    let place = place();
    let (store, target) = (place.path().join("store"), place.path().join("target"));
    let opened = SledStore::open(&store, 0).unwrap();
    (0..40).for_each(|number| put(&opened, number, 300));
    opened.close().unwrap();
    let bytes = fs::read(store.join(DATA_FILE)).unwrap();
    let end = written(&bytes).len();
    let mut refusals = 0;
    for at in (0..end).step_by(end / 61).chain([0, 3, 4, 19, 20, 24, 25]) {
        copy(&store, &target);
        flip(&target.join(DATA_FILE), at);
        if refused(&target) {
            refusals += 1;
        } else {
            // The zeros behind the end are no part of it.
            assert!(at >= walk(&bytes, 0).tear.unwrap(), "byte {at} of {end}");
        }
    }
    assert!(refusals > 60, "{refusals}");
    // Cut, emptied, removed.
    for change in [
        &|file: &Path| fs::File::options().write(true).open(file).unwrap().set_len(4_000).unwrap(),
        &|file: &Path| fs::write(file, b"").unwrap(),
        &|file: &Path| fs::remove_file(file).unwrap(),
    ] as [&dyn Fn(&Path); 3]
    {
        copy(&store, &target);
        change(&target.join(DATA_FILE));
        assert!(refused(&target));
    }
    assert!(!refused(&store), "the store itself was changed");
}

#[test]
fn what_is_damaged_before_the_end_is_refused_in_every_segment() {
    let place = place();
    let (held, store) = (place.path().join("held"), place.path().join("store"));
    let target = place.path().join("target");
    let opened = SledStore::open(&held, 0).unwrap();
    (0..130).for_each(|number| put(&opened, number, 60_000));
    // As a killed process leaves it.
    copy(&held, &store);
    opened.close().unwrap();
    let bytes = fs::read(store.join(DATA_FILE)).unwrap();
    let segments = bytes.len().div_ceil(SEGMENT);
    assert!(segments > 3, "{segments}");
    let (mut refusals, mut tried) = (0, 0);
    for segment in 0..segments {
        for at in [5, HEADER + 9, SEGMENT / 2] {
            let at = segment * SEGMENT + at;
            if bytes.get(at).is_none_or(|_| at >= written(&bytes).len()) {
                continue;
            }
            copy(&store, &target);
            flip(&target.join(DATA_FILE), at);
            tried += 1;
            if refused(&target) {
                refusals += 1;
            } else {
                // What was damaged counted no more: all that does is there.
                let opened = SledStore::open(&target, 0).unwrap();
                assert!((0..130).all(|number| holds(&opened, number, 60_000)), "byte {at}");
            }
        }
    }
    assert!(refusals > 0, "{refusals} of {tried}");
}

#[test]
fn a_torn_end_is_put_aside_before_it_is_cleared() {
    let place = place();
    let (store, target) = (place.path().join("store"), place.path().join("target"));
    let opened = SledStore::open(&store, 0).unwrap();
    (0..10).for_each(|number| put(&opened, number, 300));
    let earlier = fs::read(store.join(super::super::mark::FILE)).unwrap();
    let end = walk(&fs::read(store.join(DATA_FILE)).unwrap(), 0).tear.unwrap();
    (10..20).for_each(|number| put(&opened, number, 300));
    // As a machine leaves it that stopped: the data got further than the mark.
    copy(&store, &target);
    fs::write(target.join(super::super::mark::FILE), &earlier).unwrap();
    flip(&target.join(DATA_FILE), end + 40);
    let torn = fs::read(target.join(DATA_FILE)).unwrap();
    let again = SledStore::open(&target, 0).unwrap();
    assert!((0..10).all(|number| holds(&again, number, 300)));
    let names = aside(&target);
    assert_eq!(names.len(), 1, "{names:?}");
    let kept = fs::read(target.join(&names[0])).unwrap();
    let from = torn.windows(kept.len()).position(|window| window == kept).unwrap();
    assert!(from >= end && from <= end + 40 && from + kept.len() == written(&torn).len());
    again.forget_torn().unwrap();
    assert_eq!(aside(&target), Vec::<String>::new());
    again.close().unwrap();
    // With the mark of its time it is refused.
    copy(&store, &target);
    flip(&target.join(DATA_FILE), end + 40);
    assert!(refused(&target));
    opened.close().unwrap();
}

#[test]
fn a_log_that_was_cut_short_is_gone_on_with_only_if_that_is_said_until_it_is_recorded() {
    let place = place();
    let (store, target) = (place.path().join("store"), place.path().join("target"));
    let opened = SledStore::open(&store, 0).unwrap();
    (0..10).for_each(|number| put(&opened, number, 300));
    let end = walk(&fs::read(store.join(DATA_FILE)).unwrap(), 0).tear.unwrap();
    (10..20).for_each(|number| put(&opened, number, 300));
    let whole = walk(&fs::read(store.join(DATA_FILE)).unwrap(), 0).tear.unwrap();
    // A plain copy: the first half of the data was read before the rest was written.
    copy(&store, &target);
    let mut bytes = fs::read(target.join(DATA_FILE)).unwrap();
    bytes[end..].fill(0);
    fs::write(target.join(DATA_FILE), &bytes).unwrap();
    assert!(refused(&target));
    let repair = Remedy { repair: true, accept_loss: false };
    let error = SledStore::open_with(&target, 0, repair).unwrap_err();
    assert_eq!(error.code(), "store_cut_short", "{error}");
    let accept = Remedy { repair: false, accept_loss: true };
    let (again, remedied) = SledStore::open_with(&target, 0, accept).unwrap();
    assert_eq!(remedied.lost, Some((whole - end) as u64));
    assert!((0..10).all(|number| holds(&again, number, 300)));
    assert_eq!(again.get(b"own 0010").unwrap(), None);
    put(&again, 30, 300);
    again.close().unwrap();
    // Its files are sound now, and tell of the loss until somebody says that it is recorded.
    assert_eq!(SledStore::open(&target, 0).unwrap_err().code(), "store_cut_short");
    let (again, remedied) = SledStore::open_with(&target, 0, accept).unwrap();
    assert_eq!(remedied.lost, Some((whole - end) as u64));
    again.close().unwrap();
    settled(&target).unwrap();
    settled(&target).unwrap();
    let (again, remedied) = SledStore::open_with(&target, 0, accept).unwrap();
    assert_eq!(remedied.lost, None);
    assert!(holds(&again, 30, 300) && holds(&again, 9, 300));
    again.close().unwrap();
    // Where whole messages lie behind the damage, they are put aside.
    copy(&store, &target);
    flip(&target.join(DATA_FILE), end + 40);
    assert!(refused(&target));
    let (again, _) = SledStore::open_with(&target, 0, accept).unwrap();
    assert!((0..10).all(|number| holds(&again, number, 300)));
    let names = aside(&target);
    assert_eq!(names.len(), 1, "{names:?}");
    let kept = fs::read(target.join(&names[0])).unwrap();
    let own = bytes_of(300, 19);
    assert!(kept.windows(300).any(|window| window == own), "the last batch is in it");
    again.close().unwrap();
    opened.close().unwrap();
}

#[test]
fn a_loss_that_is_accepted_twice_is_one_loss() {
    let place = place();
    let (store, target) = (place.path().join("store"), place.path().join("target"));
    let opened = SledStore::open(&store, 0).unwrap();
    (0..10).for_each(|number| put(&opened, number, 300));
    let end = walk(&fs::read(store.join(DATA_FILE)).unwrap(), 0).tear.unwrap();
    (10..20).for_each(|number| put(&opened, number, 300));
    let whole = walk(&fs::read(store.join(DATA_FILE)).unwrap(), 0).tear.unwrap();
    copy(&store, &target);
    opened.close().unwrap();
    let mut bytes = fs::read(target.join(DATA_FILE)).unwrap();
    bytes[end..].fill(0);
    fs::write(target.join(DATA_FILE), &bytes).unwrap();
    let accept = Remedy { repair: false, accept_loss: true };
    // As a process leaves it that ends once the loss is noted: the log is as it was.
    let cut = place.path().join("cut");
    copy(&target, &cut);
    let (again, _) = SledStore::open_with(&target, 0, accept).unwrap();
    let note = fs::read(target.join("LOSS")).unwrap();
    again.close().unwrap();
    for (noted, lost) in [
        (note.clone(), whole - end),
        // Another that was noted before comes on top of it.
        (b"100\n".to_vec(), whole - end + 100),
        (b"100 7 107\n".to_vec(), whole - end + 100),
        // A note that cannot be read is one nevertheless.
        (b"\xff\xfe\n".to_vec(), whole - end),
    ] {
        copy(&cut, &target);
        fs::write(target.join("LOSS"), noted).unwrap();
        let (again, remedied) = SledStore::open_with(&target, 0, accept).unwrap();
        assert_eq!(remedied.lost, Some(lost as u64));
        again.close().unwrap();
        let (again, remedied) = SledStore::open_with(&target, 0, accept).unwrap();
        assert_eq!(remedied.lost, Some(lost as u64), "also where the log went on");
        again.close().unwrap();
    }
}

#[test]
fn a_note_of_a_loss_that_cannot_be_read_says_so_and_can_be_gone_on_with() {
    let place = place();
    let store = place.path().join("store");
    SledStore::open(&store, 0).unwrap().close().unwrap();
    let accept = Remedy { repair: false, accept_loss: true };
    for noted in [&b"\xff\xfe"[..], b"", b"-1", b"1 2", b"1 2 3 4", &[b'9'; 70]] {
        fs::write(store.join("LOSS"), noted).unwrap();
        let error = SledStore::open(&store, 0).unwrap_err();
        assert_eq!(error.code(), "store_cut_short", "{error}");
        assert!(error.to_string().contains("LOSS`, cannot be read"), "{error}");
        let (again, remedied) = SledStore::open_with(&store, 0, accept).unwrap();
        assert_eq!(remedied.lost, Some(0));
        again.close().unwrap();
        settled(&store).unwrap();
        SledStore::open(&store, 0).unwrap().close().unwrap();
    }
    std::os::unix::fs::symlink(place.path().join("nowhere"), store.join("LOSS")).unwrap();
    assert_eq!(SledStore::open(&store, 0).unwrap_err().code(), "store_cut_short");
    settled(&store).unwrap();
    SledStore::open(&store, 0).unwrap().close().unwrap();
}

#[test]
fn what_is_damaged_where_it_counts_is_refused_even_if_a_loss_is_accepted() {
    let place = place();
    let (held, target) = (place.path().join("held"), place.path().join("target"));
    let opened = SledStore::open(&held, 0).unwrap();
    (0..130).for_each(|number| put(&opened, number, 60_000));
    let live = place.path().join("live");
    copy(&held, &live);
    opened.close().unwrap();
    let bytes = fs::read(live.join(DATA_FILE)).unwrap();
    let end = Mark::read(&Dir::of(&live)).unwrap().unwrap().end;
    let mut refusals = 0;
    for at in (HEADER + 9..written(&bytes).len()).step_by(SEGMENT / 4) {
        let header = bytes[at / SEGMENT * SEGMENT..][..HEADER].try_into().unwrap();
        if read_header(&header).is_none_or(|(position, _)| position + 2 * LENGTH > end) {
            // It may hold the end of the log.
            continue;
        }
        copy(&live, &target);
        flip(&target.join(DATA_FILE), at);
        let before = content(&target);
        let accept = Remedy { repair: true, accept_loss: true };
        match SledStore::open_with(&target, 0, accept) {
            Err(error) => {
                assert_eq!(error.code(), "store_corrupt", "{error}");
                assert!(content(&target) == before, "{error}");
                refusals += 1;
            }
            Ok((store, remedied)) => {
                assert_eq!(remedied.lost, None, "byte {at}");
                assert!((0..130).all(|number| holds(&store, number, 60_000)), "byte {at}");
                store.close().unwrap();
            }
        }
    }
    assert!(refusals > 0);
}

#[test]
fn older_files_are_removed_only_once_those_in_force_are_open() {
    let place = place();
    let (store, target) = (place.path().join("store"), place.path().join("target"));
    let opened = SledStore::open(&store, 0).unwrap();
    (0..10).for_each(|number| put(&opened, number, 300));
    copy(&store, &target);
    let mut same = |_: &[u8], value: &[u8]| Ok(Some(value.to_vec()));
    opened.prepare_rewrite(None, &mut same).unwrap();
    opened.finish_rewrite(&mut same, Batch::new()).unwrap();
    opened.close().unwrap();
    assert!(!store.join(DATA_FILE).exists(), "what was rewritten is removed");
    // A plain copy that met the old files, and half of the new ones.
    copy(&store.join("data-1"), &target.join("data-1"));
    fs::copy(store.join("CURRENT"), target.join("CURRENT")).unwrap();
    flip(&target.join("data-1").join(DATA_FILE), HEADER + 9);
    assert!(refused(&target));
    assert!(target.join(DATA_FILE).exists());
    fs::remove_file(target.join("CURRENT")).unwrap();
    let again = SledStore::open(&target, 0).unwrap();
    assert!((0..10).all(|number| holds(&again, number, 300)));
    again.clear_older().unwrap();
    assert!(target.join("data-1").exists(), "what may be newer is never removed at an opening");
    again.close().unwrap();
    // Of files without what names them, nothing is removed, nor anything begun.
    fs::remove_file(store.join("CURRENT")).unwrap();
    let before = fs::read(store.join("data-1").join(DATA_FILE)).unwrap();
    assert!(refused(&store));
    assert_eq!(fs::read(store.join("data-1").join(DATA_FILE)).unwrap(), before);
    assert!(!store.join(DATA_FILE).exists());
    fs::write(store.join("CURRENT"), "data-+1\n").unwrap();
    assert!(SledStore::open(&store, 0).is_err());
    // Named again, they are the store; what is left of before goes when it is told to.
    fs::write(store.join("CURRENT"), "data-1\n").unwrap();
    fs::write(store.join(DATA_FILE), "").unwrap();
    let again = SledStore::open(&store, 0).unwrap();
    assert!(store.join(DATA_FILE).exists());
    again.clear_older().unwrap();
    assert!(!store.join(DATA_FILE).exists());
    assert!((0..10).all(|number| holds(&again, number, 300)));
    again.close().unwrap();
}

#[test]
fn segments_that_are_used_again_are_no_damage() {
    let place = place();
    let (store, target) = (place.path().join("store"), place.path().join("target"));
    let mut opened = SledStore::open(&store, 0).unwrap();
    let mut length = 0;
    for round in 0..6_u64 {
        for number in 0..40 {
            let mut batch = Batch::new();
            batch.put(format!("over {}", number % 20), bytes_of(60_000, round << 8 | number));
            opened.commit(batch).unwrap();
        }
        // As a killed process leaves it.
        copy(&store, &target);
        let again = SledStore::open(&target, 0).unwrap();
        for number in 20..40 {
            let value = again.get(format!("over {}", number % 20).as_bytes()).unwrap().unwrap();
            assert_eq!(value, bytes_of(60_000, round << 8 | number));
        }
        assert_eq!(aside(&target), Vec::<String>::new());
        again.close().unwrap();
        length = length.max(fs::metadata(store.join(DATA_FILE)).unwrap().len());
        if round == 3 {
            opened.close().unwrap();
            opened = SledStore::open(&store, 0).unwrap();
        }
    }
    // 240 values of 60 kB, each in a page of up to 20: without use of old segments it were longer.
    let mark = Mark::read(&Dir::of(&store)).unwrap().unwrap();
    assert!(mark.end > length, "no segment was used again: {} of {length}", mark.end);
}

#[test]
fn numbers_are_read_as_sled_writes_them() {
    for (bytes, number) in [
        (vec![0], 0),
        (vec![240], 240),
        (vec![241, 0], 240),
        (vec![248, 255], 2_287),
        (vec![249, 0, 0], 2_288),
        (vec![249, 255, 255], 67_823),
        (vec![250, 1, 2, 3], 0x03_02_01),
        (vec![255, 1, 0, 0, 0, 0, 0, 0, 0x80], 1 | 0x80 << 56),
    ] {
        let mut rest = bytes.as_slice();
        assert_eq!(take_number(&mut rest), Some(number));
        assert!(rest.is_empty());
        assert_eq!(take_number(&mut &bytes[..bytes.len() - 1]), None);
    }
}

#[test]
fn what_a_snapshot_sums_up_is_not_gone_on_without() {
    let place = place();
    let store = place.path().join("store");
    let opened = SledStore::open(&store, 0).unwrap();
    (0..10).for_each(|number| put(&opened, number, 300));
    opened.close().unwrap();
    // What was written is summed up at the next opening.
    SledStore::open(&store, 0).unwrap().close().unwrap();
    flip(&store.join(DATA_FILE), HEADER + 9);
    let before = content(&store);
    for accept_loss in [false, true] {
        let remedy = Remedy { accept_loss, ..Remedy::default() };
        let error = SledStore::open_with(&store, 0, remedy).map(drop).unwrap_err();
        assert_eq!(error.code(), "store_corrupt");
        assert!(content(&store) == before);
    }
}
