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
use answerable::engine::{Bound, Claim, Engine, NewGrant, Options, TaskChoice};
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
