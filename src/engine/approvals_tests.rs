//! What an ask meets, driven through the engine with tools that ask in tests.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod swept;
mod verified;

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use super::{
    Bound, Call, Durability, Engine, EngineError, Filter, Judged, Masking, NewAccess, NewGrant,
    Options, TaskChoice,
};
use crate::canonical::{Map, Value};
use crate::clock::{MICROS, Source};
use crate::decision::Effect;
use crate::principal::{ApprovalId, Assurance, HumanId};
use crate::registry::{Agent, Halted, Human, NewHuman, RegistryError, Stage, Target};
use crate::request::{Request, ToolName};
use crate::scope::{Scope, ToolPattern};

const HOUR: i64 = 3_600 * MICROS;

struct World {
    folder: tempfile::TempDir,
    now: Arc<AtomicI64>,
    durability: Durability,
    engine: Option<Arc<Engine>>,
    alice: Arc<Human>,
    bob: Arc<Human>,
    payer: Arc<Agent>,
    grant: Arc<Bound>,
}

fn scope(json: &str) -> Scope {
    serde_json::from_str(json).unwrap()
}

fn open(folder: &tempfile::TempDir, now: &Arc<AtomicI64>, durability: Durability) -> Arc<Engine> {
    let options = Options { clock: Source::Fixed(now.clone()), durability, ..Options::default() };
    let engine = Engine::open(&folder.path().join("store"), options).unwrap();
    engine.asks.lock().push(ToolPattern::parse("pay.*").unwrap());
    engine
}

fn human(engine: &Engine, name: &str) -> Arc<Human> {
    let new = NewHuman {
        account: name,
        issuer: "local",
        name: Some(name),
        assurance: Assurance::Asserted,
        by: None,
    };
    engine.register_human(&new).unwrap()
}

fn world() -> World {
    world_in(Durability::Before)
}

fn world_in(durability: Durability) -> World {
    let folder = tempfile::tempdir().unwrap();
    let now = Arc::new(AtomicI64::new(1_800_000_000 * MICROS));
    let engine = open(&folder, &now, durability);
    let (alice, bob) = (human(&engine, "alice"), human(&engine, "bob"));
    let ceiling = scope(r#"[{"tool":"pay.*"},{"tool":"read"}]"#);
    let payer = engine.issue_agent("payer", alice.id, "pays", ceiling, 8 * HOUR, None, None);
    let payer = payer.unwrap();
    let wide = r#"[{"tool":"pay.send","where":{"to":{"any":true},"amount":{"at_most":500}},"limits":[{"calls":2}]}]"#;
    let grant = engine.grant(NewGrant {
        human: alice.id,
        agent: payer.id,
        task: TaskChoice::New("Pay the invoices".to_owned()),
        scope: scope(wide),
        limits: vec![],
        ttl: 2 * HOUR,
        further_hops: 0,
        by: None,
    });
    let grant = grant.unwrap();
    World { folder, now, durability, engine: Some(engine), alice, bob, payer, grant }
}

impl World {
    fn engine(&self) -> &Engine {
        self.engine.as_ref().unwrap()
    }

    fn pay(&self, to: &str, amount: i64) -> Judged {
        let mut arguments = Map::new();
        arguments.insert("to", Value::str(to));
        arguments.insert("amount", Value::int(amount));
        let call = Call {
            tool: "pay.send",
            request: Ok(Request::new(ToolName::parse("pay.send").unwrap(), arguments)),
            by_type: &[],
            beside: &[],
            credentials: &[],
            masking: &Masking::default(),
            bound: Some(&self.grant),
            against: None,
            parent: None,
            declared: None,
        };
        let engine = self.engine();
        engine.await_decision(engine.judge(&call))
    }

    /// Pays, is asked for, and answers the approval's id.
    fn asked(&self, to: &str, amount: i64) -> ApprovalId {
        let judged = self.pay(to, amount);
        assert_eq!(judged.decision.effect, Effect::Ask, "{judged:?}");
        assert_eq!(judged.decision.reasons[0].code, "approval_required");
        judged.decision.approval.unwrap()
    }

    fn code(&self, to: &str, amount: i64) -> String {
        let judged = self.pay(to, amount);
        assert_ne!(judged.decision.effect, Effect::Allow, "{judged:?}");
        judged.decision.reasons[0].code.to_string()
    }

    fn allowed(&self, to: &str, amount: i64) -> Judged {
        let judged = self.pay(to, amount);
        assert_eq!(judged.decision.effect, Effect::Allow, "{judged:?}");
        judged
    }

    fn approve(&self, id: ApprovalId) {
        self.engine().answer(&id, true, self.bob.id, Some("fine")).unwrap();
    }

    fn stage(&self, id: ApprovalId) -> Stage {
        self.engine().approval(&id).unwrap().stage
    }

    /// The engine opened again over what is on the disk.
    fn reopened(mut self) -> Self {
        self.engine().close().unwrap();
        self.engine = None;
        self.engine = Some(open(&self.folder, &self.now, self.durability));
        self
    }

    /// A copy of what is on the disk now, opened as after a kill; the running engine stays.
    fn copied(&self) -> World {
        let folder = tempfile::tempdir().unwrap();
        for name in ["store", "store.key"] {
            copy(&self.folder.path().join(name), &folder.path().join(name));
        }
        let engine = open(&folder, &self.now, self.durability);
        World {
            folder,
            now: self.now.clone(),
            durability: self.durability,
            engine: Some(engine),
            alice: self.alice.clone(),
            bob: self.bob.clone(),
            payer: self.payer.clone(),
            grant: self.grant.clone(),
        }
    }

    fn later(&self, micros: i64) {
        self.now.fetch_add(micros, Ordering::SeqCst);
    }

    fn kinds(&self, kind: &str) -> Vec<String> {
        let filter = Filter { kind: Some(kind.to_owned()), ..Filter::default() };
        let entries = self.engine().entries(&filter).unwrap();
        entries.iter().map(|(entry, _)| entry.text("action").to_owned()).collect()
    }
}

fn copy(from: &std::path::Path, to: &std::path::Path) {
    use std::os::unix::fs::PermissionsExt;
    if !from.is_dir() {
        std::fs::copy(from, to).unwrap();
        return;
    }
    std::fs::create_dir(to).unwrap();
    std::fs::set_permissions(to, std::fs::Permissions::from_mode(0o700)).unwrap();
    for item in std::fs::read_dir(from).unwrap() {
        let item = item.unwrap();
        if item.file_name() != "holder.json" {
            copy(&item.path(), &to.join(item.file_name()));
        }
    }
}

fn illegal(error: EngineError) -> String {
    match error {
        EngineError::Registry(RegistryError::Illegal(text)) => text,
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_yes_allows_exactly_that_call_once() {
    for knows in [false, true] {
        let world = world();
        world.engine().knows.store(knows, Ordering::Release);
        a_yes_allows_once(&world);
    }
}

fn a_yes_allows_once(world: &World) {
    let id = world.asked("acme", 80);
    assert_eq!(world.asked("acme", 80), id, "asked again, the same approval is found");
    let told = world.engine().approval(&id).unwrap();
    assert_eq!((told.stage, told.agent_name.as_str()), (Stage::Pending, "payer"));
    assert_eq!(told.arguments[0], ("amount".to_owned(), "80".to_owned()));
    assert_eq!(told.sentence.as_deref(), Some("Pay the invoices"));
    world.approve(id);
    assert_ne!(world.asked("acme", 81), id, "other arguments are another request");
    assert_ne!(world.asked("acme2", 80), id);
    let judged = world.allowed("acme", 80);
    assert_eq!(judged.decision.approval, Some(id));
    let told = world.engine().approval(&id).unwrap();
    assert_eq!((told.stage, told.approval.used), (Stage::Used, judged.entry));
    assert_eq!((told.by_name.as_deref(), told.note.as_deref()), (Some("bob"), Some("fine")));
    assert_ne!(world.asked("acme", 80), id, "a yes is used once");
    assert_eq!(world.kinds("approval"), ["asked", "approved", "asked", "asked", "asked"]);
}

#[test]
fn a_no_stands_against_the_repeat_until_it_lapses() {
    let world = world();
    let id = world.asked("acme", 80);
    world.engine().answer(&id, false, world.bob.id, None).unwrap();
    assert_eq!(world.code("acme", 80), "approval_refused");
    let again = world.engine().answer(&id, true, world.bob.id, None).unwrap_err();
    assert!(illegal(again).contains("is refused"));
    world.later(HOUR);
    assert_ne!(world.asked("acme", 80), id);
}

#[test]
fn nothing_is_approved_or_used_after_its_time() {
    let world = world();
    let (late, unused) = (world.asked("acme", 80), world.asked("acme", 81));
    world.later(HOUR - 1);
    world.approve(unused);
    world.later(1);
    assert_eq!((world.stage(late), world.stage(unused)), (Stage::Expired, Stage::Expired));
    let error = world.engine().answer(&late, true, world.bob.id, None).unwrap_err();
    assert!(illegal(error).contains("is expired"));
    assert_ne!(world.asked("acme", 81), unused, "a yes lapses too");
    // An approval never outlives its chain.
    world.later(HOUR - 2);
    assert_eq!(
        world.engine().approval(&world.asked("x", 1)).unwrap().approval.expires_at,
        world.grant.chain().leaf().payload.exp
    );
}

#[test]
fn of_two_repeats_at_once_one_is_allowed() {
    for (durability, knows) in [
        (Durability::Before, false),
        (Durability::Before, true),
        (Durability::Relaxed, false),
        (Durability::Relaxed, true),
    ] {
        let world = world_in(durability);
        world.engine().knows.store(knows, Ordering::Release);
        for amount in 0..8 {
            let id = world.asked("acme", amount);
            if amount >= 2 {
                // Only two calls are within the limit: a yes does not lift it, and is not spent.
                world.approve(id);
                assert_eq!(world.code("acme", amount), "limit_reached");
                assert_eq!(world.stage(id), Stage::Approved);
                continue;
            }
            world.approve(id);
            let allowed = std::thread::scope(|scope| {
                let calls: Vec<_> = (0..8)
                    .map(|_| scope.spawn(|| world.pay("acme", amount).decision.effect))
                    .collect();
                let effects = calls.into_iter().map(|call| call.join().unwrap());
                effects.filter(|effect| *effect == Effect::Allow).count()
            });
            assert_eq!(allowed, 1);
        }
    }
}

#[test]
fn what_a_human_must_answer_outlives_the_process() {
    let world = world();
    let (id, no) = (world.asked("acme", 80), world.asked("acme", 81));
    let world = world.reopened();
    assert_eq!(world.asked("acme", 80), id);
    world.approve(id);
    world.engine().answer(&no, false, world.bob.id, None).unwrap();
    let world = world.reopened();
    assert_eq!(world.allowed("acme", 80).decision.approval, Some(id));
    assert_eq!(world.code("acme", 81), "approval_refused");
    let world = world.reopened();
    assert_eq!(world.stage(id), Stage::Used);
    assert_ne!(world.asked("acme", 80), id);
}

#[test]
fn a_kill_at_any_time_neither_loses_nor_doubles_a_yes() {
    for durability in [Durability::Before, Durability::After, Durability::Relaxed] {
        let world = world_in(durability);
        let id = world.asked("acme", 80);
        // Each copy is what a kill leaves at the moment the step before returned.
        assert_eq!(world.copied().asked("acme", 80), id);
        world.approve(id);
        let killed = world.copied();
        assert_eq!(killed.allowed("acme", 80).decision.approval, Some(id));
        world.allowed("acme", 80);
        let killed = world.copied();
        assert_eq!(killed.stage(id), Stage::Used);
        assert_ne!(killed.asked("acme", 80), id);
    }
}

#[test]
fn what_ends_the_chain_ends_its_approvals() {
    type End = fn(&World) -> Result<(), EngineError>;
    let ends: [(&str, End); 7] = [
        ("revoked", |w| {
            let leaf = w.grant.chain().leaf();
            w.engine().revoke(&Target::Grant(leaf.digest, None), "x", None).map(|_| ())
        }),
        ("revoked", |w| w.engine().revoke(&Target::Human(w.alice.id), "x", None).map(|_| ())),
        ("task_ended", |w| {
            let task = w.grant.chain().leaf().payload.task.id;
            w.engine().end_task(task, "x", None).map(|_| ())
        }),
        ("halted", |w| w.engine().halt(Halted::Tool("pay.*".into()), "x", None).map(|_| ())),
        ("human_offboarded", |w| w.engine().offboard(w.alice.id, None, "x", None).map(|_| ())),
        ("agent_retired", |w| w.engine().retire_agent(&w.payer.id, "x", None).map(|_| ())),
        ("human_offboarded", |w| w.engine().offboard(w.bob.id, None, "x", None).map(|_| ())),
    ];
    for (place, (code, end)) in ends.into_iter().enumerate() {
        let world = world();
        let (waits, given) = (world.asked("acme", 80), world.asked("acme", 81));
        world.approve(given);
        end(&world).unwrap();
        let told = world.engine().approval(&given).unwrap();
        assert_eq!((told.stage, told.approval.because.as_deref()), (Stage::Ended, Some(code)));
        if place == 6 {
            // Who approved has left: what still waits for somebody else goes on.
            assert_eq!(world.stage(waits), Stage::Pending);
            assert_ne!(world.asked("acme", 81), given);
            continue;
        }
        assert_eq!(world.stage(waits), Stage::Ended, "{code}");
        let error = world.engine().answer(&waits, true, world.bob.id, None).unwrap_err();
        assert!(matches!(error, EngineError::Registry(_)), "{error:?}");
        assert_ne!(world.pay("acme", 81).decision.effect, Effect::Allow);
        if code == "halted" {
            world.engine().unhalt(&Halted::Tool("pay.*".into()), None, None).unwrap();
            assert_ne!(world.asked("acme", 81), given, "lifted, the old yes stays ended");
        }
        assert!(world.kinds("approval").contains(&"ended".to_owned()));
    }
}

#[test]
fn only_a_human_who_is_here_answers() {
    let world = world();
    let id = world.asked("acme", 80);
    let nobody = HumanId::from_bytes([9; 16]);
    assert!(world.engine().answer(&id, true, nobody, None).is_err());
    let carol = human(world.engine(), "carol");
    world.engine().offboard(carol.id, None, "left", None).unwrap();
    let error = world.engine().answer(&id, true, carol.id, None).unwrap_err();
    assert!(illegal(error).contains("has left"));
    assert_eq!(world.stage(id), Stage::Pending);
    let no_note = world.engine().answer(&id, true, world.bob.id, Some(" ")).unwrap_err();
    assert!(matches!(no_note, EngineError::Registry(RegistryError::Invalid(_))));
}

#[test]
fn a_hostile_agent_cannot_ask_without_end() {
    let world = world();
    for amount in 0..32 {
        world.asked("acme", amount);
    }
    assert_eq!(world.code("acme", 32), "too_many_approvals");
    assert_eq!(world.asked("acme", 5), world.asked("acme", 5), "what is open is still found");
    world.later(HOUR);
    world.asked("acme", 32);
}

#[test]
fn a_wait_ends_with_the_answer_the_end_or_the_engine() {
    let world = world();
    let engine = world.engine.clone().unwrap();
    let wait = |id| {
        let engine = engine.clone();
        std::thread::spawn(move || engine.wait_approval(id, Duration::from_secs(60)))
    };
    let [yes, end, close] = [world.asked("a", 1), world.asked("a", 2), world.asked("a", 3)];
    assert!(!engine.wait_approval(yes, Duration::from_millis(5)).unwrap(), "nobody answered");
    assert!(engine.waiting.is_empty(), "who gave up leaves nothing behind");
    let waits = wait(yes);
    world.approve(yes);
    assert!(waits.join().unwrap().unwrap());
    assert!(engine.wait_approval(yes, Duration::ZERO).unwrap(), "answered before");
    let (ended, closed) = (wait(end), wait(close));
    engine.retire_agent(&world.payer.id, "x", None).unwrap();
    assert!(ended.join().unwrap().unwrap());
    assert!(closed.join().unwrap().unwrap(), "the same chain");
    let other = world_in(Durability::Before);
    let id = other.asked("a", 1);
    let engine = other.engine.clone().unwrap();
    let waits = std::thread::spawn({
        let engine = engine.clone();
        move || engine.wait_approval(id, Duration::from_secs(60))
    });
    while engine.waiting.is_empty() {
        std::thread::yield_now();
    }
    engine.close().unwrap();
    assert!(waits.join().unwrap().unwrap());
}

#[test]
fn another_policy_version_is_another_request() {
    let world = world();
    let id = world.asked("acme", 80);
    world.approve(id);
    *world.engine().version.lock() = Some("pol_2".into());
    world.engine().suspend_agent(&world.payer.id, "any change of state", None).unwrap();
    let told = world.engine().approval(&id).unwrap();
    assert_eq!(told.approval.because.as_deref(), Some("policy_changed"));
}

#[test]
fn access_is_given_by_a_human_for_the_task_and_lapses_with_it() {
    let world = world();
    let engine = world.engine();
    let new = |json: &str| NewAccess {
        scope: scope(json),
        limits: vec![],
        reason: "the invoice is a PDF".to_owned(),
        ttl: HOUR,
    };
    let beyond = engine.request_access(&world.grant, new(r#"[{"tool":"mail.send"}]"#));
    assert!(beyond.unwrap_err().to_string().contains("ceiling"));
    let asked = engine.request_access(&world.grant, new(r#"[{"tool":"read"}]"#)).unwrap();
    let again = engine.request_access(&world.grant, new(r#"[{"tool":"read"}]"#)).unwrap();
    assert_eq!(asked.approval.id, again.approval.id);
    assert_eq!((asked.scope[0].as_str(), asked.ttl), ("read", Some(HOUR)));
    assert!(engine.granted_access(&asked.approval).unwrap().is_none(), "nothing stands yet");
    let id = asked.approval.id;
    let world = world.reopened();
    let engine = world.engine();
    let given = engine.answer(&id, true, world.bob.id, Some("for this once")).unwrap();
    assert_eq!(given.stage, Stage::Used);
    let more = engine.granted_access(&given.approval).unwrap().unwrap();
    let old = &world.grant.chain().leaf().payload;
    let payload = &more.chain().leaf().payload;
    assert_eq!((payload.human, payload.task.id), (old.human, old.task.id));
    assert_eq!((payload.holder.agent, payload.max_depth), (old.holder.agent, 0));
    let request = Request::new(ToolName::parse("read").unwrap(), Map::new());
    assert_eq!(engine.check_call(Some(&more), &request).effect, Effect::Allow);
    engine.end_task(old.task.id, "done", None).unwrap();
    assert_eq!(engine.check_call(Some(&more), &request).reasons[0].code, "task_ended");
    let error = engine.request_access(&world.grant, new(r#"[{"tool":"read"}]"#)).unwrap_err();
    assert!(illegal(error).contains("ended"));
}
