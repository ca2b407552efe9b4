//! The engine under SIGKILL, power cuts and failing calls: whatever it acknowledged stands in the
//! trail afterwards, the trail verifies, the state says what the trail says, and the engine goes on.
//!
//! `ANSWERABLE_FAULTS=full` runs many more points; `ANSWERABLE_SEED` picks other points.
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
#[path = "support/worker.rs"]
mod worker;

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use powercut::{Dice, Recording, Survival};

fn full() -> bool {
    std::env::var("ANSWERABLE_FAULTS").is_ok_and(|level| level == "full")
}

fn seed() -> u64 {
    std::env::var("ANSWERABLE_SEED").ok().and_then(|seed| seed.parse().ok()).unwrap_or(1)
}

/// Does nothing unless started by a test below, as the process that is killed or checked.
#[test]
fn child() {
    let Ok(job) = std::env::var("ENGINE_FAULTS_CHILD") else { return };
    let root = PathBuf::from(std::env::var("ENGINE_FAULTS_DIR").unwrap());
    let acks = PathBuf::from(std::env::var("POWERCUT_ACK").unwrap());
    let number = |name: &str| std::env::var(name).ok().and_then(|text| text.parse::<u64>().ok());
    let mode = std::env::var("ENGINE_FAULTS_MODE").unwrap_or_else(|_| "before".to_owned());
    let told = match job.as_str() {
        "write" => {
            let count = number("ENGINE_FAULTS_COUNT").unwrap_or(u64::MAX);
            worker::write(&root, &acks, &mode, count, number("ENGINE_FAULTS_ABORT").is_some())
        }
        "check" => worker::check(&root, &fs::read_to_string(acks).unwrap_or_default(), &mode),
        other => panic!("{other}"),
    };
    println!(
        "{}",
        told.map_or_else(|fault| format!("FAULT {fault}"), |fine| format!("FINE {fine}"))
    );
}

fn run(job: &str, root: &Path, acks: &Path, mode: &str) -> Command {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command
        .args(["--exact", "child", "--nocapture"])
        .env("ENGINE_FAULTS_CHILD", job)
        .env("ENGINE_FAULTS_DIR", root)
        .env("ENGINE_FAULTS_MODE", mode)
        .env("POWERCUT_ACK", acks);
    command
}

/// What a command said; where it stood if it had to be killed, long after any load explains it.
fn output(command: &mut Command) -> Result<Output, String> {
    let mut child = command.stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let until = Instant::now() + Duration::from_secs(600);
    while child.try_wait().unwrap().is_none() {
        if Instant::now() > until {
            let threads = threads(child.id());
            child.kill().unwrap();
            child.wait().unwrap();
            return Err(format!("it hangs: {threads}"));
        }
        std::thread::sleep(Duration::from_millis(2));
    }
    Ok(child.wait_with_output().unwrap())
}

/// What each thread of a process does, as far as the system tells.
fn threads(process: u32) -> String {
    let mut told = String::new();
    for thread in fs::read_dir(format!("/proc/{process}/task")).into_iter().flatten().flatten() {
        let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        let stat = read("stat");
        let after: Vec<&str> =
            stat.rsplit_once(") ").map_or(vec![], |(_, rest)| rest.split(' ').collect());
        let at = |place: usize| after.get(place).copied().unwrap_or_default();
        let (name, waits) = (read("comm"), read("wchan"));
        told +=
            &format!("{}: {} in `{waits}`, {} + {} ticks; ", name.trim(), at(0), at(11), at(12));
    }
    told
}

/// What a child found: `Ok` with its own words.
fn answer(command: &mut Command) -> Result<String, String> {
    let output = output(command)?;
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    match (said(&text, "FAULT "), said(&text, "FINE ")) {
        (Some(fault), _) => Err(fault),
        (None, Some(fine)) => Ok(fine),
        (None, None) => Err(format!("it died: {output:?}")),
    }
}

fn said(text: &str, word: &str) -> Option<String> {
    let (_, rest) = text.split_once(word)?;
    rest.lines().next().map(str::to_owned)
}

fn check(root: &Path, acks: &Path, mode: &str) -> Result<String, String> {
    answer(&mut run("check", root, acks, mode))
}

fn lines(acks: &Path) -> usize {
    fs::read(acks).map_or(0, |bytes| bytes.iter().filter(|byte| **byte == b'\n').count())
}

fn decisions(acks: &str) -> usize {
    acks.lines().filter(|line| line.starts_with("e ")).count()
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

    /// A folder of our own: the store lies in it, and its key beside the store.
    fn folder(&self, name: &str) -> PathBuf {
        use std::os::unix::fs::DirBuilderExt;
        let path = self.at(name);
        fs::DirBuilder::new().mode(0o700).create(&path).unwrap();
        path
    }
}

#[test]
fn a_killed_engine_loses_nothing_acknowledged() {
    let place = Place::new();
    let mut dice = Dice(seed());
    let kills = if full() { 150 } else { 30 };
    let (mut root, mut acks) = (PathBuf::new(), PathBuf::new());
    let mut acked = 0;
    for kill in 0..kills {
        if kill % 10 == 0 {
            root = place.folder(&format!("{kill}"));
            acks = place.at(&format!("{kill} acks"));
        }
        // Not after so long: after so many acknowledgements, and then at any moment.
        let told = lines(&acks);
        let more = 1 + dice.below(if kill % 5 == 0 { 100 } else { 16 });
        let mut child = run("write", &root, &acks, "before").stdout(Stdio::null()).spawn().unwrap();
        while lines(&acks) < told + more {
            let ended = child.try_wait().unwrap();
            assert!(ended.is_none(), "kill {kill}: ended by itself: {ended:?}");
            std::thread::sleep(Duration::from_micros(500));
        }
        std::thread::sleep(Duration::from_micros(dice.below(3_000) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        check(&root, &acks, "before").unwrap_or_else(|fault| panic!("kill {kill}: {fault}"));
        if kill % 10 == 9 {
            acked += decisions(&fs::read_to_string(&acks).unwrap());
        }
    }
    eprintln!("SIGKILL: {kills} kills, {acked} decisions acknowledged, 0 lost");
    assert!(acked > kills, "hardly anything was written before the kills");
}

#[test]
fn a_killed_bootstrap_is_a_fresh_start_or_a_whole_authority() {
    let place = Place::new();
    let mut dice = Dice(seed());
    let kills = if full() { 100 } else { 12 };
    let mut whole = 0;
    for kill in 0..kills {
        let root = place.folder(&format!("{kill}"));
        let acks = place.at(&format!("{kill} acks"));
        let mut child = run("write", &root, &acks, "before").stdout(Stdio::null()).spawn().unwrap();
        std::thread::sleep(Duration::from_micros(5_000 + dice.below(60_000) as u64));
        child.kill().unwrap();
        child.wait().unwrap();
        whole += usize::from(root.join("store/AUTHORITY").exists());
        check(&root, &acks, "before").unwrap_or_else(|fault| panic!("kill {kill}: {fault}"));
    }
    eprintln!("bootstrap: {kills} kills, {whole} after the authority was made");
}

fn record(place: &Place, name: &str, mode: &str, count: u64) -> Recording {
    let (root, log, acks) =
        (place.folder(name), place.at(&format!("{name} log")), place.at(&format!("{name} acks")));
    // The first process dies without closing, the second takes up from there.
    for abort in [true, false] {
        let mut command = run("write", &root, &acks, mode);
        powercut::watch(&mut command, &root, &log, &acks);
        command.env("ENGINE_FAULTS_COUNT", count.to_string());
        if abort {
            command.env("ENGINE_FAULTS_ABORT", "1");
        }
        let output = output(&mut command).unwrap();
        assert_eq!(output.status.success(), !abort, "{output:?}");
    }
    Recording::read(&log, &root)
}

fn cut(place: &Place, recording: &Recording, mode: &str, survival: Survival, cuts: usize) {
    let mut dice = Dice(seed());
    let (target, acks) = (place.at(&format!("{mode} {survival:?}")), place.at("cut acks"));
    let (mut acked, mut faults) = (0, Vec::new());
    for number in 0..cuts {
        // Every third cut falls into the first opening, where keys and authority are made.
        let first = recording.ops.len().min(60);
        let at = dice.below(1 + if number % 3 == 0 { first } else { recording.ops.len() });
        recording.cut(at, survival, &mut dice, &target);
        fs::write(&acks, recording.acks(at)).unwrap();
        acked += decisions(&fs::read_to_string(&acks).unwrap());
        if let Err(fault) = check(&target, &acks, mode) {
            faults.push(format!("cut at {at} of {}: {fault}", recording.ops.len()));
        }
        fs::remove_dir_all(&target).unwrap();
    }
    eprintln!(
        "power cuts, `{mode}`, {survival:?} of the unsynced kept: {cuts} cuts, {acked} decisions acknowledged, {} with faults",
        faults.len()
    );
    assert!(faults.is_empty(), "{survival:?}, {mode}:\n  {}", faults.join("\n  "));
}

#[test]
fn a_power_cut_loses_nothing_acknowledged() {
    let place = Place::quick();
    let (calls, cuts) = if full() { (100, 100) } else { (40, 8) };
    let recording = record(&place, "before", "before", calls);
    for survival in [Survival::Nothing, Survival::Prefix, Survival::Subset] {
        cut(&place, &recording, "before", survival, cuts);
    }
}

#[test]
fn a_power_cut_loses_no_released_result() {
    let place = Place::quick();
    let (calls, cuts) = if full() { (60, 40) } else { (20, 3) };
    for mode in ["strict", "after"] {
        let recording = record(&place, mode, mode, calls);
        for survival in [Survival::Nothing, Survival::Subset] {
            cut(&place, &recording, mode, survival, cuts);
        }
    }
}

#[test]
fn after_a_failing_call_nothing_is_allowed_and_nothing_acknowledged_is_lost() {
    let mut dice = Dice(seed());
    let place = Place::quick();
    let points = if full() { 120 } else { 15 };
    let mut reported = 0;
    for point in 0..points {
        let (root, name) = (place.folder(&format!("{point}")), format!("{point} acks"));
        let acks = place.at(&name);
        let kind = ["eio", "enospc", "short"][point % 3];
        let mode = ["before", "relaxed", "strict", "after"][point % 4];
        // The first third falls into the first opening.
        let at = 1 + if point % 9 < 3 { dice.below(60) } else { 50 + dice.below(250) };
        let mut command = run("write", &root, &acks, mode);
        powercut::watch(&mut command, &root, &place.at(&format!("{name} log")), &acks);
        command
            .env("ENGINE_FAULTS_COUNT", "40")
            .env("POWERCUT_FAIL", kind)
            .env("POWERCUT_FAIL_AT", at.to_string());
        if point % 2 == 1 {
            command.env("POWERCUT_STICKY", "1");
        }
        let named = format!("{kind} at call {at}, `{mode}`");
        let fine = answer(&mut command).unwrap_or_else(|fault| panic!("{named}: {fault}"));
        reported += usize::from(fine.starts_with("failed"));
        check(&root, &acks, mode).unwrap_or_else(|fault| panic!("{named}: {fault}"));
        fs::remove_dir_all(root).unwrap();
    }
    eprintln!("failing calls: {points} points, {reported} reported, 0 lost");
}

#[test]
fn a_store_that_was_rolled_back_is_found() {
    worker::rolled_back(&Place::new().folder("a"));
}

#[test]
fn a_folder_that_lost_its_records_is_no_new_store() {
    worker::emptied(&Place::new().folder("a"));
}
