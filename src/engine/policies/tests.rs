//! Policies that the store cannot give back, and one that masks what names a resource.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use crate::canonical::{Map, Value};
use crate::clock::MICROS;
use crate::decision::Effect;
use crate::engine::{
    Bound, Call, Engine, Filter, Judged, MAX_SHADOW, Masking, NewGrant, Options, Severity, Spans,
    TaskChoice,
};
use crate::principal::Assurance;
use crate::registry::NewHuman;
use crate::request::{DeclaredTool, Request, Resource, ToolDeclaration, ToolName};
use crate::store::Batch;

const ALL: &str = r#"@id("all") permit (principal, action, resource);"#;

struct World {
    folder: tempfile::TempDir,
    engine: Arc<Engine>,
    token: String,
}

fn open(folder: &Path) -> Arc<Engine> {
    Engine::open(&folder.join("store"), Options::default()).unwrap()
}

fn world(policies: &str) -> World {
    let folder = tempfile::tempdir().unwrap();
    let engine = open(folder.path());
    let new = NewHuman {
        account: "alice",
        issuer: "local",
        name: None,
        assurance: Assurance::Asserted,
        by: None,
    };
    let alice = engine.register_human(&new).unwrap();
    let scope = || serde_json::from_str(r#"[{"tool":"**"}]"#).unwrap();
    let hour = 3_600 * MICROS;
    let agent = engine.issue_agent("payer", alice.id, "pays", scope(), 8 * hour, None, None);
    let grant = engine
        .grant(NewGrant {
            human: alice.id,
            agent: agent.unwrap().id,
            task: TaskChoice::New("Pay".to_owned()),
            scope: scope(),
            limits: vec![],
            ttl: hour,
            further_hops: 0,
            by: None,
        })
        .unwrap();
    std::fs::write(folder.path().join("p.cedar"), policies).unwrap();
    engine.load_policies(&folder.path().join("p.cedar"), None).unwrap();
    let token = grant.chain().text();
    World { folder, engine, token }
}

impl World {
    fn reopen(&mut self, damage: impl Fn(&[u8], &[u8]) -> Option<Vec<u8>>) {
        for prefix in [&b"pc/"[..], b"pm/", b"pp/"] {
            let mut batch = Batch::default();
            self.engine
                .store
                .scan(prefix, None, &mut |key, value| {
                    match damage(key, value) {
                        Some(bytes) if bytes.is_empty() => batch.delete(key),
                        Some(bytes) => batch.put(key, bytes),
                        None => &mut batch,
                    };
                    true
                })
                .unwrap();
            self.engine.store.commit(batch).unwrap();
        }
        self.engine.close().unwrap();
        self.engine = open(self.folder.path());
    }

    fn bound(&self) -> Arc<Bound> {
        self.engine.accept(&self.token, Vec::new()).unwrap()
    }

    fn call(&self) -> Judged {
        let mut arguments = Map::new();
        arguments.insert("account", Value::str("hush-hush"));
        let request = Request {
            resource: Some(Resource::parse("account/hush-hush").unwrap()),
            template: vec!["account".into()],
            ..Request::new(ToolName::parse("pay.send").unwrap(), arguments)
        };
        let call = Call {
            tool: "pay.send",
            request: Ok(request),
            by_type: &[],
            beside: &[],
            masking: &Masking::default(),
            bound: Some(&self.bound()),
            against: None,
            parent: None,
            declared: None,
            credentials: &[],
        };
        self.engine.await_decision(self.engine.judge(&call))
    }

    fn recorded(&self, judged: &Judged) -> String {
        let entry = self.engine.entry(&judged.entry.unwrap().to_string()).unwrap().unwrap();
        format!("{entry:?}")
    }
}

#[test]
fn policies_that_cannot_be_read_any_more_deny_everything() {
    let flip = |value: &[u8]| {
        let mut value = value.to_vec();
        *value.last_mut().unwrap() ^= 1;
        value
    };
    type Damage<'a> = Box<dyn Fn(&[u8], &[u8]) -> Option<Vec<u8>> + 'a>;
    let damages: [Damage<'_>; 5] = [
        Box::new(|key, value| key.starts_with(b"pp/").then(|| flip(value))),
        Box::new(|key, _| key.starts_with(b"pp/").then(Vec::new)),
        Box::new(|key, _| key.starts_with(b"pm/").then(Vec::new)),
        Box::new(|key, _| key.starts_with(b"pm/").then(|| b"{\"parts\":0}".to_vec())),
        Box::new(|key, _| key.starts_with(b"pc/").then(|| b"{}".to_vec())),
    ];
    for (number, damage) in damages.into_iter().enumerate() {
        let mut world = world(ALL);
        assert_eq!(world.call().decision.effect, Effect::Allow);
        world.reopen(damage);
        let judged = world.call();
        assert_eq!(judged.decision.effect, Effect::Deny, "damage {number}");
        assert_eq!(judged.decision.reasons[0].code, "policy_error", "damage {number}");
        assert_ne!(judged.decision.policy_version, "none", "damage {number}");
        let recorded = world.recorded(&judged);
        assert!(!recorded.contains("Str(\"hush-hush\")"), "what a policy masked is not known now");
        world.engine.load_policies(&world.folder.path().join("p.cedar"), None).unwrap();
        assert_eq!(world.call().decision.effect, Effect::Allow, "damage {number}");
    }
}

#[test]
fn a_sound_store_gives_its_policies_back() {
    let mut world = world(ALL);
    let version = world.engine.policy_version();
    world.reopen(|_, _| None);
    assert_eq!(world.engine.policy_version(), version);
    assert_eq!(world.call().decision.effect, Effect::Allow);
}

#[test]
fn a_masked_argument_that_names_the_resource_is_not_recorded_with_it() {
    let text = r#"@id("all") @mask("account") permit (principal, action, resource);"#;
    let world = world(text);
    let judged = world.call();
    assert_eq!(judged.decision.effect, Effect::Deny);
    assert_eq!(judged.decision.reasons[0].code, "policy_error");
    assert!(!world.recorded(&judged).contains("hush-hush"));
}

/// A second engine over the same folder's records, where every so many judgements are compared.
fn shadowed(world: &mut World, every: u32) {
    world.engine.close().unwrap();
    let options = Options { policy_shadow: Some(every), ..Options::default() };
    world.engine = Engine::open(&world.folder.path().join("store"), options).unwrap();
}

fn results(world: &World) -> Vec<(&'static str, u64)> {
    world.engine.shadow.as_ref().unwrap().settle();
    world.engine.shadow.as_ref().unwrap().results().to_vec()
}

fn mismatches(world: &World) -> Vec<Vec<String>> {
    let review = world.engine.review(Spans::default()).unwrap();
    let found = review.findings.into_iter().filter(|f| f.code == "policy_shadow_mismatch");
    found.inspect(|f| assert_eq!(f.severity, Severity::High)).map(|f| f.subjects).collect()
}

#[test]
fn a_wrong_compiled_answer_ends_all_calls_under_those_policies() {
    let mut world = world(ALL);
    assert!(world.engine.shadow.is_none(), "it is off by default");
    shadowed(&mut world, 1);
    assert_eq!(world.call().decision.effect, Effect::Allow);
    assert_eq!(results(&world), [("equal", 1), ("mismatch", 0), ("dropped", 0), ("unfit", 0)]);
    assert!(mismatches(&world).is_empty());

    let shadow = world.engine.shadow.clone().unwrap();
    shadow.fault.store(true, Ordering::Release);
    // No call waits for its comparison: this one is allowed before it, or judged again after it.
    world.call();
    assert_eq!(results(&world)[1], ("mismatch", 1));
    shadow.fault.store(false, Ordering::Release);
    let version = world.engine.policy_version().to_string();
    assert_eq!(mismatches(&world), [[version.clone(), "all".to_owned()]]);

    for _ in 0..2 {
        let judged = world.call();
        assert_eq!(judged.decision.effect, Effect::Deny);
        assert_eq!(judged.decision.reasons[0].code, "policy_error");
        assert_eq!(&*judged.decision.policy_version, version);
        // The same policies again are no others.
        world.engine.load_policies(&world.folder.path().join("p.cedar"), None).unwrap();
    }
    let checked = world.engine.check_call(
        Some(&world.bound()),
        &Request::new(ToolName::parse("pay.send").unwrap(), Map::new()),
    );
    assert_eq!(checked.effect, Effect::Deny);

    let told: Vec<_> =
        entries(&world).into_iter().filter(|(word, _)| word == "distrusted").collect();
    assert_eq!(told, [("distrusted".to_owned(), version.clone())]);
    let others = r#"@id("others") permit (principal, action, resource);"#;
    std::fs::write(world.folder.path().join("p.cedar"), others).unwrap();
    world.engine.load_policies(&world.folder.path().join("p.cedar"), None).unwrap();
    assert_eq!(world.call().decision.effect, Effect::Allow);
    assert_eq!(results(&world), [("equal", 2), ("mismatch", 1), ("dropped", 0), ("unfit", 0)]);
}

/// The `policy` entries: what happened, and to which version.
fn entries(world: &World) -> Vec<(String, String)> {
    let filter = Filter { kind: Some("policy".to_owned()), ..Filter::default() };
    let found = world.engine.entries(&filter).unwrap();
    found.iter().map(|(e, _)| (e.text("action").to_owned(), e.text("policy").to_owned())).collect()
}

#[test]
fn distrust_outlives_the_engine_and_goes_with_the_texts() {
    let mut world = world(ALL);
    shadowed(&mut world, 1);
    let shadow = world.engine.shadow.clone().unwrap();
    shadow.fault.store(true, Ordering::Release);
    world.call();
    let version = world.engine.policy_version().to_string();
    results(&world);
    drop(shadow);

    // With the check, and without it.
    for every in [Some(1_000), None] {
        world.engine.close().unwrap();
        let options = Options { policy_shadow: every, ..Options::default() };
        world.engine = Engine::open(&world.folder.path().join("store"), options).unwrap();
        let judged = world.call();
        assert_eq!(judged.decision.effect, Effect::Deny, "{every:?}");
        assert_eq!(judged.decision.reasons[0].code, "policy_error");
        assert!(judged.decision.reasons[0].message.contains("answered wrongly"));
        assert_eq!(mismatches(&world), [[version.clone(), "all".to_owned()]]);
    }
    // The same texts held to one tool more have another version, and are the same policies.
    let more = ToolDeclaration {
        name: ToolName::parse("one.more").unwrap(),
        arguments: [].into(),
        open: false,
        template: vec![],
        dangerous: false,
        credentials: vec![],
        redacts: false,
    };
    world.engine.declare(&[Arc::new(DeclaredTool::new(more))]).unwrap();
    world.engine.load_policies(&world.folder.path().join("p.cedar"), None).unwrap();
    assert_ne!(world.engine.policy_version().to_string(), version);
    assert_eq!(world.call().decision.effect, Effect::Deny);

    let others = r#"@id("others") permit (principal, action, resource);"#;
    std::fs::write(world.folder.path().join("p.cedar"), others).unwrap();
    world.engine.load_policies(&world.folder.path().join("p.cedar"), None).unwrap();
    assert_eq!(world.call().decision.effect, Effect::Allow);
    // And back again: still not trusted.
    std::fs::write(world.folder.path().join("p.cedar"), ALL).unwrap();
    world.engine.load_policies(&world.folder.path().join("p.cedar"), None).unwrap();
    assert_eq!(world.call().decision.effect, Effect::Deny);
}

#[test]
fn one_of_so_many_judgements_is_compared() {
    let mut world = world(ALL);
    shadowed(&mut world, 3);
    for _ in 0..7 {
        world.call();
    }
    assert_eq!(results(&world)[0], ("equal", 3));
}

#[test]
fn a_sample_that_finds_no_room_is_counted_and_nothing_waits_for_it() {
    let mut world = world(ALL);
    shadowed(&mut world, 1);
    // Nobody takes any out any more.
    world.engine.shadow.as_ref().unwrap().end(false);
    assert_eq!(world.call().decision.effect, Effect::Allow);
    assert_eq!(results(&world), [("equal", 0), ("mismatch", 0), ("dropped", 1), ("unfit", 0)]);
    world.engine.close().unwrap();
}

#[test]
fn a_number_of_judgements_out_of_range_opens_nothing() {
    let folder = tempfile::tempdir().unwrap();
    for every in [0, MAX_SHADOW + 1] {
        let options = Options { policy_shadow: Some(every), ..Options::default() };
        let refused = Engine::open(&folder.path().join("store"), options).unwrap_err();
        assert!(refused.to_string().contains("from 1 to 1000000"), "{refused}");
    }
}
