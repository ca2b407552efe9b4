//! Policies that ask alike: many in one scope, whose conditions begin with the same parts and then
//! compare the same value, each with a constant of its own. Sieves are made of such.

use proptest::prelude::*;
use proptest::sample::select;

use super::generate::{
    Case, Kind, action, entities, list, literal, path, pattern, request, scope, uid_text,
};

/// What is compared.
const COMPARED: [Kind; 10] = [
    Kind::Bool,
    Kind::Long,
    Kind::Long,
    Kind::Text,
    Kind::Entity,
    Kind::Texts,
    Kind::Entities,
    Kind::Decimal,
    Kind::Datetime,
    Kind::Duration,
];

fn value() -> BoxedStrategy<(Kind, String)> {
    select(COMPARED.as_slice())
        .prop_flat_map(|kind| path(kind).prop_map(move |path| (kind, path)))
        .boxed()
}

/// A comparison of a value with a constant, mostly of its own kind.
fn part(kind: Kind, value: String) -> BoxedStrategy<String> {
    let other = || select(COMPARED.as_slice()).prop_flat_map(literal);
    let of = |kind: Kind| prop_oneof![12 => literal(kind), 1 => other()];
    let two = |operators: &'static [&'static str], constant: BoxedStrategy<String>| {
        let value = value.clone();
        (select(operators), constant, any::<bool>())
            .prop_map(move |(operator, constant, turned)| match turned {
                true => format!("{constant} {operator} {value}"),
                false => format!("{value} {operator} {constant}"),
            })
            .boxed()
    };
    let after = |word: &'static str, constant: BoxedStrategy<String>| {
        let value = value.clone();
        constant.prop_map(move |constant| format!("{value} {word} {constant}")).boxed()
    };
    let one_of = |kind: Kind| {
        let value = value.clone();
        list(of(kind).boxed()).prop_map(move |all| format!("{all}.contains({value})")).boxed()
    };
    let has = |kind: Kind| {
        let value = value.clone();
        of(kind).prop_map(move |one| format!("({value}).contains({one})")).boxed()
    };
    let ordered = &["<", "<=", ">", ">="];
    match kind {
        Kind::Long | Kind::Datetime | Kind::Duration => prop_oneof![
            4 => two(ordered, of(kind).boxed()),
            2 => two(&["=="], of(kind).boxed()),
            1 => one_of(kind),
        ]
        .boxed(),
        Kind::Text => prop_oneof![
            2 => two(&["=="], of(kind).boxed()),
            2 => after("like", pattern().boxed()),
            1 => one_of(kind),
        ]
        .boxed(),
        Kind::Entity => prop_oneof![
            2 => two(&["=="], of(kind).boxed()),
            3 => after("in", prop_oneof![9 => uid_text(), 1 => literal(Kind::Entities)].boxed()),
            1 => one_of(kind),
        ]
        .boxed(),
        Kind::Decimal => {
            let value = value.clone();
            let names = &["lessThan", "lessThanOrEqual", "greaterThan", "greaterThanOrEqual"];
            let method = (select(names.as_slice()), of(kind))
                .prop_map(move |(name, constant)| format!("({value}).{name}({constant})"));
            prop_oneof![4 => method, 1 => two(&["=="], of(kind).boxed())].boxed()
        }
        Kind::Texts => has(Kind::Text),
        Kind::Entities => has(Kind::Entity),
        _ => two(&["==", "!="], of(Kind::Bool).boxed()),
    }
}

/// What all may begin with: some of it can fail.
fn first() -> BoxedStrategy<String> {
    let has = (select(&["context", "principal", "resource"][..]), select(&["n", "s", "e"][..]));
    prop_oneof![
        3 => has.prop_map(|(base, name)| format!("{base} has {name}")),
        2 => path(Kind::Bool),
        1 => select(&["principal is U", "1 == 1", "!(context has nothing)"][..])
            .prop_map(str::to_owned),
    ]
    .boxed()
}

fn policy(firsts: Vec<String>, values: Vec<(Kind, String)>) -> BoxedStrategy<String> {
    let parts = prop::collection::vec(
        prop_oneof![
            1 => select(firsts),
            4 => select(values).prop_flat_map(|(kind, value)| part(kind, value)),
        ],
        0..4,
    );
    let scopes = prop_oneof![
        6 => Just(("principal".to_owned(), "action".to_owned(), "resource".to_owned())),
        2 => (scope("principal"), action(), scope("resource")),
    ];
    (prop::bool::weighted(0.9), scopes, parts, prop::bool::weighted(0.9))
        .prop_map(|(permit, (principal, action, resource), parts, when)| {
            let effect = if permit { "permit" } else { "forbid" };
            let joined: Vec<String> = parts.iter().map(|part| format!("({part})")).collect();
            let clause = match (joined.is_empty(), when) {
                (true, _) => String::new(),
                (false, true) => format!(" when {{ {} }}", joined.join(" && ")),
                (false, false) => format!(" unless {{ {} }}", joined.join(" && ")),
            };
            format!("{effect}({principal}, {action}, {resource}){clause};")
        })
        .boxed()
}

/// One set of policies that ask alike, with some requests.
pub(crate) fn case(requests: usize) -> BoxedStrategy<Case> {
    (prop::collection::vec(first(), 1..3), prop::collection::vec(value(), 1..4))
        .prop_flat_map(move |(firsts, values)| {
            (
                prop::collection::vec(policy(firsts, values), 4..40),
                entities(),
                prop::collection::vec(request(), requests),
            )
        })
        .prop_map(|(policies, entities, requests)| Case {
            policies,
            template: None,
            entities,
            requests,
        })
        .boxed()
}
