//! What the authorizer asks of the registry.

use std::sync::Arc;

use crate::authorizer::{AgentFacts, Facts, HumanFacts};
use crate::canonical::Digest;
use crate::principal::{AgentId, HumanId, TaskId};
use crate::registry::State;
use crate::scope::ToolPattern;

impl Facts for State {
    fn agent(&self, id: &AgentId) -> Option<AgentFacts<'_>> {
        let agent = State::agent(self, id)?;
        Some(AgentFacts {
            name: &agent.name,
            status: agent.status,
            expires_at: agent.expires_at,
            key: agent.key,
            overlaps: &agent.overlaps,
            cut: self.agent_cut(id),
            owner_left: State::human(self, &agent.owner).is_none_or(|owner| owner.offboarded),
            halted: self.agent_halted(id),
            owner_halted: self.owner_halted(&agent.owner),
            ceiling: &agent.ceiling,
        })
    }

    fn human(&self, id: &HumanId) -> Option<HumanFacts<'_>> {
        let human = State::human(self, id)?;
        Some(HumanFacts {
            name: human.display(),
            offboarded: human.offboarded,
            cut: self.human_cut(id),
        })
    }

    fn is_revoked(&self, digest: &Digest) -> bool {
        State::is_revoked(self, digest)
    }

    fn is_ended(&self, task: &TaskId) -> bool {
        State::is_ended(self, task)
    }

    fn root_key_until(&self, id: &str) -> Option<i64> {
        State::root_key_until(self, id)
    }

    fn all_halted(&self) -> bool {
        State::all_halted(self)
    }

    fn owner_halted(&self, human: &HumanId) -> bool {
        State::owner_halted(self, human)
    }

    fn halted_tools(&self) -> Arc<[ToolPattern]> {
        State::halted_tools(self)
    }
}
