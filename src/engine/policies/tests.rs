//! Policies that the store cannot give back, and one that masks what names a resource.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;

use crate::canonical::{Map, Value};
use crate::clock::MICROS;
use crate::decision::Effect;
use crate::engine::{Bound, Call, Engine, Judged, Masking, NewGrant, Options, TaskChoice};
use crate::principal::Assurance;
use crate::registry::NewHuman;
use crate::request::{Request, Resource, ToolName};
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
