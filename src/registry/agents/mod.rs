//! Agents: who they belong to, what they may ever be granted, and the state of their life.

mod life;

use std::sync::Arc;

use serde::{Deserialize, Serialize};

pub use life::{Note, Rotation};

use super::{
    Change, ERASED, Moment, Put, RegistryError, Sealer, State, check_text, draft, scope_value,
};
use crate::canonical::Value;
use crate::keys::{Owner, PublicKey, SecretKey, random};
use crate::principal::{AgentId, HumanId, Overlap, Status};
use crate::request::is_hidden;
use crate::scope::Scope;
use crate::store::{Store, StoreError};
use crate::trail::entry::kind;

/// The largest ceiling, in bytes of its JSON: as large as a grant may be.
const MAX_CEILING_BYTES: usize = 16 * 1024;

const PREFIX: &[u8] = b"a/";
const SECRET: &[u8] = b"k/agent/";
/// Names that agents of erased humans had, by keyed digest: a name is never another agent's.
const TAKEN: &[u8] = b"an/";
/// Agents by the keys that they used before: a key is never another agent's.
const USED: &[u8] = b"ak/";

/// An agent.
#[derive(Debug, Clone, PartialEq)]
pub struct Agent {
    /// The id.
    pub id: AgentId,
    /// The name, unique for ever; `(erased)` after its owner's erasure.
    pub name: String,
    /// The human it belongs to.
    pub owner: HumanId,
    /// The human it belonged to when it was issued, whose words the purpose is in.
    pub author: HumanId,
    /// What it is for; `(erased)` after its author's or owner's erasure.
    pub purpose: String,
    /// The widest scope it may ever be granted.
    pub ceiling: Scope,
    /// The key it signs with.
    pub key: PublicKey,
    /// The keys before it that are still honoured, and until when.
    pub overlaps: Vec<Overlap>,
    /// The place of the entry with which this engine made the key; absent for one of its own.
    pub key_made: Option<u64>,
    /// Whether the engine keeps its secret key; otherwise only the agent can sign.
    pub managed: bool,
    /// The model it runs on, in its operator's words.
    pub model: Option<String>,
    /// Its own version, in its operator's words.
    pub version: Option<String>,
    /// The state of its life.
    pub status: Status,
    /// When it was issued, in microseconds.
    pub issued_at: i64,
    /// When its term ends, in microseconds.
    pub expires_at: i64,
}

/// What is said of an agent when it is issued.
#[derive(Debug, Clone)]
pub struct NewAgent<'a> {
    /// The name.
    pub name: &'a str,
    /// The human it belongs to.
    pub owner: HumanId,
    /// What it is for.
    pub purpose: &'a str,
    /// The widest scope it may ever be granted.
    pub ceiling: Scope,
    /// How long it may live, in microseconds.
    pub ttl: i64,
    /// Its own public key; the engine makes and keeps one otherwise.
    pub key: Option<PublicKey>,
    /// The model it runs on.
    pub model: Option<&'a str>,
    /// Its own version.
    pub version: Option<&'a str>,
    /// Who issues it.
    pub by: HumanId,
}

#[derive(Serialize, Deserialize)]
struct Clear {
    owner: HumanId,
    /// Absent where it is the owner.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    author: Option<HumanId>,
    key: PublicKey,
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    overlaps: Vec<Overlap>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    key_made: Option<u64>,
    managed: bool,
    status: Status,
    issued_at: i64,
    expires_at: i64,
    #[serde(with = "super::records::base64")]
    sealed: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Personal {
    name: String,
    purpose: String,
    ceiling: Scope,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    model: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    version: Option<String>,
}

impl Personal {
    /// Of an erased owner's agent: nothing is left that it could be granted.
    fn erased(id: &AgentId) -> Result<Self, RegistryError> {
        let ceiling =
            Scope::new(Vec::new()).map_err(|error| RegistryError::Invalid(error.to_string()))?;
        Ok(Self {
            name: format!("{ERASED} {id}"),
            purpose: ERASED.to_owned(),
            ceiling,
            model: None,
            version: None,
        })
    }
}

fn key_at(id: &AgentId) -> Vec<u8> {
    [PREFIX, id.as_bytes()].concat()
}

/// Where the secret half of one of an agent's keys lies.
fn secret_at(id: &AgentId, key: &PublicKey) -> Vec<u8> {
    [SECRET, id.as_bytes(), b"/", key.as_bytes()].concat()
}

/// Where the only secret key of an agent lay before keys could be rotated.
fn only_secret_at(id: &AgentId) -> Vec<u8> {
    [SECRET, id.as_bytes()].concat()
}

fn used_at(key: &PublicKey) -> Vec<u8> {
    [USED, key.as_bytes()].concat()
}

fn secret_assertion(id: &AgentId, key: &PublicKey) -> String {
    format!("answerable/v1/agent-key/{id}/{}", key.id())
}

impl State {
    /// Issues an agent.
    ///
    /// # Errors
    /// `Invalid` for text or a term that cannot be accepted, `NotFound` for an unknown owner,
    /// `Illegal` for a name that was used before or an owner who has left.
    pub fn issue_agent(
        &mut self,
        new: NewAgent<'_>,
        now: Moment,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Agent>, Change), RegistryError> {
        let at = now.at;
        check_text("the agent's name", new.name, 128)?;
        check_text("the agent's purpose", new.purpose, 4_096)?;
        new.model.map_or(Ok(()), |model| check_text("the agent's model", model, 256))?;
        new.version.map_or(Ok(()), |version| check_text("the agent's version", version, 256))?;
        if new.name.parse::<AgentId>().is_ok() {
            return Err(RegistryError::Invalid(
                "an agent's name may not look like an id".to_owned(),
            ));
        }
        self.may_own(&new.owner)?;
        if let Some(known) = self.names.get(new.name) {
            return Err(RegistryError::Illegal(format!(
                "the name `{}` belongs to {known} for ever, retired or not; choose another name",
                new.name
            )));
        }
        let look = seen(new.name);
        if look.is_empty() {
            return Err(RegistryError::Invalid("the agent's name does not show".to_owned()));
        }
        if let Some(known) = self.names.get(&look).or_else(|| self.looks.get(&look)) {
            return Err(RegistryError::Illegal(format!(
                "the name reads as `{look}`, which belongs to {known} for ever, retired or not; choose a name that looks otherwise"
            )));
        }
        let taken = [new.name, &look].map(|name| sealer.ring().name_digest(name));
        if taken.iter().any(|name| self.taken.contains(name)) {
            return Err(RegistryError::Illegal(format!(
                "the name `{}` belonged to an agent of a human who was erased, and stays taken; choose another name",
                new.name
            )));
        }
        let size = super::records::json(&new.ceiling)?.len();
        if size > MAX_CEILING_BYTES {
            return Err(RegistryError::Invalid(format!(
                "the ceiling takes {size} bytes; at most {MAX_CEILING_BYTES} are recorded; use wider patterns"
            )));
        }
        let expires_at = term(at, new.ttl)?;
        let id = AgentId::from_bytes(random()?);
        let mut puts = Vec::new();
        let (key, managed) = self.own_key(&id, new.key, sealer, &mut puts)?;
        let agent = Arc::new(Agent {
            id,
            name: new.name.to_owned(),
            owner: new.owner,
            author: new.owner,
            purpose: new.purpose.to_owned(),
            ceiling: new.ceiling,
            key,
            overlaps: Vec::new(),
            key_made: managed.then_some(now.place),
            managed,
            model: new.model.map(str::to_owned),
            version: new.version.map(str::to_owned),
            status: Status::Active,
            issued_at: at,
            expires_at,
        });
        let record = encode(&agent, sealer)?;
        puts.extend(sealer.take_made());
        puts.push(Put::Set(key_at(&id), record));
        let owner = Owner::human(agent.owner);
        let draft = draft(kind::IDENTITY)?
            .with("action", Value::str("issued"))
            .with("agent", Value::str(&id.to_string()))
            .with("human", Value::str(&agent.owner.to_string()))
            .with("by", Value::str(&new.by.to_string()))
            .with("key", Value::str(&agent.key.paserk()))
            .with("managed", Value::Bool(managed))
            .with("until", Value::Datetime(expires_at))
            .beside("name", Value::str(&agent.name), &owner)
            .beside("purpose", Value::str(&agent.purpose), &owner)
            .beside("ceiling", scope_value(&agent.ceiling), &owner);
        let draft = match &agent.model {
            Some(model) => draft.beside("model", Value::str(model), &owner),
            None => draft,
        };
        let draft = match &agent.version {
            Some(version) => draft.beside("version", Value::str(version), &owner),
            None => draft,
        };
        self.insert_agent(agent.clone());
        self.changed();
        Ok((agent, Change { draft, puts }))
    }

    /// Makes a key, or takes the agent's own, for one agent alone and for the first time.
    fn own_key(
        &self,
        id: &AgentId,
        given: Option<PublicKey>,
        sealer: &Sealer<'_>,
        puts: &mut Vec<Put>,
    ) -> Result<(PublicKey, bool), RegistryError> {
        let Some(key) = given else {
            let secret = SecretKey::generate()?;
            let key = secret.public();
            let text = secret.expose_paserk();
            let sealed = sealer.ring().agents().seal(&text, &secret_assertion(id, &key))?;
            puts.push(Put::Set(secret_at(id, &key), sealed));
            return Ok((key, true));
        };
        if let Some(other) = self.keys.get(&key) {
            return Err(RegistryError::Illegal(format!(
                "the key {} belongs to {other} already, or did once; each key is one agent's, and once",
                key.id()
            )));
        }
        if self.reserved.contains(&key) {
            return Err(RegistryError::Illegal(format!(
                "the key {} is the authority's own; an agent has a key of its own",
                key.id()
            )));
        }
        Ok((key, false))
    }

    pub(super) fn may_own(&self, owner: &HumanId) -> Result<(), RegistryError> {
        let owner = self
            .humans
            .get(owner)
            .ok_or_else(|| RegistryError::NotFound { kind: "human", name: owner.to_string() })?;
        if owner.offboarded {
            return Err(RegistryError::Illegal(format!(
                "`{}` has left and cannot own an agent; name an owner who is here",
                owner.display()
            )));
        }
        Ok(())
    }

    /// Forgets what a human called their agents, and what those could be granted; their names stay
    /// taken. Of an agent that is somebody else's by now, what the human said of it is forgotten:
    /// its name, which policies and people know it by, and its ceiling are the other's.
    pub(super) fn forget_agents(
        &mut self,
        human: &HumanId,
        sealer: &mut Sealer<'_>,
    ) -> Result<Vec<Put>, RegistryError> {
        let mut puts = Vec::new();
        let theirs = |agent: &Agent| agent.owner == *human || agent.author == *human;
        let known: Vec<Arc<Agent>> =
            self.agents.values().filter(|agent| theirs(agent)).cloned().collect();
        for agent in known {
            if agent.owner != *human {
                let (purpose, model, version) = (ERASED.to_owned(), None, None);
                let agent = Agent { purpose, model, version, ..(*agent).clone() };
                puts.push(Put::Set(key_at(&agent.id), encode(&agent, sealer)?));
                self.insert_agent(Arc::new(agent));
                continue;
            }
            let look = seen(&agent.name);
            for name in [&agent.name, &look] {
                let taken = sealer.ring().name_digest(name);
                puts.push(Put::Set([TAKEN, &taken[..]].concat(), Vec::new()));
                self.taken.insert(taken);
            }
            self.looks.remove(&look);
            let Personal { name, purpose, ceiling, model, version } = Personal::erased(&agent.id)?;
            self.names.remove(&agent.name);
            let agent = Agent { name, purpose, ceiling, model, version, ..(*agent).clone() };
            self.insert_agent(Arc::new(agent));
        }
        puts.splice(..0, sealer.take_made());
        Ok(puts)
    }

    fn insert_agent(&mut self, agent: Arc<Agent>) {
        let look = seen(&agent.name);
        if look != agent.name {
            self.looks.insert(look, agent.id);
        }
        self.names.insert(agent.name.clone(), agent.id);
        self.keys.insert(agent.key, agent.id);
        self.agents.insert(agent.id, agent);
    }
}

/// A name as it reads: without the characters that do not show, and with single spaces.
fn seen(name: &str) -> String {
    // The blank of Braille counts as a symbol, and is none to the eye.
    let shows = |c: &char| *c != '\u{2800}' && (c.is_whitespace() || !is_hidden(*c));
    let visible: String = name.chars().filter(shows).collect();
    visible.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The secret half of one of an agent's keys; `None` if the engine does not keep it.
///
/// # Errors
/// The store's, or `Sealed` if it does not open.
pub fn secret_key(
    agent: &Agent,
    key: &PublicKey,
    store: &dyn Store,
    sealer: &Sealer<'_>,
) -> Result<Option<SecretKey>, RegistryError> {
    let sealed = match store.get(&secret_at(&agent.id, key))? {
        Some(sealed) => Some(sealed),
        None => store.get(&only_secret_at(&agent.id))?,
    };
    let Some(sealed) = sealed else { return Ok(None) };
    let text = sealer.ring().agents().open(&sealed, &secret_assertion(&agent.id, key))?;
    let secret = SecretKey::parse(&text)?;
    if secret.public() != *key {
        return Err(RegistryError::Store(StoreError::Corrupt {
            what: "an agent's key".to_owned(),
        }));
    }
    Ok(Some(secret))
}

/// When a term that starts now ends.
fn term(at: i64, ttl: i64) -> Result<i64, RegistryError> {
    if ttl <= 0 {
        return Err(RegistryError::Invalid("an agent's ttl must be above zero".to_owned()));
    }
    at.checked_add(ttl).filter(|end| crate::clock::render_seconds(*end).is_some()).ok_or_else(
        || RegistryError::Invalid("an agent's ttl must end before the year 10000".to_owned()),
    )
}

fn encode(agent: &Agent, sealer: &mut Sealer<'_>) -> Result<Vec<u8>, RegistryError> {
    let personal = Personal {
        name: agent.name.clone(),
        purpose: agent.purpose.clone(),
        ceiling: agent.ceiling.clone(),
        model: agent.model.clone(),
        version: agent.version.clone(),
    };
    let text = super::records::json(&personal)?;
    let sealed = sealer.seal(&Owner::human(agent.owner), &text, &format!("agent/{}", agent.id))?;
    let clear = Clear {
        owner: agent.owner,
        author: (agent.author != agent.owner).then_some(agent.author),
        key: agent.key,
        overlaps: agent.overlaps.clone(),
        key_made: agent.key_made,
        managed: agent.managed,
        status: agent.status,
        issued_at: agent.issued_at,
        expires_at: agent.expires_at,
        sealed,
    };
    Ok(super::records::json(&clear)?.into_bytes())
}

pub(super) fn load(
    state: &mut State,
    store: &dyn Store,
    sealer: &Sealer<'_>,
) -> Result<(), RegistryError> {
    super::records::each(store, PREFIX, |rest, value| {
        let id = AgentId::from_bytes(rest.try_into().map_err(|_| super::records::damaged())?);
        let clear: Clear = super::records::parse(value)?;
        let opened =
            sealer.open(&Owner::human(clear.owner), &clear.sealed, &format!("agent/{id}"))?;
        let personal = match opened {
            Some(text) => super::records::parse(text.as_bytes())?,
            None => Personal::erased(&id)?,
        };
        state.insert_agent(Arc::new(Agent {
            id,
            name: personal.name,
            owner: clear.owner,
            author: clear.author.unwrap_or(clear.owner),
            purpose: personal.purpose,
            ceiling: personal.ceiling,
            key: clear.key,
            overlaps: clear.overlaps,
            key_made: clear.key_made,
            managed: clear.managed,
            model: personal.model,
            version: personal.version,
            status: clear.status,
            issued_at: clear.issued_at,
            expires_at: clear.expires_at,
        }));
        Ok(())
    })?;
    super::records::each(store, TAKEN, |rest, _| {
        state.taken.insert(rest.try_into().map_err(|_| super::records::damaged())?);
        Ok(())
    })?;
    super::records::each(store, USED, |rest, value| {
        let key: [u8; 32] = rest.try_into().map_err(|_| super::records::damaged())?;
        let id = value.try_into().map_err(|_| super::records::damaged())?;
        state.keys.insert(PublicKey::from_bytes(key)?, AgentId::from_bytes(id));
        Ok(())
    })
}
