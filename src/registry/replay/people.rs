//! Humans and agents: who is here, whose agent it is, what it may sign with and until when.

use std::collections::HashMap;

use super::{Leaf, Said, differs};
use crate::canonical::Value;
use crate::principal::{AgentId, HumanId, Status};
use crate::registry::{Agent, State};
use crate::store::StoreError;

type Key = [u8; 32];

#[derive(Debug, Default)]
pub(super) struct People {
    humans: HashMap<HumanId, ToldHuman>,
    agents: HashMap<AgentId, ToldAgent>,
    /// Every key that an agent has or had.
    keys: HashMap<Key, (AgentId, Said)>,
}

#[derive(Debug)]
struct ToldHuman {
    assurance: Box<str>,
    registered_at: i64,
    left: bool,
    said: Said,
}

#[derive(Debug)]
struct ToldAgent {
    owner: HumanId,
    author: HumanId,
    key: Key,
    made: Option<u64>,
    managed: bool,
    /// Key, until when, and where it was made.
    overlaps: Vec<(Key, i64, Option<u64>)>,
    status: Status,
    issued_at: i64,
    expires_at: i64,
    /// The entry that changed it last.
    said: Said,
}

impl People {
    pub(super) fn take(&mut self, leaf: &Leaf<'_>) -> Result<(), StoreError> {
        let (action, said) = (leaf.text("action"), leaf.said);
        match action {
            "registered" => {
                let told = ToldHuman {
                    assurance: leaf.text("assurance").into(),
                    registered_at: leaf.at("at")?,
                    left: false,
                    said,
                };
                self.humans.insert(leaf.parsed("human")?, told);
            }
            "offboarded" => {
                let human = self.humans.get_mut(&leaf.parsed("human")?);
                let human = human.ok_or_else(|| leaf.unreadable("human"))?;
                (human.left, human.said) = (true, said);
            }
            "issued" => self.issued(leaf)?,
            "suspended" | "resumed" | "retired" | "rotated" | "transferred" | "renewed" => {
                let id = leaf.parsed("agent")?;
                let agent = self.agents.get_mut(&id).ok_or_else(|| leaf.unreadable("agent"))?;
                agent.said = said;
                match action {
                    "suspended" => agent.status = Status::Suspended,
                    "resumed" => agent.status = Status::Active,
                    "retired" => {
                        agent.status = Status::Retired;
                        agent.overlaps.clear();
                    }
                    "transferred" => agent.owner = leaf.parsed("human")?,
                    "renewed" => agent.expires_at = leaf.at("until")?,
                    _ => {
                        agent.rotated(leaf)?;
                        self.keys.insert(agent.key, (id, said));
                    }
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn issued(&mut self, leaf: &Leaf<'_>) -> Result<(), StoreError> {
        let (owner, managed) = (leaf.parsed("human")?, is_managed(leaf));
        let (id, key) = (leaf.parsed("agent")?, key_of(leaf, "key")?);
        let told = ToldAgent {
            owner,
            author: owner,
            key,
            made: managed.then_some(leaf.said.place),
            managed,
            overlaps: Vec::new(),
            status: Status::Active,
            issued_at: leaf.at("at")?,
            expires_at: leaf.at("until")?,
            said: leaf.said,
        };
        self.agents.insert(id, told);
        self.keys.insert(key, (id, leaf.said));
        Ok(())
    }

    pub(super) fn compare(&self, state: &State) -> Result<(), StoreError> {
        for (id, told) in &self.humans {
            let said = told.said;
            let what = match state.humans.get(id) {
                None => format!("{said} tells of them, and the record is gone"),
                Some(human) if human.offboarded != told.left => {
                    let word = |left| if left { "left" } else { "here" };
                    let (trail, record) = (word(told.left), word(human.offboarded));
                    format!("by {said} they are {trail}, the record says {record}")
                }
                Some(human) if human.assurance.word() != &*told.assurance => {
                    let (trail, record) = (&told.assurance, human.assurance.word());
                    format!("by {said} they are known as {trail}, the record says {record}")
                }
                Some(human) if human.registered_at != told.registered_at => {
                    format!("{said} registered them at another time")
                }
                Some(_) => continue,
            };
            return Err(differs(format!("the human {id}"), what));
        }
        if let Some(id) = state.humans.keys().find(|id| !self.humans.contains_key(id)) {
            return Err(differs(format!("the human {id}"), "no entry registered them"));
        }
        for (id, told) in &self.agents {
            let what = match state.agents.get(id) {
                None => format!("{} tells of it, and the record is gone", told.said),
                Some(agent) => match told.differs(agent) {
                    Some(what) => format!("{}, after which {what}", told.said),
                    None => continue,
                },
            };
            return Err(differs(format!("the agent {id}"), what));
        }
        if let Some(id) = state.agents.keys().find(|id| !self.agents.contains_key(id)) {
            return Err(differs(format!("the agent {id}"), "no entry issued it"));
        }
        for (key, agent) in &state.keys {
            if self.keys.get(key.as_bytes()).is_none_or(|(told, _)| told != agent) {
                let what = format!("no entry gives it the key {}", key.id());
                return Err(differs(format!("the agent {agent}"), what));
            }
        }
        if state.keys.len() != self.keys.len() {
            let known: std::collections::HashSet<&Key> =
                state.keys.keys().map(|key| key.as_bytes()).collect();
            if let Some((_, (id, said))) = self.keys.iter().find(|(key, _)| !known.contains(key)) {
                let what = format!("that it had the key of {said} is gone");
                return Err(differs(format!("the agent {id}"), what));
            }
        }
        Ok(())
    }
}

impl ToldAgent {
    fn rotated(&mut self, leaf: &Leaf<'_>) -> Result<(), StoreError> {
        let (at, until) = (leaf.at("at")?, leaf.raw("overlap").and_then(|raw| raw.datetime()));
        let old = until.map(|until| (self.key, until, self.made));
        self.overlaps.extend(old);
        // Without an overlap every key before ends.
        self.overlaps.retain(|(_, end, _)| until.is_some() && *end > at);
        self.key = key_of(leaf, "key")?;
        self.managed = is_managed(leaf);
        self.made = self.managed.then_some(leaf.said.place);
        Ok(())
    }

    /// What its record says otherwise.
    fn differs(&self, agent: &Agent) -> Option<String> {
        if agent.status != self.status {
            let (trail, record) = (self.status.word(), agent.status.word());
            return Some(format!("it is {trail}, the record says {record}"));
        }
        if agent.owner != self.owner {
            return Some(format!("it is {}'s, the record says {}'s", self.owner, agent.owner));
        }
        if agent.key.as_bytes() != &self.key {
            return Some("it has another key than the record says".to_owned());
        }
        let overlaps = agent.overlaps.iter().map(|one| (*one.key.as_bytes(), one.until, one.made));
        if !overlaps.eq(self.overlaps.iter().copied()) {
            return Some("other replaced keys are honoured than the record says".to_owned());
        }
        if agent.expires_at != self.expires_at || agent.issued_at != self.issued_at {
            return Some("its term is another than the record says".to_owned());
        }
        let same = agent.author == self.author
            && agent.managed == self.managed
            && agent.key_made == self.made;
        (!same).then(|| "its author, or where its key was made, is another".to_owned())
    }
}

fn is_managed(leaf: &Leaf<'_>) -> bool {
    leaf.raw("managed").is_some_and(|raw| raw.encoded() == Value::Bool(true).encode())
}

/// A public key's bytes, by its text in a leaf: what was taken in once is not parsed again.
fn key_of(leaf: &Leaf<'_>, name: &str) -> Result<Key, StoreError> {
    let text = leaf.text(name).strip_prefix("k4.public.");
    let bytes = text.and_then(|text| data_encoding::BASE64URL_NOPAD.decode(text.as_bytes()).ok());
    bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| leaf.unreadable(name))
}
