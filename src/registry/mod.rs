//! The registry: who and what is known, and the transitions between its states.
//!
//! A transition checks, changes the state in memory and answers a [`Change`]: the entry that
//! records it and the store's records that go with it, in one atomic write. Transitions run under
//! the sequencing lock, so that the trail's order is the order in which they took effect.

mod agents;
mod approvals;
mod closed;
mod credentials;
mod grants;
mod halts;
mod humans;
mod offboarding;
mod policies;
mod records;
mod replay;
mod revocations;
mod roots;
mod rules;
mod tasks;

pub use agents::{Agent, NewAgent, Note, Rotation, secret_key};
pub use approvals::{
    Answer, Approval, MAX_OPEN, MAX_OPEN_PER_GRANT, Open, Purpose, Stage, answered_key, asked_key,
};
use closed::closed_key;
pub use closed::{closed_approval, closed_approvals, old_approvals};
pub use credentials::{
    Credential, Held, NewCredential, Source, Version, open_secret, secret_at, vault_owner,
};
pub use grants::{
    Ended, Known, Origin, child_key, children, end_key, ended_grants, grant_entry, grant_id_key,
    grant_index_key,
};
pub use halts::{Halt, Halted};
pub use humans::{Human, NewHuman};
pub use offboarding::{Item, Left, Offboarding, Proof, verify_offboarding};
pub use policies::{
    Distrusted, InForce, Policies, Texts, Turn, current_policies, declared_tools, keep_texts,
    keep_tool, read_texts,
};
pub use records::{Sealer, data_key_at, erased_at, load_data_key, scope_value};
pub use replay::{Replay, STATE_ACTION, STATE_KINDS, Said, Statement, Unrecorded};
pub use revocations::{Signer, Target, revoked_key, statement_assertion};
pub use roots::{Root, roots};
pub use rules::{NewRule, Rule, Then, finding_digest};
pub use tasks::{ended_at, task_ids, task_index_key};

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use crate::canonical::{Digest, Salt};
use crate::keys::{KeyError, PublicKey, random};
use crate::principal::{AgentId, EntryId, HumanId, TaskId};
use crate::store::{Store, StoreError};
use crate::trail::entry::Draft;

/// What stands where something was erased.
pub const ERASED: &str = "(erased)";

/// Why a transition was refused.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum RegistryError {
    /// Nothing known has that id or name.
    #[error("there is no {kind} `{name}`")]
    NotFound {
        /// What was looked for.
        kind: &'static str,
        /// The id or name given.
        name: String,
    },
    /// A value that cannot be accepted.
    #[error("{0}")]
    Invalid(String),
    /// A transition that the present state does not allow.
    #[error("{0}")]
    Illegal(String),
    /// A key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// The store could not be read.
    #[error(transparent)]
    Store(#[from] StoreError),
}

/// A change of the store that goes with an entry, in the same atomic write.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Put {
    /// Sets a key.
    Set(Vec<u8>, Vec<u8>),
    /// Sets a key to the entry's own index, big-endian.
    Index(Vec<u8>),
    /// Sets a key to a value followed by the entry's own index, big-endian.
    Placed(Vec<u8>, Vec<u8>),
    /// Drops a key.
    Drop(Vec<u8>),
}

/// An entry and the store's records that go with it.
#[derive(Debug)]
pub struct Change {
    /// The entry.
    pub draft: Draft,
    /// The records.
    pub puts: Vec<Put>,
}

/// When and where a transition takes effect: under the sequencing lock, so both only grow.
#[derive(Debug, Clone, Copy)]
pub struct Moment {
    /// The time of its entries, in microseconds.
    pub at: i64,
    /// The index that its first entry gets.
    pub place: u64,
}

/// A draft of an entry with a fresh id and salt.
///
/// # Errors
/// `Random` if the operating system gives no random bytes.
pub fn draft(kind: &'static str) -> Result<Draft, KeyError> {
    let salt: Salt = random()?;
    Ok(Draft::new(EntryId::from_bytes(random()?), kind, salt))
}

/// Everything that bears on whether a call may run.
#[derive(Debug, Default)]
pub struct State {
    humans: HashMap<HumanId, Arc<Human>>,
    accounts: HashMap<(String, String), HumanId>,
    agents: HashMap<AgentId, Arc<Agent>>,
    names: HashMap<String, AgentId>,
    /// Those that read otherwise than they are written, by how they read.
    looks: HashMap<String, AgentId>,
    /// Keyed digests of the names that agents of erased humans had.
    taken: HashSet<Digest>,
    keys: HashMap<PublicKey, AgentId>,
    /// The authority's own keys: no agent's.
    reserved: HashSet<PublicKey>,
    /// The authority's keys by id, and until when root grants by them hold.
    roots: HashMap<String, i64>,
    revoked_grants: HashSet<Digest>,
    cut_agents: HashMap<AgentId, u64>,
    cut_humans: HashMap<HumanId, u64>,
    halts: halts::Halts,
    credentials: credentials::Credentials,
    ended_tasks: HashSet<TaskId>,
    approvals: approvals::Approvals,
    policies: Policies,
    /// By the digest of their texts.
    distrusted: BTreeMap<Digest, Distrusted>,
    rules: rules::Rules,
    epoch: u64,
}

impl State {
    /// Loads what the store holds.
    ///
    /// # Errors
    /// What the store answered, or a record that cannot be read.
    pub fn load(store: &dyn Store, sealer: &Sealer<'_>) -> Result<Self, RegistryError> {
        let mut state = Self::default();
        humans::load(&mut state, store, sealer)?;
        agents::load(&mut state, store, sealer)?;
        revocations::load(&mut state, store)?;
        halts::load(&mut state, store, sealer)?;
        tasks::load(&mut state, store)?;
        approvals::load(&mut state, store)?;
        credentials::load(&mut state, store)?;
        policies::load(&mut state, store)?;
        rules::load(&mut state, store, sealer)?;
        Ok(state)
    }

    /// Keeps a key of the authority's from becoming an agent's.
    pub fn reserve(&mut self, key: PublicKey) {
        self.reserved.insert(key);
    }

    /// The number of changes so far: a judgement made at another epoch is made again.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// A human by id.
    #[must_use]
    pub fn human(&self, id: &HumanId) -> Option<&Arc<Human>> {
        self.humans.get(id)
    }

    /// An agent by id.
    #[must_use]
    pub fn agent(&self, id: &AgentId) -> Option<&Arc<Agent>> {
        self.agents.get(id)
    }

    /// The agent that a key belongs to, or did once.
    #[must_use]
    pub fn key_of(&self, key: &PublicKey) -> Option<AgentId> {
        self.keys.get(key).copied()
    }

    /// All humans, oldest first.
    #[must_use]
    pub fn humans(&self) -> Vec<Arc<Human>> {
        let mut all: Vec<_> = self.humans.values().cloned().collect();
        all.sort_by_key(|human| (human.registered_at, human.id));
        all
    }

    /// All agents, oldest first.
    #[must_use]
    pub fn agents(&self) -> Vec<Arc<Agent>> {
        let mut all: Vec<_> = self.agents.values().cloned().collect();
        all.sort_by_key(|agent| (agent.issued_at, agent.id));
        all
    }

    /// A human by id, or by account where only one issuer knows it.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` for an account that several issuers know.
    pub fn find_human(&self, text: &str) -> Result<&Arc<Human>, RegistryError> {
        let not_found =
            || RegistryError::NotFound { kind: "human", name: text.chars().take(80).collect() };
        if let Ok(id) = text.parse::<HumanId>() {
            return self.humans.get(&id).ok_or_else(not_found);
        }
        // Who is here goes first: an account may have been somebody else's before.
        let all = || self.humans.values().filter(|human| human.account == text);
        let here = || all().filter(|human| !human.offboarded);
        let (first, count) = match here().next() {
            Some(first) => (Some(first), here().count()),
            None => (all().next(), all().count()),
        };
        match first {
            Some(only) if count == 1 => Ok(only),
            Some(_) => Err(RegistryError::Invalid(format!(
                "`{text}` is the account of several humans; give the human's id"
            ))),
            None => Err(not_found()),
        }
    }

    /// An agent by id or name.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn find_agent(&self, text: &str) -> Result<&Arc<Agent>, RegistryError> {
        let by_id = text.parse::<AgentId>().ok();
        let id = by_id.as_ref().or_else(|| self.names.get(text));
        id.and_then(|id| self.agents.get(id)).ok_or_else(|| RegistryError::NotFound {
            kind: "agent",
            name: text.chars().take(80).collect(),
        })
    }

    /// Whether a grant was revoked.
    #[must_use]
    pub fn is_revoked(&self, digest: &Digest) -> bool {
        self.revoked_grants.contains(digest)
    }

    /// Whether a task has ended.
    #[must_use]
    pub fn is_ended(&self, task: &TaskId) -> bool {
        self.ended_tasks.contains(task)
    }

    fn changed(&mut self) {
        self.epoch += 1;
    }
}

/// Refuses empty, overlong and unprintable text.
pub(crate) fn check_text(what: &str, text: &str, max: usize) -> Result<(), RegistryError> {
    if text.trim().is_empty() {
        return Err(RegistryError::Invalid(format!("{what} is empty; say it in words")));
    }
    if text.len() > max {
        let length = text.len();
        return Err(RegistryError::Invalid(format!(
            "{what} has {length} bytes; at most {max} are recorded"
        )));
    }
    if text.chars().any(|c| c.is_control() && c != '\n' && c != '\t') {
        return Err(RegistryError::Invalid(format!("{what} holds control characters")));
    }
    Ok(())
}
