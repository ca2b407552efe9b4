//! What the authorizer asks of the registry, and of whoever knows what is masked.

use std::sync::Arc;

use super::Governed;
use crate::canonical::Digest;
use crate::chain::Chain;
use crate::keys::PublicKey;
use crate::principal::{AgentId, HumanId, Overlap, Status, TaskId};
use crate::scope::{Scope, ToolPattern};

/// What the authorizer asks of the registry.
pub trait Facts {
    /// An agent, if it is known.
    fn agent(&self, id: &AgentId) -> Option<AgentFacts<'_>>;
    /// A human, if they are known.
    fn human(&self, id: &HumanId) -> Option<HumanFacts<'_>>;
    /// Whether a grant was revoked.
    fn is_revoked(&self, digest: &Digest) -> bool;
    /// Whether a task has ended.
    fn is_ended(&self, task: &TaskId) -> bool;
    /// Until when root grants by a key of the authority hold, by the key's id; `None` if it is none.
    fn root_key_until(&self, id: &str) -> Option<i64>;
    /// Whether everything is halted.
    fn all_halted(&self) -> bool;
    /// Whether whatever a human owns, and is done for them, is halted.
    fn owner_halted(&self, human: &HumanId) -> bool;
    /// The patterns of the tools that are halted.
    fn halted_tools(&self) -> Arc<[ToolPattern]>;
    /// What governs the calls under a chain beside its scopes; with the task's sentence, where it is
    /// known.
    fn governed(&self, chain: &Chain, sentence: Option<&str>) -> Governed;
}

/// What matters of an agent.
#[derive(Debug, Clone, Copy)]
pub struct AgentFacts<'a> {
    /// Its name.
    pub name: &'a str,
    /// The state of its life.
    pub status: Status,
    /// When its term ends, in microseconds.
    pub expires_at: i64,
    /// The key registered for it.
    pub key: PublicKey,
    /// The place of the entry with which this engine made that key, if it did.
    pub key_made: Option<u64>,
    /// The keys before it that are still honoured, and until when.
    pub overlaps: &'a [Overlap],
    /// All that it held up to this place of the trail was revoked.
    pub cut: Option<u64>,
    /// Whether its owner has left.
    pub owner_left: bool,
    /// Whether it is halted.
    pub halted: bool,
    /// Whether its owner's agents are halted.
    pub owner_halted: bool,
    /// The widest scope it may be granted.
    pub ceiling: &'a Scope,
}

/// What matters of a human.
#[derive(Debug, Clone, Copy)]
pub struct HumanFacts<'a> {
    /// What people call them.
    pub name: &'a str,
    /// Whether they have left.
    pub offboarded: bool,
    /// All that was granted for them up to this place of the trail was revoked.
    pub cut: Option<u64>,
}

/// What a denial must not show of a call.
pub trait Veil {
    /// Whether the value of an argument, with dots of a field, must not be shown.
    fn hides(&self, name: &str) -> bool;
    /// Whether the keys of an argument, with dots of a field, must not be shown either.
    fn hides_keys(&self, holder: &str) -> bool;
}

/// One answer for values and keys.
impl<F: Fn(&str) -> bool> Veil for F {
    fn hides(&self, name: &str) -> bool {
        self(name)
    }

    fn hides_keys(&self, holder: &str) -> bool {
        self(holder)
    }
}
