//! The laws of `within` and of the wire format. A case is a seed for fifty pairs; on failure the
//! pair is printed as JSON. `ANSWERABLE_CASES` multiplies the number of pairs.

use std::cell::Cell;
use std::hint::black_box;
use std::time::Instant;

use proptest::prelude::*;
use proptest::test_runner::{TestCaseError, TestRunner};

use super::generate::Tape;
use crate::canonical::{Map, Value};
use crate::request::{Request, Resource, ToolName};
use crate::scope::capability::Capability;
use crate::scope::caveat::Caveat;
use crate::scope::{NotWithinCode, Scope};

const PER_CASE: u32 = 50;

fn pairs(count: u32, law: impl Fn(&mut Tape) -> Result<(), TestCaseError>) {
    let times = std::env::var("ANSWERABLE_CASES").ok().and_then(|t| t.parse().ok()).unwrap_or(1);
    let mut config = ProptestConfig::with_cases(count / PER_CASE * times);
    config.failure_persistence = None;
    TestRunner::new(config)
        .run(&any::<u64>(), |seed| {
            let mut tape = Tape(seed);
            (0..PER_CASE).try_for_each(|_| law(&mut tape))
        })
        .unwrap_or_else(|error| panic!("{error}"));
}

fn json<T: serde::Serialize>(value: &T) -> String {
    serde_json::to_string(value).unwrap()
}

fn add(counter: &Cell<usize>) {
    counter.set(counter.get() + 1);
}

#[test]
fn patterns_within_are_sound_reflexive_and_transitive() {
    let (held, hits) = (Cell::new(0), Cell::new(0));
    pairs(30_000, |tape| {
        let (a, b, c) = (tape.tool_pattern(), tape.tool_pattern(), tape.tool_pattern());
        prop_assert!(a.within(&a));
        prop_assert!(!(a.within(&b) && b.within(&c)) || a.within(&c), "{a} {b} {c}");
        if a.within(&b) {
            add(&held);
            for _ in 0..4 {
                let tool = tape.tool();
                prop_assert!(!a.matches(&tool) || b.matches(&tool), "{a} {b} {tool}");
            }
        }
        let (a, b, c) = (tape.resource_pattern(), tape.resource_pattern(), tape.resource_pattern());
        prop_assert!(a.within(&a));
        prop_assert!(!(a.within(&b) && b.within(&c)) || a.within(&c), "{a} {b} {c}");
        let resource = tape.chance(95).then(|| tape.resource());
        if a.within(&b) && a.matches(resource.as_ref()) {
            add(&hits);
            prop_assert!(b.matches(resource.as_ref()), "{a} {b} {resource:?}");
        }
        Ok(())
    });
    assert!(held.get() > 2_000 && hits.get() > 500, "{held:?} {hits:?}");
}

#[test]
fn caveats_within_are_sound_reflexive_and_transitive() {
    let (held, hits) = (Cell::new(0), Cell::new(0));
    pairs(60_000, |tape| {
        let outer = tape.caveat(2);
        let middle = tape.narrow(&outer);
        let inner = tape.narrow(&middle);
        prop_assert!(outer.within(&outer), "{}", json(&outer));
        prop_assert!(
            !(inner.within(&middle) && middle.within(&outer)) || inner.within(&outer),
            "{} {} {}",
            json(&inner),
            json(&middle),
            json(&outer)
        );
        let other = tape.caveat(1);
        for (child, parent) in [(&middle, &outer), (&inner, &outer), (&other, &outer)] {
            if !child.within(parent) {
                continue;
            }
            add(&held);
            for _ in 0..3 {
                let value = if tape.chance(80) { tape.sample(child) } else { Some(tape.value(2)) };
                let mut arguments = Map::new();
                if let Some(value) = &value {
                    arguments.insert(tape.pick(&["p", "q", "r"]), value.clone());
                }
                if child.allows(value.as_ref(), &arguments) {
                    add(&hits);
                    prop_assert!(
                        parent.allows(value.as_ref(), &arguments),
                        "{} {} {value:?}",
                        json(child),
                        json(parent)
                    );
                }
            }
        }
        Ok(())
    });
    assert!(held.get() > 40_000 && hits.get() > 50_000, "{held:?} {hits:?}");
}

#[test]
fn scopes_within_are_sound() {
    let (held, hits) = (Cell::new(0), Cell::new(0));
    pairs(150_000, |tape| {
        let parent = tape.scope(false);
        let child = tape.narrow_scope(&parent, false);
        prop_assert_eq!(parent.within(&parent), Ok(()));
        if child.within(&parent).is_ok() {
            add(&held);
            for _ in 0..4 {
                let request = tape.request(&child);
                if child.covers(&request).is_ok() {
                    add(&hits);
                    prop_assert!(
                        parent.covers(&request).is_ok(),
                        "{} {} {request:?}",
                        json(&child),
                        json(&parent)
                    );
                }
            }
        }
        Ok(())
    });
    assert!(held.get() > 45_000 && hits.get() > 30_000, "{held:?} {hits:?}");
}

#[test]
fn scopes_within_are_transitive_but_for_limits_left_out() {
    let held = Cell::new(0);
    pairs(20_000, |tape| {
        let a = tape.scope(true);
        let b = tape.narrow_scope(&a, true);
        let c = tape.narrow_scope(&b, true);
        prop_assert_eq!(a.within(&a), Ok(()));
        if b.within(&a).is_ok() && c.within(&b).is_ok() {
            add(&held);
            match c.within(&a) {
                Ok(()) => {}
                Err(error) => {
                    let shown = format!("{} {} {}", json(&c), json(&b), json(&a));
                    prop_assert_eq!(error.code, NotWithinCode::LimitAbove, "{}", &shown);
                    prop_assert_eq!(without_limits(&c).within(&without_limits(&a)), Ok(()));
                }
            }
        }
        Ok(())
    });
    assert!(held.get() > 4_000, "{held:?}");
}

fn without_limits(scope: &Scope) -> Scope {
    let strip = |c: &Capability| {
        let patterns = c.resource().map(<[_]>::to_vec);
        Capability::new(c.tool().clone(), patterns, c.where_().map(<[_]>::to_vec), vec![]).unwrap()
    };
    Scope::new(scope.capabilities().iter().map(strip).collect()).unwrap()
}

#[test]
fn json_print_and_parse_are_one_to_one() {
    pairs(10_000, |tape| {
        let (a, b) = (tape.scope(true), tape.scope(true));
        prop_assert_eq!(&serde_json::from_str::<Scope>(&json(&a)).unwrap(), &a);
        prop_assert_eq!(a == b, json(&a) == json(&b));
        let caveat = tape.caveat(3);
        prop_assert_eq!(&serde_json::from_str::<Caveat>(&json(&caveat)).unwrap(), &caveat);
        Ok(())
    });
}

#[test]
fn a_changed_byte_is_refused_or_reads_as_it_prints() {
    pairs(10_000, |tape| {
        let mut text = json(&tape.scope(true)).into_bytes();
        let at = tape.below(text.len());
        text[at] = b"\"{}[]:,*.0a~"[tape.below(12)];
        if let Ok(text) = String::from_utf8(text)
            && let Ok(scope) = serde_json::from_str::<Scope>(&text)
        {
            let again: Scope = serde_json::from_str(&json(&scope)).unwrap();
            prop_assert_eq!(again, scope);
        }
        Ok(())
    });
}

#[test]
fn refusals_can_always_be_told() {
    pairs(10_000, |tape| {
        let (scope, aim) = (tape.scope(true), tape.scope(true));
        let request = tape.request(&aim);
        if let Err(refusal) = scope.covers(&request) {
            prop_assert!(!refusal.fix.is_empty() && refusal.to_string().contains("allowed is"));
            let masked = refusal.clone().masked();
            prop_assert_eq!((masked.code, &masked.fix), (refusal.code, &refusal.fix));
        }
        if let Err(error) = aim.within(&scope) {
            prop_assert!(!error.fix.is_empty() && !error.to_string().ends_with('.'));
        }
        Ok(())
    });
}

/// Run alone, with `--release -- --ignored`; prints, and fails only beyond any doubt.
#[test]
#[ignore = "measures"]
#[allow(clippy::print_stderr)]
fn a_covered_call_takes_less_than_a_microsecond() {
    let scope: Scope = serde_json::from_str(
        r#"[{"tool":"travel.search"},{"tool":"pay.transfer","resource":["account/travel-*"],
            "where":{"amount":{"at_most":500},"memo":{"length":[0,80]}}}]"#,
    )
    .unwrap();
    let mut arguments = Map::new();
    arguments.insert("account", Value::str("travel-1"));
    arguments.insert("amount", Value::int(80));
    arguments.insert("memo", Value::str("deposit"));
    let mut request = Request::new(ToolName::parse("pay.transfer").unwrap(), arguments);
    request.resource = Some(Resource::parse("account/travel-1").unwrap());
    request.template.push("account".into());
    let rounds = 1_000_000u32;
    let start = Instant::now();
    for _ in 0..rounds {
        assert_eq!(black_box(&scope).covers(black_box(&request)), Ok(1));
    }
    let nanos = start.elapsed().as_nanos() / u128::from(rounds);
    let start = Instant::now();
    for _ in 0..rounds {
        assert_eq!(black_box(&scope).within(black_box(&scope)), Ok(()));
    }
    let within = start.elapsed().as_nanos() / u128::from(rounds);
    eprintln!("covers: {nanos} ns, within: {within} ns");
    assert!(cfg!(debug_assertions) || nanos < 1_000, "{nanos} ns");
}
