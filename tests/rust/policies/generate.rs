//! Policies, entities and requests, typed most of the time: what is ill-typed everywhere fails at
//! its first step, and what lies deep is never reached.

use proptest::prelude::*;
use proptest::sample::select;

use super::stock::{Asked, Uid};

/// The kinds of value of the language.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Bool,
    Long,
    Text,
    Entity,
    Longs,
    Texts,
    Entities,
    Record,
    Decimal,
    Ip,
    Datetime,
    Duration,
}

const KINDS: [Kind; 12] = [
    Kind::Bool,
    Kind::Long,
    Kind::Text,
    Kind::Entity,
    Kind::Longs,
    Kind::Texts,
    Kind::Entities,
    Kind::Record,
    Kind::Decimal,
    Kind::Ip,
    Kind::Datetime,
    Kind::Duration,
];

impl Kind {
    /// The attributes that mostly hold this kind.
    fn attributes(self) -> &'static [&'static str] {
        match self {
            Self::Bool => &["b", "yes"],
            Self::Long => &["n", "m"],
            Self::Text => &["s", "odd name"],
            Self::Entity => &["e", "f"],
            Self::Longs => &["ns"],
            Self::Texts => &["ss"],
            Self::Entities => &["es"],
            Self::Record => &["r"],
            Self::Decimal => &["d", "c"],
            Self::Ip => &["ip"],
            Self::Datetime => &["t"],
            Self::Duration => &["u"],
        }
    }
}

const TYPES: [(&str, &[&str]); 4] = [
    ("U", &["a", "b", "é \"q\""]),
    ("G", &["g0", "g1", "g2", "g3"]),
    ("R", &["r0", "r1", "r/2"]),
    ("N::S::T", &["x", ""]),
];
const ACTIONS: [&str; 4] = ["act", "see", "group", "all"];
const TEXTS: [&str; 14] = [
    "",
    "a",
    "ab",
    "a*b",
    "aXb",
    "*",
    "é",
    "e\u{301}",
    "日本語",
    "\"\\",
    "1.5",
    "10.0.0.1",
    "2024-01-02",
    "1h",
];
const LONGS: [i64; 11] =
    [0, 1, -1, 2, 3, 5, i64::MAX, i64::MIN, i64::MAX - 1, 4_611_686_018_427_387_904, -7];
const DECIMALS: [&str; 7] =
    ["0.0", "1.5", "1.50", "-0.0001", "922337203685477.5807", "-922337203685477.5808", "2.0"];
const IPS: [&str; 9] = [
    "10.0.0.1",
    "10.0.0.0/8",
    "10.0.0.1/32",
    "127.0.0.1",
    "224.0.0.1/4",
    "::1",
    "ff00::/8",
    "::/0",
    "0.0.0.0/0",
];
const DATETIMES: [&str; 6] = [
    "2024-01-01",
    "1969-12-31T23:59:59.999Z",
    "2024-01-01T00:00:00Z",
    "2024-01-01T12:30:00.500+0100",
    "9999-12-31",
    "2024-01-02T03:04:05.678-0930",
];
const DURATIONS: [&str; 7] =
    ["0ms", "1h", "-1d", "1d2h3m4s5ms", "9223372036854775807ms", "-9223372036854775808ms", "60m"];
const MALFORMED: [&str; 6] = ["", "x", "1", "1.23456", "300.0.0.1", "2024-13-01"];

/// Text as Cedar writes it.
fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

fn uid() -> impl Strategy<Value = Uid> + Clone {
    select(TYPES.as_slice()).prop_flat_map(|(kind, ids)| {
        select(ids).prop_map(move |id| (kind.to_owned(), id.to_owned()))
    })
}

pub(crate) fn uid_text() -> impl Strategy<Value = String> + Clone {
    uid().prop_map(|(kind, id)| format!("{kind}::{}", quoted(&id)))
}

fn call_of(function: &'static str, good: &'static [&'static str]) -> BoxedStrategy<String> {
    prop_oneof![
        24 => select(good).prop_map(move |text| format!("{function}({})", quoted(text))),
        1 => select(MALFORMED.as_slice()).prop_map(move |text| format!("{function}({})", quoted(text))),
    ]
    .boxed()
}

pub(crate) fn pattern() -> impl Strategy<Value = String> {
    prop::collection::vec(
        prop_oneof![
            4 => Just("*".to_owned()),
            1 => Just("\\*".to_owned()),
            6 => select(TEXTS.as_slice()).prop_map(|text| {
                text.chars().filter(|c| *c != '"' && *c != '\\' && *c != '*').collect()
            }),
        ],
        0..5,
    )
    .prop_map(|parts| format!("\"{}\"", parts.concat()))
}

/// Expressions of each kind, up to a depth; a few are of another kind.
struct Expressions {
    by_kind: Vec<BoxedStrategy<String>>,
}

impl Expressions {
    fn of(&self, kind: Kind) -> BoxedStrategy<String> {
        let place = KINDS.iter().position(|own| *own == kind).unwrap();
        self.by_kind[place].clone()
    }

    fn any(&self) -> BoxedStrategy<String> {
        proptest::strategy::Union::new(self.by_kind.clone()).boxed()
    }

    fn leaves() -> Self {
        let by_kind = KINDS
            .iter()
            .map(|kind| {
                let path = path(*kind);
                let literal = literal(*kind);
                prop_oneof![2 => literal, 3 => path].boxed()
            })
            .collect();
        Self { by_kind }
    }

    fn above(below: &Self) -> Self {
        let by_kind = KINDS
            .iter()
            .map(|kind| {
                let composed = composed(*kind, below);
                let test = below.of(Kind::Bool);
                let (yes, no) = (below.of(*kind), below.of(*kind));
                let branch = (test, yes, no)
                    .prop_map(|(test, yes, no)| format!("(if {test} then {yes} else {no})"));
                let within = (select(kind.attributes()), below.of(Kind::Record))
                    .prop_map(|(name, record)| format!("{record}[{}]", quoted(name)));
                let of_entity = (select(kind.attributes()), below.of(Kind::Entity))
                    .prop_map(|(name, entity)| format!("({entity})[{}]", quoted(name)));
                prop_oneof![
                    16 => composed,
                    4 => below.of(*kind),
                    1 => branch,
                    1 => within,
                    2 => of_entity,
                    1 => below.any(),
                ]
                .boxed()
            })
            .collect();
        Self { by_kind }
    }
}

pub(crate) fn path(kind: Kind) -> BoxedStrategy<String> {
    let names = kind.attributes();
    let base = prop_oneof![
        4 => Just("principal".to_owned()),
        4 => Just("resource".to_owned()),
        6 => Just("context".to_owned()),
        2 => Just("context.r".to_owned()),
        2 => Just("principal.e".to_owned()),
        1 => uid_text(),
        1 => Just("action".to_owned()),
    ];
    let read =
        (base.clone(), select(names)).prop_map(|(base, name)| format!("{base}[{}]", quoted(name)));
    let guarded = (base, select(names), literal(kind)).prop_map(|(base, name, other)| {
        let name = quoted(name);
        format!("(if {base} has {name} then {base}[{name}] else {other})")
    });
    match kind {
        Kind::Entity => prop_oneof![
            3 => read,
            1 => guarded,
            2 => Just("principal".to_owned()),
            2 => Just("resource".to_owned()),
            1 => Just("action".to_owned()),
        ]
        .boxed(),
        Kind::Record => {
            prop_oneof![3 => read, 1 => guarded, 1 => Just("context".to_owned())].boxed()
        }
        Kind::Text | Kind::Long => {
            let tag = (select(&["principal", "resource"][..]), select(&["t0", "t1", "none"][..]));
            let tagged = tag.prop_map(move |(base, name)| match kind {
                Kind::Text => format!(
                    "(if {base}.hasTag(\"{name}\") then {base}.getTag(\"{name}\") else \"a\")"
                ),
                _ => format!("{base}.getTag(\"{name}\")"),
            });
            prop_oneof![6 => read, 2 => guarded, 1 => tagged].boxed()
        }
        _ => prop_oneof![3 => read, 1 => guarded].boxed(),
    }
}

pub(crate) fn literal(kind: Kind) -> BoxedStrategy<String> {
    match kind {
        Kind::Bool => select(&["true", "false"][..]).prop_map(str::to_owned).boxed(),
        Kind::Long => select(LONGS.as_slice()).prop_map(|n| format!("({n})")).boxed(),
        Kind::Text => select(TEXTS.as_slice()).prop_map(quoted).boxed(),
        Kind::Entity => uid_text().boxed(),
        Kind::Longs => list(select(LONGS.as_slice()).prop_map(|n| n.to_string()).boxed()),
        Kind::Texts => list(select(TEXTS.as_slice()).prop_map(quoted).boxed()),
        Kind::Entities => list(uid_text().boxed()),
        Kind::Record => (select(LONGS.as_slice()), select(TEXTS.as_slice()))
            .prop_map(|(n, s)| format!("{{\"n\": {n}, \"s\": {}, \"b\": true}}", quoted(s)))
            .boxed(),
        Kind::Decimal => call_of("decimal", &DECIMALS),
        Kind::Ip => call_of("ip", &IPS),
        Kind::Datetime => call_of("datetime", &DATETIMES),
        Kind::Duration => call_of("duration", &DURATIONS),
    }
}

pub(crate) fn list(item: BoxedStrategy<String>) -> BoxedStrategy<String> {
    prop::collection::vec(item, 0..4).prop_map(|items| format!("[{}]", items.join(", "))).boxed()
}

fn two(
    left: BoxedStrategy<String>,
    operators: &'static [&'static str],
    right: BoxedStrategy<String>,
) -> BoxedStrategy<String> {
    (left, select(operators), right).prop_map(|(a, op, b)| format!("({a} {op} {b})")).boxed()
}

fn method(
    of: BoxedStrategy<String>,
    names: &'static [&'static str],
    with: BoxedStrategy<String>,
) -> BoxedStrategy<String> {
    (of, select(names), with).prop_map(|(a, name, b)| format!("({a}).{name}({b})")).boxed()
}

fn asked(of: BoxedStrategy<String>, names: &'static [&'static str]) -> BoxedStrategy<String> {
    (of, select(names)).prop_map(|(a, name)| format!("({a}).{name}()")).boxed()
}

fn composed(kind: Kind, below: &Expressions) -> BoxedStrategy<String> {
    let of = |kind| below.of(kind);
    let any_set = || prop_oneof![of(Kind::Longs), of(Kind::Texts), of(Kind::Entities)].boxed();
    match kind {
        Kind::Bool => {
            let all: Vec<&'static str> =
                KINDS.iter().flat_map(|kind| kind.attributes().iter().copied()).collect();
            let same = KINDS.map(|kind| two(of(kind), &["==", "!="], of(kind)));
            let has = (
                prop_oneof![of(Kind::Record), of(Kind::Entity), Just("context".to_owned())],
                select(all),
            )
                .prop_map(|(base, name)| format!("({base} has {})", quoted(name)));
            let has_path = (
                select(&["context", "principal", "resource"][..]),
                select(&["r.n", "e.n", "e.e.n", "r.r.s", "s.n", "e.r.e", "f.b"][..]),
            )
                .prop_map(|(base, path)| format!("({base} has {path})"));
            let kinds = (of(Kind::Entity), select(&["U", "G", "R", "N::S::T", "Action"][..]));
            let is = kinds.clone().prop_map(|(entity, kind)| format!("({entity} is {kind})"));
            let is_in = (kinds, of(Kind::Entity))
                .prop_map(|((entity, kind), above)| format!("({entity} is {kind} in {above})"));
            let has_tag = (of(Kind::Entity), of(Kind::Text))
                .prop_map(|(entity, name)| format!("({entity}).hasTag({name})"));
            let like = (of(Kind::Text), pattern())
                .prop_map(|(text, pattern)| format!("({text} like {pattern})"));
            prop_oneof![
                4 => two(of(Kind::Bool), &["&&", "||"], of(Kind::Bool)),
                1 => of(Kind::Bool).prop_map(|a| format!("(!({a}))")),
                4 => proptest::strategy::Union::new(same),
                1 => two(below.any(), &["==", "!="], below.any()),
                2 => two(of(Kind::Long), &["<", "<=", ">", ">="], of(Kind::Long)),
                1 => two(of(Kind::Datetime), &["<", "<=", ">", ">="], of(Kind::Datetime)),
                1 => two(of(Kind::Duration), &["<", "<=", ">", ">="], of(Kind::Duration)),
                2 => like,
                2 => two(of(Kind::Entity), &["in"], of(Kind::Entity)),
                1 => two(of(Kind::Entity), &["in"], of(Kind::Entities)),
                1 => is,
                1 => is_in,
                2 => has,
                1 => has_path,
                1 => has_tag,
                1 => method(of(Kind::Longs), &["contains"], of(Kind::Long)),
                1 => method(of(Kind::Texts), &["contains"], of(Kind::Text)),
                1 => method(any_set(), &["contains"], below.any()),
                2 => method(any_set(), &["containsAll", "containsAny"], any_set()),
                1 => asked(any_set(), &["isEmpty"]),
                2 => method(
                    of(Kind::Decimal),
                    &["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"],
                    of(Kind::Decimal)
                ),
                1 => asked(of(Kind::Ip), &["isIpv4", "isIpv6", "isLoopback", "isMulticast"]),
                1 => method(of(Kind::Ip), &["isInRange"], of(Kind::Ip)),
            ]
            .boxed()
        }
        Kind::Long => prop_oneof![
            4 => two(of(Kind::Long), &["+", "-", "*"], of(Kind::Long)),
            1 => of(Kind::Long).prop_map(|a| format!("(-({a}))")),
            1 => asked(
                of(Kind::Duration),
                &["toMilliseconds", "toSeconds", "toMinutes", "toHours", "toDays"]
            ),
        ]
        .boxed(),
        Kind::Text => of(Kind::Text),
        Kind::Entity => of(Kind::Entity),
        Kind::Longs => list(of(Kind::Long)),
        Kind::Texts => list(of(Kind::Text)),
        Kind::Entities => prop_oneof![3 => list(of(Kind::Entity)), 1 => list(below.any())].boxed(),
        Kind::Record => (of(Kind::Long), of(Kind::Text), below.any(), of(Kind::Entity))
            .prop_map(|(n, s, r, e)| format!("{{\"n\": {n}, \"s\": {s}, \"r\": {r}, e: {e}}}"))
            .boxed(),
        Kind::Decimal => of(Kind::Text).prop_map(|text| format!("decimal({text})")).boxed(),
        Kind::Ip => of(Kind::Text).prop_map(|text| format!("ip({text})")).boxed(),
        Kind::Datetime => prop_oneof![
            2 => method(of(Kind::Datetime), &["offset"], of(Kind::Duration)),
            1 => asked(of(Kind::Datetime), &["toDate"]),
            1 => of(Kind::Text).prop_map(|text| format!("datetime({text})")),
        ]
        .boxed(),
        Kind::Duration => prop_oneof![
            2 => method(of(Kind::Datetime), &["durationSince"], of(Kind::Datetime)),
            1 => asked(of(Kind::Datetime), &["toTime"]),
            1 => of(Kind::Text).prop_map(|text| format!("duration({text})")),
        ]
        .boxed(),
    }
}

pub(crate) fn scope(variable: &'static str) -> BoxedStrategy<String> {
    prop_oneof![
        14 => Just(variable.to_owned()),
        1 => uid_text().prop_map(move |uid| format!("{variable} == {uid}")),
        2 => uid_text().prop_map(move |uid| format!("{variable} in {uid}")),
        2 => select(&["U", "R", "G"][..]).prop_map(move |kind| format!("{variable} is {kind}")),
        1 => (select(&["U", "R", "G"][..]), uid_text())
            .prop_map(move |(kind, uid)| format!("{variable} is {kind} in {uid}")),
    ]
    .boxed()
}

pub(crate) fn action() -> BoxedStrategy<String> {
    let one = || select(ACTIONS.as_slice()).prop_map(|id| format!("Action::\"{id}\""));
    prop_oneof![
        8 => Just("action".to_owned()),
        1 => one().prop_map(|uid| format!("action == {uid}")),
        2 => one().prop_map(|uid| format!("action in {uid}")),
        2 => prop::collection::vec(one(), 0..4)
            .prop_map(|uids| format!("action in [{}]", uids.join(", "))),
    ]
    .boxed()
}

/// A policy's text; with `templates`, one whose principal or resource is a slot.
fn policy(template: bool, condition: BoxedStrategy<String>) -> BoxedStrategy<String> {
    let clauses =
        prop::collection::vec((prop::bool::weighted(0.75), condition), 0..3).prop_map(|clauses| {
            let mut out = String::new();
            for (when, condition) in clauses {
                out.push_str(if when { " when { " } else { " unless { " });
                out.push_str(&condition);
                out.push_str(" }");
            }
            out
        });
    let principal = if template {
        select(
            &["principal == ?principal", "principal in ?principal", "principal is U in ?principal"]
                [..],
        )
        .prop_map(str::to_owned)
        .boxed()
    } else {
        scope("principal")
    };
    let resource = if template {
        select(&["resource in ?resource", "resource == ?resource"][..])
            .prop_map(str::to_owned)
            .boxed()
    } else {
        scope("resource")
    };
    (prop::bool::weighted(0.6), principal, action(), resource, clauses)
        .prop_map(|(permit, principal, action, resource, clauses)| {
            let effect = if permit { "permit" } else { "forbid" };
            format!("{effect}({principal}, {action}, {resource}){clauses};")
        })
        .boxed()
}

fn json_uid((kind, id): &Uid) -> serde_json::Value {
    serde_json::json!({ "type": kind, "id": id })
}

fn json_value(kind: Kind) -> BoxedStrategy<serde_json::Value> {
    use serde_json::{Value, json};
    let call = |function: &'static str, texts: &'static [&'static str]| {
        select(texts)
            .prop_map(move |text| json!({ "__extn": { "fn": function, "arg": text } }))
            .boxed()
    };
    let entity = || uid().prop_map(|uid| json!({ "__entity": json_uid(&uid) })).boxed();
    let many = |item: BoxedStrategy<Value>| {
        prop::collection::vec(item, 0..4).prop_map(Value::Array).boxed()
    };
    let long = || select(LONGS.as_slice()).prop_map(Value::from).boxed();
    let text = || select(TEXTS.as_slice()).prop_map(Value::from).boxed();
    match kind {
        Kind::Bool => any::<bool>().prop_map(Value::from).boxed(),
        Kind::Long => long(),
        Kind::Text => text(),
        Kind::Entity => entity(),
        Kind::Longs => many(long()),
        Kind::Texts => many(text()),
        Kind::Entities => many(entity()),
        Kind::Record => (long(), text(), entity(), prop::option::of(long()))
            .prop_map(|(n, s, e, inner)| match inner {
                Some(inner) => json!({ "n": n, "s": s, "e": e, "r": { "s": "a", "n": inner } }),
                None => json!({ "n": n, "s": s, "e": e }),
            })
            .boxed(),
        Kind::Decimal => call("decimal", &DECIMALS),
        Kind::Ip => call("ip", &IPS),
        Kind::Datetime => call("datetime", &DATETIMES),
        Kind::Duration => call("duration", &DURATIONS),
    }
}

/// Attributes: most are there and of their kind, some missing, some of another.
fn attributes(kinds: &[Kind]) -> BoxedStrategy<serde_json::Value> {
    let mut fields: Vec<BoxedStrategy<Option<(&'static str, serde_json::Value)>>> = Vec::new();
    for kind in kinds.iter().copied() {
        for name in kind.attributes() {
            let other = select(KINDS.as_slice()).prop_flat_map(json_value);
            fields.push(
                prop_oneof![
                    25 => json_value(kind).prop_map(move |value| Some((*name, value))),
                    4 => Just(None),
                    1 => other.prop_map(move |value| Some((*name, value))),
                ]
                .boxed(),
            );
        }
    }
    fields
        .prop_map(|fields| {
            fields
                .into_iter()
                .flatten()
                .map(|(name, value)| (name.to_owned(), value))
                .collect::<serde_json::Map<_, _>>()
                .into()
        })
        .boxed()
}

/// Entities: some missing; each lies in some that come after it, so that none lies in itself.
pub(crate) fn entities() -> BoxedStrategy<String> {
    let mut all: Vec<Uid> = Vec::new();
    for kind in ["U", "R", "N::S::T", "G"] {
        let (_, ids) = TYPES.iter().find(|(own, _)| *own == kind).unwrap();
        all.extend(ids.iter().map(|id| (kind.to_owned(), (*id).to_owned())));
    }
    all.extend(ACTIONS.map(|id| ("Action".to_owned(), id.to_owned())));
    let count = all.len();
    // What requests are about has all attributes, what lies above them a few.
    let few = [Kind::Long, Kind::Text, Kind::Entity, Kind::Entities];
    let one = |place: usize| {
        let kinds = if place < 5 { &KINDS[..] } else { &few[..] };
        let tags = prop::option::of(prop_oneof![json_value(Kind::Text), json_value(Kind::Long)]);
        (
            prop::bool::weighted(0.8),
            any::<u32>(),
            attributes(kinds),
            [tags.clone(), tags].prop_map(|t| t),
        )
    };
    (0..count)
        .map(one)
        .collect::<Vec<_>>()
        .prop_map(move |found| {
            let mut list = Vec::new();
            for (place, (is_there, parents, attributes, tags)) in found.into_iter().enumerate() {
                if !is_there {
                    continue;
                }
                let is_action = all[place].0 == "Action";
                let parents: Vec<serde_json::Value> = (place + 1..count)
                    .filter(|above| (all[*above].0 == "Action") == is_action)
                    .filter(|above| {
                        parents >> (above % 32) & 1 == 1 && (parents >> (above % 7)) & 1 == 1
                    })
                    .map(|above| json_uid(&all[above]))
                    .collect();
                let mut entity = serde_json::json!({
                    "uid": json_uid(&all[place]),
                    "attrs": if is_action { serde_json::json!({}) } else { attributes },
                    "parents": parents,
                });
                let named: serde_json::Map<String, serde_json::Value> = tags
                    .into_iter()
                    .enumerate()
                    .filter_map(|(at, tag)| Some((format!("t{at}"), tag?)))
                    .collect();
                if !is_action && !named.is_empty() {
                    entity["tags"] = named.into();
                }
                list.push(entity);
            }
            serde_json::to_string(&list).unwrap()
        })
        .boxed()
}

pub(crate) fn request() -> BoxedStrategy<Asked> {
    let principal = prop_oneof![
        4 => select(&["a", "b"][..]).prop_map(|id| ("U".to_owned(), id.to_owned())),
        1 => uid(),
        1 => Just(("U".to_owned(), "nobody knows".to_owned())),
    ];
    let resource = prop_oneof![
        4 => select(&["r0", "r1"][..]).prop_map(|id| ("R".to_owned(), id.to_owned())),
        1 => uid(),
        1 => Just(("Unheard".to_owned(), "of".to_owned())),
    ];
    (principal, select(ACTIONS.as_slice()), resource, attributes(&KINDS))
        .prop_map(|(principal, action, resource, context)| Asked {
            principal,
            action: ("Action".to_owned(), action.to_owned()),
            resource,
            context: context.to_string(),
        })
        .boxed()
}

/// One set with some requests.
#[derive(Debug, Clone)]
pub(crate) struct Case {
    pub(crate) policies: Vec<String>,
    pub(crate) template: Option<(String, Uid, Uid)>,
    pub(crate) entities: String,
    pub(crate) requests: Vec<Asked>,
}

pub(crate) fn case(depth: usize, requests: usize) -> BoxedStrategy<Case> {
    let mut expressions = Expressions::leaves();
    for _ in 0..depth {
        expressions = Expressions::above(&expressions);
    }
    let condition = expressions.of(Kind::Bool);
    let template = prop::option::weighted(0.25, (policy(true, condition.clone()), uid(), uid()));
    (
        prop::collection::vec(policy(false, condition), 1..6),
        template,
        entities(),
        prop::collection::vec(request(), requests),
    )
        .prop_map(|(policies, template, entities, requests)| Case {
            policies,
            template,
            entities,
            requests,
        })
        .boxed()
}
