//! What a verdict costs, beside cedar-policy's own Authorizer on the same policies, entities and
//! requests, in one run so that the ratios mean something. It asserts nothing about time.
//!
//! `cargo bench --bench policy`; with `-- --smoke` it only shows that it runs.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(clippy::print_stdout, missing_docs)]

use std::fmt::Write as _;
use std::hint::black_box;
use std::str::FromStr;
use std::time::{Duration, Instant};

use answerable::canonical::{Map, Value};
use answerable::policy::{
    AgentFacts, Argument, ArgumentType, Bundle, Call, ChainFacts, Effect, HumanFacts, PolicySet,
    Source, ToolType,
};
use answerable::principal::Assurance;
use answerable::request::{Resource, ToolName};
use cedar_policy::{
    Authorizer, Context, Decision, Entities, Entity, EntityUid, Request, RestrictedExpression,
};

const NOW: i64 = 1_767_607_200_000_000;
const TOOLS: usize = 50;
const GROUPS: usize = 100;
const REQUESTS: usize = 64;

fn main() {
    let smoke = std::env::args().any(|argument| argument == "--smoke");
    let budget = Duration::from_millis(if smoke { 20 } else { 1_200 });
    let sizes: &[usize] = if smoke { &[10, 100] } else { &[10, 100, 1_000, 10_000] };
    let stores: &[usize] = if smoke { &[10] } else { &[10, 100_000] };
    println!(
        "{:>9} {:>9} {:>11} {:>11} {:>11} {:>9} {:>9} {:>9} {:>10}",
        "policies", "entities", "median", "p99", "stock", "ratio", "of them", "compiled", "load"
    );
    for entities in stores {
        for policies in sizes {
            row(*policies, *entities, budget);
        }
    }
    incremental(if smoke { 50 } else { 1_000 });
}

fn row(policies: usize, entities: usize, budget: Duration) {
    let bundle = bundle(policies, entities);
    let started = Instant::now();
    let set = load(&bundle, None);
    let loaded = started.elapsed();
    let requests: Vec<Asked> = (0..REQUESTS).map(asked).collect();
    let agents: Vec<String> = (0..REQUESTS).map(|i| format!("agent{i}")).collect();
    let subjects: Vec<_> = (0..REQUESTS).map(|i| bind(&set, i, &agents)).collect();
    let stock = Stock::new(&bundle, entities, &requests);
    // The same answers, or the ratio means nothing.
    let mut candidates = 0;
    for ((at, asked), subject) in requests.iter().enumerate().zip(&subjects) {
        let verdict = subject.judge(&asked.call());
        candidates += verdict.permits.len() + verdict.forbids.len();
        assert!(verdict.errors.is_empty(), "{verdict:?}");
        assert_eq!(verdict.plain_effect() == Effect::Permit, stock.allows(at), "request {at}");
    }
    let calls: Vec<Call<'_>> = requests.iter().map(Asked::call).collect();
    let mut at = 0;
    let (median, p99) = measure(budget, || {
        at = (at + 1) % REQUESTS;
        black_box(subjects[at].judge(black_box(&calls[at])));
    });
    let mut at = 0;
    let (theirs, _) = measure(budget, || {
        at = (at + 1) % REQUESTS;
        black_box(stock.allows(at));
    });
    let coverage = set.coverage();
    println!(
        "{policies:>9} {entities:>9} {:>8.3} µs {:>8.3} µs {:>8.1} µs {:>8.0}x {:>9.1} {:>8.0}% {:>7.0} ms",
        median / 1e3,
        p99 / 1e3,
        theirs / 1e3,
        theirs / median,
        candidates as f64 / REQUESTS as f64,
        100.0 * coverage.compiled as f64 / coverage.total as f64,
        loaded.as_secs_f64() * 1e3,
    );
}

/// One policy of many changes: what a reload then costs.
fn incremental(policies: usize) {
    let before = load(&bundle(policies, 10), None);
    let mut changed = bundle(policies, 10);
    changed.policies[0].text.push_str("@id(\"one more\") forbid(principal, action, resource) when { context.approved && context.chain.depth > 9 };");
    let mut took = [Vec::new(), Vec::new()];
    for _ in 0..5 {
        for (took, before) in took.iter_mut().zip([Some(&before), None]) {
            let started = Instant::now();
            let after = load(&changed, before);
            took.push(started.elapsed().as_secs_f64() * 1e3);
            assert_eq!(after.policies().len(), policies + 1);
        }
    }
    let [reload, whole] = took.map(|mut took| {
        took.sort_by(f64::total_cmp);
        took[took.len() / 2]
    });
    println!("{policies} policies and one more: reload {reload:.0} ms, all anew {whole:.0} ms");
}

/// Medians of samples of about 20 µs, in nanoseconds.
fn measure(budget: Duration, mut operation: impl FnMut()) -> (f64, f64) {
    let started = Instant::now();
    let mut once = 0u32;
    while started.elapsed() < budget / 10 {
        operation();
        once += 1;
    }
    let each = started.elapsed().as_nanos() as f64 / f64::from(once);
    let in_sample = (20_000.0 / each).max(1.0) as u32;
    let mut samples = Vec::new();
    let started = Instant::now();
    while started.elapsed() < budget {
        let sample = Instant::now();
        for _ in 0..in_sample {
            operation();
        }
        samples.push(sample.elapsed().as_nanos() as f64 / f64::from(in_sample));
    }
    samples.sort_by(f64::total_cmp);
    let at = |part: f64| samples[((samples.len() - 1) as f64 * part) as usize];
    (at(0.5), at(0.99))
}

fn tool(number: usize) -> String {
    format!("area{}.tool{number}", number % 5)
}

fn bundle(policies: usize, entities: usize) -> Bundle {
    let argument = |name: &str, kind| Argument {
        name: name.to_owned(),
        kind,
        required: false,
        nullable: true,
    };
    let tools = (0..TOOLS)
        .map(|number| ToolType {
            name: tool(number),
            arguments: vec![
                argument("amount", ArgumentType::Long),
                argument("path", ArgumentType::String),
            ],
            open: false,
            dangerous: number % 10 == 0,
        })
        .collect();
    let mut text = String::new();
    for number in 0..policies {
        text.push_str(&policy(number));
    }
    let mut list: Vec<serde_json::Value> = (0..GROUPS.min(entities))
        .map(|group| {
            serde_json::json!({ "uid": { "type": "Group", "id": format!("g{group}") }, "attrs": {},
                "parents": [{ "type": "Group", "id": format!("all{}", group % 4) }] })
        })
        .collect();
    list.extend((list.len()..entities).map(|n| {
        serde_json::json!({ "uid": { "type": "Resource", "id": format!("store/r{n}") }, "attrs": {},
            "parents": [{ "type": "Group", "id": format!("g{}", n % GROUPS) }] })
    }));
    Bundle {
        policies: vec![Source { name: "bench.cedar".to_owned(), text }],
        entities: vec![Source {
            name: "bench.json".to_owned(),
            text: serde_json::to_string(&list).unwrap(),
        }],
        tools,
        ..Bundle::default()
    }
}

/// Five rules for all, then rules on one tool or an area of them for a group, with conditions.
fn policy(number: usize) -> String {
    let mut out = String::new();
    let _ = write!(out, "@id(\"p{number}\") ");
    let (t, g) = (tool(number % TOOLS), number * 7 % GROUPS);
    let _ = match (number, number % 6) {
        (0, _) => {
            write!(out, "permit(principal, action, resource) when {{ context.chain.depth <= 5 }};")
        }
        (1..5, _) => write!(
            out,
            "forbid(principal, action, resource) when {{ context.chain.depth > {} && !context.approved }};",
            number + 3
        ),
        (_, 0) => write!(
            out,
            "forbid(principal, action == Action::\"{t}\", resource) when {{ context.arguments has amount && context.arguments.amount > {} }};",
            10_000 + number
        ),
        (_, 1) => write!(
            out,
            "permit(principal in Group::\"g{g}\", action == Action::\"{t}\", resource) when {{ context.arguments has path && context.arguments.path like \"/data/{g}/*\" }};"
        ),
        (_, 2) => write!(
            out,
            "forbid(principal in Group::\"g{g}\", action in Action::\"area{}.*\", resource) when {{ context.time > datetime(\"2030-01-01\") || context.human.assurance == \"asserted\" }};",
            number % 5
        ),
        (_, 3) => write!(
            out,
            "permit(principal, action == Action::\"{t}\", resource in Group::\"g{g}\") when {{ context.arguments has amount && context.arguments.amount <= {} && context.human.issuer like \"https://*\" }};",
            number % 900
        ),
        (_, 4) => write!(
            out,
            "permit(principal == Agent::\"agent{g}\", action == Action::\"{t}\", resource) when {{ context.chain.age < duration(\"1h\") }};"
        ),
        _ => write!(
            out,
            "forbid(principal, action == Action::\"{t}\", resource == Resource::\"store/r{number}\") unless {{ context.approved }};"
        ),
    };
    out.push('\n');
    out
}

struct Asked {
    tool: ToolName,
    resource: Resource,
    arguments: Map,
}

fn asked(number: usize) -> Asked {
    let mut arguments = Map::new();
    arguments.insert("amount", Value::int((number * 37 % 1_000) as i64));
    arguments.insert("path", Value::str(&format!("/data/{}/x", number % GROUPS)));
    Asked {
        tool: ToolName::parse(&tool(number * 11 % TOOLS)).unwrap(),
        resource: Resource::parse(&format!("store/r{}", number * 13)).unwrap(),
        arguments,
    }
}

impl Asked {
    fn call(&self) -> Call<'_> {
        Call {
            tool: &self.tool,
            resource: Some(&self.resource),
            arguments: &self.arguments,
            now: NOW,
            host: "bench",
            own: None,
            approved: false,
        }
    }
}

fn load(bundle: &Bundle, before: Option<&PolicySet>) -> PolicySet {
    PolicySet::load(bundle, before).unwrap_or_else(|faults| panic!("{}", faults[0]))
}

fn bind(set: &PolicySet, number: usize, agents: &[String]) -> answerable::policy::Subject {
    let (group, second) = (format!("g{}", number % GROUPS), format!("g{}", (number + 1) % GROUPS));
    let human = HumanFacts {
        id: "hum_a",
        account: "a@example.com",
        issuer: "https://id.example.com",
        assurance: Assurance::Oidc,
        groups: &[],
    };
    set.bind(&ChainFacts {
        agent: AgentFacts {
            id: "agt_a",
            name: &agents[number],
            purpose: "bench",
            owner: human,
            groups: &[&group, &second],
        },
        human,
        task: "tsk_a",
        purpose: "bench",
        agents: &["planner", &agents[number]],
        issued: NOW - 60_000_000,
        latest: NOW - 1_000_000,
    })
}

/// The same in cedar-policy: request and entities built before, as its users do.
struct Stock {
    policies: cedar_policy::PolicySet,
    entities: Entities,
    requests: Vec<Request>,
}

impl Stock {
    fn new(bundle: &Bundle, entities: usize, requests: &[Asked]) -> Self {
        let uid = |kind: &str, id: &str| EntityUid::from_str(&format!("{kind}::\"{id}\"")).unwrap();
        let text = |text: &str| RestrictedExpression::new_string(text.to_owned());
        let mut list: Vec<Entity> = Vec::new();
        for n in 0..TOOLS {
            let area = uid("Action", &format!("area{}.*", n % 5));
            list.push(Entity::new_no_attrs(uid("Action", &tool(n)), [area].into()));
        }
        for n in 0..REQUESTS {
            let groups = [n % GROUPS, (n + 1) % GROUPS].map(|g| uid("Group", &format!("g{g}")));
            list.push(Entity::new_no_attrs(uid("Agent", &format!("agent{n}")), groups.into()));
        }
        for g in 0..GROUPS.min(entities) {
            let above = uid("Group", &format!("all{}", g % 4));
            list.push(Entity::new_no_attrs(uid("Group", &format!("g{g}")), [above].into()));
        }
        for n in GROUPS.min(entities)..entities {
            let above = uid("Group", &format!("g{}", n % GROUPS));
            list.push(Entity::new_no_attrs(
                uid("Resource", &format!("store/r{n}")),
                [above].into(),
            ));
        }
        let human = [("assurance", "oidc"), ("issuer", "https://id.example.com")];
        let human = human.map(|(name, value)| (name.to_owned(), text(value)));
        list.push(
            Entity::new(uid("Human", "hum_a"), human.into_iter().collect(), [].into()).unwrap(),
        );
        let requests = requests
            .iter()
            .enumerate()
            .map(|(n, asked)| {
                let long = RestrictedExpression::new_long;
                let record = |fields: Vec<(&str, RestrictedExpression)>| {
                    let fields = fields.into_iter().map(|(name, value)| (name.to_owned(), value));
                    RestrictedExpression::new_record(fields).unwrap()
                };
                let amount = asked.arguments.get("amount").and_then(Value::as_i64).unwrap();
                let path = asked.arguments.get("path").and_then(Value::as_str).unwrap();
                let context = Context::from_pairs([
                    (
                        "arguments".to_owned(),
                        record(vec![("amount", long(amount)), ("path", text(path))]),
                    ),
                    (
                        "chain".to_owned(),
                        record(vec![
                            ("depth", long(2)),
                            ("age", RestrictedExpression::from_str("duration(\"1m\")").unwrap()),
                        ]),
                    ),
                    (
                        "human".to_owned(),
                        RestrictedExpression::new_entity_uid(uid("Human", "hum_a")),
                    ),
                    (
                        "time".to_owned(),
                        RestrictedExpression::from_str("datetime(\"2026-01-05T10:00:00Z\")")
                            .unwrap(),
                    ),
                    ("approved".to_owned(), RestrictedExpression::new_bool(false)),
                ])
                .unwrap();
                Request::new(
                    uid("Agent", &format!("agent{n}")),
                    uid("Action", asked.tool.as_str()),
                    uid("Resource", asked.resource.as_str()),
                    context,
                    None,
                )
                .unwrap()
            })
            .collect();
        Self {
            policies: cedar_policy::PolicySet::from_str(&bundle.policies[0].text).unwrap(),
            entities: Entities::from_entities(list, None).unwrap(),
            requests,
        }
    }

    fn allows(&self, at: usize) -> bool {
        let response =
            Authorizer::new().is_authorized(&self.requests[at], &self.policies, &self.entities);
        response.decision() == Decision::Allow
    }
}
