#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};

use super::*;
use crate::clock::Source;
use crate::engine::{NewGrant, Options, TaskChoice};
use crate::principal::{AgentId, Assurance, HumanId};
use crate::registry::NewHuman;
use crate::scope::Scope;
use crate::trail::entry::kind;

const START: i64 = 1_767_225_600 * 1_000_000; // 2026-01-01

fn options(clock: &Arc<AtomicI64>, retention: &[(&str, i64)]) -> Options {
    Options {
        clock: Source::Fixed(clock.clone()),
        retention: retention.iter().map(|(kind, age)| ((*kind).to_owned(), *age)).collect(),
        ..Options::default()
    }
}

#[test]
fn no_schedule_is_shorter_than_the_law_allows_or_of_other_kinds() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(START));
    for wrong in
        [("decision", LEAST_AGE - 1), ("decision", -1), ("identity", LEAST_AGE), ("x", LEAST_AGE)]
    {
        let path = dir.path().join("store");
        let refused = Engine::open(&path, options(&clock, &[wrong]));
        assert!(matches!(refused, Err(EngineError::Invalid(_))), "{wrong:?}");
        assert!(!path.exists());
    }
}

/// A human, and an agent for some years.
fn people(engine: &Engine) -> (HumanId, AgentId) {
    let new = NewHuman {
        account: "alice@example.com",
        issuer: "local",
        name: None,
        assurance: Assurance::Asserted,
        by: None,
    };
    let human = engine.register_human(&new).unwrap().id;
    let years = 3 * 365 * DAY;
    let agent = engine.issue_agent("planner", human, "tests", scope(), years, None, None);
    (human, agent.unwrap().id)
}

fn scope() -> Scope {
    serde_json::from_str(r#"[{"tool":"pay.*"}]"#).unwrap()
}

/// A grant for a task of its own.
fn grant(engine: &Engine, (human, agent): (HumanId, AgentId), sentence: &str) {
    engine
        .grant(NewGrant {
            human,
            agent,
            task: TaskChoice::New(sentence.to_owned()),
            scope: scope(),
            limits: vec![],
            ttl: DAY,
            further_hops: 0,
            by: None,
        })
        .unwrap();
}

#[test]
fn values_are_dropped_once_their_time_is_over_and_recorded() {
    let dir = tempfile::tempdir().unwrap();
    let clock = Arc::new(AtomicI64::new(START));
    let engine =
        Engine::open(&dir.path().join("store"), options(&clock, &[("task", 200 * DAY)])).unwrap();
    let people = people(&engine);
    let grant = |sentence: &str| grant(&engine, people, sentence);
    let sentences = || {
        let filter = Filter { kind: Some("task".to_owned()), ..Filter::default() };
        let entries = engine.entries(&filter).unwrap();
        entries
            .iter()
            .map(|(entry, _)| entry.value_text("sentence").map(str::to_owned))
            .collect::<Vec<_>>()
    };
    let erasures = || {
        let filter = Filter { kind: Some(kind::ERASURE.to_owned()), ..Filter::default() };
        engine.entries(&filter).unwrap().len()
    };
    let text = |text: &str| Some(text.to_owned());
    grant("first");
    clock.store(START + 100 * DAY, Ordering::Release);
    grant("second");
    engine.retain().unwrap();
    // The clock alone drops nothing: what counts is how much was recorded since.
    clock.store(START + 202 * DAY, Ordering::Release);
    engine.retain().unwrap();
    assert_eq!(sentences(), [text("first"), text("second")]);
    assert_eq!(erasures(), 0);
    grant("third");
    engine.retain().unwrap();
    assert_eq!(sentences(), [None, text("second"), text("third")]);
    assert_eq!(erasures(), 1);
    // What was done is not done again, and what is due later follows.
    assert_eq!(engine.retain().unwrap(), []);
    clock.store(START + 302 * DAY, Ordering::Release);
    grant("fourth");
    engine.retain().unwrap();
    assert_eq!(sentences(), [None, None, text("third"), text("fourth")]);
    assert_eq!(erasures(), 2);
    assert!(engine.verify(&[]).unwrap().is_ok());
    engine.close().unwrap();
}

/// An engine with two tasks, of which the first is due, and its clock.
fn with_one_due(dir: &Path) -> (Arc<Engine>, Arc<AtomicI64>) {
    let clock = Arc::new(AtomicI64::new(START));
    let schedule = options(&clock, &[(kind::TASK, LEAST_AGE)]);
    let engine = Engine::open(&dir.join("store"), schedule).unwrap();
    let people = people(&engine);
    grant(&engine, people, "first");
    clock.store(START + LEAST_AGE + 2 * DAY, Ordering::Release);
    grant(&engine, people, "second");
    (engine, clock)
}

#[test]
fn nothing_is_dropped_by_an_entry_that_is_ahead_of_the_clock() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, clock) = with_one_due(dir.path());
    clock.store(START + DAY, Ordering::Release);
    assert_eq!(engine.retain().unwrap(), []);
    clock.store(START + LEAST_AGE + 2 * DAY, Ordering::Release);
    assert_eq!(engine.retain().unwrap().len(), 1);
    engine.close().unwrap();
}

#[test]
fn housekeeping_drops_what_is_due_without_being_asked() {
    let dir = tempfile::tempdir().unwrap();
    let (engine, _) = with_one_due(dir.path());
    let erasures = || {
        let filter = Filter { kind: Some(kind::ERASURE.to_owned()), ..Filter::default() };
        engine.entries(&filter).unwrap().len()
    };
    assert_eq!(erasures(), 0);
    let stop = engine.housekeeping.lock().as_ref().unwrap().1.clone();
    let mut woken = 0;
    while erasures() == 0 {
        // Woken without being stopped, the thread takes its turn at once.
        stop.1.notify_all();
        woken += 1;
        assert!(woken < 12_000, "nothing was dropped");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    engine.close().unwrap();
}
