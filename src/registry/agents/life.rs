//! The life of an agent after it was issued. Each step is refused by name where its state does not
//! allow it; none gives a retired agent back.

use std::sync::Arc;

use super::{Agent, encode, key_at, only_secret_at, secret_at, used_at};
use crate::canonical::Value;
use crate::keys::{Owner, PublicKey};
use crate::principal::{AgentId, HumanId, Overlap, Status};
use crate::registry::{Change, Moment, Put, RegistryError, Sealer, State, check_text, draft};
use crate::trail::entry::{Draft, kind};

/// How many replaced keys of one agent may be honoured at once.
const MAX_OVERLAPS: usize = 8;

/// Who takes a step, and why.
#[derive(Debug, Clone, Copy)]
pub struct Note<'a> {
    /// Who.
    pub by: HumanId,
    /// Why, where it is stated.
    pub reason: Option<&'a str>,
}

/// Another key for an agent.
#[derive(Debug, Clone, Copy)]
pub struct Rotation {
    /// Its own; the engine makes one otherwise.
    pub key: Option<PublicKey>,
    /// How long grants to the keys before it go on, in microseconds; not at all if absent.
    pub overlap: Option<i64>,
}

impl State {
    /// Suspends an agent: whatever it holds or delegated is denied until it is resumed.
    ///
    /// # Errors
    /// `NotFound`, or `Illegal` if it is not active.
    pub fn suspend_agent(
        &mut self,
        id: &AgentId,
        note: Note<'_>,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Agent>, Change), RegistryError> {
        let mut agent = self.living(id, "suspended")?;
        if agent.status == Status::Suspended {
            return Err(RegistryError::Illegal(format!(
                "the agent `{}` is suspended already; resume it first, or retire it for good",
                agent.name
            )));
        }
        agent.status = Status::Suspended;
        let draft = about(&agent, "suspended", note)?;
        self.put_agent(agent, draft, Vec::new(), sealer)
    }

    /// Resumes a suspended agent: its grants hold again as far as nothing else ended them.
    ///
    /// # Errors
    /// `NotFound`, or `Illegal` if it is not suspended or its owner has left.
    pub fn resume_agent(
        &mut self,
        id: &AgentId,
        note: Note<'_>,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Agent>, Change), RegistryError> {
        let mut agent = self.living(id, "resumed")?;
        if agent.status == Status::Active {
            return Err(RegistryError::Illegal(format!(
                "the agent `{}` is active already; nothing is left to resume",
                agent.name
            )));
        }
        self.owner_is_here(&agent, "resumed")?;
        agent.status = Status::Active;
        let draft = about(&agent, "resumed", note)?;
        self.put_agent(agent, draft, Vec::new(), sealer)
    }

    /// Retires an agent: for good, and with it everything it holds or delegated. Its name stays
    /// its own, its secret keys are dropped.
    ///
    /// # Errors
    /// `NotFound`, or `Illegal` if it is retired already.
    pub fn retire_agent(
        &mut self,
        id: &AgentId,
        note: Note<'_>,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Agent>, Change), RegistryError> {
        let mut agent = self.living(id, "retired again")?;
        agent.status = Status::Retired;
        let mut puts = vec![Put::Drop(only_secret_at(id)), Put::Drop(secret_at(id, &agent.key))];
        puts.extend(agent.overlaps.drain(..).map(|old| Put::Drop(secret_at(id, &old.key))));
        let draft = about(&agent, "retired", note)?;
        self.put_agent(agent, draft, puts, sealer)
    }

    /// Gives an agent another key. Without an overlap every grant to a key before it ends.
    ///
    /// # Errors
    /// `NotFound`; `Illegal` if it is retired, or the key was used before; `Invalid` for an overlap
    /// that is not above zero, or no key where the agent keeps its own.
    pub fn rotate_agent(
        &mut self,
        id: &AgentId,
        rotation: Rotation,
        now: Moment,
        note: Note<'_>,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Agent>, Change), RegistryError> {
        let mut agent = self.living(id, "given another key")?;
        let at = now.at;
        if rotation.key.is_none() && !agent.managed {
            return Err(RegistryError::Invalid(format!(
                "the agent `{}` keeps its own key; give its new public key as key= (--key)",
                agent.name
            )));
        }
        let until = match rotation.overlap {
            None => None,
            Some(overlap) if overlap <= 0 => {
                return Err(RegistryError::Invalid(
                    "an overlap must be above zero; leave it out to end the old grants at once"
                        .to_owned(),
                ));
            }
            Some(overlap) => Some(at.saturating_add(overlap).min(agent.expires_at)),
        };
        let mut puts = Vec::new();
        let (key, managed) = self.own_key(id, rotation.key, sealer, &mut puts)?;
        let (old, made) = (agent.key, agent.key_made);
        let (kept, ended): (Vec<Overlap>, Vec<Overlap>) = agent
            .overlaps
            .iter()
            .chain(&until.map(|until| Overlap { key: old, until, made }))
            .copied()
            .partition(|one| until.is_some() && one.until > at);
        if kept.len() > MAX_OVERLAPS {
            return Err(RegistryError::Illegal(format!(
                "{MAX_OVERLAPS} replaced keys of the agent `{}` are still honoured; rotate without an overlap to end them",
                agent.name
            )));
        }
        puts.extend(ended.iter().map(|one| Put::Drop(secret_at(id, &one.key))));
        if until.is_none() {
            puts.extend([Put::Drop(only_secret_at(id)), Put::Drop(secret_at(id, &old))]);
        }
        puts.push(Put::Set(used_at(&old), id.as_bytes().to_vec()));
        agent.key = key;
        agent.key_made = managed.then_some(now.place);
        agent.managed = managed;
        agent.overlaps = kept;
        let draft = about(&agent, "rotated", note)?
            .with("key", Value::str(&key.paserk()))
            .with("before", Value::str(&old.paserk()))
            .with("managed", Value::Bool(managed))
            .with_some("overlap", until.map(Value::Datetime));
        let changed = self.put_agent(agent, draft, puts, sealer)?;
        self.keys.insert(key, *id);
        Ok(changed)
    }

    /// Gives an agent another owner. Its grants go on: they are for the humans they name.
    ///
    /// # Errors
    /// `NotFound`; `Illegal` if it is retired, belongs to them already, or they have left.
    pub fn transfer_agent(
        &mut self,
        id: &AgentId,
        owner: HumanId,
        note: Note<'_>,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Agent>, Change), RegistryError> {
        let mut agent = self.living(id, "transferred")?;
        self.may_own(&owner)?;
        if agent.owner == owner {
            return Err(RegistryError::Illegal(format!(
                "the agent `{}` belongs to them already; name another owner",
                agent.name
            )));
        }
        let before = std::mem::replace(&mut agent.owner, owner);
        let draft = about(&agent, "transferred", note)?
            .with("before", Value::str(&before.to_string()))
            .beside("name", Value::str(&agent.name), &Owner::human(owner));
        self.put_agent(agent, draft, Vec::new(), sealer)
    }

    /// Moves the end of an agent's term further away.
    ///
    /// # Errors
    /// `NotFound`; `Illegal` if it is retired or its owner has left; `Invalid` if it would not end
    /// later than it does.
    pub fn renew_agent(
        &mut self,
        id: &AgentId,
        ttl: i64,
        at: i64,
        note: Note<'_>,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Agent>, Change), RegistryError> {
        let mut agent = self.living(id, "renewed")?;
        self.owner_is_here(&agent, "renewed")?;
        let until = super::term(at, ttl)?;
        if until <= agent.expires_at {
            return Err(RegistryError::Invalid(format!(
                "the term of the agent `{}` would not end later than it does; retire or suspend it to end it sooner",
                agent.name
            )));
        }
        agent.expires_at = until;
        let draft = about(&agent, "renewed", note)?.with("until", Value::Datetime(until));
        self.put_agent(agent, draft, Vec::new(), sealer)
    }

    /// The agents of an owner, oldest first.
    #[must_use]
    pub fn agents_of(&self, owner: &HumanId) -> Vec<Arc<Agent>> {
        let owned = self.agents.values().filter(|agent| agent.owner == *owner);
        let mut all: Vec<_> = owned.cloned().collect();
        all.sort_by_key(|agent| (agent.issued_at, agent.id));
        all
    }

    /// How many agents are of a status.
    #[must_use]
    pub fn count_agents(&self, status: Status) -> usize {
        self.agents.values().filter(|agent| agent.status == status).count()
    }

    /// A copy of an agent that is not retired.
    fn living(&self, id: &AgentId, step: &str) -> Result<Agent, RegistryError> {
        let agent = self
            .agents
            .get(id)
            .ok_or_else(|| RegistryError::NotFound { kind: "agent", name: id.to_string() })?;
        if agent.status == Status::Retired {
            return Err(RegistryError::Illegal(format!(
                "the agent `{}` is retired and cannot be {step}; issue another agent",
                agent.name
            )));
        }
        Ok((**agent).clone())
    }

    fn owner_is_here(&self, agent: &Agent, step: &str) -> Result<(), RegistryError> {
        if self.humans.get(&agent.owner).is_some_and(|owner| !owner.offboarded) {
            return Ok(());
        }
        Err(RegistryError::Illegal(format!(
            "the owner of the agent `{}` has left, so it cannot be {step}; transfer it first",
            agent.name
        )))
    }

    /// Puts a changed agent in the place of the one known.
    fn put_agent(
        &mut self,
        agent: Agent,
        draft: Draft,
        mut puts: Vec<Put>,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Agent>, Change), RegistryError> {
        let record = encode(&agent, sealer)?;
        puts.extend(sealer.take_made());
        puts.push(Put::Set(key_at(&agent.id), record));
        let agent = Arc::new(agent);
        self.agents.insert(agent.id, agent.clone());
        self.changed();
        Ok((agent, Change { draft, puts }))
    }
}

/// An entry about an agent.
fn about(agent: &Agent, action: &'static str, note: Note<'_>) -> Result<Draft, RegistryError> {
    let draft = draft(kind::IDENTITY)?
        .with("action", Value::str(action))
        .with("agent", Value::str(&agent.id.to_string()))
        .with("human", Value::str(&agent.owner.to_string()))
        .with("by", Value::str(&note.by.to_string()));
    let Some(reason) = note.reason else { return Ok(draft) };
    check_text("the reason", reason, 4_096)?;
    Ok(draft.beside("reason", Value::str(reason), &Owner::human(note.by)))
}
