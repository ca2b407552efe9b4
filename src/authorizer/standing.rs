//! A chain's standing: what the state says of its grants and of everybody on it, good for every
//! call until the state changes; held to the time of each.

use std::sync::Arc;

use super::{AgentFacts, Facts, Governed};
use crate::chain::Chain;
use crate::clock::render_seconds;
use crate::decision::{Reason, code};
use crate::grant::Grant;
use crate::principal::Status;
use crate::request::{ToolName, shorten};
use crate::scope::ToolPattern;

/// How far a grant's start may lie ahead of the clock, in microseconds.
const SKEW: i64 = 30 * crate::clock::MICROS;

/// The state as it bears on one chain: good for every call until the state changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What speaks against the chain whatever is asked.
    faults: Vec<Reason>,
    /// From when all its grants hold, in microseconds.
    from: i64,
    /// Until when all its grants and agents hold, in microseconds.
    until: i64,
    /// What each hop's agent is called, for the reasons; its id where it is not known.
    names: Vec<String>,
    /// When each known agent ends, by hop.
    terms: Vec<(usize, i64)>,
    /// When each replaced key that is still honoured ends, by hop.
    overlaps: Vec<(usize, i64)>,
    /// Until when root grants by the key that signed this chain's hold.
    root_until: i64,
    /// The tools that are halted.
    pub(super) halted: Arc<[ToolPattern]>,
    /// What governs its calls beside its scopes.
    pub(super) governed: Governed,
}

impl Standing {
    /// What governs the chain's calls beside its scopes.
    #[must_use]
    pub fn governed(&self) -> &Governed {
        &self.governed
    }

    /// What the state says of a chain; with its task's sentence, where it is known.
    #[must_use]
    pub fn of(chain: &Chain, facts: &dyn Facts, sentence: Option<&str>) -> Self {
        let root = &chain.root().payload;
        let mut faults = Vec::new();
        let root_until = facts.root_key_until(chain.root_key_id());
        if root_until.is_none() {
            faults.push(
                Reason::new(
                    code::UNKNOWN_AUTHORITY,
                    "the root grant was not signed by a key of this engine's authority",
                )
                .fix("ask this engine's authority for a grant"),
            );
        }
        if facts.all_halted() {
            faults.push(halted("everything is halted"));
        }
        if facts.owner_halted(&root.human) {
            faults.push(halted("whatever is done for this human is halted"));
        }
        match facts.human(&root.human) {
            None => faults.push(
                Reason::new(code::UNKNOWN_HUMAN, "the human of the chain is not registered here")
                    .fix("register the human and grant anew"),
            ),
            Some(human) if human.offboarded => faults.push(
                Reason::new(code::HUMAN_OFFBOARDED, format!("{} has left", human.name))
                    .fix("ask a human who is here for a grant"),
            ),
            Some(human) if ended(human.cut, chain.made(0)) => faults.push(
                Reason::new(
                    code::REVOKED,
                    format!("whatever had been granted for {} was revoked", human.name),
                )
                .fix("ask for a new grant"),
            ),
            Some(_) => {}
        }
        if facts.is_ended(&root.task.id) {
            faults.push(
                Reason::new(code::TASK_ENDED, "the task of the chain has ended")
                    .fix("ask for a grant for a new task"),
            );
        }
        let mut standing = Self {
            faults,
            from: i64::MIN,
            until: root_until.unwrap_or(i64::MAX),
            names: Vec::new(),
            terms: Vec::new(),
            overlaps: Vec::new(),
            root_until: root_until.unwrap_or(i64::MAX),
            halted: facts.halted_tools(),
            governed: facts.governed(chain, sentence),
        };
        for (hop, grant) in chain.hops().iter().enumerate() {
            standing.from = standing.from.max(grant.payload.iat);
            standing.until = standing.until.min(grant.payload.exp);
            let agent = facts.agent(&grant.payload.holder.agent);
            let id = || grant.payload.holder.agent.to_string();
            standing.names.push(agent.map_or_else(id, |agent| shorten(agent.name, 60)));
            if facts.is_revoked(&grant.digest) {
                let message = format!("the grant of `{}` was revoked", standing.name(hop));
                standing
                    .faults
                    .push(Reason::new(code::REVOKED, message).at(hop).fix("ask for a new grant"));
            }
            standing.add_agent(hop, grant, chain.made(hop), agent);
        }
        standing
    }

    /// What a hop's agent is called.
    pub(super) fn name(&self, hop: usize) -> &str {
        self.names.get(hop).map_or("", String::as_str)
    }

    fn add_agent(
        &mut self,
        hop: usize,
        grant: &Grant,
        made: Option<u64>,
        agent: Option<AgentFacts<'_>>,
    ) {
        let holder = &grant.payload.holder;
        let Some(agent) = agent else {
            self.faults.push(
                Reason::new(
                    code::UNKNOWN_AGENT,
                    format!("the agent {} is not registered here", holder.agent),
                )
                .at(hop)
                .fix("issue the agent with engine.agents.issue and grant to it"),
            );
            return;
        };
        self.until = self.until.min(agent.expires_at);
        self.terms.push((hop, agent.expires_at));
        let name = self.name(hop).to_owned();
        if agent.halted {
            self.faults.push(halted(&format!("the agent `{name}` is halted")).at(hop));
        }
        if agent.owner_halted {
            let text = format!("the agents of the owner of `{name}` are halted");
            self.faults.push(halted(&text).at(hop));
        }
        // Before its status: nobody can resume what belongs to nobody.
        if agent.owner_left {
            self.faults.push(
                Reason::new(
                    code::OWNER_OFFBOARDED,
                    format!("the owner of the agent `{name}` has left"),
                )
                .at(hop)
                .fix("transfer the agent to an owner who is here"),
            );
        }
        match agent.status {
            Status::Active => {}
            Status::Suspended => self.faults.push(
                Reason::new(code::AGENT_SUSPENDED, format!("the agent `{name}` is suspended"))
                    .at(hop)
                    .fix("resume the agent"),
            ),
            Status::Retired => self.faults.push(
                Reason::new(code::AGENT_RETIRED, format!("the agent `{name}` is retired"))
                    .at(hop)
                    .fix("issue another agent and grant to it"),
            ),
        }
        let overlap = agent.overlaps.iter().find(|overlap| overlap.key == holder.key);
        // A grant cannot be older than the key that it names.
        let key_made = match overlap {
            Some(overlap) => overlap.made,
            None => agent.key_made.filter(|_| agent.key == holder.key),
        };
        if ended(agent.cut, made.max(key_made)) {
            self.faults.push(
                Reason::new(
                    code::REVOKED,
                    format!(
                        "whatever the agent `{name}` had been granted was revoked, and nothing shows that this grant is newer"
                    ),
                )
                .at(hop)
                .fix("ask for a new grant, made or delegated by this engine"),
            );
        }
        if let Some(overlap) = overlap {
            self.until = self.until.min(overlap.until);
            self.overlaps.push((hop, overlap.until));
        } else if agent.key != holder.key {
            self.faults.push(
                Reason::new(
                    code::HOLDER_KEY_UNKNOWN,
                    format!("the grant of `{name}` names a key that is not the agent's"),
                )
                .at(hop)
                .fix("grant anew, to the agent's present key"),
            );
        }
        if let Err(beyond) = grant.payload.scope.within_ceiling(agent.ceiling) {
            self.faults.push(
                Reason::new(
                    code::BEYOND_CEILING,
                    format!("the grant of `{name}` reaches beyond its ceiling: {beyond}"),
                )
                .at(hop)
                .fix("grant within the agent's ceiling"),
            );
        }
    }

    /// What speaks against the chain at a time, whatever is asked.
    #[must_use]
    pub fn faults(&self, chain: &Chain, now: i64) -> Vec<Reason> {
        let mut faults = self.faults.clone();
        if now >= self.from.saturating_sub(SKEW) && now < self.until {
            return faults;
        }
        // Before the grants, which end with it: to an agent whose term is over none can be made.
        for &(hop, expires_at) in &self.terms {
            if now >= expires_at {
                let until = render_seconds(expires_at).unwrap_or_default();
                let name = self.name(hop);
                faults.push(
                    Reason::new(
                        code::AGENT_EXPIRED,
                        format!("the term of the agent `{name}` ended at {until}"),
                    )
                    .at(hop)
                    .fix("issue another agent and grant to it"),
                );
            }
        }
        for (hop, grant) in chain.hops().iter().enumerate() {
            let payload = &grant.payload;
            let shown = |micros| render_seconds(micros).unwrap_or_default();
            if now < payload.iat.saturating_sub(SKEW) {
                let from = shown(payload.iat);
                faults.push(
                    Reason::new(
                        code::NOT_YET_VALID,
                        format!("the grant of `{}` starts at {from}", self.name(hop)),
                    )
                    .at(hop)
                    .fix("wait until then, or set the clock right"),
                );
            }
            if now >= payload.exp {
                let until = shown(payload.exp);
                faults.push(
                    Reason::new(
                        code::EXPIRED,
                        format!("the grant of `{}` expired at {until}", self.name(hop)),
                    )
                    .at(hop)
                    .fix("ask for a new grant"),
                );
            }
        }
        if now >= self.root_until {
            let until = render_seconds(self.root_until).unwrap_or_default();
            faults.push(
                Reason::new(
                    code::UNKNOWN_AUTHORITY,
                    format!(
                        "the authority's key that signed the root grant was replaced, and honoured until {until}"
                    ),
                )
                .fix("ask for a new grant"),
            );
        }
        for &(hop, until) in &self.overlaps {
            if now >= until {
                let until = render_seconds(until).unwrap_or_default();
                let name = self.name(hop);
                faults.push(
                    Reason::new(
                        code::HOLDER_KEY_UNKNOWN,
                        format!(
                            "the grant of `{name}` names a key that was replaced, and honoured until {until}"
                        ),
                    )
                    .at(hop)
                    .fix("grant anew, to the agent's present key"),
                );
            }
        }
        faults
    }

    /// What speaks against a tool by its name alone.
    pub(super) fn tool_halted(&self, tool: &ToolName) -> Option<Reason> {
        let pattern = self.halted.iter().find(|pattern| pattern.matches(tool))?;
        Some(halted(&format!("the tools `{}` are halted", pattern.as_str())))
    }

    /// What speaks against a call that was allowed, now.
    #[must_use]
    pub fn against(&self, chain: &Chain, tool: &ToolName, now: i64) -> Option<Reason> {
        let ended =
            if self.is_good(now) { None } else { self.faults(chain, now).into_iter().next() };
        ended.or_else(|| self.tool_halted(tool))
    }

    #[inline] // Asked at the beginning and the end of every call.
    pub(super) fn is_good(&self, now: i64) -> bool {
        self.faults.is_empty() && now >= self.from.saturating_sub(SKEW) && now < self.until
    }
}

/// Whether something that is known to have been made at a place, or not known when, is ended by a
/// revocation of all that was made up to another. What a grant says of its own start counts for
/// nothing here: its signer may state any.
fn ended(cut: Option<u64>, made: Option<u64>) -> bool {
    cut.is_some_and(|cut| made.is_none_or(|made| made <= cut))
}

fn halted(what: &str) -> Reason {
    Reason::new(code::HALTED, what).fix("ask an operator to lift the halt with engine.unhalt")
}
