#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod explained;
mod governed;
mod loading;

use super::*;
use crate::canonical::{Map, Value};
use crate::principal::Assurance;
use crate::request::{Resource, ToolName};

/// 2026-01-05T10:00:00Z, a Monday, in microseconds.
pub(crate) const NOW: i64 = 1_767_607_200_000_000;
const MINUTE: i64 = 60_000_000;

pub(crate) fn source(name: &str, text: &str) -> Source {
    Source { name: name.to_owned(), text: text.to_owned() }
}

fn argument(name: &str, kind: ArgumentType, required: bool) -> Argument {
    Argument { name: name.to_owned(), kind, required, nullable: !required }
}

fn tool(name: &str, arguments: Vec<Argument>, dangerous: bool) -> ToolType {
    ToolType { name: name.to_owned(), arguments, open: false, dangerous }
}

pub(crate) fn tools() -> Vec<ToolType> {
    vec![
        tool(
            "pay.transfer",
            vec![
                argument("amount", ArgumentType::Decimal, true),
                argument("count", ArgumentType::Long, false),
                argument("memo", ArgumentType::String, false),
                argument("tags", ArgumentType::Set(Box::new(ArgumentType::String)), false),
                argument("blob", ArgumentType::Opaque, false),
                argument("when", ArgumentType::Datetime, false),
                argument(
                    "to",
                    ArgumentType::Record(vec![
                        argument("iban", ArgumentType::String, true),
                        argument("fee", ArgumentType::Decimal, false),
                    ]),
                    false,
                ),
            ],
            true,
        ),
        tool("pay.eu.refund", vec![argument("amount", ArgumentType::Decimal, true)], false),
        tool("search", vec![argument("query", ArgumentType::String, true)], false),
    ]
}

pub(crate) const ENTITIES: &str = r#"[
    {"uid": {"type": "Group", "id": "finance"}, "attrs": {}, "parents": [{"type": "Group", "id": "staff"}]},
    {"uid": {"type": "Human", "id": "hum_alice"}, "attrs": {}, "parents": [{"type": "Group", "id": "finance"}]},
    {"uid": {"type": "Resource", "id": "account/travel-1"}, "attrs": {}, "parents": [{"type": "Group", "id": "cheap"}]}
]"#;

pub(crate) fn bundle(policies: &str) -> Bundle {
    Bundle {
        policies: vec![source("rules.cedar", policies)],
        entities: vec![source("entities.json", ENTITIES)],
        tools: tools(),
        ..Bundle::default()
    }
}

pub(crate) fn load(policies: &str) -> PolicySet {
    PolicySet::load(&bundle(policies), None).unwrap_or_else(|faults| {
        panic!("{}", faults.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n"))
    })
}

pub(crate) fn facts() -> ChainFacts<'static> {
    let human = HumanFacts {
        id: "hum_alice",
        account: "alice@example.com",
        issuer: "https://id.example.com",
        assurance: Assurance::Oidc,
        groups: &["admins"],
    };
    ChainFacts {
        agent: AgentFacts {
            id: "agt_booker",
            name: "booker",
            purpose: "books trips",
            owner: human,
            groups: &["robots"],
        },
        human,
        task: "tsk_1",
        purpose: "Pay the deposit",
        agents: &["planner", "booker"],
        issued: NOW - 30 * MINUTE,
        latest: NOW - MINUTE,
    }
}

/// A call in the making.
pub(crate) struct Asked {
    tool: ToolName,
    resource: Option<Resource>,
    arguments: Map,
    own: Option<Map>,
    approved: bool,
}

pub(crate) fn ask(tool: &str, resource: &str, arguments: &[(&str, Value)]) -> Asked {
    let mut map = Map::new();
    for (name, value) in arguments {
        map.insert(name, value.clone());
    }
    Asked {
        tool: ToolName::parse(tool).unwrap(),
        resource: (!resource.is_empty()).then(|| Resource::parse(resource).unwrap()),
        arguments: map,
        own: None,
        approved: false,
    }
}

impl Asked {
    pub(crate) fn call(&self) -> Call<'_> {
        Call {
            tool: &self.tool,
            resource: self.resource.as_ref(),
            arguments: &self.arguments,
            now: NOW,
            host: "build-7",
            own: self.own.as_ref(),
            approved: self.approved,
        }
    }
}

/// Ids of permits, forbids and errors.
pub(crate) fn ids(set: &PolicySet, verdict: &Verdict) -> [Vec<String>; 3] {
    let id = |policy: PolicyRef| set.policy(policy).unwrap().id.to_string();
    [
        verdict.permits.iter().map(id).collect(),
        verdict.forbids.iter().map(id).collect(),
        verdict.errors.iter().map(|error| id(error.policy)).collect(),
    ]
}
