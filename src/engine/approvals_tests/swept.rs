//! Housekeeping: what it drops of approvals and grants, and that a kill at any step of it loses
//! nothing, brings nothing back and leaves it to go on.

use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::atomic::AtomicUsize;

use rustix::process::{Signal, getpid, kill_process};

use super::*;
use crate::engine::Swept;
use crate::registry::Target;
use crate::store::{Batch, SledStore, Store, StoreError, Visit};

const DAY: i64 = 24 * HOUR;
/// More than the clock may be set back.
const BEHIND: i64 = 61 * MICROS;

/// Appends an entry, so that the newest one is of now.
fn entry(engine: &Engine, name: &str) {
    human(engine, name);
}

/// Sweeps until nothing is left; what all turns did.
fn sweep(engine: &Engine) -> Swept {
    let mut all = Swept::default();
    loop {
        let swept = engine.keep_house().unwrap();
        all.grants += swept.grants;
        all.approvals += swept.approvals;
        all.records += swept.records;
        if !swept.more {
            return all;
        }
    }
}

fn closed(world: &World, id: ApprovalId) -> bool {
    match world.engine().approval(&id) {
        Ok(_) => true,
        Err(EngineError::Registry(RegistryError::NotFound { .. })) => false,
        Err(error) => panic!("{error}"),
    }
}

#[test]
fn closed_approvals_are_kept_for_their_days_and_then_told_by_the_trail() {
    let world = world();
    let engine = world.engine();
    let yes = world.asked("acme", 80);
    world.approve(yes);
    let paid = world.allowed("acme", 80).entry.unwrap().to_string();
    let lapsed = world.asked("acme", 81);
    let access = engine
        .request_access(
            &world.grant,
            NewAccess {
                scope: scope(r#"[{"tool":"read"}]"#),
                limits: vec![],
                reason: "to look".to_owned(),
                ttl: 3 * HOUR,
            },
        )
        .unwrap();
    let access = access.approval.id;
    world.approve(access);
    let asked = engine.entries(&Filter::default()).unwrap().len();

    // The trail's time decides, and that by more than the clock may be set back.
    let start = world.now.load(Ordering::SeqCst);
    let at = |micros| world.now.store(start + micros, Ordering::SeqCst);
    at(30 * DAY + HOUR + BEHIND - 2 * MICROS);
    entry(engine, "one");
    assert_eq!(sweep(engine).approvals, 0);
    at(30 * DAY + HOUR + BEHIND);
    assert_eq!(sweep(engine).approvals, 0, "the clock alone says nothing");
    entry(engine, "two");
    assert_eq!(sweep(engine).approvals, 1);
    assert_eq!([yes, lapsed, access].map(|id| closed(&world, id)), [false, true, true]);
    // One whose grant lasted longer is kept for longer; an open one has to lapse first.
    at(30 * DAY + 3 * HOUR + BEHIND);
    entry(engine, "three");
    assert_eq!(sweep(engine).approvals, 1);
    assert_eq!([yes, lapsed, access].map(|id| closed(&world, id)), [false, true, false]);

    let world = world.reopened();
    let engine = world.engine();
    assert!(!closed(&world, lapsed), "it lapsed, and went when the store was opened again");
    assert_eq!(sweep(engine).approvals, 0);
    let entries = engine.entries(&Filter::default()).unwrap();
    assert_eq!(entries.len(), asked + 3, "the trail is whole");
    let story = engine.story(&paid).unwrap().to_string();
    assert!(story.contains(&format!("{yes}: approved by bob (asserted)")), "{story}");
    assert!(story.contains(": fine"), "{story}");
    assert!(engine.verify(&[]).unwrap().is_ok());
    assert_eq!(engine.approvals(None).unwrap().len(), 0);
}

/// A store that dies with its process at a commit of housekeeping: before it, or after it.
struct Dying {
    inner: SledStore,
    /// Which one; counted down.
    left: AtomicUsize,
    after: bool,
}

impl Store for Dying {
    fn get(&self, key: &[u8]) -> Result<Option<Vec<u8>>, StoreError> {
        self.inner.get(key)
    }

    fn scan(&self, prefix: &[u8], from: Option<&[u8]>, each: &mut Visit) -> Result<(), StoreError> {
        self.inner.scan(prefix, from, each)
    }

    fn scan_back(
        &self,
        prefix: &[u8],
        before: Option<&[u8]>,
        each: &mut Visit,
    ) -> Result<(), StoreError> {
        self.inner.scan_back(prefix, before, each)
    }

    fn commit(&self, batch: Batch) -> Result<(), StoreError> {
        let sweeps = batch.keys().any(|key| key.starts_with(b"ge/") || key.starts_with(b"l/"));
        let last = sweeps && self.left.fetch_sub(1, Ordering::SeqCst) == 1;
        if last && !self.after {
            die();
        }
        let done = self.inner.commit(batch);
        if last {
            die();
        }
        done
    }

    fn close(&self) -> Result<(), StoreError> {
        self.inner.close()
    }
}

fn die() {
    kill_process(getpid(), Signal::KILL).unwrap();
    std::thread::sleep(Duration::from_secs(60));
}

/// Does nothing unless started by the test below, as the process that dies.
#[test]
fn child() {
    let Ok(path) = std::env::var("SWEEP_IN") else { return };
    let number = |name| std::env::var(name).unwrap().parse::<i64>().unwrap();
    let path = Path::new(&path);
    let store = Dying {
        inner: SledStore::open(path, 0).unwrap(),
        left: AtomicUsize::new(usize::try_from(number("SWEEP_DIE")).unwrap()),
        after: number("SWEEP_AFTER") == 1,
    };
    let clock = Source::Fixed(Arc::new(AtomicI64::new(number("SWEEP_AT"))));
    let options = Options { clock, ..Options::default() };
    let engine = Engine::on_store(path, Arc::new(store), options).unwrap();
    sweep(&engine);
    engine.close().unwrap();
}

/// What lies under the prefixes that housekeeping sweeps.
fn kept(path: &Path) -> Vec<(String, Vec<Vec<u8>>)> {
    let store = SledStore::open(path, 0).unwrap();
    let prefixes = ["ge/", "gp/", "r/g/", "l/", "ac/", "ae/", "ap/", "g/", "i/", "ai/", "aa/"];
    let under = |prefix: &str| {
        let mut keys = Vec::new();
        let mut each = |key: &[u8], _: &[u8]| {
            keys.push(key.to_vec());
            true
        };
        store.scan(prefix.as_bytes(), None, &mut each).unwrap();
        (prefix.to_owned(), keys)
    };
    let found = prefixes.map(under).to_vec();
    store.close().unwrap();
    found
}

/// A store with much to sweep and something to keep: the one world that all kills start from.
struct Full {
    world: World,
    /// Revoked, and not over yet.
    revoked: Arc<Bound>,
    /// Used up, and not over yet.
    drawn: Arc<Bound>,
    /// Revoked, and over.
    over: Arc<Bound>,
}

fn full() -> Full {
    let world = world();
    let engine = world.engine();
    let ceiling = scope(r#"[{"tool":"read"}]"#);
    let reader =
        engine.issue_agent("reader", world.alice.id, "reads", ceiling, 90 * DAY, None, None);
    let reader = reader.unwrap().id;
    let give = |ttl| {
        let new = NewGrant {
            human: world.alice.id,
            agent: reader,
            task: TaskChoice::New("read".to_owned()),
            scope: scope(r#"[{"tool":"read","limits":[{"calls":1}]}]"#),
            limits: vec![],
            ttl,
            further_hops: 0,
            by: None,
        };
        engine.grant(new).unwrap()
    };
    let revoke = |bound: &Bound| {
        let target = Target::Grant(bound.chain().root().digest, None);
        engine.revoke(&target, "x", None).unwrap();
    };
    let short: Vec<_> = (0..100).map(|_| give(HOUR)).collect();
    short.iter().take(20).for_each(|bound| revoke(bound));
    for bound in &short[20..40] {
        assert_eq!(read(engine, bound), None);
    }
    let (revoked, drawn) = (give(60 * DAY), give(60 * DAY));
    revoke(&revoked);
    assert_eq!(read(engine, &drawn), None);
    for amount in 0..3 {
        let id = world.asked("acme", amount);
        engine.answer(&id, false, world.bob.id, None).unwrap();
    }
    for amount in 10..12 {
        world.approve(world.asked("acme", amount));
        world.allowed("acme", amount);
    }
    world.later(31 * DAY);
    let over = short[0].clone();
    // What was answered with a no lapses when the store is opened again. Nothing is swept then: the
    // newest entry is as old as they are.
    let world = world.reopened();
    entry(world.engine(), "late");
    Full { revoked, drawn, over, world }
}

/// The code that a call is refused with; `None` if it is allowed.
fn read(engine: &Engine, bound: &Bound) -> Option<String> {
    let call = Call {
        tool: "read",
        request: Ok(Request::new(ToolName::parse("read").unwrap(), Map::new())),
        by_type: &[],
        beside: &[],
        credentials: &[],
        masking: &Masking::default(),
        bound: Some(bound),
        against: None,
        parent: None,
        declared: None,
    };
    let judged = engine.await_decision(engine.judge(&call));
    judged.decision.reasons.first().map(|reason| reason.code.to_string())
}

#[test]
fn a_kill_at_any_step_of_a_sweep_loses_nothing_and_brings_nothing_back() {
    let full = full();
    let at = full.world.now.load(Ordering::SeqCst);
    let size = full.world.engine().size().unwrap();
    let one = full.world.copied();
    // The first turn was taken when the copy was opened.
    let swept = sweep(one.engine());
    assert!(swept.grants >= 37 && swept.approvals == 0, "{swept:?}");
    one.engine().close().unwrap();
    let clean = kept(&one.folder.path().join("store"));
    let marks = |all: &[(String, Vec<Vec<u8>>)], of: &str| {
        all.iter().find(|(prefix, _)| prefix == of).unwrap().1.len()
    };
    assert_eq!([marks(&clean, "ge/"), marks(&clean, "r/g/"), marks(&clean, "l/")], [2, 1, 1]);
    assert_eq!([marks(&clean, "ac/"), marks(&clean, "ae/"), marks(&clean, "ap/")], [0, 0, 0]);
    assert_eq!([marks(&clean, "ai/"), marks(&clean, "aa/")], [5, 5], "the trail is found by them");

    full.world.engine().close().unwrap();
    let mut deaths = 0;
    for step in 1..=16 {
        let mut died = false;
        for after in [false, true] {
            let folder = tempfile::tempdir().unwrap();
            for name in ["store", "store.key"] {
                copy(&full.world.folder.path().join(name), &folder.path().join(name));
            }
            let path = folder.path().join("store");
            let status = Command::new(std::env::current_exe().unwrap())
                .args(["--exact", "engine::approvals_tests::swept::child"])
                .env("SWEEP_IN", &path)
                .env("SWEEP_DIE", step.to_string())
                .env("SWEEP_AFTER", u8::from(after).to_string())
                .env("SWEEP_AT", at.to_string())
                .stdout(Stdio::null())
                .status()
                .unwrap();
            let killed = std::os::unix::process::ExitStatusExt::signal(&status) == Some(9);
            assert!(killed || status.success(), "step {step}: {status}");
            died |= killed;
            deaths += u32::from(killed);

            let engine = open(&folder, &full.world.now, Durability::Before);
            assert_eq!(engine.size().unwrap(), size, "step {step}");
            assert_eq!(read(&engine, &full.revoked).as_deref(), Some("revoked"), "step {step}");
            assert_eq!(read(&engine, &full.drawn).as_deref(), Some("limit_reached"));
            sweep(&engine);
            assert_eq!(read(&engine, &full.over).as_deref(), Some("expired"), "step {step}");
            assert_eq!(sweep(&engine), Swept::default(), "it goes on to the end");
            assert!(engine.verify(&[]).unwrap().is_ok(), "step {step}");
            engine.close().unwrap();
            let same = kept(&path) == clean;
            assert!(
                same,
                "what is kept after step {step}, after: {after}, is not what it is otherwise"
            );
        }
        if !died {
            break;
        }
    }
    assert!(deaths >= 4, "{deaths} kills hit the sweep");
}
