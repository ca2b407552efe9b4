//! Halts: the brake. Everything, one owner, one agent or some tools stand still until it is lifted.
//!
//! A halt that cannot be read halts everything.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Change, Put, RegistryError, Sealer, State, check_text, draft};
use crate::canonical::Value;
use crate::keys::Owner;
use crate::principal::{AgentId, HumanId};
use crate::scope::ToolPattern;
use crate::store::Store;
use crate::trail::entry::kind;

const PREFIX: &[u8] = b"x/";

/// What stands still.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub enum Halted {
    /// Every call.
    Everything,
    /// Whatever a human's agents do, and whatever is done for the human.
    Owner(HumanId),
    /// Whatever an agent does or has delegated.
    Agent(AgentId),
    /// Every tool that a pattern matches.
    Tool(String),
}

/// A halt in force.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Halt {
    /// What stands still.
    pub target: Halted,
    /// Since when, in microseconds.
    pub at: i64,
    /// Who halted it; `None` where the record cannot be read.
    pub by: Option<HumanId>,
    /// Why; absent where it cannot be read any more.
    pub reason: Option<String>,
}

#[derive(Serialize, Deserialize)]
struct Record {
    at: i64,
    by: HumanId,
    #[serde(with = "super::records::base64")]
    sealed: Vec<u8>,
}

/// The halts in force.
#[derive(Debug, Default)]
pub(super) struct Halts {
    all: BTreeMap<Halted, Halt>,
    tools: Arc<[ToolPattern]>,
    /// Keys of records that cannot be read.
    damaged: Vec<Vec<u8>>,
}

impl Halted {
    /// The word on the wire.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Everything => "everything",
            Self::Owner(_) => "owner",
            Self::Agent(_) => "agent",
            Self::Tool(_) => "tool",
        }
    }

    /// The id or pattern; empty for everything.
    #[must_use]
    pub fn name(&self) -> String {
        match self {
            Self::Everything => String::new(),
            Self::Owner(id) => id.to_string(),
            Self::Agent(id) => id.to_string(),
            Self::Tool(pattern) => pattern.clone(),
        }
    }

    fn key(&self) -> Vec<u8> {
        [PREFIX, self.word().as_bytes(), b"/", self.name().as_bytes()].concat()
    }

    fn parse(key: &[u8]) -> Option<Self> {
        let (word, name) = std::str::from_utf8(key).ok()?.split_once('/')?;
        Self::of(word, name)
    }

    /// By the word on the wire and the name.
    pub(super) fn of(word: &str, name: &str) -> Option<Self> {
        Some(match word {
            "everything" if name.is_empty() => Self::Everything,
            "owner" => Self::Owner(name.parse().ok()?),
            "agent" => Self::Agent(name.parse().ok()?),
            "tool" => Self::Tool(ToolPattern::parse(name).ok()?.as_str().to_owned()),
            _ => return None,
        })
    }

    fn record_name(&self) -> String {
        format!("halt/{}/{}", self.word(), self.name())
    }
}

impl State {
    /// Halts a target.
    ///
    /// # Errors
    /// `Invalid` for an empty reason or a pattern that is none, `NotFound` for an unknown owner or
    /// agent, `Illegal` if it is halted already.
    pub fn halt(
        &mut self,
        target: Halted,
        at: i64,
        by: HumanId,
        reason: &str,
        sealer: &mut Sealer<'_>,
    ) -> Result<Change, RegistryError> {
        check_text("the reason", reason, 4_096)?;
        let unknown = match &target {
            Halted::Owner(id) => (!self.humans.contains_key(id)).then_some("human"),
            Halted::Agent(id) => (!self.agents.contains_key(id)).then_some("agent"),
            Halted::Tool(pattern) => {
                ToolPattern::parse(pattern)
                    .map_err(|error| RegistryError::Invalid(error.to_string()))?;
                None
            }
            Halted::Everything => None,
        };
        if let Some(kind) = unknown {
            return Err(RegistryError::NotFound { kind, name: target.name() });
        }
        if self.halts.all.contains_key(&target) {
            return Err(RegistryError::Illegal(format!("{} is halted already", told(&target))));
        }
        let owner = Owner::human(by);
        let sealed = sealer.seal(&owner, reason, &target.record_name())?;
        let record = super::records::json(&Record { at, by, sealed })?.into_bytes();
        let mut puts = sealer.take_made();
        puts.push(Put::Set(target.key(), record));
        let draft = draft(kind::HALT)?
            .with("action", Value::str("halted"))
            .with("target", Value::str(target.word()))
            .with_some(target.word(), name_of(&target))
            .with("by", Value::str(&by.to_string()))
            .beside("reason", Value::str(reason), &owner);
        let halt =
            Halt { target: target.clone(), at, by: Some(by), reason: Some(reason.to_owned()) };
        self.halts.all.insert(target, halt);
        self.halts.index();
        self.changed();
        Ok(Change { draft, puts })
    }

    /// Lifts a halt. Lifting everything's also drops records that cannot be read.
    ///
    /// # Errors
    /// `Invalid` for an empty reason, `Illegal` if the target is not halted.
    pub fn unhalt(
        &mut self,
        target: &Halted,
        by: HumanId,
        reason: Option<&str>,
    ) -> Result<Change, RegistryError> {
        reason.map_or(Ok(()), |reason| check_text("the reason", reason, 4_096))?;
        let mut puts = Vec::new();
        if *target == Halted::Everything {
            puts.extend(self.halts.damaged.drain(..).map(Put::Drop));
        }
        let known = self.halts.all.remove(target).is_some();
        if !known && puts.is_empty() {
            return Err(RegistryError::Illegal(format!("{} is not halted", told(target))));
        }
        puts.push(Put::Drop(target.key()));
        let draft = draft(kind::HALT)?
            .with("action", Value::str("lifted"))
            .with("target", Value::str(target.word()))
            .with_some(target.word(), name_of(target))
            .with("by", Value::str(&by.to_string()));
        let draft = match reason {
            Some(reason) => draft.beside("reason", Value::str(reason), &Owner::human(by)),
            None => draft,
        };
        self.halts.index();
        self.changed();
        Ok(Change { draft, puts })
    }

    /// The halts in force.
    #[must_use]
    pub fn halts(&self) -> Vec<Halt> {
        let mut all: Vec<Halt> = self.halts.all.values().cloned().collect();
        if !self.halts.damaged.is_empty() && !self.halts.all.contains_key(&Halted::Everything) {
            all.push(Halt { target: Halted::Everything, at: 0, by: None, reason: None });
        }
        all
    }

    /// Whether everything is halted.
    #[must_use]
    pub fn all_halted(&self) -> bool {
        !self.halts.damaged.is_empty() || self.halts.all.contains_key(&Halted::Everything)
    }

    /// Whether a human's agents are halted.
    #[must_use]
    pub fn owner_halted(&self, id: &HumanId) -> bool {
        !self.halts.all.is_empty() && self.halts.all.contains_key(&Halted::Owner(*id))
    }

    /// Whether an agent is halted.
    #[must_use]
    pub fn agent_halted(&self, id: &AgentId) -> bool {
        !self.halts.all.is_empty() && self.halts.all.contains_key(&Halted::Agent(*id))
    }

    /// The patterns of the tools that are halted.
    #[must_use]
    pub fn halted_tools(&self) -> Arc<[ToolPattern]> {
        self.halts.tools.clone()
    }
}

impl Halts {
    /// The halt of this very target.
    pub(super) fn halt_of(&self, target: &Halted) -> Option<&Halt> {
        self.all.get(target)
    }

    /// What is halted.
    pub(super) fn targets(&self) -> impl Iterator<Item = &Halted> {
        self.all.keys()
    }

    /// Forgets the reasons that a human gave.
    pub(super) fn forget(&mut self, by: &HumanId) {
        for halt in self.all.values_mut().filter(|halt| halt.by == Some(*by)) {
            halt.reason = None;
        }
    }

    /// Parses the tool patterns once, for all calls.
    fn index(&mut self) {
        let patterns = self.all.keys().filter_map(|target| match target {
            Halted::Tool(pattern) => ToolPattern::parse(pattern).ok(),
            _ => None,
        });
        self.tools = patterns.collect();
    }
}

fn name_of(target: &Halted) -> Option<Value> {
    (*target != Halted::Everything).then(|| Value::str(&target.name()))
}

fn told(target: &Halted) -> String {
    match target {
        Halted::Everything => "everything".to_owned(),
        other => format!("the {} `{}`", other.word(), other.name()),
    }
}

pub(super) fn load(
    state: &mut State,
    store: &dyn Store,
    sealer: &Sealer<'_>,
) -> Result<(), RegistryError> {
    super::records::each(store, PREFIX, |rest, value| {
        let record = super::records::parse::<Record>(value).ok();
        let Some((target, record)) = Halted::parse(rest).zip(record) else {
            // Whatever it said: until somebody looked at it, nothing runs.
            state.halts.damaged.push([PREFIX, rest].concat());
            return Ok(());
        };
        let owner = Owner::human(record.by);
        let reason = sealer.open(&owner, &record.sealed, &target.record_name()).ok().flatten();
        let halt = Halt { target: target.clone(), at: record.at, by: Some(record.by), reason };
        state.halts.all.insert(target, halt);
        Ok(())
    })?;
    state.halts.index();
    Ok(())
}
