//! Leases: a credential in the hands of one call, for the length of it.
//!
//! A lease is recorded behind the decision that allows its call, in the same write. It ends with
//! the call, with the authority that the call runs under, with the credential, or with the version
//! that it is of: from then on nothing is revealed.

use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Bound, Call, Engine, Judged};
use crate::authorizer::Judgement;
use crate::canonical::Value;
use crate::decision::{Effect, Reason, code};
use crate::keys::{KeyError, RandomPool};
use crate::principal::{AgentId, EntryId, HumanId};
use crate::registry::{Credential, Held, Source, State};
use crate::request::{ToolName, shorten};
use crate::store::StoreError;
use crate::trail::entry::{Draft, Part, kind};
use crate::vault::Secret;

/// How many credentials one call may lease.
pub const MAX_LEASES: usize = 8;

/// Why nothing is revealed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Withheld {
    /// The stable code; see `docs/errors.md`.
    pub code: &'static str,
    /// A sentence and what to do, joined by `; `. Never a secret.
    pub message: String,
}

/// A credential in one call's hands.
#[derive(Debug)]
pub struct Lease {
    /// Its entry.
    pub entry: EntryId,
    /// The entry of the decision that allowed its call.
    pub decision: EntryId,
    /// The credential's name.
    pub credential: Arc<str>,
    /// Its version.
    pub version: u32,
    /// The kind of the provider that makes the secret, if one does.
    pub provider: Option<Box<str>>,
    human: HumanId,
    agents: Vec<AgentId>,
    minted: Mutex<Option<Secret>>,
    reveals: AtomicU32,
    ended: AtomicBool,
}

impl Lease {
    /// How often its secret was revealed.
    #[must_use]
    pub fn reveals(&self) -> u32 {
        self.reveals.load(Ordering::SeqCst)
    }

    /// Whether the call is made for a human.
    #[must_use]
    pub fn is_for(&self, human: &HumanId) -> bool {
        self.human == *human
    }

    /// Whether it has ended with its call.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::SeqCst)
    }

    /// Ends it: nothing is revealed any more, and what was minted is overwritten.
    pub fn end(&self) {
        self.ended.store(true, Ordering::SeqCst);
        *self.minted.lock() = None;
    }

    /// Counts a reveal; `false` where the lease has ended meanwhile, and nothing may be revealed.
    ///
    /// INVARIANT: it is counted before the end is looked for, and the end is noted before the count
    /// is read, all in one order: what is revealed stands in the outcome's entry.
    fn count(&self) -> bool {
        self.reveals.fetch_add(1, Ordering::SeqCst);
        !self.ended()
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end();
    }
}

/// What a call is to be lent, before it has its entry.
pub(super) struct Lent(Vec<Arc<Held>>);

impl Lent {
    pub(super) fn none() -> Self {
        Self(Vec::new())
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Engine {
    /// The leases that run.
    #[must_use]
    pub fn leases(&self) -> Vec<Arc<Lease>> {
        let mut live = self.vault.live.lock();
        live.retain(|_, lease| lease.upgrade().is_some_and(|lease| !lease.ended()));
        live.values().filter_map(Weak::upgrade).collect()
    }

    /// The leases that run for a human, or under an agent that they own.
    pub(super) fn leases_of(&self, state: &State, human: &HumanId) -> Vec<Arc<Lease>> {
        let owned = |agent: &AgentId| state.agent(agent).is_some_and(|of| of.owner == *human);
        let mut leases = self.leases();
        leases.retain(|lease| lease.is_for(human) || lease.agents.iter().any(owned));
        leases.sort_by_key(|lease| lease.entry);
        leases
    }

    /// Takes in the secret that a provider made for a lease.
    ///
    /// # Errors
    /// `lease_ended` if the call is over.
    pub fn minted(&self, lease: &Lease, secret: Secret) -> Result<(), Withheld> {
        self.vault.redactor.learn_made(&lease.credential, &secret);
        let mut minted = lease.minted.lock();
        if lease.ended() {
            return Err(ended(&lease.credential));
        }
        *minted = Some(secret);
        Ok(())
    }

    /// Whether a lease's secret is revealed from memory, without waiting for the store.
    #[must_use]
    pub fn reveals_at_once(&self, lease: &Lease) -> bool {
        self.vault.has(lease)
    }

    /// The secret of a running lease.
    ///
    /// # Errors
    /// Why it is withheld: the lease or the authority has ended, the credential was removed,
    /// rotated or has expired, or its secret does not open.
    pub fn reveal(&self, judged: &Judged, lease: &Lease) -> Result<Secret, Withheld> {
        let name = &*lease.credential;
        if lease.ended() {
            return Err(ended(name));
        }
        if let Some(reason) = self.authority_ended(judged) {
            let message = format!(
                "`{name}` is not revealed: {}; stop, and let the call end",
                self.redact(&reason.message).unwrap_or(reason.message)
            );
            return Err(Withheld { code: "lease_ended", message });
        }
        let held = self.state.read().credential(name).cloned();
        let honoured =
            held.is_some_and(|held| held.facts.honours(lease.version, self.clock.stamp()));
        if !honoured {
            let message = format!(
                "version {} of `{name}` was rotated out, removed or has expired; call the tool again",
                lease.version
            );
            return Err(Withheld { code: "lease_ended", message });
        }
        let secret = if lease.provider.is_some() {
            lease.minted.lock().clone().ok_or_else(|| Withheld {
                code: code::CREDENTIAL_UNAVAILABLE,
                message: format!("no provider has made a secret of `{name}` for this call"),
            })?
        } else {
            self.opened(name, lease.version)?
        };
        if lease.count() { Ok(secret) } else { Err(ended(name)) }
    }

    /// What a call that is allowed so far is to be lent; a deny if it may not be.
    pub(super) fn lend(&self, call: &Call<'_>, judgement: &mut Judgement) -> Lent {
        if call.credentials.is_empty() || judgement.decision.effect == Effect::Deny {
            return Lent::none();
        }
        let (Some(bound), Ok(request)) = (call.bound, &call.request) else {
            return Lent::none();
        };
        let state = self.state.read();
        let mut lent = Vec::with_capacity(call.credentials.len());
        let mut reasons = Vec::new();
        for name in call.credentials {
            match may_lease(&state, name, bound, &request.tool, self.clock.stamp()) {
                Ok(held) => lent.push(held),
                Err(reason) => reasons.push(reason),
            }
        }
        if reasons.is_empty() {
            return Lent(lent);
        }
        judgement.decision.effect = Effect::Deny;
        judgement.decision.reasons = reasons;
        judgement.decision.policies = Vec::new();
        judgement.draws.clear();
        Lent::none()
    }

    /// The leases of an allowed call and their entries.
    pub(super) fn leased(
        &self,
        lent: &Lent,
        bound: &Bound,
        decision: EntryId,
    ) -> Result<(Vec<Arc<Lease>>, Vec<Draft>), StoreError> {
        let key = |error: KeyError| StoreError::Unavailable { what: error.to_string() };
        let random: &RandomPool = &self.random;
        let mut leases = Vec::with_capacity(lent.0.len());
        let mut drafts = Vec::with_capacity(lent.0.len());
        let leaf = &bound.chain.leaf().payload;
        for held in &lent.0 {
            let facts = &held.facts;
            let credential: Arc<str> = facts.name.as_str().into();
            let entry = EntryId::from_bytes(random.take().map_err(key)?);
            let fields = &bound.fields;
            let draft = Draft::new(entry, kind::LEASE, random.take().map_err(key)?)
                .with("human", Part::Encoded(fields.human.clone()))
                .with("agent", Part::Encoded(fields.agent.clone()))
                .with("task", Part::Encoded(fields.task.clone()))
                .with("decision", Part::Entry(decision))
                .with("credential", Part::Text(credential.clone()))
                .with("version", Value::int(i64::from(facts.current())));
            let provider = match &facts.source {
                Source::Stored => None,
                Source::Provider(kind) => Some(kind.as_str().into()),
            };
            drafts.push(draft);
            leases.push(Arc::new(Lease {
                entry,
                decision,
                credential,
                version: facts.current(),
                provider,
                human: leaf.human,
                agents: bound.chain.hops().iter().map(|hop| hop.payload.holder.agent).collect(),
                minted: Mutex::default(),
                reveals: AtomicU32::new(0),
                ended: AtomicBool::new(false),
            }));
        }
        Ok((leases, drafts))
    }

    /// Remembers running leases, for departures and for who looks.
    pub(super) fn remember_leases(&self, leases: &[Arc<Lease>]) {
        if leases.is_empty() {
            return;
        }
        let mut live = self.vault.live.lock();
        for lease in leases {
            live.insert(lease.entry, Arc::downgrade(lease));
        }
    }

    /// Ends the leases of a call that is over, and says what was revealed.
    pub fn end_leases(&self, judged: &Judged) -> Option<Value> {
        if judged.leases.is_empty() {
            return None;
        }
        let mut live = self.vault.live.lock();
        let revealed = judged.leases.iter().map(|lease| {
            lease.end();
            live.remove(&lease.entry);
            Value::List(vec![Value::str(&lease.credential), Value::int(i64::from(lease.reveals()))])
        });
        Some(Value::List(revealed.collect()))
    }
}

/// Whether a call may lease a credential.
fn may_lease(
    state: &State,
    name: &str,
    bound: &Bound,
    tool: &ToolName,
    now: i64,
) -> Result<Arc<Held>, Reason> {
    let shown = || shorten(name, 64);
    let Some(held) = state.credential(name) else {
        let shown = shown();
        return Err(Reason::new(
            code::CREDENTIAL_UNKNOWN,
            format!("there is no credential `{shown}` in the vault"),
        )
        .fix(format!("put it with engine.vault.put(\"{shown}\", …)")));
    };
    let facts: &Credential = &held.facts;
    if facts.removed_at.is_some() {
        return Err(Reason::new(
            code::CREDENTIAL_UNKNOWN,
            format!("the credential `{}` was removed from the vault", shown()),
        )
        .fix("put another, and name it in the tool"));
    }
    if facts.expires_at.is_some_and(|end| now >= end) {
        return Err(Reason::new(
            code::CREDENTIAL_EXPIRED,
            format!("the credential `{}` has expired", shown()),
        )
        .fix("rotate it with a later expires="));
    }
    if !held.is_for(tool) {
        return Err(Reason::new(
            code::CREDENTIAL_NOT_ALLOWED,
            format!("the credential `{}` is not for the tool `{}`", shown(), tool.as_str()),
        )
        .allowing(format!("it is for {}", facts.for_tools.join(", "))));
    }
    let agent = bound.chain.leaf().payload.holder.agent;
    if facts.for_agents.as_ref().is_some_and(|agents| !agents.contains(&agent)) {
        return Err(Reason::new(
            code::CREDENTIAL_NOT_ALLOWED,
            format!("the credential `{}` is not for the agent that acts", shown()),
        )
        .fix("let an agent act that it is for"));
    }
    Ok(held.clone())
}

fn ended(name: &str) -> Withheld {
    Withheld {
        code: "lease_ended",
        message: format!(
            "the call that `{name}` was leased to has ended; ask inside the tool's body"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reveal_is_counted_and_none_comes_after_the_end() {
        let lease = Lease {
            entry: EntryId::from_bytes([1; 16]),
            decision: EntryId::from_bytes([2; 16]),
            credential: "bank-api".into(),
            version: 1,
            provider: None,
            human: HumanId::from_bytes([3; 16]),
            agents: Vec::new(),
            minted: Mutex::default(),
            reveals: AtomicU32::new(0),
            ended: AtomicBool::new(false),
        };
        assert!(lease.count());
        assert_eq!(lease.reveals(), 1);
        lease.end();
        // Its secret may have been opened before: it is kept back all the same.
        assert!(!lease.count());
    }
}
