//! The store under SIGKILL, power cuts and failing calls: whatever was acknowledged is there
//! afterwards, each batch is there whole or not at all, and the store goes on working.
//!
//! `ANSWERABLE_FAULTS=full` runs many more points and prints the figures; `ANSWERABLE_SEED` picks
//! other points.
#![cfg(target_os = "linux")]
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::print_stdout,
    clippy::print_stderr,
    clippy::indexing_slicing
)]

#[path = "support/powercut.rs"]
mod powercut;

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use answerable::store::{Batch, SledStore, Store, StoreError};
use powercut::{Dice, Recording, Survival};

fn full() -> bool {
    std::env::var("ANSWERABLE_FAULTS").is_ok_and(|level| level == "full")
}

fn seed() -> u64 {
    std::env::var("ANSWERABLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

// ------------------------------------------------------------------ what is written and checked

fn filled(length: usize, seed: u64) -> Vec<u8> {
    let mut dice = Dice(seed);
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend_from_slice(&dice.next().to_le_bytes());
    }
    bytes.truncate(length);
    bytes
}

/// Batch `number`, the same whoever makes it: entries of its own, entries that others overwrite,
/// one that the next batch deletes.
fn batch(number: u64) -> Batch {
    let mut batch = Batch::new();
    for (key, value) in entries(number) {
        batch.put(key, value);
    }
    batch.put(format!("h/{:02}", number % 50), filled(400, number));
    batch.put("last", number.to_le_bytes());
    batch.put(format!("d/{number:08}"), "");
    batch.delete(format!("d/{:08}", number.wrapping_sub(1)));
    batch.room(format!("b/{:08}/", number + 20));
    batch
}

fn entries(number: u64) -> impl Iterator<Item = (String, Vec<u8>)> {
    (0..1 + number % 9).map(move |index| {
        let length = match (number * 31 + index * 17) % 29 {
            0 => 60_000,
            other => other as usize * 60,
        };
        (format!("b/{number:08}/{index}"), filled(length, number << 8 | index))
    })
}

/// The last batch found; an error if one up to `acked` is missing, or any is there in part.
fn check(store: &dyn Store, acked: u64) -> Result<u64, String> {
    let number = |bytes: &[u8]| u64::from_le_bytes(bytes.try_into().unwrap());
    let told = |error: StoreError| format!("cannot read: {error}");
    let last = store.get(b"last").map_err(told)?.map_or(0, |bytes| number(&bytes));
    if last < acked {
        return Err(format!("lost {} of {acked}", acked - last));
    }
    let mut expected = (1..=last).flat_map(entries);
    let mut fault = None;
    let mut each = |key: &[u8], value: &[u8]| {
        match expected.next() {
            Some((name, content)) if name.as_bytes() == key && content == value => {}
            other => {
                let other = other.map(|(name, _)| name);
                fault = Some(format!("`{}` for {other:?}", String::from_utf8_lossy(key)));
            }
        }
        fault.is_none()
    };
    store.scan(b"b/", None, &mut each).map_err(told)?;
    if let Some(fault) = fault {
        return Err(format!("found {fault} of {last}"));
    }
    if let Some((missing, _)) = expected.next() {
        return Err(format!("`{missing}` of {last} is missing"));
    }
    for slot in last.saturating_sub(49).max(1)..=last {
        let key = format!("h/{:02}", slot % 50);
        if store.get(key.as_bytes()).map_err(told)? != Some(filled(400, slot)) {
            return Err(format!("`{key}` is not that of {slot}"));
        }
    }
    let mut marks = Vec::new();
    let mut each = |key: &[u8], _: &[u8]| {
        marks.push(String::from_utf8_lossy(key).into_owned());
        true
    };
    store.scan_back(b"d/", None, &mut each).map_err(told)?;
    let expected: Vec<String> = (last > 0).then(|| format!("d/{last:08}")).into_iter().collect();
    if marks != expected {
        return Err(format!("{marks:?} instead of {expected:?}"));
    }
    Ok(last)
}

// ------------------------------------------------------------------ the children

/// Does nothing unless started by a test below, as the process that is killed or checked.
#[test]
fn child() {
    let Ok(job) = std::env::var("STORE_FAULTS_CHILD") else { return };
    let path = PathBuf::from(std::env::var("STORE_FAULTS_DIR").unwrap());
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    match job.as_str() {
        "write" => write(&path, number("STORE_FAULTS_COUNT"), number("STORE_FAULTS_ABORT")),
        "check" => {
            let told = recheck(&path, number("STORE_FAULTS_ACKED").unwrap());
            println!(
                "{}",
                told.map_or_else(|fault| format!("FAULT {fault}"), |last| format!("FINE {last}"))
            );
        }
        other => panic!("{other}"),
    }
}

/// Commits batch after batch and acknowledges each; reopens the store now and then. A failed
/// commit must leave a handle that does nothing more.
fn write(path: &Path, count: Option<u64>, abort_at: Option<u64>) {
    let mut acks = fs::OpenOptions::new()
        .append(true)
        .create(true)
        .open(std::env::var("POWERCUT_ACK").unwrap())
        .unwrap();
    let open = || SledStore::open(path, 0);
    let mut store = match open() {
        Ok(store) => store,
        Err(error) => return println!("FAILED {}", error.code()),
    };
    let last = store
        .get(b"last")
        .unwrap()
        .map_or(0, |bytes| u64::from_le_bytes(bytes.try_into().unwrap()));
    for number in last + 1..count.map_or(u64::MAX, |count| last + 1 + count) {
        if let Err(error) = store.commit(batch(number)) {
            for result in [store.commit(batch(number)), store.get(b"last").map(|_| ())] {
                assert_eq!(result.unwrap_err().code(), "store_unavailable");
            }
            let _ = store.close();
            // The failed handle holds nothing back, in this process either.
            if let Err(again) = open() {
                assert_eq!(again.code(), "store_unavailable", "{again}");
            }
            return println!("FAILED {}", error.code());
        }
        acks.write_all(format!("{number}\n").as_bytes()).unwrap();
        if Some(number) == abort_at {
            std::process::abort();
        }
        if number % 100 == 60 {
            // By turns closed and only dropped.
            let closed = if number % 200 == 60 { store.close() } else { Ok(()) };
            if let Err(error) = closed {
                return println!("FAILED {}", error.code());
            }
            drop(store);
            store = match open() {
                Ok(store) => store,
                Err(error) => return println!("FAILED {}", error.code()),
            };
        }
    }
    match store.close() {
        Ok(()) => println!("DONE"),
        Err(error) => println!("FAILED {}", error.code()),
    }
}

/// Opens, checks, goes on writing, opens and checks again.
fn recheck(path: &Path, acked: u64) -> Result<u64, String> {
    let open =
        || SledStore::open(path, 0).map_err(|error| format!("open: {}: {error}", error.code()));
    let store = open()?;
    let last = check(&store, acked)?;
    for number in last + 1..last + 12 {
        store.commit(batch(number)).map_err(|error| format!("write: {error}"))?;
    }
    drop(store);
    check(&open()?, last + 11).map_err(|fault| format!("afterwards: {fault}"))?;
    Ok(last)
}

fn run(job: &str, path: &Path) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env("STORE_FAULTS_CHILD", job)
        .env("STORE_FAULTS_DIR", path);
    command
}

/// The answer of a checking child: it may panic or hang without harm to the others.
fn checked(path: &Path, acked: u64) -> Result<u64, String> {
    let mut command = run("check", path);
    command.env("STORE_FAULTS_ACKED", acked.to_string()).stderr(Stdio::null());
    let Some(output) = output(&mut command) else { return Err("open: hangs".to_owned()) };
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    if let Some(fault) = said(&text, "FAULT ") {
        return Err(fault);
    }
    let last = said(&text, "FINE ").ok_or_else(|| format!("open: died ({})", output.status))?;
    Ok(last.parse().unwrap())
}

/// What a command said; `None` if it had to be killed, long after any load explains it.
fn output(command: &mut Command) -> Option<Output> {
    let mut child = command.stdout(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(600);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            child.kill().unwrap();
            child.wait().unwrap();
            return None;
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Some(child.wait_with_output().unwrap())
}

/// What follows `word`; the test runner prints its own words on the same line.
fn said(text: &str, word: &str) -> Option<String> {
    let (_, rest) = text.split_once(word)?;
    rest.lines().next().map(str::to_owned)
}

fn last_ack(acks: &[u8]) -> u64 {
    let text = std::str::from_utf8(acks).unwrap();
    text.lines().last().map_or(0, |line| line.parse().unwrap())
}

struct Place {
    dir: tempfile::TempDir,
    root: PathBuf,
}

impl Place {
    fn new() -> Self {
        Self::of(tempfile::tempdir().unwrap())
    }

    /// In memory where there is such a folder: for what a model keeps, not a disk.
    fn quick() -> Self {
        Self::of(tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap()))
    }

    fn of(dir: tempfile::TempDir) -> Self {
        let root = dir.path().canonicalize().unwrap();
        Self { dir, root }
    }

    fn at(&self, name: &str) -> PathBuf {
        let _ = &self.dir;
        self.root.join(name)
    }
}

// ------------------------------------------------------------------ the tests

#[test]
fn a_killed_process_loses_nothing_acknowledged() {
    let place = Place::new();
    let mut dice = Dice(seed());
    let kills = if full() { 60 } else { 30 };
    let longest = if full() { 300 } else { 180 };
    let (mut acked, mut round) = (0, 0);
    let mut store = place.at("store 0");
    let mut total = 0;
    while round < kills {
        // A fresh store now and then: its creation is a moment to be killed in as well.
        if round % 10 == 0 {
            store = place.at(&format!("store {round}"));
            total += acked;
            acked = 0;
            let _ = fs::remove_file(place.at("acks"));
        }
        round += 1;
        let mut command = run("write", &store);
        let mut child =
            command.env("POWERCUT_ACK", place.at("acks")).stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_millis(20 + dice.below(longest - 20) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        acked = last_ack(&fs::read(place.at("acks")).unwrap_or_default()).max(acked);
        acked = checked(&store, acked).unwrap_or_else(|fault| panic!("kill {round}: {fault}")) + 11;
    }
    eprintln!("SIGKILL: {kills} kills, {} batches, 0 lost", total + acked);
}

fn record(place: &Place, batches: u64) -> Recording {
    let (store, log, acks) = (place.at("store"), place.at("log"), place.at("acks"));
    fs::DirBuilder::new().create(&store).unwrap();
    fs::set_permissions(&store, std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    // The first process dies without closing, the second takes up from there.
    for abort_at in [batches / 3, u64::MAX] {
        let mut command = run("write", &store);
        powercut::watch(&mut command, &store, &log, &acks);
        command.env("STORE_FAULTS_COUNT", (batches - batches / 3).to_string());
        command.env("STORE_FAULTS_ABORT", abort_at.to_string());
        let output = command.output().unwrap();
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said(&text, "DONE").is_some(), abort_at == u64::MAX, "{output:?}");
    }
    Recording::read(&log, &store)
}

struct Figures {
    cuts: usize,
    acks: u64,
    failed_opens: usize,
    cuts_with_loss: usize,
    faults: Vec<String>,
}

fn cut(
    place: &Place,
    recording: &Recording,
    survival: Survival,
    cuts: usize,
    seed: u64,
) -> Figures {
    let mut dice = Dice(seed);
    let mut figures =
        Figures { cuts, acks: 0, failed_opens: 0, cuts_with_loss: 0, faults: Vec::new() };
    let target = place.at(&format!("{survival:?}"));
    for number in 0..cuts {
        // Every fifth cut falls into the first open, where little has been synced yet.
        let range = if number % 5 == 0 { recording.ops.len().min(60) } else { recording.ops.len() };
        let at = dice.below(range + 1);
        recording.cut(at, survival, &mut dice, &target);
        let acked = last_ack(&recording.acks(at));
        figures.acks += acked;
        if let Err(fault) = checked(&target, acked) {
            if fault.starts_with("open") {
                figures.failed_opens += 1;
            } else {
                figures.cuts_with_loss += 1;
            }
            figures.faults.push(format!("cut at {at} of {}: {fault}", recording.ops.len()));
        }
        fs::remove_dir_all(&target).unwrap();
    }
    eprintln!(
        "power cuts, {survival:?} of the unsynced kept: {} cuts, {} acknowledged, {} with loss, {} failed opens{}{}",
        figures.cuts,
        figures.acks,
        figures.cuts_with_loss,
        figures.failed_opens,
        if figures.faults.is_empty() { "" } else { "\n  " },
        figures.faults.join("\n  ")
    );
    figures
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    let place = Place::quick();
    let recording = record(&place, if full() { 1500 } else { 300 });
    let cuts = if full() { 200 } else { 20 };
    for survival in [Survival::Nothing, Survival::Prefix, Survival::Subset] {
        let figures = cut(&place, &recording, survival, cuts, seed());
        assert!(figures.faults.is_empty(), "{survival:?}");
    }
}

#[test]
fn a_failing_call_is_reported_and_loses_nothing_acknowledged() {
    let mut dice = Dice(seed());
    let place = Place::quick();
    let points = if full() { 240 } else { 18 };
    let mut reported = 0;
    for point in 0..points {
        let name = format!("store {point}");
        let (store, acks) = (place.at(&name), place.at(&format!("{name} acks")));
        let kind = ["eio", "enospc", "short"][point % 3];
        // The first third falls into the creation and the first open.
        let at = 1 + if point % 9 < 3 { dice.below(40) } else { 30 + dice.below(500) };
        let mut command = run("write", &store);
        powercut::watch(&mut command, &store, &place.at(&format!("{name} log")), &acks);
        command
            .env("STORE_FAULTS_COUNT", "150")
            .env("POWERCUT_FAIL", kind)
            .env("POWERCUT_FAIL_AT", at.to_string());
        if point % 2 == 1 {
            command.env("POWERCUT_STICKY", "1");
        }
        let output = output(&mut command).unwrap_or_else(|| panic!("{kind} at call {at}: hangs"));
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let place = format!("{kind} at call {at}");
        assert!(output.status.success(), "{place}: {output:?}");
        match said(&text, "FAILED ") {
            Some(code) => {
                assert_eq!(code, "store_unavailable", "{place}");
                reported += 1;
            }
            None => assert!(said(&text, "DONE").is_some(), "{place}: {text}"),
        }
        let acked = last_ack(&fs::read(acks).unwrap_or_default());
        checked(&store, acked).unwrap_or_else(|fault| panic!("{place}: {fault}"));
        let _ = fs::remove_dir_all(store);
    }
    eprintln!("failing calls: {points} points, {reported} reported, 0 lost");
}
