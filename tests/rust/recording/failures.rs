//! A store that fails: what was promised before the failure holds, and nothing more is allowed.

use std::sync::mpsc;
use std::time::Duration;

use answerable::canonical::Value;
use answerable::engine::{Durability, Judged, Outcome};
use answerable::registry::Target;

use crate::world::*;

fn finish(world: &World, judged: &Judged) -> Result<(), String> {
    let outcome = Outcome::Returned(Ok(Value::Null));
    let upto = world.engine.finish(judged, 1, &outcome).map_err(|error| error.code().to_owned())?;
    upto.map_or(Ok(()), |upto| world.engine.wait(upto)).map_err(|error| error.code().to_owned())
}

/// Nothing is allowed, granted or taken in; denials say why and are not recorded.
fn nothing_more(world: &World, grant: &answerable::engine::Bound) {
    for _ in 0..3 {
        let judged = world.call(grant);
        assert_eq!(judged.decision.reasons[0].code, "store_unavailable");
        assert!(judged.entry.is_none() && !judged.must_wait);
    }
    assert!(world.try_grant(PAY, vec![]).is_err());
    let target = Target::Grant(grant.chain().root().digest, None);
    assert!(world.engine.revoke(&target, "x", None).is_err());
    assert!(world.engine.checkpoint().is_err());
    assert!(!matches!(
        world.engine.check_call(
            Some(grant),
            &answerable::request::Request::new(
                answerable::request::ToolName::parse("pay.transfer").unwrap(),
                arguments(),
            )
        ),
        decision if decision.reasons.is_empty()
    ));
}

#[test]
fn before_and_strict_deny_what_could_not_be_recorded() {
    for mode in [Durability::Before, Durability::Strict] {
        let world = World::new(mode);
        let grant = world.grant(PAY);
        let running = world.call(&grant);
        assert!(is_allowed(&running));
        world.store.fail(true);
        assert_eq!(world.code(&grant), "store_unavailable");
        // The call that ran when the store failed: its result is given, or kept back.
        match mode {
            Durability::Before => assert_eq!(finish(&world, &running), Ok(())),
            _ => assert_eq!(finish(&world, &running), Err("store_unavailable".to_owned())),
        }
        nothing_more(&world, &grant);
        // The store is well again: this engine stays shut until it is opened anew.
        world.store.fail(false);
        nothing_more(&world, &grant);
        assert!(world.engine.close().is_ok() || world.engine.check().is_err());
        let text = grant.chain().text();
        let world = world.after_a_crash(mode);
        assert!(is_allowed(&world.call(&world.accept(&text))));
    }
}

#[test]
fn strict_keeps_a_result_back_when_its_outcome_fails() {
    let world = World::new(Durability::Strict);
    let grant = world.grant(PAY);
    let running = world.call(&grant);
    world.store.fail(true);
    assert_eq!(finish(&world, &running), Err("store_unavailable".to_owned()));
    nothing_more(&world, &grant);
}

#[test]
fn after_keeps_a_result_back_when_its_decision_fails() {
    let world = World::new(Durability::After);
    let grant = world.grant(PAY);
    world.store.fail(true);
    // The tool runs while the decision is written.
    let running = world.call(&grant);
    assert!(is_allowed(&running));
    assert_eq!(finish(&world, &running), Err("store_unavailable".to_owned()));
    nothing_more(&world, &grant);
}

#[test]
fn relaxed_returns_the_result_and_denies_the_next() {
    let world = World::new(Durability::Relaxed);
    let grant = world.grant(PAY);
    world.store.fail(true);
    let running = world.call(&grant);
    assert!(is_allowed(&running));
    assert_eq!(finish(&world, &running), Ok(()));
    // Whoever writes finds out; here the flush that a checkpoint makes.
    assert!(world.engine.checkpoint().is_err());
    nothing_more(&world, &grant);
}

#[test]
fn a_portion_that_fails_is_not_drawn_on() {
    for mode in [Durability::After, Durability::Relaxed] {
        let world = World::new(mode);
        let grant = world.grant(r#"[{"tool":"pay.transfer","limits":[{"calls":40}]}]"#);
        world.store.fail(true);
        assert_eq!(world.code(&grant), "store_unavailable");
        nothing_more(&world, &grant);
    }
}

#[test]
fn waiters_are_told_of_the_failure() {
    let world = World::new(Durability::Before);
    let grant = world.grant(PAY);
    let (send, receive) = mpsc::channel();
    let gate = world.store.gate.lock().unwrap();
    let judged = judge(&world.engine, &grant, arguments());
    let also = judge(&world.engine, &grant, arguments());
    world.store.fail(true);
    let sender = send.clone();
    world.engine.notify(also.upto, Box::new(move |told| sender.send(told.is_ok()).unwrap()));
    drop(gate);
    assert!(!is_allowed(&world.engine.await_decision(judged)));
    assert_eq!(receive.recv_timeout(Duration::from_secs(300)), Ok(false));
    world.engine.notify(also.upto, Box::new(move |told| send.send(told.is_ok()).unwrap()));
    assert_eq!(receive.recv_timeout(Duration::from_secs(300)), Ok(false));
}

#[test]
fn a_verb_that_failed_is_not_taken_for_done() {
    let world = World::new(Durability::Before);
    let grant = world.grant(PAY);
    world.store.fail(true);
    let target = Target::Grant(grant.chain().root().digest, None);
    assert!(world.engine.revoke(&target, "stolen", None).is_err());
    // It was not recorded, so it may not be in force later; until then nothing is allowed.
    nothing_more(&world, &grant);
    world.store.fail(false);
    let text = grant.chain().text();
    let world = world.after_a_crash(Durability::Before);
    assert!(is_allowed(&world.call(&world.accept(&text))));
}

#[test]
fn a_closed_engine_allows_nothing() {
    for mode in MODES {
        let world = World::new(mode);
        let grant = world.grant(PAY);
        assert!(is_allowed(&world.call(&grant)));
        // Called into while it closes: what is allowed is in the trail that is left.
        let allowed = std::thread::scope(|scope| {
            let calls = scope.spawn(|| {
                let mut allowed = 0;
                loop {
                    let judged = world.call(&grant);
                    if !is_allowed(&judged) {
                        assert_eq!(judged.decision.reasons[0].code, "engine_closed");
                        return allowed;
                    }
                    allowed += 1;
                    std::thread::sleep(Duration::from_micros(200));
                }
            });
            std::thread::sleep(Duration::from_millis(20));
            world.engine.close().unwrap();
            calls.join().unwrap()
        });
        assert_eq!(world.code(&grant), "engine_closed");
        let world = world.after_a_crash(mode);
        let entries = world.engine.entries(&answerable::engine::Filter::default()).unwrap();
        let recorded = entries.iter().filter(|(entry, _)| entry.text("effect") == "allow").count();
        assert_eq!(recorded, allowed + 1, "{mode:?}");
    }
}
