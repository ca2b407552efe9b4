//! What is told to the policies: who acts for whom, and what is called.

use crate::canonical::Map;
use crate::principal::Assurance;
use crate::request::{Resource, ToolName};

/// A human, as policies see them.
#[derive(Debug, Clone, Copy)]
pub struct HumanFacts<'a> {
    /// The id, which policies name: `Human::"hum_…"`.
    pub id: &'a str,
    /// What the identity provider calls them.
    pub account: &'a str,
    /// The identity provider.
    pub issuer: &'a str,
    /// How sure we are of them.
    pub assurance: Assurance,
    /// The groups they are in, beside those that the entity files say.
    pub groups: &'a [&'a str],
}

/// The agent that acts.
#[derive(Debug, Clone, Copy)]
pub struct AgentFacts<'a> {
    /// The id.
    pub id: &'a str,
    /// The name, which is unique for ever and by which policies name it: `Agent::"booker"`.
    pub name: &'a str,
    /// What it is for.
    pub purpose: &'a str,
    /// The human who owns it.
    pub owner: HumanFacts<'a>,
    /// The groups it is in, beside those that the entity files say.
    pub groups: &'a [&'a str],
}

/// A chain, as policies see it: the same for every call under it.
#[derive(Debug, Clone, Copy)]
pub struct ChainFacts<'a> {
    /// The agent that acts: the holder of the last grant.
    pub agent: AgentFacts<'a>,
    /// The human it is done for.
    pub human: HumanFacts<'a>,
    /// The id of the task.
    pub task: &'a str,
    /// The task in the human's words.
    pub purpose: &'a str,
    /// The names of the agents on the chain, from the root to the one that acts.
    pub agents: &'a [&'a str],
    /// When the root grant was issued, in microseconds since 1970-01-01T00:00:00Z.
    pub issued: i64,
    /// When the last grant was issued, in microseconds.
    pub latest: i64,
}

/// One call under a chain.
#[derive(Debug, Clone, Copy)]
pub struct Call<'a> {
    /// The tool.
    pub tool: &'a ToolName,
    /// What it reaches, if the tool names a resource.
    pub resource: Option<&'a Resource>,
    /// The arguments by name.
    pub arguments: &'a Map,
    /// The time, in microseconds.
    pub now: i64,
    /// The machine's name.
    pub host: &'a str,
    /// The deployment's own attributes of the call.
    pub own: Option<&'a Map>,
    /// Whether a human approved this very call.
    pub approved: bool,
}
