//! Credentials: what the vault holds, for which tools and agents, in which versions.
//!
//! The facts lie in `v/c/<name>`, each version's sealed secret in `v/s/<name>/<version>`, under a
//! data key of the vault's own. What was rotated out is dropped, unless it is honoured a while.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::{Change, Put, RegistryError, Sealer, State, check_text, draft};
use crate::canonical::Value;
use crate::keys::Owner;
use crate::principal::{AgentId, HumanId};
use crate::scope::ToolPattern;
use crate::store::{Store, StoreError};
use crate::trail::entry::{Draft, kind};
use crate::vault::{Secret, VaultError, check_name, record_name};

const FACTS: &[u8] = b"v/c/";
const SECRETS: &[u8] = b"v/s/";
/// How many tool patterns or agents one credential may be for.
const MAX_FOR: usize = 64;
/// How many versions are remembered.
pub(super) const MAX_VERSIONS: usize = 64;

/// Where a credential's secret comes from.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// It lies sealed in the store.
    Stored,
    /// A provider of this kind makes one for each lease.
    Provider(String),
}

/// One version of a credential.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Version {
    /// From 1.
    pub number: u32,
    /// Since when, in microseconds.
    pub at: i64,
    /// Who put it.
    pub by: HumanId,
    /// Until when running leases of it hold, once another has come, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub until: Option<i64>,
}

/// A credential: everything but its secret.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Credential {
    /// Its name; not a secret, and recorded as it is.
    pub name: String,
    /// Where its secret comes from.
    pub source: Source,
    /// The tools that may lease it; never empty.
    pub for_tools: Vec<String>,
    /// The agents that may; `None` is all whose grant covers the tool.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub for_agents: Option<Vec<AgentId>>,
    /// The human who answers for it.
    pub owner: HumanId,
    /// When it ends, in microseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<i64>,
    /// Its versions, the newest last.
    pub versions: Vec<Version>,
    /// When it was removed, in microseconds. Its name stays taken.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed_at: Option<i64>,
}

impl Credential {
    /// The number of the newest version.
    #[must_use]
    pub fn current(&self) -> u32 {
        self.versions.last().map_or(0, |version| version.number)
    }

    /// Whether a running lease of a version still holds.
    #[must_use]
    pub fn honours(&self, version: u32, now: i64) -> bool {
        let known = self.versions.iter().find(|known| known.number == version);
        self.removed_at.is_none()
            && self.expires_at.is_none_or(|end| now < end)
            && known.is_some_and(|known| {
                version == self.current() || known.until.is_some_and(|until| now < until)
            })
    }
}

/// What is said of a credential when it is put.
#[derive(Debug)]
pub struct NewCredential<'a> {
    /// Its name.
    pub name: &'a str,
    /// Its secret, or the kind of the provider that makes one for each lease.
    pub secret: Result<&'a Secret, &'a str>,
    /// The tools that may lease it.
    pub for_tools: &'a [String],
    /// The agents that may.
    pub for_agents: Option<Vec<AgentId>>,
    /// The human who answers for it.
    pub owner: HumanId,
    /// When it ends, in microseconds.
    pub expires_at: Option<i64>,
    /// Who puts it.
    pub by: HumanId,
}

/// What the vault holds.
#[derive(Debug, Default)]
pub(super) struct Credentials {
    all: BTreeMap<String, Arc<Held>>,
}

/// A credential with its patterns parsed.
#[derive(Debug)]
pub struct Held {
    /// The facts.
    pub facts: Credential,
    tools: Vec<ToolPattern>,
}

impl Held {
    fn new(facts: Credential) -> Result<Self, RegistryError> {
        let parse = |text: &String| {
            ToolPattern::parse(text).map_err(|error| RegistryError::Invalid(error.to_string()))
        };
        let tools = facts.for_tools.iter().map(parse).collect::<Result<_, _>>()?;
        Ok(Self { facts, tools })
    }

    /// Whether a tool may lease it.
    #[must_use]
    pub fn is_for(&self, tool: &crate::request::ToolName) -> bool {
        self.tools.iter().any(|pattern| pattern.matches(tool))
    }
}

/// Whose key the vault's secrets lie under.
#[must_use]
pub fn vault_owner() -> Owner {
    Owner::from_text("vault")
}

fn facts_at(name: &str) -> Vec<u8> {
    [FACTS, name.as_bytes()].concat()
}

/// The store's key of a version's sealed secret.
#[must_use]
pub fn secret_at(name: &str, version: u32) -> Vec<u8> {
    [SECRETS, name.as_bytes(), b"/", &version.to_be_bytes()].concat()
}

fn invalid(error: VaultError) -> RegistryError {
    RegistryError::Invalid(error.to_string())
}

/// Reads a version's secret from the store.
///
/// # Errors
/// `Key` if it does not open; `Store` if it cannot be read, or is not there.
pub fn open_secret(
    store: &dyn Store,
    sealer: &Sealer<'_>,
    authority: &str,
    name: &str,
    version: u32,
) -> Result<Secret, RegistryError> {
    let gone = || StoreError::Corrupt { what: format!("version {version} of `{name}` is gone") };
    let sealed = store.get(&secret_at(name, version))?.ok_or_else(gone)?;
    let opened = sealer.open(&vault_owner(), &sealed, &record_name(authority, name, version))?;
    let opened = zeroize::Zeroizing::new(opened.ok_or_else(gone)?);
    Secret::from_sealable(&opened).map_err(invalid)
}

impl State {
    /// Puts a credential into the vault.
    ///
    /// # Errors
    /// `Invalid` for a name, pattern or time that cannot be, `Illegal` for a name that is taken,
    /// `NotFound` for an unknown owner or agent.
    pub fn put_credential(
        &mut self,
        new: &NewCredential<'_>,
        authority: &str,
        at: i64,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Held>, Change), RegistryError> {
        check_name(new.name).map_err(invalid)?;
        if let Some(known) = self.credentials.all.get(new.name) {
            let (what, hint) = match known.facts.removed_at {
                Some(_) => ("was removed, and its name stays taken", "choose another name"),
                None => ("is in the vault already", "rotate it, or choose another name"),
            };
            return Err(RegistryError::Illegal(format!("`{}` {what}; {hint}", new.name)));
        }
        if new.for_tools.is_empty() {
            return Err(RegistryError::Invalid(
                "for_tools is empty; name the tools that may use it, such as `pay.*`".to_owned(),
            ));
        }
        if new.for_tools.len() > MAX_FOR
            || new.for_agents.as_ref().is_some_and(|agents| agents.len() > MAX_FOR)
        {
            return Err(RegistryError::Invalid(format!(
                "a credential is for at most {MAX_FOR} tool patterns and {MAX_FOR} agents"
            )));
        }
        self.may_own(&new.owner)?;
        for agent in new.for_agents.iter().flatten() {
            if self.agent(agent).is_none() {
                return Err(RegistryError::NotFound { kind: "agent", name: agent.to_string() });
            }
        }
        if new.expires_at.is_some_and(|end| end <= at) {
            return Err(RegistryError::Invalid("expires is in the past".to_owned()));
        }
        let source = match new.secret {
            Ok(_) => Source::Stored,
            Err(kind) => {
                check_text("the provider's kind", kind, 128)?;
                Source::Provider(kind.to_owned())
            }
        };
        let facts = Credential {
            name: new.name.to_owned(),
            source,
            for_tools: new.for_tools.to_vec(),
            for_agents: new.for_agents.clone(),
            owner: new.owner,
            expires_at: new.expires_at,
            versions: vec![Version { number: 1, at, by: new.by, until: None }],
            removed_at: None,
        };
        let held = Arc::new(Held::new(facts)?);
        let mut puts = Vec::new();
        if let Ok(secret) = new.secret {
            puts.push(seal(sealer, authority, new.name, 1, secret)?);
        }
        let draft = told(&held.facts, "put", new.by)?
            .with("source", Value::str(source_word(&held.facts.source)))
            .with("owner", Value::str(&new.owner.to_string()));
        let change = self.keep(&held, draft, puts, sealer)?;
        Ok((held, change))
    }

    /// Replaces a credential's secret. Leases that run keep the old one for `overlap`
    /// microseconds; without it they end.
    ///
    /// # Errors
    /// `NotFound`, `Illegal` for one that was removed or comes from a provider, `Invalid` for an
    /// overlap below zero.
    #[allow(clippy::too_many_arguments)] // Each is one fact of the step.
    pub fn rotate_credential(
        &mut self,
        name: &str,
        secret: &Secret,
        overlap: i64,
        expires_at: Option<i64>,
        authority: &str,
        at: i64,
        by: HumanId,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Held>, Change), RegistryError> {
        let known = self.standing_credential(name)?;
        if known.facts.source != Source::Stored {
            return Err(RegistryError::Illegal(format!(
                "`{name}` comes from a provider, which makes a new secret for each lease; there is nothing to rotate"
            )));
        }
        let until = at.checked_add(overlap).filter(|_| overlap >= 0).ok_or_else(|| {
            RegistryError::Invalid("overlap is a duration from zero up".to_owned())
        })?;
        if expires_at.is_some_and(|end| end <= at) {
            return Err(RegistryError::Invalid("expires is in the past".to_owned()));
        }
        let mut facts = known.facts.clone();
        let number = facts.current().checked_add(1).ok_or_else(|| {
            RegistryError::Illegal(format!("`{name}` was rotated too often; put another"))
        })?;
        let mut puts = Vec::new();
        for version in &mut facts.versions {
            // What was said last holds for what is rotated out already too, never for longer.
            version.until = Some(version.until.map_or(until, |end| end.min(until)));
            if version.until.is_none_or(|until| until <= at) {
                puts.push(Put::Drop(secret_at(name, version.number)));
            }
        }
        facts.versions.push(Version { number, at, by, until: None });
        let surplus = facts.versions.len().saturating_sub(MAX_VERSIONS);
        for version in facts.versions.drain(..surplus) {
            puts.push(Put::Drop(secret_at(name, version.number)));
        }
        facts.expires_at = expires_at.or(facts.expires_at);
        let held = Arc::new(Held::new(facts)?);
        puts.push(seal(sealer, authority, name, number, secret)?);
        let draft = told(&held.facts, "rotated", by)?.with("overlap_us", Value::int(overlap));
        let change = self.keep(&held, draft, puts, sealer)?;
        Ok((held, change))
    }

    /// Removes a credential: every lease of it ends, its secrets are dropped, its name stays taken.
    ///
    /// # Errors
    /// `NotFound`, `Illegal` for one that was removed before.
    pub fn remove_credential(
        &mut self,
        name: &str,
        reason: &str,
        at: i64,
        by: HumanId,
        sealer: &mut Sealer<'_>,
    ) -> Result<Change, RegistryError> {
        check_text("the reason", reason, 4_096)?;
        let known = self.standing_credential(name)?;
        let mut facts = known.facts.clone();
        facts.removed_at = Some(at);
        let puts = facts.versions.iter().map(|v| Put::Drop(secret_at(name, v.number))).collect();
        let held = Arc::new(Held::new(facts)?);
        let draft = told(&held.facts, "removed", by)?.beside(
            "reason",
            Value::str(reason),
            &Owner::human(by),
        );
        self.keep(&held, draft, puts, sealer)
    }

    /// A credential that was put and not removed.
    ///
    /// # Errors
    /// `NotFound` or `Illegal`.
    pub fn standing_credential(&self, name: &str) -> Result<Arc<Held>, RegistryError> {
        let known = self.credentials.all.get(name).ok_or_else(|| RegistryError::NotFound {
            kind: "credential",
            name: name.chars().take(80).collect(),
        })?;
        if known.facts.removed_at.is_some() {
            return Err(RegistryError::Illegal(format!("`{name}` was removed")));
        }
        Ok(known.clone())
    }

    /// A credential, removed or not.
    #[must_use]
    pub fn credential(&self, name: &str) -> Option<&Arc<Held>> {
        self.credentials.all.get(name)
    }

    /// All credentials, by name.
    #[must_use]
    pub fn credentials(&self) -> Vec<Arc<Held>> {
        self.credentials.all.values().cloned().collect()
    }

    fn keep(
        &mut self,
        held: &Arc<Held>,
        draft: Draft,
        secrets: Vec<Put>,
        sealer: &mut Sealer<'_>,
    ) -> Result<Change, RegistryError> {
        let mut puts = sealer.take_made();
        puts.extend(secrets);
        let record = super::records::json(&held.facts)?.into_bytes();
        puts.push(Put::Set(facts_at(&held.facts.name), record));
        self.credentials.all.insert(held.facts.name.clone(), held.clone());
        self.changed();
        Ok(Change { draft, puts })
    }
}

fn seal(
    sealer: &mut Sealer<'_>,
    authority: &str,
    name: &str,
    version: u32,
    secret: &Secret,
) -> Result<Put, RegistryError> {
    let bound_to = record_name(authority, name, version);
    let sealed = sealer.seal(&vault_owner(), &secret.to_sealable(), &bound_to)?;
    Ok(Put::Set(secret_at(name, version), sealed))
}

fn told(facts: &Credential, action: &'static str, by: HumanId) -> Result<Draft, RegistryError> {
    let texts = |texts: &[String]| Value::List(texts.iter().map(|text| Value::str(text)).collect());
    let agents = facts.for_agents.as_ref();
    let agents = agents.map(|ids| ids.iter().map(ToString::to_string).collect::<Vec<_>>());
    Ok(draft(kind::CREDENTIAL)?
        .with("action", Value::str(action))
        .with("credential", Value::str(&facts.name))
        .with("version", Value::int(i64::from(facts.current())))
        .with("for_tools", texts(&facts.for_tools))
        .with_some("for_agents", agents.map(|ids| texts(&ids)))
        .with_some("expires", facts.expires_at.map(Value::Datetime))
        .with("by", Value::str(&by.to_string())))
}

fn source_word(source: &Source) -> &str {
    match source {
        Source::Stored => "stored",
        Source::Provider(kind) => kind,
    }
}

pub(super) fn load(state: &mut State, store: &dyn Store) -> Result<(), RegistryError> {
    super::records::each(store, FACTS, |rest, value| {
        let held = Held::new(super::records::parse::<Credential>(value)?)?;
        if rest != held.facts.name.as_bytes() {
            return Err(super::records::damaged());
        }
        state.credentials.all.insert(held.facts.name.clone(), Arc::new(held));
        Ok(())
    })
}
