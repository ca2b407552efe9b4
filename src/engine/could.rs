//! Who could have done it: the state of a moment, made from the trail alone, and the grants that
//! held then.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;

use super::walk::Walk;
use super::words::describe;
use super::{Engine, EngineError, Filter, Order};
use crate::authorizer::{AgentFacts, Facts, Governed, HumanFacts, Standing};
use crate::canonical::{Digest, Raw, Value, map_view, to_json};
use crate::chain::Chain;
use crate::keys::PublicKey;
use crate::principal::{AgentId, HumanId, Overlap, Status, TaskId};
use crate::request::{Resource, ToolName};
use crate::scope::{Scope, ToolPattern};
use crate::trail::block::BlockError;
use crate::trail::entry::{Entry, kind};

/// One grant under which a call could have been made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Could {
    /// The id of the agent that held it.
    pub agent: String,
    /// The id of the human in whose name.
    pub human: String,
    /// The ids of the agents on the chain, from the root.
    pub via: Vec<String>,
    /// The grant's id.
    pub grant: String,
    /// The task's id.
    pub task: String,
    /// From when, in microseconds.
    pub from: i64,
    /// Until when, in microseconds.
    pub until: i64,
    /// When the grant came to the record: one that was delegated offline held before that.
    pub recorded: i64,
    /// The capability that covers tool and resource, in words: with it, what arguments had to be.
    pub capability: String,
}

/// Who could have made a call at a moment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct WhoCould {
    /// Every grant that held and covers it, in the order of the record.
    pub found: Vec<Could>,
    /// Grants of that time whose content was erased: nobody can tell any more.
    pub erased: Vec<String>,
}

impl Engine {
    /// Who held authority over a tool, and a resource if one is named, at a moment: the grants in
    /// force then, with the state of humans, agents, tasks, revocations and halts as it was then,
    /// from the trail alone. Arguments, limits and policies are not looked at: they could have
    /// narrowed it further.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn who_could(
        &self,
        tool: &ToolName,
        resource: Option<&Resource>,
        at: i64,
    ) -> Result<WhoCould, EngineError> {
        let past = self.past(at)?;
        let mut answer = WhoCould::default();
        if past.halted_tools().iter().any(|pattern| pattern.matches(tool)) {
            return Ok(answer);
        }
        for (index, digest) in self.grants_of(at)? {
            let Some(entry) = self.entry_at(index)? else { continue };
            let Some(chain) = self.chain_of(&digest)? else {
                answer.erased.push(entry.text("grant").to_owned());
                continue;
            };
            let agents = chain.hops().iter().map(|hop| hop.payload.holder.agent);
            let mut known = agents.filter_map(|agent| past.agents.get(&agent));
            if known.any(|agent| agent.ceiling.is_none()) {
                answer.erased.push(entry.text("grant").to_owned());
                continue;
            }
            if !Standing::of(&chain, &past, None).faults(&chain, at).is_empty() {
                continue;
            }
            let payload = &chain.leaf().payload;
            let covers = payload.scope.capabilities().iter().find(|capability| {
                capability.tool().matches(tool)
                    && (resource.is_none()
                        || capability
                            .resource()
                            .is_none_or(|patterns| patterns.iter().any(|p| p.matches(resource))))
            });
            let Some(capability) = covers else { continue };
            let hops = chain.hops().iter();
            answer.found.push(Could {
                agent: payload.holder.agent.to_string(),
                human: payload.human.to_string(),
                via: hops.map(|hop| hop.payload.holder.agent.to_string()).collect(),
                grant: payload.id.to_string(),
                task: payload.task.id.to_string(),
                from: payload.iat,
                until: payload.exp,
                recorded: entry.at(),
                capability: describe(capability),
            });
        }
        Ok(answer)
    }

    /// Where the grants stand whose time holds a moment, with their digests.
    fn grants_of(&self, at: i64) -> Result<Vec<(u64, Digest)>, EngineError> {
        let filter = Filter { kind: Some(kind::GRANT.to_owned()), ..Filter::default() };
        let mut walk = Walk::new(self.query(&filter, None, None)?, Order::Oldest);
        let mut found = Vec::new();
        while let Some(places) = walk.next_some(&self.library)? {
            for place in places {
                let Some(block) = self.library.block_of(place)? else { continue };
                let leaf = block.leaf(place).unwrap_or_default();
                let keys =
                    map_view(leaf).map_err(|error| BlockError::Damaged(error.to_string()))?;
                let get = |name| super::key_of_leaf(&keys, name);
                let time = |name| get(name).and_then(Raw::datetime);
                let (Some(from), Some(until)) = (time("from"), time("until")) else { continue };
                let digest = get("digest").and_then(Raw::bytes);
                if let Some(digest) = digest.and_then(|digest| digest.try_into().ok())
                    && from <= at
                    && at < until
                {
                    found.push((place, digest));
                }
            }
        }
        Ok(found)
    }

    /// The state as the trail has it for a moment.
    fn past(&self, at: i64) -> Result<Past, EngineError> {
        let mut past = Past::default();
        past.roots.insert(self.authority().id(), i64::MAX);
        let mut places = Vec::new();
        let kinds = [
            (kind::KEY, None),
            (kind::IDENTITY, None),
            (kind::TASK, Some("ended")),
            (kind::REVOCATION, None),
            (kind::HALT, None),
        ];
        for (kind, action) in kinds {
            let filter = Filter {
                kind: Some(kind.to_owned()),
                action: action.map(str::to_owned),
                until: Some(at.saturating_add(1)),
                ..Filter::default()
            };
            let mut walk = Walk::new(self.query(&filter, None, None)?, Order::Oldest);
            while let Some(some) = walk.next_some(&self.library)? {
                places.extend(some);
            }
        }
        places.sort_unstable();
        for some in places.chunks(256) {
            for entry in self.entries_at(some)? {
                past.take(&entry);
            }
        }
        Ok(past)
    }
}

/// What the trail says up to a moment.
#[derive(Default)]
struct Past {
    agents: HashMap<AgentId, PastAgent>,
    /// Humans, and whether they have left.
    humans: HashMap<HumanId, bool>,
    /// Up to which place of the trail all was revoked.
    cut_humans: HashMap<HumanId, u64>,
    cut_agents: HashMap<AgentId, u64>,
    revoked: HashSet<Digest>,
    ended: HashSet<TaskId>,
    roots: HashMap<String, i64>,
    halted: bool,
    halted_owners: HashSet<HumanId>,
    halted_agents: HashSet<AgentId>,
    halted_tools: Vec<ToolPattern>,
}

struct PastAgent {
    name: String,
    owner: HumanId,
    status: Status,
    until: i64,
    key: PublicKey,
    /// The place of the entry with which the engine made that key, if it did.
    made: Option<u64>,
    overlaps: Vec<Overlap>,
    /// Absent where it was erased.
    ceiling: Option<Scope>,
}

impl Past {
    fn take(&mut self, entry: &Entry) {
        let action = entry.text("action");
        match entry.kind() {
            kind::KEY if action == "authority_rotated" => self.rotated(entry.text("statement")),
            kind::IDENTITY if entry.fields.get("agent").is_some() => self.agent_did(entry, action),
            kind::IDENTITY => {
                if let Ok(human) = entry.text("human").parse() {
                    match action {
                        "registered" => drop(self.humans.insert(human, false)),
                        "offboarded" => drop(self.humans.insert(human, true)),
                        _ => {}
                    }
                }
            }
            kind::TASK => self.ended.extend(entry.text("task").parse::<TaskId>().ok()),
            kind::REVOCATION => self.revoked(entry),
            kind::HALT => self.halted(entry, action == "halted"),
            _ => {}
        }
    }

    fn revoked(&mut self, entry: &Entry) {
        match entry.text("target") {
            "grant" => {
                let digest = entry.fields.get("digest").and_then(Value::as_bytes);
                self.revoked.extend(digest.and_then(|digest| Digest::try_from(digest).ok()));
            }
            "agent" => {
                let agent = entry.text("agent").parse::<AgentId>().ok();
                self.cut_agents.extend(agent.map(|agent| (agent, entry.index)));
            }
            "human" => {
                let human = entry.text("human").parse::<HumanId>().ok();
                self.cut_humans.extend(human.map(|human| (human, entry.index)));
            }
            _ => self.ended.extend(entry.text("task").parse::<TaskId>().ok()),
        }
    }

    fn halted(&mut self, entry: &Entry, on: bool) {
        match entry.text("target") {
            "everything" => self.halted = on,
            "owner" => {
                let Ok(owner) = entry.text("owner").parse() else { return };
                match on {
                    true => self.halted_owners.insert(owner),
                    false => self.halted_owners.remove(&owner),
                };
            }
            "agent" => {
                let Ok(agent) = entry.text("agent").parse() else { return };
                match on {
                    true => self.halted_agents.insert(agent),
                    false => self.halted_agents.remove(&agent),
                };
            }
            _ => {
                let Ok(pattern) = ToolPattern::parse(entry.text("tool")) else { return };
                self.halted_tools.retain(|other| *other != pattern);
                if on {
                    self.halted_tools.push(pattern);
                }
            }
        }
    }

    fn agent_did(&mut self, entry: &Entry, action: &str) {
        let Ok(id) = entry.text("agent").parse::<AgentId>() else { return };
        let key = || PublicKey::parse(entry.text("key")).ok();
        let managed = entry.fields.get("managed") == Some(&Value::Bool(true));
        let made = managed.then_some(entry.index);
        let time = |name: &str| match entry.fields.get(name) {
            Some(Value::Datetime(at)) => Some(*at),
            _ => None,
        };
        if action == "issued" {
            let (Ok(owner), Some(key)) = (entry.text("human").parse(), key()) else { return };
            let ceiling = entry.value("ceiling").map(to_json);
            let ceiling = ceiling.and_then(|text| serde_json::from_str(&text).ok());
            let agent = PastAgent {
                name: entry.value_text("name").unwrap_or(entry.text("agent")).to_owned(),
                owner,
                status: Status::Active,
                until: time("until").unwrap_or(0),
                key,
                made,
                overlaps: Vec::new(),
                ceiling,
            };
            self.agents.insert(id, agent);
            return;
        }
        let Some(agent) = self.agents.get_mut(&id) else { return };
        match action {
            "suspended" => agent.status = Status::Suspended,
            "resumed" => agent.status = Status::Active,
            "retired" => agent.status = Status::Retired,
            "renewed" => agent.until = time("until").unwrap_or(agent.until),
            "transferred" => {
                if let Ok(owner) = entry.text("human").parse() {
                    agent.owner = owner;
                }
            }
            "rotated" => {
                let (old, old_made) = (agent.key, agent.made);
                agent.overlaps.retain(|one| time("overlap").is_some() && one.until > entry.at());
                agent.overlaps.extend(time("overlap").map(|until| Overlap {
                    key: old,
                    until,
                    made: old_made,
                }));
                if let Some(key) = key() {
                    agent.key = key;
                    agent.made = made;
                }
            }
            _ => {}
        }
    }

    /// A statement names the next root key, and until when root grants by the present one hold.
    fn rotated(&mut self, statement: &str) {
        let payload = statement.strip_prefix("v4.public.").map(|body| {
            let bytes = BASE64URL_NOPAD.decode(body.as_bytes()).unwrap_or_default();
            let text = bytes.get(..bytes.len().saturating_sub(64)).unwrap_or_default();
            serde_json::from_slice::<serde_json::Value>(text).unwrap_or_default()
        });
        let Some(payload) = payload else { return };
        let text = |name: &str| payload.get(name).and_then(serde_json::Value::as_str);
        let until = text("until").and_then(crate::clock::parse_instant);
        let (Some(until), Some(next)) = (until, text("authority")) else { return };
        let Ok(next) = PublicKey::parse(next) else { return };
        for root in self.roots.values_mut() {
            *root = (*root).min(until);
        }
        self.roots.insert(next.id(), i64::MAX);
    }
}

impl Facts for Past {
    fn agent(&self, id: &AgentId) -> Option<AgentFacts<'_>> {
        let agent = self.agents.get(id)?;
        Some(AgentFacts {
            name: &agent.name,
            status: agent.status,
            expires_at: agent.until,
            key: agent.key,
            key_made: agent.made,
            overlaps: &agent.overlaps,
            cut: self.cut_agents.get(id).copied(),
            owner_left: self.humans.get(&agent.owner).copied().unwrap_or(true),
            halted: self.halted_agents.contains(id),
            owner_halted: self.halted_owners.contains(&agent.owner),
            ceiling: agent.ceiling.as_ref()?,
        })
    }

    fn human(&self, id: &HumanId) -> Option<HumanFacts<'_>> {
        let offboarded = *self.humans.get(id)?;
        let cut = self.cut_humans.get(id).copied();
        Some(HumanFacts { name: "the human", offboarded, cut })
    }

    fn is_revoked(&self, digest: &Digest) -> bool {
        self.revoked.contains(digest)
    }

    fn is_ended(&self, task: &TaskId) -> bool {
        self.ended.contains(task)
    }

    fn root_key_until(&self, id: &str) -> Option<i64> {
        self.roots.get(id).copied()
    }

    fn all_halted(&self) -> bool {
        self.halted
    }

    fn owner_halted(&self, human: &HumanId) -> bool {
        self.halted_owners.contains(human)
    }

    fn halted_tools(&self) -> Arc<[ToolPattern]> {
        self.halted_tools.clone().into()
    }

    /// Policies are not looked at.
    fn governed(&self, _: &Chain, _: Option<&str>) -> Governed {
        Governed::Free
    }
}
