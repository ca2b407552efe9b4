//! The vault at work: credentials put, rotated and removed; leases for the length of one call.
//!
//! A lease is recorded behind the decision that allows its call, in the same write. It ends with
//! the call, with the authority that the call runs under, with the credential, or with the version
//! that it is of: from then on nothing is revealed.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;

use super::{Bound, Call, Engine, EngineError, Judged};
use crate::authorizer::Judgement;
use crate::canonical::Value;
use crate::decision::{Decision, Effect, Reason, code};
use crate::keys::{KeyError, RandomPool};
use crate::principal::{AgentId, EntryId, HumanId};
use crate::registry::{
    Credential, Held, NewCredential, RegistryError, Sealer, Source, State, open_secret,
};
use crate::request::shorten;
use crate::store::{Batch, StoreError};
use crate::trail::entry::{Draft, Part, kind};
use crate::vault::{Redactor, Secret};

/// The least of the bounds that texts have, in bytes.
const LEAST_BOUND: usize = 128;
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

/// What the vault holds in memory.
#[derive(Debug, Default)]
pub(super) struct Vault {
    pub(super) redactor: Arc<Redactor>,
    /// Opened secrets by name and version.
    opened: Mutex<HashMap<Box<str>, HashMap<u32, Secret>>>,
    live: Mutex<HashMap<EntryId, Weak<Lease>>>,
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
        self.reveals.load(Ordering::Acquire)
    }

    /// Whether the call is made for a human.
    #[must_use]
    pub fn is_for(&self, human: &HumanId) -> bool {
        self.human == *human
    }

    /// Whether it has ended with its call.
    #[must_use]
    pub fn ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    /// Ends it: nothing is revealed any more, and what was minted is overwritten.
    pub fn end(&self) {
        self.ended.store(true, Ordering::Release);
        *self.minted.lock() = None;
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
    /// Puts a credential into the vault.
    ///
    /// # Errors
    /// As `State::put_credential`, and the store's.
    pub fn put_credential(&self, new: &NewCredential<'_>) -> Result<Arc<Held>, EngineError> {
        // Name, patterns and kind are recorded as they are.
        let provider = new.secret.as_ref().err().copied();
        for text in new.for_tools.iter().map(String::as_str).chain([new.name]).chain(provider) {
            self.refuse_secrets("what is said of a credential", text)?;
        }
        if let Ok(secret) = new.secret {
            let own = Redactor::default();
            own.learn(new.name, secret);
            if new
                .for_tools
                .iter()
                .map(String::as_str)
                .chain([new.name])
                .any(|text| own.find(text.as_bytes()).is_some())
            {
                let what = "the credential's name and tools are recorded as they are, and hold its secret; choose others";
                return Err(EngineError::Invalid(what.to_owned()));
            }
        }
        let held = self.transition(|state, now, sealer| {
            let at = now.at;
            let (held, change) = state.put_credential(new, &self.authority_id, at, sealer)?;
            Ok((held, vec![change]))
        })?;
        if let Ok(secret) = new.secret {
            self.vault.learn(new.name, held.facts.current(), secret);
        }
        Ok(held)
    }

    /// Replaces a credential's secret.
    ///
    /// # Errors
    /// As `State::rotate_credential`, and the store's.
    pub fn rotate_credential(
        &self,
        name: &str,
        secret: &Secret,
        overlap: i64,
        expires_at: Option<i64>,
        by: HumanId,
    ) -> Result<Arc<Held>, EngineError> {
        let held = self.transition(|state, now, sealer| {
            let at = now.at;
            let authority = &self.authority_id;
            let (held, change) = state
                .rotate_credential(name, secret, overlap, expires_at, authority, at, by, sealer)?;
            Ok((held, vec![change]))
        })?;
        self.vault.learn(name, held.facts.current(), secret);
        Ok(held)
    }

    /// Removes a credential.
    ///
    /// # Errors
    /// As `State::remove_credential`, and the store's.
    pub fn remove_credential(
        &self,
        name: &str,
        reason: &str,
        by: HumanId,
    ) -> Result<(), EngineError> {
        self.transition(|state, now, sealer| {
            let at = now.at;
            Ok(((), vec![state.remove_credential(name, reason, at, by, sealer)?]))
        })?;
        self.vault.opened.lock().retain(|known, _| **known != *name);
        Ok(())
    }

    /// All credentials, by name, removed ones too.
    #[must_use]
    pub fn credentials(&self) -> Vec<Arc<Held>> {
        self.state.read().credentials()
    }

    /// A credential by name, removed or not.
    ///
    /// # Errors
    /// `NotFound`.
    pub fn credential(&self, name: &str) -> Result<Arc<Held>, EngineError> {
        self.here()?;
        self.state.read().credential(name).cloned().ok_or_else(|| {
            let name = name.chars().take(80).collect();
            RegistryError::NotFound { kind: "credential", name }.into()
        })
    }

    /// The engine's time, in microseconds.
    #[must_use]
    pub fn stamp(&self) -> i64 {
        self.clock.stamp()
    }

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

    /// What somebody says in words (a reason, a note, a purpose), without any secret that the vault
    /// knows: so it is stored, recorded and told. Never longer than given, but for short ones.
    pub(super) fn plain<'a>(&self, text: &'a str) -> Cow<'a, str> {
        let Some(mut clean) = self.redact(text) else { return Cow::Borrowed(text) };
        tracing::warn!("a secret of the vault was written into a text; it is masked there");
        // What is within its bounds stays so: no revocation fails for what it was said with.
        let most = text.len().max(LEAST_BOUND);
        if clean.len() > most {
            let end = (0..=most).rev().find(|at| clean.is_char_boundary(*at)).unwrap_or(0);
            clean.truncate(end);
        }
        Cow::Owned(clean)
    }

    /// Refuses a secret of the vault in what must stay to the byte: names that others look up,
    /// and scopes.
    pub(super) fn refuse_secrets(&self, what: &str, text: &str) -> Result<(), EngineError> {
        match self.vault.redactor.find(text.as_bytes()) {
            None => Ok(()),
            Some(name) => Err(EngineError::Invalid(format!(
                "{what} holds the secret of the credential `{name}`; leave it out, a tool gets it with credential=\"{name}\""
            ))),
        }
    }

    /// As [`Engine::refuse_secrets`], for a scope and limits.
    pub(super) fn refuse_secrets_in(
        &self,
        what: &str,
        value: &impl serde::Serialize,
    ) -> Result<(), EngineError> {
        if self.vault.redactor.is_empty() {
            return Ok(());
        }
        let text = serde_json::to_string(value)
            .map_err(|error| EngineError::Invalid(error.to_string()))?;
        self.refuse_secrets(what, &text)
    }

    /// Refuses in an engine that is attached to another process's, which knows the secrets.
    ///
    /// # Errors
    /// `Attached`.
    pub fn knows_secrets(&self) -> Result<(), EngineError> {
        match self.store.remote() {
            Some(holder) => Err(holder.elsewhere().into()),
            None => Ok(()),
        }
    }

    /// A text without any secret that the vault knows.
    #[must_use]
    pub fn redact(&self, text: &str) -> Option<String> {
        self.vault.redactor.scrub(text)
    }

    /// A value without any secret that the vault knows.
    #[must_use]
    pub fn redact_value(&self, value: &Value) -> Option<Value> {
        self.vault.redactor.veil(value)
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

    /// What speaks against a call by its tool's name: names stand in leaves as they are, and this
    /// one holds a secret of the vault.
    pub(super) fn secret_in_name(&self, tool: &str) -> Option<Reason> {
        let name = self.vault.redactor.find(tool.as_bytes())?;
        let text = format!("the tool's name holds the secret of the credential `{name}`");
        Some(Reason::new(code::UNKNOWN_TOOL, text).fix("give the tool another name"))
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
        lease.reveals.fetch_add(1, Ordering::AcqRel);
        Ok(secret)
    }

    fn opened(&self, name: &str, version: u32) -> Result<Secret, Withheld> {
        if let Some(secret) = self.vault.known(name, version) {
            return Ok(secret);
        }
        let sealer = Sealer::new(&self.ring, &*self.store);
        let secret = open_secret(&*self.store, &sealer, &self.authority_id, name, version);
        let secret = secret.map_err(|error| withheld(name, &error))?;
        self.vault.learn(name, version, &secret);
        Ok(secret)
    }

    /// Opens what is stored, so that it is known where it must not appear. What does not open is
    /// told when it is asked for.
    pub(super) fn open_vault(&self) -> Result<(), StoreError> {
        if self.store.remote().is_some() {
            // Calls run where the store is held, and so do leases.
            return Ok(());
        }
        let now = self.clock.stamp();
        let mut lapsed = Batch::new();
        for held in self.credentials() {
            let facts = &held.facts;
            if facts.source != Source::Stored || facts.removed_at.is_some() {
                continue;
            }
            for version in &facts.versions {
                let current = version.number == facts.current();
                if !current && version.until.is_none_or(|until| until <= now) {
                    lapsed.delete(crate::registry::secret_at(&facts.name, version.number));
                } else if let Err(withheld) = self.opened(&facts.name, version.number) {
                    tracing::error!(code = withheld.code, "{withheld}");
                }
            }
        }
        // Where another process holds the store, what has lapsed goes there.
        if lapsed.is_empty() || self.store.remote().is_some() {
            return Ok(());
        }
        self.store.commit(lapsed)
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

    /// Reasons without any secret that the vault knows.
    pub(super) fn redact_reasons(&self, decision: &mut Decision) {
        if self.vault.redactor.is_empty() {
            return;
        }
        for reason in &mut decision.reasons {
            let texts = [Some(&mut reason.message), reason.allowed.as_mut(), reason.fix.as_mut()];
            for text in texts.into_iter().flatten() {
                if let Some(clean) = self.vault.redactor.scrub(text) {
                    *text = clean;
                }
            }
        }
    }
}

impl Vault {
    fn learn(&self, name: &str, version: u32, secret: &Secret) {
        self.redactor.learn(name, secret);
        self.opened.lock().entry(name.into()).or_default().insert(version, secret.clone());
    }

    fn known(&self, name: &str, version: u32) -> Option<Secret> {
        self.opened.lock().get(name)?.get(&version).cloned()
    }

    /// Whether nothing has to be read for a lease's secret.
    fn has(&self, lease: &Lease) -> bool {
        let opened = self.opened.lock();
        let versions = opened.get(&*lease.credential);
        lease.provider.is_some() || versions.is_some_and(|all| all.contains_key(&lease.version))
    }

    /// Overwrites all that was opened.
    pub(super) fn close(&self) {
        self.redactor.clear();
        self.opened.lock().clear();
        let live = std::mem::take(&mut *self.live.lock());
        live.values().filter_map(Weak::upgrade).for_each(|lease| lease.end());
    }
}

/// Whether a call may lease a credential.
fn may_lease(
    state: &State,
    name: &str,
    bound: &Bound,
    tool: &crate::request::ToolName,
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

fn withheld(name: &str, error: &RegistryError) -> Withheld {
    let damaged = matches!(
        error,
        RegistryError::Key(KeyError::Sealed)
            | RegistryError::Invalid(_)
            | RegistryError::Store(StoreError::Corrupt { .. })
    );
    if damaged {
        let message = format!(
            "the sealed secret of `{name}` does not open: its bytes were changed, or the key is another one; rotate it, or restore a backup"
        );
        return Withheld { code: "credential_damaged", message };
    }
    let message = format!("the secret of `{name}` cannot be read: {error}");
    Withheld { code: code::CREDENTIAL_UNAVAILABLE, message }
}
