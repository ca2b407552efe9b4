//! Nothing is allowed after a revocation: by the trail's order, and by the clock of the caller.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};

use answerable::engine::{Durability, Engine, EngineError, Filter, Options};
use answerable::grant::Terms;
use answerable::registry::Target;

use crate::world::*;

/// Ends a chain's authority while 8 threads call under it; what ends it writes one entry.
fn ended_under_load(kind: &str, end: impl Fn(&World, &answerable::engine::Bound)) {
    for mode in MODES {
        let world = World::new(mode);
        let grant = world.grant(PAY);
        let below = grant.chain().delegate(&key(2), world.terms(world.booker, 3, PAY), 8).unwrap();
        let below = world.accept(&below.text());
        let (returned, stop) = (AtomicBool::new(false), AtomicBool::new(false));
        let (before, after) = (AtomicU64::new(0), AtomicU64::new(0));
        std::thread::scope(|scope| {
            for at in 0..8 {
                let bound = if at % 2 == 0 { &grant } else { &below };
                let (world, returned, stop) = (&world, &returned, &stop);
                let (before, after) = (&before, &after);
                scope.spawn(move || {
                    while !stop.load(Ordering::SeqCst) {
                        let late = returned.load(Ordering::SeqCst);
                        let allowed = is_allowed(&world.call(bound));
                        assert!(!(late && allowed), "allowed after it had returned");
                        let count = if allowed { before } else { after };
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            let some = |count: &AtomicU64| {
                while count.load(Ordering::SeqCst) < 40 {
                    std::thread::yield_now();
                }
            };
            some(&before);
            end(&world, &grant);
            returned.store(true, Ordering::SeqCst);
            some(&after);
            stop.store(true, Ordering::SeqCst);
        });
        check(&world.engine, kind);
    }
}

#[test]
fn no_allow_follows_a_revocation() {
    ended_under_load("revocation", |world, grant| {
        let target = Target::Grant(grant.chain().root().digest, None);
        world.engine.revoke(&target, "stolen", None).unwrap();
    });
}

#[test]
fn no_allow_follows_the_end_of_a_task() {
    ended_under_load("task", |world, grant| {
        let task = grant.chain().root().payload.task.id;
        world.engine.end_task(task, "cancelled", None).unwrap();
    });
}

#[test]
fn no_allow_follows_a_retirement() {
    ended_under_load("identity", |world, _| {
        world.engine.retire_agent(&world.planner, "done", None).unwrap();
    });
}

fn check(engine: &Engine, kind: &str) {
    let entries = engine.entries(&Filter::default()).unwrap();
    let ended =
        entries.iter().filter(|(entry, _)| entry.kind() == kind).map(|(e, _)| e.index).max();
    let allows = entries.iter().filter(|(entry, _)| entry.text("effect") == "allow");
    let last = allows.map(|(entry, _)| entry.index).max().unwrap();
    assert!(last < ended.unwrap(), "an allow at {last} stands after {ended:?}");
}

#[test]
fn grants_made_elsewhere_are_taken_up_so_many_an_hour() {
    let world = World::new(Durability::Before);
    let options =
        Options { max_shown: 3, ..options(&world.master, &world.clock, Durability::Before) };
    let grant = world.grant(PAY);
    let text = grant.chain().text();
    let store = Arc::new(world.store.copy());
    let engine = Engine::on_store(world.folder.path(), store, options).unwrap();
    let root = engine.accept(&text, vec![]).unwrap();
    let below = |depth| {
        let terms = Terms { further_hops: depth, ..world.terms(world.booker, 3, PAY) };
        root.chain().delegate(&key(2), terms, 8).unwrap()
    };
    let size = || engine.entries(&Filter::default()).unwrap().len();
    let two = below(1).delegate(&key(3), world.terms(world.booker, 3, PAY), 8).unwrap();
    let first = below(0);
    for text in [two.text(), first.text(), first.text(), two.text()] {
        engine.accept(&text, vec![]).unwrap();
    }
    let before = size();
    let refused = engine.accept(&below(0).text(), vec![]).unwrap_err();
    let EngineError::Grant(refused) = refused else { panic!("{refused}") };
    assert_eq!((refused.hop, refused.error.code()), (1, "too_many_shown"));
    assert_eq!(size(), before, "nothing is recorded of it");
    // What is delegated here is an administrative act, and counts for nothing.
    assert!(is_allowed(&call(&engine, &root)));
    world.clock.fetch_add(HOUR, Ordering::SeqCst);
    engine.accept(&below(0).text(), vec![]).unwrap();
}
