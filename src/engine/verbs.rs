//! Administrative verbs: each is a transition, recorded with who did it, durable when it returns.

use std::sync::Arc;

use super::{Bound, Engine, EngineError};
use crate::canonical::Digest;
use crate::chain::{Chain, UnverifiedChain};
use crate::clock::Reading;
use crate::grant::{Grant, Holder, MAX_STATEMENT_BYTES, Terms};
use crate::keys::{PublicKey, SecretKey, random};
use crate::principal::{AgentId, Assurance, EntryId, GrantId, HumanId, Status, TaskId};
use crate::registry::{
    Agent, Human, NewAgent, NewHuman, RegistryError, Sealer, State, Target, grant_entry,
    grant_id_key, secret_key, task_index_key,
};
use crate::scope::{Limit, Scope};
use crate::store::StoreError;

/// The task of a new grant.
#[derive(Debug, Clone)]
pub enum TaskChoice {
    /// A new task, by its sentence.
    New(String),
    /// One that was opened before.
    Open(TaskId),
}

/// A root grant to be made.
#[derive(Debug, Clone)]
pub struct NewGrant {
    /// For whom the agent will act.
    pub human: HumanId,
    /// Who will hold it.
    pub agent: AgentId,
    /// What for.
    pub task: TaskChoice,
    /// What it allows.
    pub scope: Scope,
    /// Limits over all its capabilities.
    pub limits: Vec<Limit>,
    /// How long, in microseconds.
    pub ttl: i64,
    /// How many further hops may follow.
    pub further_hops: u8,
    /// Who makes it; the operating system's account if absent.
    pub by: Option<HumanId>,
}

/// A hop to be added to a chain.
#[derive(Debug, Clone)]
pub struct Delegation {
    /// Who will hold it.
    pub agent: AgentId,
    /// What it allows.
    pub scope: Scope,
    /// Limits over all its capabilities.
    pub limits: Vec<Limit>,
    /// How long, in microseconds; to the earlier of the parent's and the holder's end if absent.
    pub ttl: Option<i64>,
    /// How many further hops may follow.
    pub further_hops: u8,
    /// This hop's own statement.
    pub statement: Option<String>,
}

impl Engine {
    /// The time, or a refusal where the clock was set back.
    pub(super) fn now(&self) -> Result<i64, EngineError> {
        self.here()?;
        match self.clock.read() {
            Reading::Now(now) => Ok(now),
            Reading::Behind { .. } => Err(EngineError::ClockBehind),
        }
    }

    /// Registers a human.
    ///
    /// # Errors
    /// As `State::register_human`, and the store's.
    pub fn register_human(&self, new: &NewHuman<'_>) -> Result<Arc<Human>, EngineError> {
        let by = match new.by {
            Some(by) => by,
            None => self.operator()?,
        };
        let new = NewHuman { by: Some(by), ..new.clone() };
        self.transition(|state, at, sealer| {
            let (human, change) = state.register_human(&new, at, sealer)?;
            Ok((human, vec![change]))
        })
    }

    /// The operating system's account as a human, asserted: who did what names nobody else.
    ///
    /// # Errors
    /// As `State::register_human`, and the store's.
    pub fn operator(&self) -> Result<HumanId, EngineError> {
        self.here()?;
        let mut operator = self.operator.lock();
        if let Some(id) = *operator {
            return Ok(id);
        }
        let account = os_account();
        let known = self.state.read().account(&account, "os").map(|human| human.id);
        let id = match known {
            Some(id) => id,
            None => {
                let new = NewHuman {
                    account: &account,
                    issuer: "os",
                    name: None,
                    assurance: Assurance::Asserted,
                    by: None,
                };
                self.transition(|state, at, sealer| {
                    let (human, change) = state.register_human(&new, at, sealer)?;
                    Ok((human.id, vec![change]))
                })?
            }
        };
        *operator = Some(id);
        Ok(id)
    }

    fn by(&self, by: Option<HumanId>) -> Result<HumanId, EngineError> {
        match by {
            Some(by) => {
                self.here()?;
                let state = self.state.read();
                state.human(&by).ok_or_else(|| not_found("human", &by))?;
                Ok(by)
            }
            None => self.operator(),
        }
    }

    /// Issues an agent; `by` absent means the operating system's account.
    ///
    /// # Errors
    /// As `State::issue_agent`, and the store's.
    #[allow(clippy::too_many_arguments)] // One argument a fact, each named at the only caller.
    pub fn issue_agent(
        &self,
        name: &str,
        owner: HumanId,
        purpose: &str,
        ceiling: Scope,
        ttl: i64,
        key: Option<PublicKey>,
        by: Option<HumanId>,
    ) -> Result<Arc<Agent>, EngineError> {
        self.now()?;
        let by = self.by(by)?;
        self.transition(|state, at, sealer| {
            let new = NewAgent { name, owner, purpose, ceiling, ttl, key, by };
            let (agent, change) = state.issue_agent(new, at, sealer)?;
            Ok((agent, vec![change]))
        })
    }

    /// Retires an agent: everything it holds or delegated ends with the next call.
    ///
    /// # Errors
    /// As `State::retire_agent`, and the store's.
    pub fn retire_agent(
        &self,
        id: &AgentId,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<Arc<Agent>, EngineError> {
        let by = self.by(by)?;
        self.transition(|state, _, sealer| {
            let (agent, change) = state.retire_agent(id, by, reason, sealer)?;
            Ok((agent, vec![change]))
        })
    }

    /// Revokes a grant and everything below it.
    ///
    /// # Errors
    /// As `State::revoke`, and the store's.
    pub fn revoke(
        &self,
        target: &Target,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<EntryId, EngineError> {
        let by = self.by(by)?;
        self.transition(|state, _, _| {
            let change = state.revoke(target, by, reason)?;
            Ok((change.draft.id, vec![change]))
        })
    }

    /// Ends a task and every grant made for it.
    ///
    /// # Errors
    /// `NotFound` for a task never opened, as `State::end_task`, and the store's.
    pub fn end_task(
        &self,
        id: TaskId,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<EntryId, EngineError> {
        let by = self.by(by)?;
        if self.store.get(&task_index_key(&id))?.is_none() {
            return Err(not_found("task", &id).into());
        }
        self.transition(|state, _, _| {
            let change = state.end_task(id, by, reason)?;
            Ok((change.draft.id, vec![change]))
        })
    }

    /// Makes a root grant for a human, and opens its task if it is a new one.
    ///
    /// # Errors
    /// `NotFound`, `Illegal` or `Invalid` by the state of human, agent and task; `Grant` if it
    /// would reach beyond the agent's ceiling or term.
    pub fn grant(&self, new: NewGrant) -> Result<Arc<Bound>, EngineError> {
        let now = self.now()?;
        let by = self.by(new.by)?;
        let (task, sentence, opens) = match &new.task {
            TaskChoice::New(sentence) => (TaskId::from_bytes(random()?), sentence.clone(), true),
            TaskChoice::Open(id) => (*id, self.task_sentence(id)?, false),
        };
        let (holder, assurance) = {
            let state = self.state.read();
            let human = state.human(&new.human).ok_or_else(|| not_found("human", &new.human))?;
            let holder = holder(&state, &new.agent, &new.scope, Some(end(now, new.ttl)?), now)?;
            (holder, human.assurance)
        };
        let terms = Terms {
            holder,
            scope: new.scope,
            limits: new.limits,
            from: now,
            until: end(now, new.ttl)?,
            further_hops: new.further_hops,
            statement: None,
        };
        let grant = Grant::sign_root(&self.authority, new.human, assurance, task, &sentence, terms)
            .map_err(|error| crate::chain::InvalidGrant { hop: 0, error })?;
        self.transition(|state, _, _| {
            let human = state.human(&new.human).ok_or_else(|| not_found("human", &new.human))?;
            if human.offboarded {
                return Err(RegistryError::Illegal(format!("`{}` has left", human.display())));
            }
            if state.is_ended(&task) {
                return Err(RegistryError::Illegal(format!("the task {task} has ended")));
            }
            let payload = &grant.payload;
            holder_now(state, &payload.holder, &payload.scope)?;
            let mut changes = Vec::new();
            if opens {
                changes.push(state.open_task(task, new.human, &sentence, by)?);
            }
            changes.push(grant_entry(&grant, None, None, Some(by))?);
            Ok(((), changes))
        })?;
        self.adopted.lock().insert(grant.payload.id, grant.digest);
        let chain = Chain::from_root(grant, self.authority_id.clone());
        Ok(Arc::new(Bound::new(chain, vec![Some(sentence)])))
    }

    /// Adds a hop under the key that the engine keeps for the chain's holder, or `key`.
    ///
    /// # Errors
    /// `Grant` if it would not be within the chain, the agent's ceiling or its term; `Registry`
    /// by the state of the agents; `Invalid` where the engine keeps no key for the holder.
    pub fn delegate(
        &self,
        bound: &Bound,
        new: Delegation,
        key: Option<&SecretKey>,
    ) -> Result<Arc<Bound>, EngineError> {
        let now = self.now()?;
        let leaf = &bound.chain().leaf().payload;
        let (holder, parent, until) = {
            let state = self.state.read();
            let parent = state
                .agent(&leaf.holder.agent)
                .ok_or_else(|| not_found("agent", &leaf.holder.agent))?
                .clone();
            let known = state.agent(&new.agent).ok_or_else(|| not_found("agent", &new.agent))?;
            let until = match new.ttl {
                Some(ttl) => end(now, ttl)?,
                None => leaf.exp.min(known.expires_at),
            };
            (holder(&state, &new.agent, &new.scope, Some(until), now)?, parent, until)
        };
        let kept;
        let key = match key {
            Some(key) => key,
            None => {
                let sealer = Sealer::new(&self.ring, &*self.store);
                kept = secret_key(&parent, &*self.store, &sealer)?.ok_or_else(|| {
                    EngineError::Invalid(format!(
                        "the agent `{}` signs with its own key; give it as key=",
                        parent.name
                    ))
                })?;
                &kept
            }
        };
        let statement = new.statement.clone();
        let terms = Terms {
            holder,
            scope: new.scope,
            limits: new.limits,
            from: now,
            until,
            further_hops: new.further_hops,
            statement: new.statement,
        };
        let chain = bound.chain().delegate(key, terms, self.max_hops)?;
        let mut statements = bound.statements().to_vec();
        statements.push(statement);
        let child = Arc::new(Bound::new(chain, statements));
        self.adopt(&child)?;
        Ok(child)
    }

    /// Verifies a chain's text and records the grants on it that were not seen before.
    ///
    /// `statements` are the sentences that the hops commit to, where they are known.
    ///
    /// # Errors
    /// `Grant` with the hop that is refused; `Invalid` for a sentence that is not the one
    /// committed to.
    pub fn accept(
        &self,
        text: &str,
        statements: Vec<Option<String>>,
    ) -> Result<Arc<Bound>, EngineError> {
        self.check()?;
        let chain =
            UnverifiedChain::parse(text, self.max_hops)?.verify(&self.anchors, &self.cache)?;
        let mut statements = statements;
        statements.resize(chain.hops().len(), None);
        for (hop, (grant, statement)) in chain.hops().iter().zip(&statements).enumerate() {
            let right = match statement {
                None => true,
                Some(text) if text.len() > MAX_STATEMENT_BYTES => false,
                Some(text) if hop == 0 => grant.task_is(text),
                Some(text) => grant.statement_is(text),
            };
            if !right {
                return Err(EngineError::Invalid(format!(
                    "the statement given for hop {hop} is not the one that was signed"
                )));
            }
        }
        let bound = Arc::new(Bound::new(chain, statements));
        self.adopt(&bound)?;
        Ok(bound)
    }

    /// Records the grants of a chain that were not recorded before: those delegated offline.
    fn adopt(&self, bound: &Bound) -> Result<(), EngineError> {
        let mut unseen = false;
        for grant in bound.chain().hops() {
            unseen |= self.known_by_id(&grant.payload.id)? != Some(grant.digest);
        }
        if !unseen {
            return Ok(());
        }
        let hops = bound.chain().hops();
        self.transition(|_, _, _| {
            let mut changes = Vec::new();
            let mut parent: Option<AgentId> = None;
            for (grant, statement) in hops.iter().zip(bound.statements()) {
                let id = grant.payload.id;
                match self.known_by_id(&id)? {
                    Some(known) if known == grant.digest => {}
                    // A revocation may name the id: it must go on to mean the grant it meant.
                    Some(_) => {
                        return Err(RegistryError::Illegal(format!(
                            "the id {id} belongs to another grant"
                        )));
                    }
                    None => changes.push(grant_entry(grant, parent, statement.as_deref(), None)?),
                }
                parent = Some(grant.payload.holder.agent);
            }
            let mut adopted = self.adopted.lock();
            adopted.extend(hops.iter().map(|grant| (grant.payload.id, grant.digest)));
            Ok(((), changes))
        })
    }

    /// The digest of the grant that an id belongs to.
    fn known_by_id(&self, id: &GrantId) -> Result<Option<Digest>, StoreError> {
        if let Some(known) = self.adopted.lock().get(id) {
            return Ok(Some(*known));
        }
        let corrupt = |_| StoreError::Corrupt { what: "a grant's id".to_owned() };
        let stored = self.store.get(&grant_id_key(id))?;
        stored.map(|digest| digest.try_into().map_err(corrupt)).transpose()
    }

    /// The digest of a grant known by its id.
    ///
    /// # Errors
    /// `NotFound`, and the store's.
    pub fn grant_digest(&self, text: &str) -> Result<Digest, EngineError> {
        let id: crate::principal::GrantId = text
            .parse()
            .map_err(|_| not_found("grant", &text.chars().take(60).collect::<String>()))?;
        let digest = self.store.get(&grant_id_key(&id))?.ok_or_else(|| not_found("grant", &id))?;
        digest.try_into().map_err(|_| not_found("grant", &id).into())
    }

    /// All humans.
    #[must_use]
    pub fn humans(&self) -> Vec<Arc<Human>> {
        self.state.read().humans()
    }

    /// All agents.
    #[must_use]
    pub fn agents(&self) -> Vec<Arc<Agent>> {
        self.state.read().agents()
    }

    /// A human by id or account.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` for an account that several issuers know.
    pub fn find_human(&self, text: &str) -> Result<Arc<Human>, EngineError> {
        self.here()?;
        Ok(self.state.read().find_human(text)?.clone())
    }

    /// An agent by id or name.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn find_agent(&self, text: &str) -> Result<Arc<Agent>, EngineError> {
        self.here()?;
        Ok(self.state.read().find_agent(text)?.clone())
    }
}

fn not_found(kind: &'static str, name: &impl ToString) -> RegistryError {
    RegistryError::NotFound { kind, name: name.to_string() }
}

fn end(now: i64, ttl: i64) -> Result<i64, EngineError> {
    if ttl <= 0 {
        return Err(EngineError::Invalid("ttl must be above zero".to_owned()));
    }
    now.checked_add(ttl)
        .filter(|end| crate::clock::render_seconds(*end).is_some())
        .ok_or_else(|| EngineError::Invalid("ttl must end before the year 10000".to_owned()))
}

/// Checks that an agent may hold a grant of this scope until then; refused, never clipped.
fn holder(
    state: &State,
    id: &AgentId,
    scope: &Scope,
    until: Option<i64>,
    now: i64,
) -> Result<Holder, EngineError> {
    let agent = state.agent(id).ok_or_else(|| not_found("agent", id))?;
    let holder = Holder { agent: agent.id, key: agent.key };
    holder_now(state, &holder, scope)?;
    let shown = |micros| crate::clock::render_seconds(micros).unwrap_or_default();
    if now >= agent.expires_at {
        return Err(RegistryError::Illegal(format!(
            "the term of the agent `{}` ended at {}; issue another agent",
            agent.name,
            shown(agent.expires_at)
        ))
        .into());
    }
    if until.is_some_and(|until| until > agent.expires_at) {
        return Err(EngineError::Invalid(format!(
            "the grant would outlive the agent `{}`, whose term ends at {}; give a shorter ttl",
            agent.name,
            shown(agent.expires_at)
        )));
    }
    Ok(holder)
}

fn holder_now(state: &State, holder: &Holder, scope: &Scope) -> Result<(), RegistryError> {
    let agent = state.agent(&holder.agent).ok_or_else(|| not_found("agent", &holder.agent))?;
    if agent.status != Status::Active {
        return Err(RegistryError::Illegal(format!(
            "the agent `{}` is {} and can hold no grant",
            agent.name,
            agent.status.word()
        )));
    }
    if agent.key != holder.key {
        return Err(RegistryError::Illegal(format!("the key of `{}` has changed", agent.name)));
    }
    scope.within(&agent.ceiling).map_err(|beyond| {
        RegistryError::Invalid(format!(
            "the scope reaches beyond the ceiling of the agent `{}`: {beyond}",
            agent.name
        ))
    })
}

/// The account that runs this process, by name where the system knows one.
fn os_account() -> String {
    let uid = rustix::process::geteuid().as_raw();
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let name = passwd.lines().find_map(|line| {
        let mut parts = line.split(':');
        let name = parts.next()?;
        (parts.nth(1)? == uid.to_string()).then(|| name.to_owned())
    });
    name.unwrap_or_else(|| format!("uid-{uid}"))
}
