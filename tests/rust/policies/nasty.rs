//! Cases made by hand to part the two.

use answerable::policy::{PlainBundle, PlainSet};

use super::stock::{Asked, Both, Uid};

const ENTITIES: &str = r#"[
    {"uid": {"type": "U", "id": "a"}, "attrs": {
        "n": 1, "s": "é", "self": {"__entity": {"type": "U", "id": "a"}},
        "friend": {"__entity": {"type": "U", "id": "missing"}},
        "set": [1, 2, 2, 1], "sets": [[1], [2, 3]], "rec": {"x": 1, "y": {"z": [true]}},
        "odd key": 1, "": 2, "__entity x": 3
     }, "parents": [{"type": "G", "id": "g1"}, {"type": "G", "id": "not in the store"}], "tags": {"t": "x", "": 1}},
    {"uid": {"type": "G", "id": "g1"}, "attrs": {}, "parents": [{"type": "G", "id": "g2"}, {"type": "G", "id": "g3"}]},
    {"uid": {"type": "G", "id": "g2"}, "attrs": {}, "parents": [{"type": "G", "id": "top"}]},
    {"uid": {"type": "G", "id": "g3"}, "attrs": {}, "parents": [{"type": "G", "id": "top"}]},
    {"uid": {"type": "N::U", "id": "a"}, "attrs": {"n": 2}, "parents": []},
    {"uid": {"type": "Action", "id": "do"}, "attrs": {}, "parents": [{"type": "Action", "id": "x"}, {"type": "Action", "id": "y"}]},
    {"uid": {"type": "Action", "id": "x"}, "attrs": {}, "parents": [{"type": "Action", "id": "all"}]},
    {"uid": {"type": "Action", "id": "y"}, "attrs": {}, "parents": [{"type": "Action", "id": "all"}]}
]"#;

const CONTEXT: &str = r#"{
    "n": 9223372036854775807, "min": -9223372036854775808, "s": "a*b\u0301日", "e": {"__entity": {"type": "U", "id": "a"}},
    "gone": {"__entity": {"type": "Nope", "id": "x"}}, "empty": [], "mixed": [1, "1", true, {"a": 1}, [1], {"__extn": {"fn": "decimal", "arg": "1.0"}}],
    "rec": {"b": 2, "a": 1}, "es": [{"__entity": {"type": "G", "id": "g2"}}, {"__entity": {"type": "U", "id": "zzz"}}],
    "ip": {"__extn": {"fn": "ip", "arg": "10.0.0.1"}}, "t": {"__extn": {"fn": "datetime", "arg": "1969-12-31T23:59:59.999Z"}}
}"#;

fn uid(kind: &str, id: &str) -> Uid {
    (kind.to_owned(), id.to_owned())
}

fn asked() -> Asked {
    Asked {
        principal: uid("U", "a"),
        action: uid("Action", "do"),
        resource: uid("U", "a"),
        context: CONTEXT.to_owned(),
    }
}

fn bundle(policies: &str) -> PlainBundle {
    PlainBundle {
        policies: policies.to_owned(),
        entities: ENTITIES.to_owned(),
        ..PlainBundle::default()
    }
}

/// Both on one condition; what came of it: true, false, or an error.
fn both(condition: &str) -> Option<bool> {
    let text = format!("permit(principal, action, resource) when {{ {condition} }};");
    let both = Both::load(&bundle(&text)).unwrap_or_else(|| panic!("refused: {condition}"));
    let answer = both.agree(&asked()).unwrap_or_else(|why| panic!("{condition}\n{why}"));
    assert_eq!(both.returned(&asked()), answer, "{condition}");
    if answer.errors.is_empty() { Some(answer.allows) } else { None }
}

#[test]
fn conditions_that_are_easily_mistaken() {
    let (yes, no, error) = (Some(true), Some(false), None);
    for (condition, expected) in [
        // Unicode, and stars that are none.
        (r#"context.s like "a\*b*""#, yes),
        (r#"context.s like "a*b""#, no),
        (r#"context.s like "*\u{301}*日""#, yes),
        (r#"context.s like "**a**\u{65e5}**""#, yes),
        (r#"principal.s like "e*""#, no),
        (r#"principal.s == "e\u{301}""#, no),
        (r#""" like """#, yes),
        (r#""" like "*""#, yes),
        (r#""a" like """#, no),
        (r#""aa" like "a*a*a""#, no),
        (r#""aba" like "ab*ba""#, no),
        (r#""*" like "\*""#, yes),
        (r#""\\" like "\\""#, yes),
        ("context.n like \"*\"", error),
        // Lying in.
        ("principal in principal", yes),
        (r#"principal in G::"top""#, yes),
        (r#"principal in G::"not in the store""#, yes),
        (r#"G::"not in the store" in G::"not in the store""#, yes),
        (r#"principal in [G::"no", G::"g3", G::"g3"]"#, yes),
        ("principal in context.es", yes),
        ("principal in context.empty", no),
        ("principal in []", no),
        ("principal in context.mixed", error),
        (r#"principal in [G::"top", 1]"#, error),
        ("context.gone in context.gone", yes),
        ("context.rec in principal", error),
        (r#"U::"a" in U::"a" && !(N::U::"a" in U::"a")"#, yes),
        // Kinds.
        ("principal is U", yes),
        ("principal is N::U", no),
        (r#"principal is U in G::"top""#, yes),
        (r#"principal is G in 1"#, no),
        ("context.gone is Nope", yes),
        ("context.n is U", error),
        // Equality across types, orders and spellings.
        (r#"1 == "1""#, no),
        ("[] == {}", no),
        ("context.empty == []", yes),
        ("[1, 1, 2] == [2, 1]", yes),
        ("principal.set == [1, 2]", yes),
        ("principal.sets == [[3, 2, 3], [1, 1]]", yes),
        ("context.rec == {a: 1, b: 2}", yes),
        ("context.rec == {a: 1, b: 2, c: 3}", no),
        (r#"context.rec == {"a": 2, "b": 1}"#, no),
        ("{x: principal.rec} == {x: {y: {z: [true, true]}, x: 1}}", yes),
        (r#"ip("10.0.0.1") == ip("10.0.0.1/32")"#, yes),
        (r#"context.ip == ip("10.0.0.1/31")"#, no),
        (r#"decimal("1.5") == decimal("1.50")"#, yes),
        (r#"datetime("2024-01-01") == datetime("2024-01-01T00:00:00Z")"#, yes),
        (r#"datetime("2024-01-01") == duration("1h")"#, no),
        (r#"context.t.toTime() == duration("86399999ms")"#, yes),
        (r#"context.t.toDate() == datetime("1969-12-31")"#, yes),
        ("context == context", yes),
        ("principal == resource", yes),
        (r#"principal == N::U::"a""#, no),
        // Sets.
        (
            "context.mixed.contains(true) && context.mixed.contains({a: 1}) && context.mixed.contains([1])",
            yes,
        ),
        (
            r#"context.mixed.contains(decimal("1.0")) && !context.mixed.contains(decimal("1.1"))"#,
            yes,
        ),
        ("context.mixed.contains(2)", no),
        ("principal.sets.contains([2, 3, 3])", yes),
        ("[principal.set, [context.n]].contains([1, 2])", yes),
        ("principal.set.containsAll([])", yes),
        ("context.empty.containsAny([1])", no),
        ("principal.set.containsAny(context.mixed)", yes),
        ("principal.set.containsAll(1)", error),
        ("context.rec.contains(1)", error),
        ("context.empty.isEmpty() && ![[]].isEmpty()", yes),
        ("principal.isEmpty()", error),
        // Short circuits.
        ("false && 1 == true", no),
        ("true || context.nothing", yes),
        ("true && 1", error),
        ("false || \"x\"", error),
        ("1 || true", error),
        ("(if true then 1 else context.nothing) == 1", yes),
        ("if 1 then true else true", error),
        ("(if false then context.nothing else true) && true", yes),
        ("false && (true && (false || context.nothing))", no),
        ("(true && false) && context.nothing", no),
        ("(false || true) && (context.nothing || true)", error),
        ("true && (if context has nothing then context.nothing else true) && true", yes),
        ("!(1)", error),
        // Numbers at their ends.
        ("context.n + 1 == 0", error),
        ("context.min - 1 == 0", error),
        ("-context.min == 0", error),
        ("context.min * -1 == 0", error),
        ("context.n * 1 == context.n && -context.n - 1 == context.min", yes),
        ("-9223372036854775808 == context.min", yes),
        ("context.n < \"x\"", error),
        ("context.ip < context.ip", error),
        (r#"context.t < duration("1h")"#, error),
        (r#"context.t < datetime("1970-01-01")"#, yes),
        (r#"duration("-9223372036854775808ms") < duration("0ms")"#, yes),
        (r#"context.t.offset(duration("-9223372036854775808ms")) == context.t"#, error),
        (r#"datetime("9999-12-31").durationSince(context.t).toDays() > 2000000"#, yes),
        (r#"decimal("1.23456") == decimal("1.0")"#, error),
        (r#"false && decimal("x") == decimal("1.0")"#, no),
        (r#"ip(context.s) == context.ip"#, error),
        (r#"ip("::/0").isInRange(ip("0.0.0.0/0"))"#, no),
        (r#"ip("10.0.0.0/7").isInRange(ip("10.0.0.0/8"))"#, no),
        (r#"ip("255.255.255.255").isInRange(ip("0.0.0.0/0"))"#, yes),
        (r#"ip("127.0.0.0/7").isLoopback()"#, no),
        (r#"ip("ffff::/8").isMulticast() && !ip("ffff::/7").isMulticast()"#, yes),
        // Attributes and tags.
        (r#"principal["odd key"] == 1 && principal[""] == 2 && principal has "__entity x""#, yes),
        ("principal.friend has n", no),
        ("principal.friend.n == 1", error),
        ("principal.self.self.self.n == 1", yes),
        ("principal has self.self.friend.n", no),
        ("principal has rec.y.z", yes),
        ("principal has n.x", error),
        ("principal has friend.x.y", no),
        ("context has rec.a.b", error),
        ("context.n has x", error),
        ("action has anything", no),
        ("action.anything == 1", error),
        (
            r#"principal.hasTag("t") && principal.getTag("t") == "x" && principal.getTag("") == 1"#,
            yes,
        ),
        (r#"principal.friend.hasTag("t")"#, no),
        (r#"principal.friend.getTag("t") == 1"#, error),
        (r#"principal.getTag("n") == 1"#, error),
        ("principal.hasTag(1)", error),
        (r#"context.hasTag("t")"#, error),
        // Actions, once however many ways they lie above.
        (
            r#"action in Action::"all" && action in [Action::"x", Action::"y"] && action != Action::"x""#,
            yes,
        ),
        // More values at once than the compiled stack holds: left to Cedar.
        (&format!("[{}].contains(context.n)", vec!["context.n"; 40].join(", ")), yes),
    ] {
        assert_eq!(both(condition), expected, "{condition}");
    }
}

#[test]
fn what_is_left_to_cedar_is_said() {
    let text = format!(
        "permit(principal, action, resource) when {{ [{}].contains(context.n) }};",
        vec!["context.n"; 40].join(", ")
    );
    let coverage = PlainSet::load(&bundle(&text)).unwrap().coverage();
    assert_eq!((coverage.compiled, coverage.total), (0, 1));
    assert_eq!(coverage.fallback[0].1, "too many values at once");
}

/// What many policies compare with one value, each at a bound of its own, at and beside each bound.
#[test]
fn bounds_are_sharp_on_both_sides() {
    for kind in ["", "not a number"] {
        for operator in ["<", "<=", ">", ">=", "=="] {
            let mut text = String::new();
            for bound in 0..12 {
                text.push_str(&format!(
                    "permit(principal, action, resource) when {{ context.n {operator} {bound} }};\n\
                     forbid(principal, action, resource) when {{ !(context.n {operator} {bound}) && context.more }};\n"
                ));
            }
            let both = Both::load(&bundle(&text)).unwrap();
            for number in -1..13 {
                let n = if kind.is_empty() { number.to_string() } else { format!("\"{number}\"") };
                let context = format!("{{\"n\": {n}, \"more\": {}}}", number % 2 == 0);
                let request = Asked { context, ..asked() };
                both.agree(&request).unwrap_or_else(|why| panic!("{n} {operator}\n{why}"));
            }
        }
    }
}

/// Every scope against every request: tables small and large, and each policy found once.
#[test]
fn scopes_admit_exactly_what_cedar_admits() {
    let mut wide: Vec<serde_json::Value> = serde_json::from_str(ENTITIES).unwrap();
    let many: Vec<serde_json::Value> =
        (0..30).map(|n| serde_json::json!({"type": "G", "id": format!("m{n}")})).collect();
    wide.push(
        serde_json::json!({"uid": {"type": "U", "id": "wide"}, "attrs": {}, "parents": many}),
    );
    let uids = [
        r#"U::"a""#,
        r#"U::"wide""#,
        r#"G::"g1""#,
        r#"G::"g2""#,
        r#"G::"top""#,
        r#"G::"m7""#,
        r#"G::"m29""#,
        r#"G::"not in the store""#,
        r#"N::U::"a""#,
        r#"Nope::"x""#,
    ];
    let scopes = |variable: &str| {
        let mut scopes =
            vec![variable.to_owned(), format!("{variable} is U"), format!("{variable} is N::U")];
        for uid in uids {
            scopes.push(format!("{variable} == {uid}"));
            scopes.push(format!("{variable} in {uid}"));
            scopes.push(format!("{variable} is U in {uid}"));
        }
        scopes
    };
    let actions = [
        "action",
        r#"action == Action::"do""#,
        r#"action == Action::"x""#,
        r#"action in Action::"x""#,
        r#"action in Action::"all""#,
        r#"action in [Action::"x", Action::"y", Action::"all", Action::"do"]"#,
        "action in []",
        r#"action in [Action::"no"]"#,
    ];
    let mut requests = Vec::new();
    for principal in [
        uid("U", "a"),
        uid("U", "wide"),
        uid("N::U", "a"),
        uid("G", "g1"),
        uid("Nope", "x"),
        uid("U", "new"),
    ] {
        for resource in [uid("U", "a"), uid("U", "wide"), uid("G", "g2"), uid("Nope", "x")] {
            for action in [uid("Action", "do"), uid("Action", "x"), uid("Action", "no")] {
                requests.push(Asked {
                    principal: principal.clone(),
                    action,
                    resource: resource.clone(),
                    context: "{}".to_owned(),
                });
            }
        }
    }
    let mut admitted = 0;
    for (at, action) in actions.iter().enumerate() {
        // All principals against some resources and the other way round: a product of all is slow.
        let mut text = String::new();
        for (p, principal) in scopes("principal").iter().enumerate() {
            for (r, resource) in scopes("resource").iter().enumerate() {
                if p == 0 || r == 0 || (p + r + at) % 11 == 0 {
                    text.push_str(&format!("permit({principal}, {action}, {resource});\n"));
                }
            }
        }
        let both = Both::load(&PlainBundle {
            policies: text,
            entities: serde_json::to_string(&wide).unwrap(),
            ..PlainBundle::default()
        })
        .unwrap();
        for asked in &requests {
            let answer = both.agree(asked).unwrap_or_else(|why| panic!("{asked:?}\n{why}"));
            admitted += answer.determining.len();
        }
    }
    assert!(admitted > 3_000, "{admitted}");
}

/// Stock Cedar recurses along a chain, and errs where its thread's stack runs short; the compiled
/// path does not recurse.
#[test]
fn long_is_taken() {
    std::thread::Builder::new().stack_size(256 << 20).spawn(take_long).unwrap().join().unwrap();
}

fn take_long() {
    let chain = |n: usize, with: &str| vec!["context.n == 1"; n].join(with);
    // Long chains of either kind, and the one link that decides lies last.
    for condition in [
        format!("{} || context.n == 9223372036854775807", chain(600, " || ")),
        format!("!({}) && true", chain(600, " && ")),
        format!(
            "[{}].contains(19999)",
            (0..20_000).map(|n| n.to_string()).collect::<Vec<_>>().join(", ")
        ),
        format!(
            "principal.set.containsAny([{}])",
            (-20_000..2).map(|n| n.to_string()).collect::<Vec<_>>().join(", ")
        ),
        "context.s like \"*a*\"".to_owned(),
        format!("{}true{}", "(".repeat(60), ")".repeat(60)),
    ] {
        assert_eq!(both(&condition), Some(true), "{}", &condition[..40]);
    }
}

#[test]
fn deep_is_refused_before_anything_recurses() {
    let chain = |n: usize, with: &str| vec!["context.n == 1"; n].join(with);
    let deep = [
        format!("{}true{}", "(".repeat(10_000), ")".repeat(10_000)),
        format!("{}1{} == 1", "[".repeat(10_000), "]".repeat(10_000)),
        format!(
            "{}context.n == 1{}",
            "if true then (".repeat(10_000),
            ") else false".repeat(10_000)
        ),
        format!("context{} == 1", ".a".repeat(10_000)),
        chain(10_000, " || "),
        format!("1{} == 1", " + 1".repeat(10_000)),
        format!("{}true", "if true then true else ".repeat(10_000)),
        format!("{{a: {}1{}}} == 1", "{a: ".repeat(10_000), "}".repeat(10_000)),
    ];
    std::thread::Builder::new()
        .stack_size(512 * 1024)
        .spawn(move || {
            for condition in deep {
                let text = format!("permit(principal, action, resource) when {{ {condition} }};");
                let faults = PlainSet::load(&bundle(&text)).unwrap_err();
                assert!(faults[0].suggestion.is_some(), "{}", faults[0]);
            }
        })
        .unwrap()
        .join()
        .unwrap();
}

#[test]
fn many_stars_cost_little() {
    let mut request = asked();
    request.context = serde_json::json!({ "s": "a".repeat(200_000) }).to_string();
    let text = format!(
        "permit(principal, action, resource) when {{ context.s like \"{}b\" }};",
        "*a".repeat(500)
    );
    let ours = PlainSet::load(&bundle(&text)).unwrap();
    let verdict = ours
        .judge(&answerable::policy::PlainRequest {
            principal: ("U", "a"),
            action: ("Action", "do"),
            resource: ("U", "a"),
            context: &request.context,
            validate: false,
        })
        .unwrap();
    assert!(verdict.permits.is_empty() && verdict.errors.is_empty());
}

/// Policies that say the same in their conditions are judged once for all of them: what came of it
/// must reach each, errors included, and must not reach what is only alike.
#[test]
fn policies_that_share_a_condition_are_each_judged() {
    let conditions = [
        "principal.n == 1",
        "principal.n != 1",
        "context.n + 1 > 0",
        "principal.n < 2",
        "principal.n <= 0",
        "1 < principal.n",
        "1 <= principal.n",
        "principal.s < 2",
        "context.t < 2",
        "context.rec has a && context.rec.a < 3",
        "context.rec has b && context.rec.b",
        "context.rec has z || context.rec.a == 1",
        "context.e has n && context.e.n > 0",
        "context.n has n",
        "principal in resource",
    ];
    // More of them than are remembered at once, in two orders, and templates beside them.
    let mut text = String::new();
    for round in 0..3 {
        for (number, condition) in conditions.iter().enumerate() {
            let effect = if (round + number) % 2 == 0 { "permit" } else { "forbid" };
            text += &format!("{effect}(principal, action, resource) when {{ {condition} }};\n");
            text += &format!(
                "{effect}(principal, action, resource)  unless {{ {condition} && 1 == 1 }};\n"
            );
        }
        for more in 0..6 {
            text +=
                &format!("forbid(principal, action, resource) when {{ principal.n == {more} }};\n");
        }
    }
    let templates = text.lines().count();
    text += "permit(principal, action, resource == ?resource) when { principal.n == 1 };";
    let link = |id: &str, resource: &str| answerable::policy::Link {
        id: id.to_owned(),
        template: format!("policy{templates}"),
        principal: None,
        resource: Some(resource.to_owned()),
    };
    let links = vec![link("here", "U::\"a\""), link("there", "U::\"b\"")];
    let both = Both::load(&PlainBundle { links, ..bundle(&text) }).unwrap();
    let answer = both.agree(&asked()).unwrap_or_else(|why| panic!("{why}"));
    assert_eq!(both.returned(&asked()), answer);
    assert!(
        !answer.allows && answer.determining.len() > 9 && answer.errors.len() > 9,
        "{answer:?}"
    );
}
