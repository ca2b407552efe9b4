//! Grants: made, delegated, taken up.

use std::sync::Arc;

use super::{end, not_found};
use crate::canonical::Digest;
use crate::chain::{Chain, InvalidGrant, UnverifiedChain};
use crate::engine::{Bound, Engine, EngineError};
use crate::grant::{Grant, GrantError, Holder, MAX_STATEMENT_BYTES, Terms};
use crate::keys::{SecretKey, random};
use crate::principal::{AgentId, GrantId, HumanId, Status, TaskId};
use crate::registry::{
    Known, Origin, RegistryError, Sealer, State, grant_entry, grant_id_key, secret_key,
};
use crate::scope::{Limit, Scope};
use crate::store::StoreError;

/// How many grants are remembered so that their ids need not be looked up.
const MAX_ADOPTED: usize = 16 * 1024;

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

/// A root grant that was signed and is recorded nowhere yet.
#[derive(Debug)]
pub(in crate::engine) struct Prepared {
    pub(in crate::engine) grant: Grant,
    signer: Arc<SecretKey>,
    task: TaskId,
    sentence: String,
    opens: bool,
}

impl Engine {
    /// Makes a root grant for a human, and opens its task if it is a new one.
    ///
    /// # Errors
    /// `NotFound`, `Illegal` or `Invalid` by the state of human, agent and task; `Grant` if it
    /// would reach beyond the agent's ceiling or term.
    pub fn grant(&self, new: NewGrant) -> Result<Arc<Bound>, EngineError> {
        self.now()?;
        let by = self.who(new.by)?;
        let made = self.prepare(new)?;
        let place = self.transition(|state, now, _| {
            self.may_stand(state, &made)?;
            let mut changes = Vec::new();
            if made.opens {
                let human = made.grant.payload.human;
                changes.push(state.open_task(made.task, human, &made.sentence, by)?);
            }
            let place = now.place + changes.len() as u64;
            changes.push(grant_entry(&made.grant, Origin::Here, None, None, Some(by))?);
            Ok((place, changes))
        })?;
        Ok(self.take_up(made, place))
    }

    /// Signs a root grant that is nowhere yet.
    pub(in crate::engine) fn prepare(&self, new: NewGrant) -> Result<Prepared, EngineError> {
        let now = self.now()?;
        self.refuse_secrets_in("the grant", &(&new.scope, &new.limits))?;
        self.named_rightly(&new.scope)?;
        let (task, sentence, opens) = match &new.task {
            TaskChoice::New(sentence) => {
                (TaskId::from_bytes(random()?), self.plain(sentence).into_owned(), true)
            }
            TaskChoice::Open(id) => {
                self.task_is_for(id, &new.human)?;
                (*id, self.task_sentence(id)?, false)
            }
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
        let signer = self.signer().key;
        let id = &self.authority_id;
        let grant = Grant::sign_root_for(&signer, id, new.human, assurance, task, &sentence, terms)
            .map_err(|error| InvalidGrant { hop: 0, error })?;
        Ok(Prepared { grant, signer, task, sentence, opens })
    }

    /// Refuses a prepared grant where the state has moved so that it could not stand.
    pub(in crate::engine) fn may_stand(
        &self,
        state: &State,
        made: &Prepared,
    ) -> Result<(), RegistryError> {
        let payload = &made.grant.payload;
        let human =
            state.human(&payload.human).ok_or_else(|| not_found("human", &payload.human))?;
        if human.offboarded {
            return Err(RegistryError::Illegal(format!("`{}` has left", human.display())));
        }
        if state.is_ended(&made.task) {
            return Err(RegistryError::Illegal(format!("the task {} has ended", made.task)));
        }
        if self.signing_key() != made.signer.public() {
            return Err(RegistryError::Illegal(
                "the authority's key was replaced meanwhile; try again".to_owned(),
            ));
        }
        holder_now(state, &payload.holder, &payload.scope)?;
        Ok(())
    }

    /// A grant that was recorded at a place of the trail, as a chain.
    fn take_up(&self, made: Prepared, place: u64) -> Arc<Bound> {
        let chain = Chain::from_root(made.grant, self.authority_id.clone())
            .by_key(made.signer.public().id())
            .made_at(vec![Some(place)]);
        Arc::new(Bound::new(chain, vec![Some(made.sentence)]))
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
        self.refuse_secrets_in("the grant", &(&new.scope, &new.limits))?;
        self.named_rightly(&new.scope)?;
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
                let present = &leaf.holder.key;
                let overlaps = parent.overlaps.iter().any(|overlap| overlap.key == *present);
                if parent.key != *present && !overlaps {
                    return Err(RegistryError::Illegal(format!(
                        "the grant is to a key of `{}` that was replaced; grant anew, to its present key",
                        parent.name
                    ))
                    .into());
                }
                let sealer = Sealer::new(&self.ring, &*self.store);
                kept = secret_key(&parent, present, &*self.store, &sealer)?.ok_or_else(|| {
                    EngineError::Invalid(format!(
                        "the agent `{}` signs with its own key; give it as key=",
                        parent.name
                    ))
                })?;
                &kept
            }
        };
        let statement = new.statement.map(|statement| self.plain(&statement).into_owned());
        let terms = Terms {
            holder,
            scope: new.scope,
            limits: new.limits,
            from: now,
            until,
            further_hops: new.further_hops,
            statement: statement.clone(),
        };
        let chain = bound.chain().delegate(key, terms, self.max_hops)?;
        let mut statements = bound.statements().to_vec();
        statements.push(statement);
        let made = self.adopt(&chain, &statements, Origin::Here)?;
        Ok(Arc::new(Bound::new(chain.made_at(made), statements)))
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
        let anchors = self.keys.read().anchors.clone();
        let chain = UnverifiedChain::parse(text, self.max_hops)?.verify(&anchors, &self.cache)?;
        let (root, id) = (chain.root(), chain.root_key_id());
        if id != self.signing_key().id()
            && self.known_by_id(&root.payload.id)?.map(|known| known.digest) != Some(root.digest)
        {
            // Whoever has an old key may date what they sign as they like: the record counts.
            let error = GrantError::UnknownAuthority(id.to_owned());
            return Err(InvalidGrant { hop: 0, error }.into());
        }
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
        let made = self.adopt(&chain, &statements, Origin::Elsewhere)?;
        Ok(Arc::new(Bound::new(chain.made_at(made), statements)))
    }

    /// Records the grants of a chain that were not recorded before: the last one, where it was
    /// made here, and those that were delegated elsewhere. Answers the places of the entries with
    /// which this engine made them.
    fn adopt(
        &self,
        chain: &Chain,
        statements: &[Option<String>],
        last: Origin,
    ) -> Result<Vec<Option<u64>>, EngineError> {
        let hops = chain.hops();
        let mut made = Vec::with_capacity(hops.len());
        for grant in hops {
            match self.known_by_id(&grant.payload.id)? {
                Some(known) if known.digest == grant.digest => made.push(known.made),
                _ => break,
            }
        }
        if made.len() == hops.len() {
            return Ok(made);
        }
        if last == Origin::Elsewhere {
            let (hop, root) = (made.len(), chain.root().digest);
            let admitted = self.shown.lock().admit(&root, hops.len() - hop, self.clock.stamp());
            admitted
                .map_err(|most| InvalidGrant { hop, error: GrantError::TooManyShown { most } })?;
        }
        self.transition(|_, now, _| {
            let mut changes = Vec::new();
            let mut parent: Option<AgentId> = None;
            let mut places = Vec::with_capacity(hops.len());
            let mut news = Vec::new();
            for (hop, (grant, statement)) in hops.iter().zip(statements).enumerate() {
                let id = grant.payload.id;
                match self.known_by_id(&id)? {
                    Some(known) if known.digest == grant.digest => places.push(known.made),
                    // A revocation may name the id: it must go on to mean the grant it meant.
                    Some(_) => {
                        return Err(RegistryError::Illegal(format!(
                            "the id {id} belongs to another grant"
                        )));
                    }
                    None => {
                        let origin = if hop + 1 == hops.len() { last } else { Origin::Elsewhere };
                        let place = now.place + changes.len() as u64;
                        let made = (origin == Origin::Here).then_some(place);
                        news.push((id, Known { digest: grant.digest, made }));
                        places.push(made);
                        changes.push(grant_entry(
                            grant,
                            origin,
                            parent,
                            statement.as_deref(),
                            None,
                        )?);
                    }
                }
                parent = Some(grant.payload.holder.agent);
            }
            let upto = now.place + changes.len() as u64;
            let mut adopted = self.adopted.lock();
            if adopted.len() >= MAX_ADOPTED {
                // What is durable is found in the store.
                adopted.retain(|_, (_, upto)| !self.recorder.is_durable(*upto));
            }
            adopted.extend(news.into_iter().map(|(id, known)| (id, (known, upto))));
            Ok((places, changes))
        })
    }

    /// What is known of the grant that an id belongs to.
    fn known_by_id(&self, id: &GrantId) -> Result<Option<Known>, StoreError> {
        if let Some((known, _)) = self.adopted.lock().get(id) {
            return Ok(Some(*known));
        }
        let known = self.store.get(&grant_id_key(id))?;
        let known = known.map(|record| Known::read(&record)).transpose()?;
        if let Some(known) = &known {
            self.grant_made_at(id, known)?;
        }
        Ok(known)
    }

    /// The places of the entries with which this engine made a chain's hops, where it did.
    pub(in crate::engine) fn made(&self, chain: &Chain) -> Result<Vec<Option<u64>>, StoreError> {
        let made = |grant: &Arc<Grant>| {
            let known = self.known_by_id(&grant.payload.id)?;
            Ok(known.filter(|known| known.digest == grant.digest).and_then(|known| known.made))
        };
        chain.hops().iter().map(made).collect()
    }

    /// The digest of a grant known by its id.
    ///
    /// # Errors
    /// `NotFound`, and the store's.
    pub fn grant_digest(&self, text: &str) -> Result<Digest, EngineError> {
        let id: crate::principal::GrantId = text
            .parse()
            .map_err(|_| not_found("grant", &text.chars().take(60).collect::<String>()))?;
        let known = self.known_by_id(&id)?.ok_or_else(|| not_found("grant", &id))?;
        Ok(known.digest)
    }
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
    scope.within_ceiling(&agent.ceiling).map_err(|beyond| {
        RegistryError::Invalid(format!(
            "the scope reaches beyond the ceiling of the agent `{}`: {beyond}",
            agent.name
        ))
    })
}
