//! The property: an argument that is not of the type that its tool declares, in any part, is an
//! error wherever a policy reads it, and only there; stock Cedar agrees on every call.

use std::cell::RefCell;

use answerable::canonical::{Decimal, EnumMember, Int, Map, Record, Value};
use answerable::policy::{
    AgentFacts, Argument, ArgumentType, Bundle, Call, Cause, ChainFacts, Effect, HumanFacts,
    Member, PolicySet, Source, ToolType,
};
use answerable::principal::Assurance;
use answerable::request::ToolName;
use proptest::prelude::*;
use proptest::sample::select;
use proptest::test_runner::{RngAlgorithm, TestRng, TestRunner};

const VALUES: usize = 100;
/// 2026-01-05T10:00:00Z, in microseconds.
const NOW: i64 = 1_767_607_200_000_000;
const UUID: [u8; 16] = [0x11; 16];
const UUID_TEXT: &str = "11111111-1111-1111-1111-111111111111";

fn members() -> impl Strategy<Value = ArgumentType> {
    let texts = |all: &[&str]| all.iter().map(|text| Member::String((*text).to_owned())).collect();
    select(vec![
        texts(&["EUR", "USD"]),
        texts(&["b", "a", "c"]),
        vec![Member::Long(3), Member::Long(-1)],
        vec![Member::Bool(true)],
    ])
    .prop_map(ArgumentType::OneOf)
}

fn leaf() -> impl Strategy<Value = ArgumentType> {
    prop_oneof![
        1 => Just(ArgumentType::Bool),
        2 => Just(ArgumentType::Long),
        2 => Just(ArgumentType::String),
        2 => Just(ArgumentType::Decimal),
        2 => Just(ArgumentType::Datetime),
        2 => Just(ArgumentType::Uuid),
        3 => members(),
    ]
}

fn record(inner: impl Strategy<Value = ArgumentType>) -> impl Strategy<Value = ArgumentType> {
    let field = (inner, any::<bool>());
    prop::collection::vec(field, 1..4).prop_map(|fields| {
        // In no order, as a caller may give them.
        let named = fields.into_iter().zip(["c", "a", "b"]);
        let argument = |((kind, required), name): (_, &str)| Argument {
            name: name.to_owned(),
            kind,
            required,
            nullable: !required,
        };
        ArgumentType::Record(named.map(argument).collect())
    })
}

fn kind() -> impl Strategy<Value = ArgumentType> {
    let set = |inner| ArgumentType::Set(Box::new(inner));
    prop_oneof![
        4 => leaf(),
        2 => leaf().prop_map(set),
        2 => record(prop_oneof![3 => leaf().boxed(), 1 => leaf().prop_map(set).boxed(),
            1 => Just(ArgumentType::Opaque).boxed()]),
        1 => record(leaf()).prop_map(set),
    ]
}

/// Any value at all, of a kind or of another.
fn anything() -> impl Strategy<Value = Value> {
    let plain = prop_oneof![
        Just(Value::Null),
        any::<bool>().prop_map(Value::Bool),
        (-2i64..5).prop_map(Value::int),
        Just(Value::Int(Int::parse("9223372036854775808").unwrap())),
        select(vec![0.5, 3.0, 0.000_01, 1e300]).prop_map(|number| Value::float(number).unwrap()),
        select(vec!["3", "0.5", "0.00001"])
            .prop_map(|text| Value::Decimal(Decimal::parse(text).unwrap())),
        select(vec!["EUR", "eur", "a", "13", "3", "true", UUID_TEXT, "2026-01-05"])
            .prop_map(Value::str),
        Just(Value::str(&UUID_TEXT.replace('-', ""))),
        Just(Value::str("AAAAAAAA-1111-1111-1111-111111111111")),
        select(vec![NOW, NOW + 1, NOW + 1_000, -1]).prop_map(Value::Datetime),
        Just(Value::Uuid(UUID)),
        Just(Value::bytes(b"x")),
        select(vec![Value::str("EUR"), Value::int(3), Value::Null]).prop_map(|value| {
            Value::Enum(Box::new(EnumMember { type_name: "m.E".into(), name: "X".into(), value }))
        }),
    ];
    plain.prop_recursive(2, 8, 3, |inner| {
        let fields = prop::collection::vec((select(vec!["a", "b", "c", "d"]), inner.clone()), 0..4);
        let map = fields.prop_map(|fields| {
            let mut map = Map::new();
            fields.into_iter().for_each(|(name, value)| map.insert(name, value));
            map
        });
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::List),
            prop::collection::vec(inner, 0..3).prop_map(Value::Tuple),
            map.clone().prop_map(Value::Map),
            map.prop_map(|fields| Value::Record(Box::new(Record {
                type_name: "m.R".into(),
                fields
            }))),
        ]
    })
}

/// A value of a kind, wrong at one place in some cases.
fn near(kind: &ArgumentType) -> BoxedStrategy<Value> {
    let of_kind = match kind {
        ArgumentType::Bool => any::<bool>().prop_map(Value::Bool).boxed(),
        ArgumentType::Long => (-2i64..5).prop_map(Value::int).boxed(),
        ArgumentType::String => select(vec!["EUR", "a", "13"]).prop_map(Value::str).boxed(),
        ArgumentType::Uuid => select(vec![Value::Uuid(UUID), Value::str(UUID_TEXT)]).boxed(),
        ArgumentType::OneOf(members) => select(members.clone())
            .prop_map(|member| match member {
                Member::Bool(truth) => Value::Bool(truth),
                Member::Long(number) => Value::int(number),
                Member::String(text) => Value::str(&text),
            })
            .boxed(),
        ArgumentType::Decimal => select(vec![
            Value::int(3),
            Value::float(0.5).unwrap(),
            Value::Decimal(Decimal::parse("3").unwrap()),
        ])
        .boxed(),
        ArgumentType::Datetime => select(vec![NOW, NOW + 1_000]).prop_map(Value::Datetime).boxed(),
        ArgumentType::Set(item) => {
            prop::collection::vec(near(item), 0..12).prop_map(Value::List).boxed()
        }
        ArgumentType::Record(fields) => {
            let mut all = Just(Map::new()).boxed();
            for field in fields.clone() {
                let given = prop::bool::weighted(if field.required { 0.97 } else { 0.6 });
                all = (all, near(&field.kind), given)
                    .prop_map(move |(mut map, value, given)| {
                        if given {
                            map.insert(&field.name, value);
                        }
                        map
                    })
                    .boxed();
            }
            (all, prop::bool::weighted(0.05))
                .prop_map(|(mut map, more)| {
                    if more {
                        map.insert("more", Value::int(1));
                    }
                    Value::Map(map)
                })
                .boxed()
        }
        ArgumentType::Opaque => anything().boxed(),
    };
    prop_oneof![12 => of_kind, 1 => anything()].boxed()
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Is {
    Absent,
    Fit,
    Unfit,
}

/// What a value is to a type, said apart from the code that is tested.
fn expected(value: &Value, kind: &ArgumentType) -> Is {
    let fit = |yes: bool| if yes { Is::Fit } else { Is::Unfit };
    match (value, kind) {
        (Value::Null, _) => Is::Absent,
        (_, ArgumentType::Opaque) => Is::Unfit,
        (Value::Enum(member), _) => expected(&member.value, kind),
        (Value::Bool(own), ArgumentType::OneOf(all)) => fit(all.contains(&Member::Bool(*own))),
        (Value::Str(own), ArgumentType::OneOf(all)) => {
            fit(all.contains(&Member::String(own.to_string())))
        }
        (Value::Int(_), ArgumentType::OneOf(all)) => {
            fit(value.as_i64().is_some_and(|own| all.contains(&Member::Long(own))))
        }
        (Value::Bool(_), ArgumentType::Bool) | (Value::Str(_), ArgumentType::String) => Is::Fit,
        (Value::Int(_), ArgumentType::Long | ArgumentType::Decimal) => {
            fit(value.as_i64().is_some())
        }
        (Value::Float(number), ArgumentType::Decimal) => fit([0.5, 3.0].contains(number)),
        (Value::Decimal(number), ArgumentType::Decimal) => {
            fit(*number != Decimal::parse("0.00001").unwrap())
        }
        (Value::Datetime(micros), ArgumentType::Datetime) => fit(micros.rem_euclid(1_000) == 0),
        (Value::Uuid(_), ArgumentType::Uuid) => Is::Fit,
        (Value::Str(text), ArgumentType::Uuid) => fit(**text == *UUID_TEXT),
        (Value::List(items) | Value::Tuple(items), ArgumentType::Set(item)) => {
            fit(items.iter().all(|own| expected(own, item) == Is::Fit))
        }
        (Value::Map(map), ArgumentType::Record(fields)) => fit(fields_fit(map, fields)),
        (Value::Record(record), ArgumentType::Record(fields)) => {
            fit(fields_fit(&record.fields, fields))
        }
        _ => Is::Unfit,
    }
}

fn fields_fit(map: &Map, fields: &[Argument]) -> bool {
    let known = |name: &str| fields.iter().any(|field| field.name == name);
    map.iter().all(|(name, _)| known(name))
        && fields.iter().all(|field| match map.get(&field.name) {
            None | Some(Value::Null) => !field.required,
            Some(_) if field.kind == ArgumentType::Opaque => true,
            // In an enumeration, `None` is none too.
            Some(value) => match expected(value, &field.kind) {
                Is::Absent => field.nullable,
                is => is == Is::Fit,
            },
        })
}

/// A constant of a kind, as policies write it; `None` where there is none to compare with.
fn constant(kind: &ArgumentType) -> Option<String> {
    Some(match kind {
        ArgumentType::Bool => "true".to_owned(),
        ArgumentType::Long => "3".to_owned(),
        ArgumentType::String => "\"EUR\"".to_owned(),
        ArgumentType::Uuid => format!("\"{UUID_TEXT}\""),
        ArgumentType::OneOf(members) => match members.first()? {
            Member::Bool(truth) => truth.to_string(),
            Member::Long(number) => number.to_string(),
            Member::String(text) => format!("\"{text}\""),
        },
        ArgumentType::Decimal => "decimal(\"3.0\")".to_owned(),
        ArgumentType::Datetime => "datetime(\"2026-01-05T10:00:00Z\")".to_owned(),
        ArgumentType::Set(item) => format!("[{}]", constant(item)?),
        ArgumentType::Record(fields) => {
            if fields.iter().any(|field| !field.required) {
                return None;
            }
            let seen = fields.iter().filter(|field| field.kind != ArgumentType::Opaque);
            let all: Option<Vec<String>> = seen
                .map(|field| Some(format!("\"{}\": {}", field.name, constant(&field.kind)?)))
                .collect();
            format!("{{{}}}", all?.join(", "))
        }
        ArgumentType::Opaque => return None,
    })
}

/// Conditions that read `context.arguments.x`, whatever it holds.
fn conditions(kind: &ArgumentType) -> Vec<String> {
    let x = "context.arguments.x";
    let mut all = vec![format!("{x} == {x}"), format!("[{x}].contains({x})")];
    if let Some(own) = constant(kind) {
        all.push(format!("{x} == {own}"));
        all.push(format!("{x} != {own}"));
        all.push(format!("{own} == {x}"));
        all.push(format!("[{own}].contains({x})"));
        all.push(format!("[{x}].containsAny([{own}])"));
        all.push(format!("[{own}].containsAll([{x}])"));
    }
    match kind {
        ArgumentType::Set(item) => {
            all.push(format!("{x}.isEmpty()"));
            if let Some(item) = constant(item) {
                all.push(format!("{x}.contains({item})"));
                all.push(format!("{x}.containsAny([{item}])"));
                all.push(format!("[{item}].containsAny({x})"));
                all.push(format!("[{item}].containsAll({x})"));
            }
        }
        ArgumentType::Record(fields) => {
            for field in fields.iter().filter(|field| field.kind != ArgumentType::Opaque) {
                all.push(format!("{x} has {}", field.name));
                if let Some(own) = constant(&field.kind) {
                    all.push(format!("{x} has {0} && {x}.{0} == {own}", field.name));
                }
            }
        }
        ArgumentType::Long => all.push(format!("{x} > 3")),
        ArgumentType::String => all.push(format!("{x} like \"E*\"")),
        _ => {}
    }
    all
}

fn load(kind: &ArgumentType) -> PolicySet {
    let mut text = String::from(
        "@id(\"given\") permit(principal, action, resource) when { context.arguments has x };\n\
         @id(\"absent\") permit(principal, action, resource) unless { context.arguments has x };\n",
    );
    for (number, condition) in conditions(kind).iter().enumerate() {
        text += &format!(
            "@id(\"reads{number}\") forbid(principal, action, resource) when \
               {{ context.arguments has x && ({condition}) }};\n\
             @id(\"never{number}\") forbid(principal, action, resource) when \
               {{ context.host == \"nowhere\" && context.arguments has x && ({condition}) }};\n"
        );
    }
    let argument =
        Argument { name: "x".to_owned(), kind: kind.clone(), required: false, nullable: true };
    let bundle = Bundle {
        policies: vec![Source { name: "kinds.cedar".to_owned(), text: text.clone() }],
        tools: vec![ToolType {
            name: "t".to_owned(),
            arguments: vec![argument],
            open: false,
            dangerous: false,
        }],
        ..Bundle::default()
    };
    PolicySet::load(&bundle, None).unwrap_or_else(|faults| panic!("{}\n{text}", faults[0]))
}

#[derive(Debug, Default)]
struct Seen {
    absent: u32,
    fit: u32,
    unfit: u32,
    held: u32,
}

fn check(kind: &ArgumentType, values: &[Value], seen: &mut Seen) -> Result<(), TestCaseError> {
    let set = load(kind);
    let human = HumanFacts {
        id: "hum_a",
        account: "a@example.com",
        issuer: "local",
        assurance: Assurance::Asserted,
        groups: &[],
    };
    let agent =
        AgentFacts { id: "agt_a", name: "booker", purpose: "tests", owner: human, groups: &[] };
    let subject = set.bind(&ChainFacts {
        agent,
        human,
        task: "tsk_a",
        purpose: "tests",
        agents: &["booker"],
        issued: NOW,
        latest: NOW,
    });
    let tool = ToolName::parse("t").unwrap();
    for value in values {
        let mut arguments = Map::new();
        arguments.insert("x", value.clone());
        let call = Call {
            tool: &tool,
            resource: None,
            arguments: &arguments,
            now: NOW,
            host: "here",
            own: None,
            approved: false,
        };
        let verdict = subject.judge(&call);
        let stock = subject.oracle(&call).expect("no policy takes the arguments as one");
        let ids = |verdict: &answerable::policy::Verdict| {
            let id = |policy| set.policy(policy).unwrap().id.to_string();
            [
                verdict.permits.iter().map(id).collect::<Vec<_>>(),
                verdict.forbids.iter().map(id).collect(),
                verdict.errors.iter().map(|error| id(error.policy)).collect(),
            ]
        };
        let [permits, forbids, errors] = ids(&verdict);
        prop_assert_eq!(&[permits.clone(), forbids.clone(), errors.clone()], &ids(&stock));
        let readers = conditions(kind).len();
        match expected(value, kind) {
            Is::Absent => {
                seen.absent += 1;
                prop_assert_eq!(permits, ["absent"]);
                prop_assert!(forbids.is_empty() && errors.is_empty(), "{:?}", verdict);
            }
            Is::Fit => {
                seen.fit += 1;
                seen.held += forbids.len() as u32;
                prop_assert_eq!(permits, ["given"]);
                prop_assert!(errors.is_empty(), "{:?}", verdict);
            }
            Is::Unfit => {
                seen.unfit += 1;
                prop_assert_eq!(permits, ["given"]);
                prop_assert!(forbids.is_empty(), "{:?} {:?}", value, verdict);
                let reading: Vec<String> = (0..readers).map(|n| format!("reads{n}")).collect();
                prop_assert_eq!(errors, reading);
                prop_assert_eq!(verdict.effect(), Effect::Forbid);
                for error in verdict.errors.iter().chain(&stock.errors) {
                    let named =
                        matches!(&error.cause, Cause::Unfit(Some(name), _) if **name == *"x");
                    prop_assert!(named, "{:?}", error);
                }
            }
        }
    }
    Ok(())
}

#[test]
fn an_argument_of_another_kind_is_an_error_wherever_it_is_read() {
    let full = std::env::var("ANSWERABLE_CASES").is_ok_and(|cases| cases == "full");
    let mut config = ProptestConfig::with_cases(if full { 500 } else { 8 });
    config.failure_persistence = None;
    config.max_shrink_iters = 40;
    let seen = RefCell::new(Seen::default());
    let cases = kind().prop_flat_map(|kind| {
        let values =
            prop::collection::vec(prop_oneof![2 => near(&kind), 1 => anything().boxed()], VALUES);
        (Just(kind), values)
    });
    // The same cases each time, but for the long run.
    let mut runner = match full {
        true => TestRunner::new(config),
        false => TestRunner::new_with_rng(config, TestRng::deterministic_rng(RngAlgorithm::ChaCha)),
    };
    runner
        .run(&cases, |(kind, values)| check(&kind, &values, &mut seen.borrow_mut()))
        .unwrap_or_else(|error| panic!("{error}"));
    let seen = seen.into_inner();
    println!("{seen:?}");
    // Each of them, or it would show nothing.
    let all = seen.absent + seen.fit + seen.unfit;
    assert!(seen.fit > all / 8 && seen.unfit > all / 8 && seen.held > all / 8, "{seen:?}");
}
