//! The property: whatever the policies, the entities and the request, the compiled path and stock
//! Cedar agree on effect, determining ids and erroring ids.

use std::cell::RefCell;
use std::collections::BTreeMap;

use answerable::policy::{Link, PlainBundle};
use proptest::prelude::*;
use proptest::test_runner::{TestRng, TestRunner};

use super::alike;
use super::generate::{Case, case};
use super::stock::Both;

const REQUESTS: usize = 8;

/// How many requests, by what came of them.
#[derive(Debug, Default)]
struct Seen {
    all: u32,
    allowed: u32,
    forbidden: u32,
    erred: u32,
    /// Policies whose condition held or failed.
    reached: u32,
    conditions: u32,
    compiled: u32,
    operators: BTreeMap<&'static str, u32>,
}

/// What each condition is searched for, so that none of the language is forgotten.
const OPERATORS: [&str; 42] = [
    "&&",
    "||",
    "!(",
    "==",
    "!=",
    " < ",
    "<=",
    " > ",
    ">=",
    " + ",
    " - ",
    " * ",
    "(-(",
    "if ",
    " in ",
    " is ",
    " has ",
    " like ",
    ".contains(",
    "containsAll",
    "containsAny",
    "isEmpty",
    "hasTag",
    "getTag",
    "decimal(",
    "lessThan(",
    "greaterThanOrEqual",
    "ip(",
    "isInRange",
    "isLoopback",
    "isMulticast",
    "datetime(",
    "duration(",
    "offset",
    "durationSince",
    "toDate",
    "toTime",
    "toMilliseconds",
    "toDays",
    "unless",
    "has e.e.n",
    "{\"n\"",
];

fn bundle(case: &Case) -> PlainBundle {
    let mut text = case.policies.join("\n");
    let mut links = Vec::new();
    if let Some((template, principal, resource)) = &case.template {
        text.push('\n');
        text.push_str(template);
        let uid = |(kind, id): &(String, String)| format!("{kind}::{id:?}");
        links.push(Link {
            id: "linked".to_owned(),
            template: format!("policy{}", case.policies.len()),
            principal: Some(uid(principal)),
            resource: Some(uid(resource)),
        });
    }
    PlainBundle { policies: text, links, entities: case.entities.clone(), schema: None }
}

fn check(case: &Case, seen: &mut Seen) -> Result<(), TestCaseError> {
    let bundle = bundle(case);
    let Some(both) = Both::load(&bundle) else {
        return Err(TestCaseError::fail("stock Cedar refuses what was generated"));
    };
    let coverage = both.ours.coverage();
    seen.conditions += coverage.total as u32;
    seen.compiled += coverage.compiled as u32;
    for operator in OPERATORS {
        if bundle.policies.contains(operator) {
            *seen.operators.entry(operator).or_default() += 1;
        }
    }
    for (at, asked) in case.requests.iter().enumerate() {
        let answer = both.agree(asked).map_err(TestCaseError::fail)?;
        if at == 0 {
            // And through our graph back into Cedar's.
            prop_assert_eq!(&both.returned(asked), &answer);
        }
        seen.all += 1;
        seen.allowed += u32::from(answer.allows);
        seen.forbidden += u32::from(!answer.allows && !answer.determining.is_empty());
        seen.erred += u32::from(!answer.errors.is_empty());
        seen.reached += (answer.determining.len() + answer.errors.len()) as u32;
    }
    Ok(())
}

fn run(cases: &BoxedStrategy<Case>, sets: u32) -> Seen {
    let mut config = ProptestConfig::with_cases(sets);
    config.failure_persistence = None;
    config.max_shrink_iters = 20_000;
    let seen = RefCell::new(Seen::default());
    // By default one seed: the same sets everywhere. All of them are others each time.
    let mut runner = match is_full() {
        true => TestRunner::new(config),
        false => {
            let seed = TestRng::deterministic_rng(config.rng_algorithm);
            TestRunner::new_with_rng(config, seed)
        }
    };
    runner
        .run(cases, |case| check(&case, &mut seen.borrow_mut()))
        .unwrap_or_else(|error| panic!("{error}"));
    seen.into_inner()
}

fn is_full() -> bool {
    std::env::var("ANSWERABLE_CASES").is_ok_and(|cases| cases == "full")
}

/// A generator that only ever fails, or never, would show nothing.
fn shows_something(seen: &Seen) {
    let share = |part: u32| f64::from(part) / f64::from(seen.all);
    assert!(share(seen.allowed) > 0.08, "{seen:?}");
    assert!(share(seen.forbidden) > 0.08, "{seen:?}");
    assert!(share(seen.erred) > 0.15, "{seen:?}");
    assert!(share(seen.reached) > 0.5, "{seen:?}");
    assert!(f64::from(seen.compiled) >= 0.9 * f64::from(seen.conditions), "{seen:?}");
}

#[test]
fn compiled_and_stock_agree() {
    // 100,800 requests, or 2,400.
    let sets = if is_full() { 4_200 } else { 100 };
    for depth in [1, 2, 3] {
        let seen = run(&case(depth, REQUESTS), sets);
        println!("depth {depth}: {seen:?}");
        shows_something(&seen);
        if is_full() && depth > 1 {
            for operator in OPERATORS {
                assert!(seen.operators.contains_key(operator), "{operator} never came up");
            }
        }
    }
}

#[test]
fn policies_that_ask_alike_agree_with_stock() {
    // 48,000 requests, or 1,200.
    let seen = run(&alike::case(REQUESTS), if is_full() { 6_000 } else { 150 });
    println!("alike: {seen:?}");
    shows_something(&seen);
}
