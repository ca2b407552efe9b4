//! Damaged files: a closed store in which one file was changed opens whole, or says what is
//! damaged. It never dies, hangs, or shows fewer entries without a word.
//!
//! `ANSWERABLE_FAULTS=full` damages 400 files; `ANSWERABLE_SEED` picks other places.
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

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use answerable::canonical::{Map, Value};
use answerable::engine::{
    Call, Engine, EngineError, Erase, Filter, Masking, NewGrant, Options, Outcome, TaskChoice,
};
use answerable::principal::Assurance;
use answerable::registry::NewHuman;
use answerable::request::{Request, Resource, ToolName};
use answerable::trail::verify::VerifyError;
use powercut::Dice;

const HOUR: i64 = 3_600_000_000;
const CALLS: i64 = 300;

/// A store with small and merged blocks, an index, a checkpoint, and, if it was rewritten, files
/// of a later generation.
fn make(root: &Path, rewritten: bool) -> u64 {
    let engine = Engine::open(&root.join("store"), Options::default()).unwrap();
    let new = NewHuman {
        account: "alice@example.com",
        issuer: "local",
        name: Some("Alice"),
        assurance: Assurance::Asserted,
        by: None,
    };
    let human = engine.register_human(&new).unwrap().id;
    let scope = || serde_json::from_str(r#"[{"tool":"pay.*"}]"#).unwrap();
    let agent = engine.issue_agent("planner", human, "tests", scope(), 8 * HOUR, None, None);
    let grant = engine
        .grant(NewGrant {
            human,
            agent: agent.unwrap().id,
            task: TaskChoice::New("Book the Lisbon offsite".to_owned()),
            scope: scope(),
            limits: vec![],
            ttl: HOUR,
            further_hops: 0,
            by: None,
        })
        .unwrap();
    let masking = Masking::default();
    let mut first = None;
    for number in 0..CALLS {
        let mut arguments = Map::new();
        arguments.insert("amount", Value::int(number));
        arguments.insert("note", Value::str(&"n".repeat(number as usize * 7 % 500)));
        let request = Request {
            resource: Some(Resource::parse("account/travel-1").unwrap()),
            ..Request::new(ToolName::parse("pay.transfer").unwrap(), arguments)
        };
        let judged = engine.await_decision(engine.judge(&Call {
            tool: "pay.transfer",
            request: Ok(request),
            by_type: &[],
            beside: &[],
            credentials: &[],
            masking: &masking,
            bound: Some(&grant),
            against: None,
            parent: None,
            declared: None,
        }));
        engine.finish(&judged, 5, &Outcome::Returned(Ok(Value::int(number)))).unwrap();
        first = first.or(judged.entry);
    }
    if rewritten {
        engine.erase(&Erase::Entry(first.unwrap().to_string()), "asked for", None).unwrap();
    }
    engine.entries(&Filter::default()).unwrap();
    engine.close().unwrap();
    let engine = Engine::open(&root.join("store"), Options::default()).unwrap();
    let size = engine.size().unwrap();
    engine.close().unwrap();
    size
}

/// Does nothing unless started by the test below: opens, reads, verifies, goes on.
#[test]
fn child() {
    let Ok(root) = std::env::var("DAMAGE_CHILD") else { return };
    let size: u64 = std::env::var("DAMAGE_SIZE").unwrap().parse().unwrap();
    println!("{}", look(Path::new(&root), size));
}

fn look(root: &Path, size: u64) -> String {
    let said = |at: &str, error: &EngineError| format!("SAYS {at}: {error}");
    let engine = match Engine::open(&root.join("store"), Options::default()) {
        Ok(engine) => engine,
        Err(error) => return said("open", &error),
    };
    let mut count = 0;
    let mut opened = 0;
    let mut each = |entry: answerable::trail::entry::Entry| {
        count += 1;
        opened += entry.opened.len();
        Ok(true)
    };
    if let Err(error) = engine.each_entry(0, &mut each) {
        return said("read", &error);
    }
    let verified = match engine.verify(&[]) {
        Ok(Ok(_)) => None,
        Ok(Err(VerifyError::Corrupted(report))) => {
            Some(format!("SAYS verify: {}", report.faults[0]))
        }
        Ok(Err(other)) => Some(format!("SAYS verify: {other}")),
        Err(error) => Some(said("verify", &error)),
    };
    if let Some(verified) = verified {
        return verified;
    }
    if count < size {
        return format!("LOST {} of {size} entries, and not a word of it", size - count);
    }
    let rows = match engine.entries(&Filter::default()) {
        Ok(rows) => rows.len(),
        Err(error) => return said("ask", &error),
    };
    if let Err(error) = engine.close() {
        return said("close", &error);
    }
    format!("WHOLE {rows} {opened}")
}

fn files(root: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(root).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() { files(&path, found) } else { found.push(path) }
    }
    found.sort();
}

fn copy(from: &Path, to: &Path) {
    use std::os::unix::fs::DirBuilderExt;
    fs::DirBuilder::new().mode(0o700).create(to).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let path = entry.unwrap().path();
        let to = to.join(path.file_name().unwrap());
        if path.is_dir() {
            copy(&path, &to)
        } else {
            {
                fs::copy(&path, to).unwrap();
            }
        }
    }
}

/// Changes one file, and says how. Most of the large data file is never written: what is changed
/// lies where there is something.
fn damage(file: &Path, dice: &mut Dice) -> Option<String> {
    let mut bytes = fs::read(file).unwrap();
    let end = bytes.iter().rposition(|byte| *byte != 0)? + 1;
    let how = match dice.below(8) {
        0..4 => {
            let (at, bit) = (dice.below(end), dice.below(8));
            bytes[at] ^= 1 << bit;
            format!("bit {bit} of byte {at} of {end} flipped")
        }
        4..6 => {
            let length = dice.below(end);
            bytes.truncate(length);
            format!("cut at {length} of {end}")
        }
        6 => {
            let at = dice.below(end) / 512 * 512;
            let upto = (at + 4096).min(end);
            if bytes[at..upto].iter().all(|byte| *byte == 0) {
                return None;
            }
            bytes[at..upto].fill(0);
            format!("zeros from {at} to {upto} of {end}")
        }
        _ => {
            fs::remove_file(file).unwrap();
            return Some("removed".to_owned());
        }
    };
    fs::write(file, bytes).unwrap();
    Some(how)
}

#[test]
fn a_damaged_file_is_told_or_harmless() {
    let place = tempfile::tempdir_in("/dev/shm").unwrap_or_else(|_| tempfile::tempdir().unwrap());
    let place = place.path().canonicalize().unwrap();
    let full = std::env::var("ANSWERABLE_FAULTS").is_ok_and(|level| level == "full");
    let seed = std::env::var("ANSWERABLE_SEED").ok().and_then(|seed| seed.parse().ok());
    let mut dice = Dice(seed.unwrap_or(1));
    let kinds: Vec<(PathBuf, u64)> = [false, true]
        .iter()
        .map(|rewritten| {
            let root = place.join(format!("as {rewritten}"));
            fs::create_dir(&root).unwrap();
            use std::os::unix::fs::PermissionsExt;
            fs::set_permissions(&root, fs::Permissions::from_mode(0o700)).unwrap();
            let size = make(&root, *rewritten);
            (root, size)
        })
        .collect();
    let (mut told, mut faults) = (BTreeMap::<String, [usize; 2]>::new(), Vec::new());
    let mut done = 0;
    while done < if full { 400 } else { 24 } {
        let (root, size) = &kinds[dice.below(2)];
        let target = place.join("target");
        copy(root, &target);
        let mut all = Vec::new();
        files(&target, &mut all);
        // Every other time the file that holds the records.
        let file = match dice.below(2) {
            0 => all.iter().find(|path| path.ends_with("db")).unwrap(),
            _ => &all[dice.below(all.len())],
        };
        let name = file.strip_prefix(&target).unwrap().display().to_string();
        if let Some(how) = damage(file, &mut dice) {
            done += 1;
            let output = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "child", "--nocapture"])
                .env("DAMAGE_CHILD", &target)
                .env("DAMAGE_SIZE", size.to_string())
                .output()
                .unwrap();
            let text = String::from_utf8_lossy(&output.stdout).into_owned();
            let said = text.lines().find_map(|line| line.find("SAYS ").map(|at| &line[at..]));
            let entry = told.entry(name.clone()).or_default();
            if text.contains("WHOLE ") {
                entry[0] += 1;
            } else if let Some(said) = said {
                entry[1] += 1;
                eprintln!("{name}: {how}: {said:.200}");
            } else {
                faults.push(format!("{name}: {how}: {text} {output:?}"));
            }
        }
        fs::remove_dir_all(&target).unwrap();
    }
    for (name, [whole, said]) in &told {
        eprintln!("{name}: {whole} opened whole, {said} told");
    }
    eprintln!("damaged files: {done}, {} neither whole nor told", faults.len());
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}
