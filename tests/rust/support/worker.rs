//! An engine at work, acknowledging each step that it calls done, and what must hold afterwards.
#![allow(unreachable_pub)]

use std::collections::{HashMap, HashSet};
use std::fs::{self, File};
use std::io::Write;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use answerable::canonical::{Digest, Map, Value};
use answerable::decision::Effect;
use answerable::engine::{
    Bound, Call, Delegation, Durability, Engine, EngineError, NewGrant, Options, Outcome,
    TaskChoice,
};
use answerable::keys::KeyError;
use answerable::principal::Assurance;
use answerable::recorder::MeterId;
use answerable::registry::{NewHuman, Target};
use answerable::request::{Request, Resource, ToolName};
use answerable::scope::Scope;
use answerable::store::{SledStore, Store, StoreError};
use answerable::trail::entry::{Entry, kind};

const HOUR: i64 = 3_600_000_000;
const THREADS: u64 = 3;
const CEILING: &str = r#"[{"tool":"pay.*"}]"#;
const WIDE: &str =
    r#"[{"tool":"pay.transfer","resource":["account/*"],"limits":[{"calls":1000000}]}]"#;

fn scope(json: &str) -> Scope {
    serde_json::from_str(json).unwrap()
}

fn open(root: &Path, mode: &str) -> Result<Arc<Engine>, EngineError> {
    let options = Options { durability: Durability::parse(mode).unwrap(), ..Options::default() };
    Engine::open(&root.join("store"), options)
}

/// What a store that cannot write may answer; anything else is a fault of ours.
fn excused(error: &EngineError) -> Result<String, String> {
    match error {
        EngineError::Store(StoreError::Unavailable { what }) => Ok(format!("failed: {what}")),
        EngineError::Key(KeyError::File { what, .. }) => Ok(format!("failed: {what}")),
        other => Err(format!("{other:?}")),
    }
}

fn store_error(error: StoreError) -> EngineError {
    EngineError::Store(error)
}

// ------------------------------------------------------------------ at work

struct Worker {
    engine: Arc<Engine>,
    acks: File,
    failed: AtomicBool,
}

/// Works until `count` calls were made by each thread, or something fails.
pub fn write(
    root: &Path,
    acks: &Path,
    mode: &str,
    count: u64,
    abort: bool,
) -> Result<String, String> {
    let engine = match open(root, mode) {
        Ok(engine) => engine,
        Err(error) => return excused(&error),
    };
    let acks = fs::OpenOptions::new().append(true).create(true).open(acks).unwrap();
    let worker = Worker { engine, acks, failed: AtomicBool::new(false) };
    worker.ack(&format!("a {}", worker.engine.authority().paserk()));
    let grants = match worker.prepare() {
        Ok(grants) => grants,
        Err(error) => return worker.denies(&error),
    };
    let done: Vec<Result<(), EngineError>> = std::thread::scope(|scope| {
        let work = |thread| worker.work(&grants[thread as usize % 2], thread, count);
        let handles: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        handles.into_iter().map(|handle| handle.join().unwrap()).collect()
    });
    if let Some(error) = done.into_iter().find_map(Result::err) {
        return worker.denies(&error);
    }
    if abort {
        std::process::abort();
    }
    match worker.engine.close() {
        Ok(()) => Ok("done".to_owned()),
        Err(error) => worker.denies(&error),
    }
}

impl Worker {
    fn ack(&self, line: &str) {
        (&self.acks).write_all(format!("{line}\n").as_bytes()).unwrap();
    }

    /// A root grant and one below it.
    fn prepare(&self) -> Result<[Arc<Bound>; 2], EngineError> {
        let engine = &self.engine;
        let human = match engine.find_human("alice@example.com") {
            Ok(human) => human,
            Err(_) => engine.register_human(&NewHuman {
                account: "alice@example.com",
                issuer: "local",
                name: Some("Alice"),
                assurance: Assurance::Asserted,
                by: None,
            })?,
        };
        for name in ["planner", "booker"] {
            if engine.find_agent(name).is_err() {
                engine.issue_agent(
                    name,
                    human.id,
                    "tests",
                    scope(CEILING),
                    9 * HOUR,
                    None,
                    None,
                )?;
            }
        }
        let root = self.grant()?;
        let new = Delegation {
            agent: engine.find_agent("booker")?.id,
            scope: scope(WIDE),
            limits: vec![],
            ttl: None,
            further_hops: 0,
            statement: Some("Pay the deposit".to_owned()),
        };
        let child = engine.delegate(&root, new, None)?;
        self.ack_grant(&child);
        Ok([root, child])
    }

    fn grant(&self) -> Result<Arc<Bound>, EngineError> {
        let engine = &self.engine;
        let grant = engine.grant(NewGrant {
            human: engine.find_human("alice@example.com")?.id,
            agent: engine.find_agent("planner")?.id,
            task: TaskChoice::New("Book the Lisbon offsite".to_owned()),
            scope: scope(WIDE),
            limits: vec![],
            ttl: HOUR,
            further_hops: 1,
            by: None,
        })?;
        self.ack_grant(&grant);
        Ok(grant)
    }

    fn ack_grant(&self, grant: &Bound) {
        let leaf = grant.chain().leaf();
        self.ack(&format!("g {} {} {}", hex(&leaf.digest), leaf.payload.id, grant.chain().text()));
    }

    fn work(&self, grant: &Bound, thread: u64, count: u64) -> Result<(), EngineError> {
        for number in 0..count {
            if self.failed.load(Ordering::Acquire) {
                return Ok(());
            }
            let done = self.step(grant, thread, number);
            if done.is_err() {
                self.failed.store(true, Ordering::Release);
                return done;
            }
        }
        Ok(())
    }

    fn step(&self, grant: &Bound, thread: u64, number: u64) -> Result<(), EngineError> {
        match (number + 7 * thread) % 20 {
            3 => {
                let short = self.grant()?;
                let digest = short.chain().leaf().digest;
                let task = short.chain().root().payload.task.id;
                self.call(&short, number)?;
                if thread == 0 {
                    self.engine.end_task(task, "cancelled", None)?;
                    self.ack(&format!("t {task}"));
                } else {
                    self.engine.revoke(&Target::Grant(digest, None), "stolen", None)?;
                    self.ack(&format!("r {}", hex(&digest)));
                }
                let judged = self.engine.judge(&call(Some(&short), number));
                assert_eq!(judged.decision.effect, Effect::Deny);
            }
            13 if thread == 1 => {
                let checkpoint = self.engine.checkpoint()?;
                self.ack(&format!("k {}", hex(checkpoint.text().as_bytes())));
            }
            _ => {}
        }
        self.call(grant, number)
    }

    fn call(&self, grant: &Bound, number: u64) -> Result<(), EngineError> {
        let engine = &self.engine;
        let judged = engine.await_decision(engine.judge(&call(Some(grant), number)));
        if let Some(cause) = judged.cause {
            return Err(store_error(cause));
        }
        let id = judged.entry.unwrap();
        let waits = matches!(engine.durability(), Durability::Before | Durability::Strict);
        let told = || self.ack(&format!("e {} {id}", judged.upto - 1));
        if waits {
            told();
        }
        if judged.decision.effect == Effect::Allow {
            let result = Value::str(&"r".repeat(size(number + 2)));
            if let Some(upto) = engine.finish(&judged, 12, &Outcome::Returned(Ok(result)))? {
                engine.wait(upto)?;
                if engine.durability() == Durability::Strict {
                    self.ack(&format!("o {id}"));
                }
            }
        }
        if !waits {
            // `after` has gated the result by now; of `relaxed` nothing is asked but order.
            engine.wait(judged.upto)?;
            told();
        }
        Ok(())
    }

    /// What must hold once something failed: nothing is allowed, and nothing pretends to work.
    fn denies(&self, error: &EngineError) -> Result<String, String> {
        let fine = excused(error)?;
        if self.engine.check().is_ok() {
            return Err(format!("still healthy after: {error}"));
        }
        let judged = self.engine.judge(&call(None, 1));
        let code = &*judged.decision.reasons[0].code;
        if judged.decision.effect != Effect::Deny || code != "store_unavailable" {
            return Err(format!("{code} after: {error}"));
        }
        if self.engine.checkpoint().is_ok() || self.prepare().is_ok() {
            return Err(format!("a verb went through after: {error}"));
        }
        let _ = self.engine.close();
        Ok(fine)
    }
}

fn size(number: u64) -> usize {
    [0, 60, 700, 5_000, 20_000, 200][number as usize % 6]
}

static MASKING: std::sync::LazyLock<answerable::engine::Masking> =
    std::sync::LazyLock::new(answerable::engine::Masking::default);

fn call(bound: Option<&Bound>, number: u64) -> Call<'_> {
    let mut arguments = Map::new();
    arguments.insert("account", Value::str(&format!("travel-{}", number % 3)));
    arguments.insert("memo", Value::str(&"m".repeat(size(number))));
    // Every ninth is denied: it names another tool.
    let tool = if number % 9 == 8 { "pay.refund" } else { "pay.transfer" };
    let request = Request {
        resource: Some(Resource::parse(&format!("account/travel-{}", number % 3)).unwrap()),
        template: vec!["account".into()],
        ..Request::new(ToolName::parse(tool).unwrap(), arguments)
    };
    Call {
        tool,
        request: Ok(request),
        by_type: &[],
        beside: &[],
        credentials: &[],
        masking: &MASKING,
        bound,
        against: None,
        parent: None,
        declared: None,
    }
}

fn hex(bytes: &[u8]) -> String {
    data_encoding::HEXLOWER.encode(bytes)
}

fn unhex(text: &str) -> Vec<u8> {
    data_encoding::HEXLOWER.decode(text.as_bytes()).unwrap()
}

// ------------------------------------------------------------------ afterwards

/// Opens, checks against what was acknowledged, goes on working, opens and checks again.
pub fn check(root: &Path, acks: &str, mode: &str) -> Result<String, String> {
    let opened = || open(root, mode).map_err(|error| format!("open: {error}"));
    let size = {
        let engine = opened()?;
        let size = Afterwards::of(&engine)?.check(acks)?;
        let engine = go_on(engine)?;
        engine.close().map_err(|error| format!("close: {error}"))?;
        size
    };
    let engine = opened().map_err(|fault| format!("again: {fault}"))?;
    let afterwards = Afterwards::of(&engine).map_err(|fault| format!("again: {fault}"))?;
    afterwards.check(acks).map_err(|fault| format!("again: {fault}"))?;
    if engine.size().unwrap() <= size {
        return Err("what went on was not kept".to_owned());
    }
    engine.close().map_err(|error| format!("close: {error}"))?;
    afterwards.meters(root, mode)?;
    Ok(size.to_string())
}

fn go_on(engine: Arc<Engine>) -> Result<Arc<Engine>, String> {
    let acks = tempfile::tempfile().unwrap();
    let worker = Worker { engine, acks, failed: AtomicBool::new(false) };
    let went = worker.prepare().and_then(|grants| worker.call(&grants[1], 4));
    went.map_err(|error| format!("going on: {error}"))?;
    Ok(worker.engine)
}

struct Afterwards<'a> {
    engine: &'a Engine,
    entries: Vec<Entry>,
}

impl<'a> Afterwards<'a> {
    fn of(engine: &'a Engine) -> Result<Self, String> {
        let mut entries = Vec::new();
        engine
            .each_entry(0, &mut |entry| {
                entries.push(entry);
                Ok(true)
            })
            .map_err(|error| format!("reading: {error}"))?;
        Ok(Self { engine, entries })
    }

    fn of_kind(&self, kind: &'static str) -> impl Iterator<Item = &Entry> {
        self.entries.iter().filter(move |entry| entry.kind() == kind)
    }

    /// How many entries there are; an error if one acknowledged is missing or anything disagrees.
    fn check(&self, acks: &str) -> Result<u64, String> {
        let mut since = Vec::new();
        let outcomes: HashSet<&str> =
            self.of_kind(kind::OUTCOME).map(|outcome| outcome.text("decision")).collect();
        for line in acks.lines() {
            let parts: Vec<&str> = line.split(' ').collect();
            let lost = || format!("lost: {line:.120}");
            let told = |error: EngineError| format!("{line:.120}: {error}");
            match parts[0] {
                "a" if self.engine.authority().paserk() == parts[1] => {}
                "e" => {
                    let at: usize = parts[1].parse().unwrap();
                    let entry = self.entries.get(at).ok_or_else(lost)?;
                    if entry.id() != parts[2] || entry.kind() != kind::DECISION {
                        return Err(lost());
                    }
                }
                "o" if outcomes.contains(parts[1]) => {}
                "g" => {
                    let digest: Digest = unhex(parts[1]).try_into().unwrap();
                    let entry = self.engine.grant_entry(&digest).map_err(told)?.ok_or_else(lost)?;
                    let id = self.engine.grant_digest(parts[2]).map_err(told)?;
                    if id != digest || entry.text("grant") != parts[2] {
                        return Err(lost());
                    }
                    let task = entry.text("task").parse().unwrap();
                    self.engine.task_sentence(&task).map_err(told)?;
                    let bound = self.engine.accept(parts[3], vec![]).map_err(told)?;
                    self.agrees(&bound)?;
                }
                "r" => {
                    let digest = unhex(parts[1]);
                    let stands = |entry: &Entry| {
                        entry.fields.get("digest").and_then(Value::as_bytes) == Some(&digest)
                    };
                    if !self.of_kind(kind::REVOCATION).any(stands) {
                        return Err(lost());
                    }
                }
                "t" => {
                    let stands =
                        |e: &Entry| e.text("task") == parts[1] && e.text("action") == "ended";
                    if !self.of_kind(kind::TASK).any(stands) {
                        return Err(lost());
                    }
                }
                "k" => since.push(String::from_utf8(unhex(parts[1])).unwrap()),
                _ => return Err(lost()),
            }
        }
        let made = |action| {
            self.of_kind(kind::IDENTITY).filter(|entry| entry.text("action") == action).count()
        };
        if (self.engine.humans().len(), self.engine.agents().len())
            != (made("registered"), made("issued"))
        {
            return Err("the registry is not what the trail says".to_owned());
        }
        match self.engine.verify(&since) {
            Ok(Ok(report)) if report.since_agreed == since.len() as u64 => {
                Ok(self.entries.len() as u64)
            }
            Ok(Ok(report)) => Err(format!("{} checkpoints agreed", report.since_agreed)),
            Ok(Err(faults)) => Err(format!("verify: {faults}")),
            Err(error) => Err(format!("verify: {error}")),
        }
    }

    /// The state says of a chain what the trail says of it.
    fn agrees(&self, bound: &Bound) -> Result<(), String> {
        let on_it: Vec<Digest> = bound.chain().hops().iter().map(|hop| hop.digest).collect();
        let task = bound.chain().root().payload.task.id.to_string();
        let revoked = self.of_kind(kind::REVOCATION).any(|entry| {
            let digest = entry.fields.get("digest").and_then(Value::as_bytes);
            on_it.iter().any(|hop| digest == Some(hop))
        });
        let ended = self
            .of_kind(kind::TASK)
            .any(|entry| entry.text("action") == "ended" && entry.text("task") == task);
        let call = call(Some(bound), 0);
        let decision = self.engine.check_call(Some(bound), call.request.as_ref().unwrap());
        let allowed = decision.effect == Effect::Allow;
        if allowed == (revoked || ended) {
            let leaf = hex(&bound.chain().leaf().digest);
            return Err(format!("{leaf}: allowed {allowed}, revoked {revoked}, ended {ended}"));
        }
        Ok(())
    }

    /// The meters of limits, read from the closed store: never below the allowed calls.
    fn meters(&self, root: &Path, mode: &str) -> Result<(), String> {
        let mut used: HashMap<Digest, u64> = HashMap::new();
        for entry in self.of_kind(kind::DECISION).filter(|entry| entry.text("effect") == "allow") {
            for digest in entry.digests("chain") {
                *used.entry(digest).or_default() += 1;
            }
        }
        let store = SledStore::open(root.join("store"), 0).map_err(|error| error.to_string())?;
        for (grant, used) in used {
            let key = MeterId { grant, capability: 0, limit: 0 }.key();
            let stored = store.get(&key).map_err(|error| error.to_string())?;
            let stored = stored.map_or(0, |bytes| u64::from_be_bytes(bytes.try_into().unwrap()));
            let exact = ["before", "strict"].contains(&mode);
            if stored < used || exact && stored != used {
                return Err(format!("the meter of {} says {stored}, not {used}", hex(&grant)));
            }
        }
        Ok(())
    }
}

// ------------------------------------------------------------------ by hand

fn copy(from: &Path, to: &Path) {
    fs::create_dir(to).unwrap();
    fs::set_permissions(to, fs::metadata(from).unwrap().permissions()).unwrap();
    for entry in fs::read_dir(from).unwrap() {
        let entry = entry.unwrap();
        if entry.path().is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()));
        } else {
            fs::copy(entry.path(), to.join(entry.file_name())).unwrap();
        }
    }
}

/// A copy of the folder is put back after the trail has gone on: a checkpoint that left the
/// machine meanwhile tells, for the store and for an export of it.
pub fn rolled_back(root: &Path) {
    let (store, aside) = (root.join("store"), root.join("aside"));
    let engine = go_on(open(root, "before").unwrap()).unwrap();
    let (authority, before) = (engine.authority(), engine.checkpoint().unwrap());
    engine.close().unwrap();
    copy(&store, &aside);
    let engine = go_on(open(root, "before").unwrap()).unwrap();
    let kept = engine.checkpoint().unwrap();
    let mut newer = Vec::new();
    engine.export(&mut newer).unwrap();
    engine.close().unwrap();

    fs::remove_dir_all(&store).unwrap();
    copy(&aside, &store);
    let refused = open(root, "before").err().map(|error| error.to_string()).unwrap_or_default();
    assert!(refused.contains("was put back"), "{refused}");
    // Whoever put it back can put back, or remove, what is kept beside it too.
    fs::remove_file(store.with_extension("checkpoint")).unwrap();
    let (size, seen) = (before.claimed().size, kept.claimed().size);
    let found = |since: &str, goes_on: bool| {
        let engine = open(root, "before").unwrap();
        let engine = if goes_on { go_on(engine).unwrap() } else { engine };
        let live = engine.verify(&[since.to_owned()]).unwrap();
        let mut export = Vec::new();
        engine.export(&mut export).unwrap();
        engine.close().unwrap();
        let filed = answerable::trail::verify::verify(
            &mut &export[..],
            &authority,
            &[since],
            &mut |_, _| (),
        );
        (live, filed)
    };
    // The checkpoint of the moment of the copy is in order.
    let (live, filed) = found(before.text(), false);
    assert!(live.is_ok() && filed.is_ok());
    // The later one covers entries that are gone, and says which.
    for report in [found(kept.text(), false).0, found(kept.text(), false).1] {
        let Err(answerable::trail::verify::VerifyError::Corrupted(report)) = report else {
            panic!("not found")
        };
        let fault = &report.faults[0];
        assert_eq!(fault.code.slug(), "cut_tail_or_rolled_back", "{fault}");
        let at = (fault.place.index, fault.place.through);
        assert_eq!(at, (Some(size), Some(seen - 1)), "{fault}");
    }
    // Nor does it help to go on from the copy until the trail is as long: it is another history.
    for report in [found(kept.text(), true).0, found(kept.text(), true).1] {
        let Err(answerable::trail::verify::VerifyError::Corrupted(report)) = report else {
            panic!("not found")
        };
        assert_eq!(report.faults[0].code.slug(), "history_rewritten", "{}", report.faults[0]);
    }
    let newer = answerable::trail::verify::verify(
        &mut &newer[..],
        &authority,
        &[kept.text()],
        &mut |_, _| (),
    );
    assert!(newer.is_ok());
}

/// The folder stands, the records in it do not: no second authority is made over the first.
pub fn emptied(root: &Path) {
    let engine = go_on(open(root, "before").unwrap()).unwrap();
    engine.close().unwrap();
    for entry in fs::read_dir(root.join("store")).unwrap() {
        let entry = entry.unwrap();
        let name = entry.file_name().to_string_lossy().into_owned();
        if name == "db" || name.starts_with("snap.") {
            fs::remove_file(entry.path()).unwrap();
        }
    }
    let error = open(root, "before").unwrap_err();
    assert!(matches!(&error, EngineError::Store(StoreError::Corrupt { .. })), "{error}");
    assert!(error.to_string().contains("gone"), "{error}");
}
