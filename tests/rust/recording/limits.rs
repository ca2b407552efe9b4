//! Limits hold under threads, over reopening, and over kills.

use std::fs::OpenOptions;
use std::io::Write;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use answerable::clock::{Clock, Source};
use answerable::engine::{Durability, Engine};
use answerable::keys::{KeyRing, MasterKey, SealKey};
use answerable::recorder::{Draw, Drawn, Head, MeterId, Need, Recorder};
use answerable::scope::Limit;

use crate::memory::Memory;
use crate::world::*;

const LIMITED: &str = r#"[{"tool":"pay.transfer","limits":[{"calls":40}]}]"#;

/// How many calls are allowed to so many threads that each call so often.
fn allowed(engine: &Engine, text: &str, threads: usize, each: usize) -> usize {
    let bound = engine.accept(text, vec![]).unwrap();
    let count = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                for _ in 0..each {
                    if is_allowed(&call(engine, &bound)) {
                        count.fetch_add(1, Ordering::SeqCst);
                    }
                }
            });
        }
    });
    count.into_inner()
}

#[test]
fn threads_share_a_limit_and_a_reopening_keeps_it() {
    for mode in MODES {
        let world = World::new(mode);
        let grant = world.limited(LIMITED, vec![Limit::calls(60).unwrap()]);
        let text = grant.chain().text();
        // 32 threads ask 32 times together; then a clean close, which gives back what is left.
        assert_eq!(allowed(&world.engine, &text, 32, 1), 32, "{mode:?}");
        world.engine.close().unwrap();
        let world = world.after_a_crash(mode);
        assert_eq!(allowed(&world.engine, &text, 32, 1), 8, "{mode:?}");
        assert_eq!(world.code(&world.accept(&text)), "limit_reached");
        world.engine.close().unwrap();
        let world = world.after_a_crash(mode);
        assert_eq!(allowed(&world.engine, &text, 4, 1), 0, "{mode:?}");
    }
}

#[test]
fn a_limit_is_drawn_at_every_hop_above() {
    for mode in MODES {
        let world = World::new(mode);
        let grant = world.limited(PAY, vec![Limit::calls(10).unwrap()]);
        // Ten children with a limit of ten each do not make a hundred.
        let texts: Vec<String> = (0..10)
            .map(|_| {
                let mut terms = world.terms(world.booker, 3, PAY);
                terms.limits = vec![Limit::calls(10).unwrap()];
                grant.chain().delegate(&key(2), terms, 8).unwrap().text()
            })
            .collect();
        let counts = texts.iter().map(|text| allowed(&world.engine, text, 8, 1));
        assert_eq!(counts.sum::<usize>(), 10, "{mode:?}");
    }
}

#[test]
fn a_portion_is_drawn_on_only_once_it_is_durable() {
    for mode in [Durability::After, Durability::Relaxed] {
        let world = World::new(mode);
        let grant = world.grant(LIMITED);
        // Nothing can be written: every call on the portion must wait, not only the first.
        let gate = world.store.gate.lock().unwrap();
        let first = judge(&world.engine, &grant, arguments());
        let second = judge(&world.engine, &grant, arguments());
        assert!(first.must_wait && second.must_wait, "{mode:?}");
        drop(gate);
        assert!(is_allowed(&world.engine.await_decision(second)));
        let third = judge(&world.engine, &grant, arguments());
        assert!(!third.must_wait, "{mode:?}");
        // A crash now loses what was reserved, and nothing of it is granted again.
        let text = grant.chain().text();
        let world = world.after_a_crash(mode);
        let left = allowed(&world.engine, &text, 8, 10);
        assert!(left + 3 <= 40 && left >= 40 - 16, "{mode:?}: {left}");
    }
}

#[test]
fn crashes_at_any_moment_never_raise_a_limit() {
    for mode in MODES {
        let mut world = World::new(mode);
        let text = world.grant(LIMITED).chain().text();
        let mut total = 0;
        for round in 0..30 {
            let bound = world.accept(&text);
            // Calls count as run where they did not have to wait, or had waited.
            for at in 0..=(round % 3) {
                let judged = judge(&world.engine, &bound, arguments());
                if at < round % 3 || !judged.must_wait {
                    total += usize::from(is_allowed(&world.engine.await_decision(judged)));
                }
            }
            world = world.after_a_crash(mode);
        }
        total += allowed(&world.engine, &text, 4, 40);
        assert!(total <= 40, "{mode:?}: {total}");
    }
}

#[test]
fn a_full_memory_of_meters_passes_no_limit_over() {
    let store = Arc::new(Memory::default());
    let master = MasterKey::generate().unwrap();
    let ring = Arc::new(KeyRing::new(SealKey::generate().unwrap(), &master));
    let clock = Arc::new(Clock::new(Source::System, 0));
    let head = Head::load(&*store).unwrap();
    let recorder = Recorder::new(store, ring, clock, "x".to_owned(), head, 1);
    let meter = |n: u32, limit| {
        let mut grant = [0; 32];
        grant[..4].copy_from_slice(&n.to_be_bytes());
        (MeterId { grant, capability: 0, limit }, Need::Call { max: 1 })
    };
    let draw = |draws: &[(MeterId, Need)]| {
        for (id, need) in draws.iter().filter(|(id, _)| !recorder.counts(id)) {
            recorder.count(id, need, &Drawn::default()).unwrap();
        }
        let drawn = recorder.sequence(|slot| slot.draw(draws, &mut Vec::new()));
        drawn.unwrap().0
    };
    for n in 0..65_535 {
        assert_eq!(draw(&[meter(n, 0)]), Draw::Drawn);
    }
    let two = [meter(70_000, 0), meter(70_000, 1)];
    assert_eq!(draw(&two), Draw::Drawn);
    assert_eq!(draw(&two), Draw::UsedUp(0));
    assert_eq!(draw(&two[1..]), Draw::UsedUp(0));
    assert_eq!(draw(&[meter(0, 0)]), Draw::UsedUp(0));
    // What was not held to the trail before is not drawn on.
    let uncounted = recorder.sequence(|slot| slot.draw(&[meter(80_000, 0)], &mut Vec::new()));
    assert_eq!(uncounted.unwrap().0, Draw::Uncounted);
}

const CHILD: &str = "ANSWERABLE_TEST_CALLS_UNTIL_KILLED";

/// In the process that is killed: calls from 8 threads, each run leaving one byte in a file.
#[test]
fn calls_until_killed() {
    let Ok(told) = std::env::var(CHILD) else { return };
    let (mode, folder) = told.split_once(' ').unwrap();
    let folder = Path::new(folder);
    let engine = open_folder(&folder.join("store"), Durability::parse(mode).unwrap());
    let text = std::fs::read_to_string(folder.join("grant")).unwrap();
    let bound = engine.accept(&text, vec![]).unwrap();
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let mut runs = OpenOptions::new();
                let mut runs = runs.append(true).create(true).open(folder.join("runs")).unwrap();
                while is_allowed(&call(&engine, &bound)) {
                    runs.write_all(b".").unwrap();
                }
            });
        }
    });
}

#[test]
fn kills_never_raise_a_limit() {
    const MOST: usize = 250;
    for mode in [Durability::Before, Durability::Relaxed] {
        let folder = tempfile::tempdir().unwrap();
        let engine = open_folder(&folder.path().join("store"), mode);
        let (human, agent, _) = people(&engine);
        let json = format!(r#"[{{"tool":"pay.transfer","limits":[{{"calls":{MOST}}}]}}]"#);
        let grant = engine.grant(answerable::engine::NewGrant {
            human,
            agent,
            task: answerable::engine::TaskChoice::New("x".to_owned()),
            scope: scope(&json),
            limits: vec![],
            ttl: HOUR,
            further_hops: 0,
            by: None,
        });
        std::fs::write(folder.path().join("grant"), grant.unwrap().chain().text()).unwrap();
        engine.close().unwrap();
        drop(engine);
        let runs = || std::fs::metadata(folder.path().join("runs")).map_or(0, |m| m.len() as usize);
        let (mut kills, mut last) = (0, 0);
        loop {
            let mut child = Command::new(std::env::current_exe().unwrap())
                .args(["limits::calls_until_killed", "--exact"])
                .env(CHILD, format!("{} {}", mode.word(), folder.path().display()))
                .stdout(Stdio::null())
                .spawn()
                .unwrap();
            let started = Instant::now();
            let before = runs();
            let ended = loop {
                if let Some(status) = child.try_wait().unwrap() {
                    assert!(status.success());
                    break true;
                }
                // Killed in the midst of its calls, each time after some more.
                if runs() > before + 20 * (kills % 4) + 3 && kills < 4 {
                    child.kill().unwrap();
                    child.wait().unwrap();
                    break false;
                }
                assert!(started.elapsed() < Duration::from_secs(600), "it hangs");
                std::thread::sleep(Duration::from_micros(300));
            };
            if ended {
                break;
            }
            kills += 1;
            assert!(runs() > last);
            last = runs();
        }
        assert!(runs() <= MOST, "{mode:?}: {}", runs());
        assert!(kills >= 3, "{mode:?}: {kills}");
    }
}
