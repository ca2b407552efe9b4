//! The engine as a whole: from a grant to a verified trail.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::sync::Arc;

use answerable::canonical::{Map, Value};
use answerable::decision::Effect;
use answerable::engine::{
    Bound, Call, Delegation, Engine, EngineError, Filter, Judged, Masking, NewGrant, Options,
    Outcome, TaskChoice,
};
use answerable::principal::Assurance;
use answerable::registry::{Agent, Human, NewHuman, Target};
use answerable::request::{Request, Resource, ToolName};
use answerable::scope::Scope;

const HOUR: i64 = 3_600_000_000;

struct World {
    folder: tempfile::TempDir,
    engine: Arc<Engine>,
    alice: Arc<Human>,
    planner: Arc<Agent>,
    booker: Arc<Agent>,
}

fn scope(json: &str) -> Scope {
    serde_json::from_str(json).unwrap()
}

fn world(options: Options) -> World {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(&folder.path().join("store"), options).unwrap();
    let new = NewHuman {
        account: "alice@example.com",
        issuer: "local",
        name: Some("Alice"),
        assurance: Assurance::Asserted,
        by: None,
    };
    let alice = engine.register_human(&new).unwrap();
    let issue = |name: &str, ceiling: &str| {
        engine.issue_agent(name, alice.id, "tests", scope(ceiling), 8 * HOUR, None, None).unwrap()
    };
    let planner = issue("planner", r#"[{"tool":"travel.*"},{"tool":"pay.*"}]"#);
    let booker = issue("booker", r#"[{"tool":"pay.*"}]"#);
    World { folder, engine: engine.clone(), alice, planner, booker }
}

impl World {
    fn grant(&self, json: &str) -> Result<Arc<Bound>, EngineError> {
        self.engine.grant(NewGrant {
            human: self.alice.id,
            agent: self.planner.id,
            task: TaskChoice::New("Book the Lisbon offsite".to_owned()),
            scope: scope(json),
            limits: vec![],
            ttl: HOUR,
            further_hops: 2,
            by: None,
        })
    }

    fn delegate(&self, bound: &Bound, json: &str) -> Result<Arc<Bound>, EngineError> {
        let new = Delegation {
            agent: self.booker.id,
            scope: scope(json),
            limits: vec![],
            ttl: None,
            further_hops: 0,
            statement: Some("Pay the deposit".to_owned()),
        };
        self.engine.delegate(bound, new, None)
    }

    fn call(&self, bound: Option<&Bound>, account: &str, amount: i64) -> Judged {
        self.engine.await_decision(self.judge(bound, account, amount))
    }

    fn judge(&self, bound: Option<&Bound>, account: &str, amount: i64) -> Judged {
        let mut arguments = Map::new();
        arguments.insert("account", Value::str(account));
        arguments.insert("amount", Value::int(amount));
        let request = Request {
            resource: Some(Resource::parse(&format!("account/{account}")).unwrap()),
            template: vec!["account".into()],
            ..Request::new(ToolName::parse("pay.transfer").unwrap(), arguments)
        };
        let call = Call {
            tool: "pay.transfer",
            request: Ok(request),
            by_type: &[],
            beside: &[],
            credentials: &[],
            masking: &Masking::default(),
            bound,
            against: None,
            parent: None,
            declared: None,
        };
        self.engine.judge(&call)
    }

    fn code(&self, bound: Option<&Bound>, account: &str, amount: i64) -> String {
        let judged = self.call(bound, account, amount);
        assert_eq!(judged.decision.effect, Effect::Deny);
        judged.decision.reasons[0].code.to_string()
    }
}

const WIDE: &str = r#"[{"tool":"pay.transfer","resource":["account/travel-*"],"where":{"amount":{"at_most":500}},"limits":[{"calls":3}]}]"#;
const NARROW: &str = r#"[{"tool":"pay.transfer","resource":["account/travel-1"],"where":{"amount":{"at_most":100}}}]"#;

#[test]
fn one_path_from_grant_to_trail() {
    let world = world(Options::default());
    let grant = world.grant(WIDE).unwrap();
    let child = world.delegate(&grant, NARROW).unwrap();

    let judged = world.call(Some(&child), "travel-1", 80);
    assert_eq!(judged.decision.effect, Effect::Allow, "{judged:?}");
    let outcome = Outcome::Returned(Ok(Value::str("done")));
    world.engine.finish(&judged, 12, &outcome).unwrap();

    assert_eq!(world.code(Some(&child), "travel-1", 101), "caveat_failed");
    assert_eq!(world.code(Some(&child), "travel-2", 80), "resource_not_covered");
    assert_eq!(world.code(None, "travel-1", 80), "no_authority");
    // The root's limit of three is drawn on by the child as well.
    assert_eq!(world.call(Some(&grant), "travel-2", 400).decision.effect, Effect::Allow);
    assert_eq!(world.call(Some(&child), "travel-1", 80).decision.effect, Effect::Allow);
    assert_eq!(world.code(Some(&grant), "travel-1", 80), "limit_reached");

    let filter = Filter { kind: Some("decision".to_owned()), ..Filter::default() };
    let entries = world.engine.entries(&filter).unwrap();
    assert_eq!(entries.len(), 7);
    assert_eq!(entries[0].1.as_ref().unwrap().text("status"), "returned");
    assert_eq!(entries[0].0.value_text("resource"), Some("account/travel-1"));
    let via = Filter { via: Some(world.booker.id.to_string()), ..Filter::default() };
    assert_eq!(world.engine.entries(&via).unwrap().len(), 4);

    let mut export = Vec::new();
    let wrote = world.engine.export(&mut export).unwrap();
    assert_eq!(
        export.iter().filter(|b| **b == b'\n').count() as u64,
        wrote.entries + wrote.checkpoints + 1
    );
}

#[test]
fn what_ends_is_felt_by_the_next_call_everywhere_below() {
    for end in ["revoke", "retire planner", "retire booker", "task"] {
        let world = world(Options::default());
        let grant = world.grant(WIDE).unwrap();
        let child = world.delegate(&grant, NARROW).unwrap();
        assert_eq!(world.call(Some(&child), "travel-1", 1).decision.effect, Effect::Allow);
        let code = match end {
            "revoke" => {
                let target = Target::Grant(grant.chain().leaf().digest, None);
                world.engine.revoke(&target, "stolen", None).unwrap();
                "revoked"
            }
            "retire planner" => {
                world.engine.retire_agent(&world.planner.id, "done", None).unwrap();
                "agent_retired"
            }
            "retire booker" => {
                world.engine.retire_agent(&world.booker.id, "done", None).unwrap();
                "agent_retired"
            }
            _ => {
                let task = grant.chain().root().payload.task.id;
                world.engine.end_task(task, "cancelled", None).unwrap();
                "task_ended"
            }
        };
        assert_eq!(world.code(Some(&child), "travel-1", 1), code, "{end}");
        // And after the store was closed and opened again.
        let text = child.chain().text();
        let folder = world.folder;
        world.engine.close().unwrap();
        let engine = Engine::open(&folder.path().join("store"), Options::default()).unwrap();
        let again = World { folder, engine, ..world };
        let child = again.engine.accept(&text, vec![]).unwrap();
        assert_eq!(again.code(Some(&child), "travel-1", 1), code, "{end}, reopened");
    }
}

#[test]
fn nothing_is_granted_beyond_ceiling_or_term() {
    let world = world(Options::default());
    let beyond = world.grant(r#"[{"tool":"mail.send"}]"#).unwrap_err();
    assert!(beyond.to_string().contains("ceiling"), "{beyond}");
    let grant = world.grant(WIDE).unwrap();
    let wider = world.delegate(&grant, r#"[{"tool":"pay.*"}]"#).unwrap_err();
    assert!(
        matches!(&wider, EngineError::Grant(invalid) if invalid.error.code() == "scope_widened")
    );
    let long = world.engine.grant(NewGrant {
        human: world.alice.id,
        agent: world.planner.id,
        task: TaskChoice::New("x".to_owned()),
        scope: scope(WIDE),
        limits: vec![],
        ttl: 9 * HOUR,
        further_hops: 0,
        by: None,
    });
    assert!(long.unwrap_err().to_string().contains("outlive"));
}

#[test]
fn the_verifier_checks_every_grant_anew() {
    let world = world(Options::default());
    let grant = world.grant(WIDE).unwrap();
    world.delegate(&grant, NARROW).unwrap();
    let mut export = Vec::new();
    world.engine.export(&mut export).unwrap();
    let authority = world.engine.authority();
    let verify = |text: &str| {
        answerable::trail::verify::verify(text.as_bytes(), &authority, &[], &mut |_, _| {})
    };
    let text = String::from_utf8(export).unwrap();
    let report = verify(&text).unwrap();
    assert_eq!((report.grants_verified, report.grants_unverified), (2, 0));
    // Another grant's token shown beside the leaf: the commitment differs and the grant does not
    // hold; with the token withheld there is only less to verify.
    let lines: Vec<&str> = text.lines().collect();
    let grants: Vec<&&str> =
        lines.iter().filter(|line| line.contains(r#""kind":"grant""#)).collect();
    let token = |line: &str| {
        let at = line.find("v4.public.").unwrap();
        line[at..].split('"').next().unwrap().to_owned()
    };
    let swapped = text.replace(&token(grants[1]), &token(grants[0]));
    let error = verify(&swapped).unwrap_err().to_string();
    assert!(error.contains("value"), "{error}");
}

#[test]
fn many_calls_that_draw_on_many_limits_are_written_together() {
    let world = world(Options::default());
    let limits = |from: u64| {
        let rates = (0..15)
            .map(|n| format!(r#"{{"rate":{{"calls":1000,"per_us":{}}}}}"#, 1_000_000 * (from + n)));
        rates.chain([r#"{"calls":1000}"#.to_owned()]).collect::<Vec<_>>().join(",")
    };
    let json = format!(r#"[{{"tool":"pay.transfer","limits":[{}]}}]"#, limits(60));
    let grant = world.engine.grant(NewGrant {
        human: world.alice.id,
        agent: world.planner.id,
        task: TaskChoice::New("Pay many".to_owned()),
        scope: scope(&json),
        limits: serde_json::from_str(&format!("[{}]", limits(600))).unwrap(),
        ttl: HOUR,
        further_hops: 0,
        by: None,
    });
    let grant = grant.unwrap();
    let judged: Vec<Judged> = (0..200).map(|_| world.judge(Some(&grant), "travel-1", 1)).collect();
    for judged in judged {
        let judged = world.engine.await_decision(judged);
        assert_eq!(judged.decision.effect, Effect::Allow, "{judged:?}");
    }
    world.engine.close().unwrap();
}

#[test]
fn the_last_checkpoint_covers_the_last_entry() {
    let world = world(Options::default());
    let grant = world.grant(WIDE).unwrap();
    world.call(Some(&grant), "travel-1", 1);
    world.engine.close().unwrap();
    let path = world.folder.path().join("store");
    let engine = Engine::open(&path, Options::default()).unwrap();
    let newest = engine.checkpoints().unwrap().last().unwrap().claimed().size;
    assert_eq!(newest, engine.size().unwrap());
}

#[test]
fn an_engine_may_be_dropped_by_its_own_recorder() {
    let world = world(Options::default());
    let grant = world.grant(WIDE).unwrap();
    let judged = world.judge(Some(&grant), "travel-1", 1);
    let (told, heard) = std::sync::mpsc::channel();
    let World { engine, folder, .. } = world;
    let last = engine.clone();
    engine.notify(
        judged.upto,
        Box::new(move |durable| {
            drop(last);
            told.send(durable).unwrap();
        }),
    );
    drop(engine);
    assert_eq!(heard.recv_timeout(std::time::Duration::from_secs(300)), Ok(Ok(())));
    // The store was let go.
    Engine::open(&folder.path().join("store"), Options::default()).unwrap();
}
