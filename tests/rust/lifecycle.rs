//! The life of identities where only Rust reaches: damaged records.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    missing_docs
)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use answerable::canonical::Map;
use answerable::clock::Source;
use answerable::engine::{
    Bound, Call, Claim, Engine, Filter, Masking, NewGrant, Options, Spans, TaskChoice,
};
use answerable::principal::Assurance;
use answerable::registry::{Halted, NewHuman};
use answerable::request::{Request, ToolName};
use answerable::store::{Batch, SledStore, Store};

const HOUR: i64 = 3_600_000_000;

fn grant(engine: &Engine) -> Arc<Bound> {
    let new = NewHuman {
        account: "alice@example.com",
        issuer: "local",
        name: None,
        assurance: Assurance::Asserted,
        by: None,
    };
    let alice = engine.register_human(&new).unwrap();
    let scope = || serde_json::from_str(r#"[{"tool":"pay.*"}]"#).unwrap();
    let agent =
        engine.issue_agent("payer", alice.id, "pays", scope(), 8 * HOUR, None, None).unwrap();
    let new = NewGrant {
        human: alice.id,
        agent: agent.id,
        task: TaskChoice::New("pay".to_owned()),
        scope: scope(),
        limits: vec![],
        ttl: HOUR,
        further_hops: 0,
        by: None,
    };
    engine.grant(new).unwrap()
}

fn code(engine: &Engine, bound: &Bound) -> Option<String> {
    let request = Request::new(ToolName::parse("pay.out").unwrap(), Map::new());
    let decision = engine.check_call(Some(bound), &request);
    decision.reasons.first().map(|reason| reason.code.to_string())
}

fn damage(path: &Path, key: &[u8], value: &[u8]) {
    let store = SledStore::open(path, 0).unwrap();
    let mut batch = Batch::new();
    batch.put(key, value);
    store.commit(batch).unwrap();
    store.close().unwrap();
}

#[test]
fn a_halt_that_cannot_be_read_halts_everything() {
    let damages: [(&[u8], &[u8]); 5] = [
        (b"x/everything/", b"{"),
        (b"x/agent/agt_nobody", b"{}"),
        (b"x/tool/pay.*", b"\xff"),
        (b"x/planet/earth", br#"{"at":0,"by":"hum_aaaaaaaaaaaaaaaaaaaaaaaaaa","sealed":""}"#),
        (b"x/", b""),
    ];
    for (key, value) in damages {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        let engine = Engine::open(&path, Options::default()).unwrap();
        let bound = grant(&engine);
        let text = bound.chain().text();
        assert_eq!(code(&engine, &bound), None);
        engine.close().unwrap();
        damage(&path, key, value);
        for _ in 0..2 {
            let engine = Engine::open(&path, Options::default()).unwrap();
            let bound = engine.accept(&text, vec![]).unwrap();
            assert_eq!(code(&engine, &bound).as_deref(), Some("halted"), "{key:?}");
            let halts = engine.halts();
            assert_eq!(halts.len(), 1);
            assert_eq!((&halts[0].target, &halts[0].by), (&Halted::Everything, &None));
            engine.close().unwrap();
        }
        // Somebody looked, and lifts it: the record is gone for good.
        let engine = Engine::open(&path, Options::default()).unwrap();
        engine.unhalt(&Halted::Everything, Some("looked into it"), None).unwrap();
        engine.close().unwrap();
        let engine = Engine::open(&path, Options::default()).unwrap();
        let bound = engine.accept(&text, vec![]).unwrap();
        assert_eq!(code(&engine, &bound), None);
        engine.close().unwrap();
    }
}

#[test]
fn a_store_that_lost_the_record_of_a_human_does_not_open() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let engine = Engine::open(&path, Options::default()).unwrap();
    let bound = grant(&engine);
    let owner = bound.chain().root().payload.human;
    assert!(engine.review(Spans::default()).unwrap().findings.is_empty());
    engine.close().unwrap();
    let store = SledStore::open(&path, 0).unwrap();
    let mut batch = Batch::new();
    batch.delete([&b"h/"[..], owner.as_bytes()].concat());
    store.commit(batch).unwrap();
    store.close().unwrap();
    let refused = Engine::open(&path, Options::default()).unwrap_err().to_string();
    assert!(refused.contains(&owner.to_string()), "{refused}");
}

#[test]
fn records_that_take_authority_away_are_never_skipped() {
    for key in [&b"r/g/short"[..], b"r/a/short", b"r/h/short", b"te/short", b"ak/short"] {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("store");
        Engine::open(&path, Options::default()).unwrap().close().unwrap();
        damage(&path, key, b"?");
        assert!(Engine::open(&path, Options::default()).is_err(), "{key:?}");
    }
}

#[test]
fn a_task_ended_before_ends_were_indexed_is_still_ended() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let engine = Engine::open(&path, Options::default()).unwrap();
    let bound = grant(&engine);
    let text = bound.chain().text();
    let task = bound.chain().root().payload.task.id;
    engine.end_task(task, "a test", None).unwrap();
    engine.close().unwrap();
    damage(&path, &[b"te/", task.as_bytes().as_slice()].concat(), &[1]);
    let engine = Engine::open(&path, Options::default()).unwrap();
    let bound = engine.accept(&text, vec![]).unwrap();
    assert_eq!(code(&engine, &bound).as_deref(), Some("task_ended"));
    let task = engine.task(&task).unwrap();
    assert!(task.ended);
    assert_eq!(task.ended_at, None);
    engine.close().unwrap();
}

#[test]
fn handles_and_claims_that_have_lapsed_are_swept() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let clock = Arc::new(AtomicI64::new(1_800_000_000_000_000));
    let store: Arc<dyn Store> = Arc::new(SledStore::open(&path, 0).unwrap());
    let options = Options { clock: Source::Fixed(clock.clone()), ..Options::default() };
    let engine = Engine::on_store(&path, store.clone(), options).unwrap();
    let count = |prefix: &[u8]| {
        let mut count = 0;
        let mut each = |_: &[u8], _: &[u8]| {
            count += 1;
            true
        };
        store.scan(prefix, None, &mut each).unwrap();
        count
    };
    let bound = grant(&engine);
    let old: Vec<_> = (0..10).map(|_| engine.handle(&bound).unwrap()).collect();
    for call in 0..10u8 {
        assert_eq!(engine.claim(&bound, &[call]), Ok(Claim::New));
    }
    assert_eq!((count(b"hd/"), count(b"cl/")), (10, 10));

    clock.fetch_add(2 * HOUR, Ordering::SeqCst);
    assert!(engine.by_handle(&old[0]).is_err());
    for _ in 0..130 {
        // One that has lapsed already goes with the next sweep, its own included.
        engine.claim(&bound, b"late").unwrap();
        engine.settle_claim(&bound, b"late", false).unwrap();
        engine.handle(&bound).unwrap();
    }
    assert!(count(b"hd/") < 70, "{}", count(b"hd/"));
    assert!(count(b"cl/") <= 1);
    engine.close().unwrap();
}

/// How many records lie under a prefix.
fn count(store: &dyn Store, prefix: &[u8]) -> usize {
    let mut count = 0;
    store
        .scan(prefix, None, &mut |_, _| {
            count += 1;
            true
        })
        .unwrap();
    count
}

#[test]
fn what_grants_needed_while_they_lasted_is_swept_and_the_trail_is_not() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let start = 1_795_507_200_000_000;
    let now = Arc::new(std::sync::atomic::AtomicI64::new(start));
    let clock = Source::Fixed(now.clone());
    let options = Options { clock, ..Options::default() };
    let set = |at: i64| now.store(at, std::sync::atomic::Ordering::SeqCst);
    let engine = Engine::open(&path, options.clone()).unwrap();
    let first = grant(&engine);
    let root = &first.chain().root().payload;
    let make = |ttl| {
        let scope = serde_json::from_str(r#"[{"tool":"pay.*","limits":[{"calls":3}]}]"#).unwrap();
        let new = NewGrant {
            human: root.human,
            agent: root.holder.agent,
            task: TaskChoice::Open(root.task.id),
            scope,
            limits: vec![],
            ttl,
            further_hops: 0,
            by: None,
        };
        engine.grant(new).unwrap()
    };
    let short: Vec<_> = (0..200).map(|_| make(HOUR / 2)).collect();
    let long = make(6 * HOUR);
    let revoke = |bound: &Bound| {
        let target = answerable::registry::Target::Grant(bound.chain().root().digest, None);
        engine.revoke(&target, "x", None).unwrap();
    };
    short.iter().take(10).chain([&long]).for_each(|bound| revoke(bound));
    let used = make(HOUR / 2);
    assert!(is_allowed(&engine, &used));
    let kept = make(6 * HOUR);
    assert!(is_allowed(&engine, &kept));

    // None has ended for good while the newest entry is not beyond what the clock may be set back.
    set(start + HOUR / 2 + 59_000_000);
    revoke(&first);
    assert_eq!(engine.keep_house().unwrap().grants, 0);
    set(start + HOUR / 2 + 61_000_000);
    assert_eq!(engine.keep_house().unwrap().grants, 0, "the clock alone says nothing");
    make(6 * HOUR);
    let size = engine.entries(&Filter::default()).unwrap().len();
    let mut grants = 0;
    loop {
        let swept = engine.keep_house().unwrap();
        assert!(swept.grants <= 64, "a turn is bounded");
        grants += swept.grants;
        if !swept.more {
            break;
        }
    }
    assert_eq!(grants, 201);
    assert_eq!(engine.keep_house().unwrap().grants, 0);
    assert_eq!(engine.entries(&Filter::default()).unwrap().len(), size);
    assert_eq!(code(&engine, &used).as_deref(), Some("expired"));
    assert_eq!(code(&engine, &long).as_deref(), Some("revoked"));
    let text = used.chain().text();
    engine.close().unwrap();

    // What still counts is still there: the revoked one, and the counter.
    let store = SledStore::open(&path, 0).unwrap();
    assert_eq!(count(&store, b"r/g/"), 2);
    assert_eq!(count(&store, b"l/"), 1);
    assert_eq!(count(&store, b"ge/"), 4);
    store.close().unwrap();
    // No clock brings an ended one back: not by the second that may be.
    set(start + HOUR / 2 + 2_000_000);
    let engine = Engine::open(&path, options.clone()).unwrap();
    let again = engine.accept(&text, vec![]).unwrap();
    assert_eq!(code(&engine, &again).as_deref(), Some("expired"));
    engine.close().unwrap();
    set(start + HOUR / 2 - 1_000_000);
    let engine = Engine::open(&path, options).unwrap();
    let again = engine.accept(&text, vec![]).unwrap();
    assert_eq!(code(&engine, &again).as_deref(), Some("clock_behind"));
    engine.close().unwrap();
}

#[test]
fn a_process_that_is_soon_gone_sweeps_too() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("store");
    let start = 1_795_507_200_000_000;
    let mut left = Vec::new();
    // Each opens, grants, uses what it was granted and ends, an hour later than the one before.
    for hour in 0..4 {
        let clock = Source::Fixed(Arc::new(AtomicI64::new(start + hour * 2 * HOUR)));
        let engine = Engine::open(&path, Options { clock, ..Options::default() }).unwrap();
        let new = NewHuman {
            account: &format!("h{hour}"),
            issuer: "local",
            name: None,
            assurance: Assurance::Asserted,
            by: None,
        };
        let human = engine.register_human(&new).unwrap();
        let scope =
            || serde_json::from_str(r#"[{"tool":"pay.*","limits":[{"calls":3}]}]"#).unwrap();
        let name = format!("a{hour}");
        let agent = engine.issue_agent(&name, human.id, "pays", scope(), HOUR, None, None);
        let new = NewGrant {
            human: human.id,
            agent: agent.unwrap().id,
            task: TaskChoice::New("pay".to_owned()),
            scope: scope(),
            limits: vec![],
            ttl: HOUR,
            further_hops: 0,
            by: None,
        };
        assert!(is_allowed(&engine, &engine.grant(new).unwrap()));
        engine.close().unwrap();
        let store = SledStore::open(&path, 0).unwrap();
        left.push((count(&store, b"ge/"), count(&store, b"l/")));
        store.close().unwrap();
    }
    // One goes by the entries of the one before: two are there at most.
    assert_eq!(left, [(1, 1), (2, 2), (2, 2), (2, 2)]);
}

fn is_allowed(engine: &Engine, bound: &Bound) -> bool {
    let call = Call {
        tool: "pay.out",
        request: Ok(Request::new(ToolName::parse("pay.out").unwrap(), Map::new())),
        by_type: &[],
        beside: &[],
        masking: &Masking::default(),
        bound: Some(bound),
        against: None,
        parent: None,
        declared: None,
        credentials: &[],
    };
    engine.await_decision(engine.judge(&call)).decision.reasons.is_empty()
}

#[test]
fn a_task_is_one_humans() {
    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(&folder.path().join("store"), Options::default()).unwrap();
    let root = grant(&engine);
    let payload = &root.chain().root().payload;
    let new = NewHuman {
        account: "bob@example.com",
        issuer: "local",
        name: None,
        assurance: Assurance::Asserted,
        by: None,
    };
    let bob = engine.register_human(&new).unwrap();
    let make = |human| {
        engine.grant(NewGrant {
            human,
            agent: payload.holder.agent,
            task: TaskChoice::Open(payload.task.id),
            scope: serde_json::from_str(r#"[{"tool":"pay.*"}]"#).unwrap(),
            limits: vec![],
            ttl: HOUR,
            further_hops: 0,
            by: None,
        })
    };
    assert!(make(payload.human).is_ok());
    let refused = make(bob.id).unwrap_err().to_string();
    assert!(refused.contains("was opened for another human"), "{refused}");
    engine.close().unwrap();
}

#[test]
fn a_limit_of_a_ceiling_stands_in_what_is_granted() {
    let scope = |limits: &str| {
        let json = format!(r#"[{{"tool":"pay.*"{limits}}}]"#);
        serde_json::from_str::<answerable::scope::Scope>(&json).unwrap()
    };
    let ceiling = scope(r#","limits":[{"calls":5}]"#);
    let beyond = |limits| scope(limits).within_ceiling(&ceiling).unwrap_err();
    assert_eq!(beyond("").code.as_str(), "limit_left_out");
    assert!(beyond("").to_string().contains("the parent allows"), "{}", beyond(""));
    assert_eq!(beyond(r#","limits":[{"calls":6}]"#).code.as_str(), "limit_above");
    assert!(scope(r#","limits":[{"calls":5}]"#).within_ceiling(&ceiling).is_ok());
    assert!(scope("").within(&ceiling).is_ok(), "below a grant it is drawn on above");

    let folder = tempfile::tempdir().unwrap();
    let engine = Engine::open(&folder.path().join("store"), Options::default()).unwrap();
    let root = grant(&engine);
    let human = root.chain().root().payload.human;
    let agent = engine.issue_agent("few", human, "pays", ceiling, 8 * HOUR, None, None).unwrap();
    let make = |limits: &str| {
        engine.grant(NewGrant {
            human,
            agent: agent.id,
            task: TaskChoice::New("pay".to_owned()),
            scope: scope(limits),
            limits: vec![],
            ttl: HOUR,
            further_hops: 0,
            by: None,
        })
    };
    let refused = make("").unwrap_err().to_string();
    assert!(refused.contains("beyond the ceiling"), "{refused}");
    assert!(make(r#","limits":[{"calls":4}]"#).is_ok());
    engine.close().unwrap();
}
