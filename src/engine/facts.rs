//! What the authorizer asks of the registry.

use std::sync::Arc;

use crate::authorizer::{self, Facts, Governed, Governing};
use crate::canonical::Digest;
use crate::chain::Chain;
use crate::policy::{AgentFacts, ChainFacts, HumanFacts};
use crate::principal::{AgentId, Assurance, HumanId, TaskId};
use crate::registry::{Human, InForce, Policies, State};
use crate::scope::ToolPattern;

impl Facts for State {
    fn agent(&self, id: &AgentId) -> Option<authorizer::AgentFacts<'_>> {
        let agent = State::agent(self, id)?;
        Some(authorizer::AgentFacts {
            name: &agent.name,
            status: agent.status,
            expires_at: agent.expires_at,
            key: agent.key,
            key_made: agent.key_made,
            overlaps: &agent.overlaps,
            cut: self.agent_cut(id),
            owner_left: State::human(self, &agent.owner).is_none_or(|owner| owner.offboarded),
            halted: self.agent_halted(id),
            owner_halted: self.owner_halted(&agent.owner),
            ceiling: &agent.ceiling,
        })
    }

    fn human(&self, id: &HumanId) -> Option<authorizer::HumanFacts<'_>> {
        let human = State::human(self, id)?;
        Some(authorizer::HumanFacts {
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

    fn governed(&self, chain: &Chain, sentence: Option<&str>) -> Governed {
        match self.policies() {
            Policies::Never => Governed::Free,
            Policies::Unreadable { version, why } => {
                Governed::Unreadable(version.clone(), why.clone())
            }
            Policies::InForce(in_force) => {
                Governed::By(Arc::new(bind(self, in_force, chain, sentence)))
            }
        }
    }
}

/// Policies, bound to what a chain says of itself and the registry of those on it.
///
/// Who is not registered has no name and no group here; the chain is denied for that anyway.
pub(super) fn bind(
    state: &State,
    in_force: &InForce,
    chain: &Chain,
    sentence: Option<&str>,
) -> Governing {
    let (root, leaf) = (&chain.root().payload, &chain.leaf().payload);
    let human_of = |id: &HumanId| state.human(id).cloned();
    let groups_of = |human: &Option<Arc<Human>>| {
        let known = human.as_ref().filter(|human| !human.offboarded);
        let account = known.map(|human| (human.issuer.clone(), human.account.clone()));
        account.and_then(|account| in_force.groups.get(&account)).cloned().unwrap_or_default()
    };
    let agent = state.agent(&leaf.holder.agent).cloned();
    let (human, owner) =
        (human_of(&root.human), agent.as_ref().and_then(|agent| human_of(&agent.owner)));
    let (human_groups, owner_groups) = (groups_of(&human), groups_of(&owner));
    let human_groups: Vec<&str> = human_groups.iter().map(String::as_str).collect();
    let owner_groups: Vec<&str> = owner_groups.iter().map(String::as_str).collect();
    let human_id = root.human.to_string();
    let owner_id = agent.as_ref().map(|agent| agent.owner.to_string()).unwrap_or_default();
    let agent_id = leaf.holder.agent.to_string();
    let names: Vec<String> = chain
        .hops()
        .iter()
        .map(|hop| &hop.payload.holder.agent)
        .map(|id| state.agent(id).map_or_else(|| id.to_string(), |agent| agent.name.clone()))
        .collect();
    let names: Vec<&str> = names.iter().map(String::as_str).collect();
    let task = root.task.id.to_string();
    let told = |id: &'_ str, human: &Option<Arc<Human>>| (id.to_owned(), human.clone());
    let (human, owner) = (told(&human_id, &human), told(&owner_id, &owner));
    let facts = ChainFacts {
        agent: AgentFacts {
            id: &agent_id,
            name: names.last().copied().unwrap_or(&agent_id),
            purpose: agent.as_ref().map_or("", |agent| &agent.purpose),
            owner: human_facts(&owner, None, &owner_groups),
            groups: &[],
        },
        human: human_facts(&human, Some(root.assurance), &human_groups),
        task: &task,
        purpose: sentence.unwrap_or_default(),
        agents: &names,
        issued: root.iat,
        latest: leaf.iat,
    };
    Governing {
        rules: in_force.rules.clone(),
        subject: in_force.rules.set.bind(&facts),
        host: in_force.host.clone(),
    }
}

/// A human as policies see them; `assurance` is what the chain's signature states.
fn human_facts<'a>(
    (id, human): &'a (String, Option<Arc<Human>>),
    assurance: Option<Assurance>,
    groups: &'a [&'a str],
) -> HumanFacts<'a> {
    HumanFacts {
        id,
        account: human.as_ref().map_or("", |human| &human.account),
        issuer: human.as_ref().map_or("", |human| &human.issuer),
        assurance: assurance
            .or_else(|| human.as_ref().map(|human| human.assurance))
            .unwrap_or(Assurance::Asserted),
        groups,
    }
}
