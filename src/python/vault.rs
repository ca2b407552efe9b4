//! The vault as Python values: facts of credentials, and leases that reveal a secret to their call.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyList, PyString, PyTuple};

use super::convert::{Flag, Octets, Text};
use super::engine::by_of;
use super::guard::Call;
use super::opening::master;
use super::people::{agent_id, human_id, text_of};
use super::{convert, enter, errors};
use crate::engine::{self as core, Engine as Core, Judged, shown};
use crate::registry::{Held, NewCredential, Source};
use crate::vault::Secret;

/// How many items of a list are looked at; more than any list here may hold.
const MAX_ITEMS: usize = 1_000;

/// What the vault says of a credential: everything but its secret.
#[pyclass(frozen, module = "answerable", name = "CredentialFacts")]
pub(super) struct CredentialFacts(Arc<Held>);

#[pymethods]
impl CredentialFacts {
    #[getter]
    fn name(&self) -> &str {
        &self.0.facts.name
    }

    /// The number of the newest version.
    #[getter]
    fn version(&self) -> u32 {
        self.0.facts.current()
    }

    /// The kind of the provider that makes a secret for each lease; `None` for a stored one.
    #[getter]
    fn provider(&self) -> Option<&str> {
        match &self.0.facts.source {
            Source::Stored => None,
            Source::Provider(kind) => Some(kind),
        }
    }

    #[getter]
    fn for_tools(&self) -> Vec<String> {
        self.0.facts.for_tools.clone()
    }

    /// The ids of the agents that it is for; `None` for all.
    #[getter]
    fn for_agents(&self) -> Option<Vec<String>> {
        let agents = self.0.facts.for_agents.as_ref()?;
        Some(agents.iter().map(ToString::to_string).collect())
    }

    /// The id of the human who answers for it.
    #[getter]
    fn owner(&self) -> String {
        self.0.facts.owner.to_string()
    }

    #[getter]
    fn expires<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.facts.expires_at.map(|at| convert::instant(py, at)).transpose()
    }

    /// When it was removed.
    #[getter]
    fn removed<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.facts.removed_at.map(|at| convert::instant(py, at)).transpose()
    }

    /// Its versions, oldest first, as dicts with `version`, `at`, `by` and `until`.
    #[getter]
    fn versions<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        let list = PyList::empty(py);
        for version in &self.0.facts.versions {
            let item = PyDict::new(py);
            item.set_item("version", version.number)?;
            item.set_item("at", convert::instant(py, version.at)?)?;
            item.set_item("by", version.by.to_string())?;
            let until = version.until.map(|at| convert::instant(py, at)).transpose()?;
            item.set_item("until", until)?;
            list.append(item)?;
        }
        Ok(list)
    }

    fn __repr__(&self) -> String {
        let removed = if self.0.facts.removed_at.is_some() { " (removed)" } else { "" };
        format!("<credential {} v{}{removed}>", self.0.facts.name, self.0.facts.current())
    }
}

/// A credential in one call's hands.
#[pyclass(frozen, weakref, module = "answerable._core", name = "Lease")]
pub(super) struct Lease {
    core: Arc<Core>,
    judged: Arc<Judged>,
    lease: Arc<core::Lease>,
}

impl Lease {
    pub(super) fn new(core: &Arc<Core>, judged: &Arc<Judged>, lease: Arc<core::Lease>) -> Self {
        Self { core: core.clone(), judged: judged.clone(), lease }
    }
}

#[pymethods]
impl Lease {
    /// Its entry.
    #[getter]
    fn entry(&self) -> String {
        self.lease.entry.to_string()
    }

    /// The entry of the decision that allowed its call.
    #[getter]
    fn decision(&self) -> Option<String> {
        self.judged.entry.map(|entry| entry.to_string())
    }

    #[getter]
    fn credential(&self) -> &str {
        &self.lease.credential
    }

    #[getter]
    fn version(&self) -> u32 {
        self.lease.version
    }

    /// The kind of the provider that has to make its secret.
    #[getter]
    fn provider(&self) -> Option<&str> {
        self.lease.provider.as_deref()
    }

    /// The folder of the store that it is of.
    #[getter]
    fn store(&self) -> std::path::PathBuf {
        self.core.path().to_path_buf()
    }

    /// Whether the call is over, or what gave it its authority has ended.
    #[getter]
    fn ended(&self) -> bool {
        self.lease.ended() || self.core.authority_ended(&self.judged).is_some()
    }

    /// The secret, inside the body of the very call that it was leased to.
    #[pyo3(signature = (call))]
    fn reveal<'py>(&self, py: Python<'py>, call: Option<&Call>) -> PyResult<Bound<'py, PyAny>> {
        let inside = call.and_then(Call::id).is_some_and(|id| self.judged.entry == Some(id));
        if !inside {
            let name = &self.lease.credential;
            let message =
                format!("`{name}` is revealed only inside the call that it was leased to");
            let hint = "ask for it in the tool's own body; take it into a thread with ans.carry";
            return Err(errors::make(py, "VaultError", &message, "lease_elsewhere", hint, &[]));
        }
        let reveal = || self.core.reveal(&self.judged, &self.lease);
        // What has to be read first keeps no other thread waiting.
        let at_once = self.core.reveals_at_once(&self.lease);
        let secret = if at_once { reveal() } else { py.detach(reveal) };
        let secret = secret.map_err(|error| errors::withheld(py, &error))?;
        Ok(match secret.expose_text() {
            Some(text) => PyString::new(py, text).into_any(),
            None => PyBytes::new(py, secret.expose()).into_any(),
        })
    }

    /// Takes in what a provider made for this lease.
    fn minted(&self, py: Python<'_>, secret: &Bound<'_, PyAny>) -> PyResult<()> {
        let secret = secret_of(secret)?;
        self.core.minted(&self.lease, secret).map_err(|error| errors::withheld(py, &error))
    }

    fn __repr__(&self) -> String {
        format!("<lease of {} v{}>", self.lease.credential, self.lease.version)
    }
}

/// The vault's verbs.
#[pyclass(frozen, module = "answerable._core", name = "Vault")]
pub(super) struct Vault(pub(super) Arc<Core>);

#[pymethods]
impl Vault {
    /// Puts a credential: a secret, or the kind of the provider that makes one for each lease.
    #[pyo3(signature = (name, secret, *, for_tools, provider=None, for_agents=None, owner=None, expires=None, by=None))]
    #[allow(clippy::too_many_arguments)] // The public face's own.
    fn put(
        &self,
        py: Python<'_>,
        name: Text<'_>,
        secret: Option<&Bound<'_, PyAny>>,
        for_tools: &Bound<'_, PyAny>,
        provider: Option<Text<'_>>,
        for_agents: Option<&Bound<'_, PyAny>>,
        owner: Option<&Bound<'_, PyAny>>,
        expires: Option<&Bound<'_, PyAny>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<CredentialFacts> {
        let given = secret.map(secret_of).transpose()?;
        let kind = provider.as_deref();
        let secret = match (&given, kind) {
            (Some(secret), None) => Ok(secret),
            (None, Some(kind)) => Err(kind),
            _ => {
                let message = "a credential has a secret or a provider, one of the two";
                return Err(errors::invalid(py, message, ""));
            }
        };
        let for_tools: Vec<String> = items_of(for_tools, "for_tools")?
            .iter()
            .map(|pattern| text_of(pattern, "a tool pattern in for_tools"))
            .collect::<PyResult<_>>()?;
        let for_agents = for_agents
            .map(|agents| items_of(agents, "for_agents"))
            .transpose()?
            .map(|agents| agents.iter().map(|agent| agent_id(py, &self.0, agent)).collect())
            .transpose()?;
        let by = by_of(py, &self.0, by)?;
        let owner = owner.map(|owner| human_id(py, &self.0, owner)).transpose()?;
        let expires_at = self.moment(py, expires)?;
        let name = &*name;
        let held = enter(py, || {
            let by = self.0.who(by)?;
            let owner = owner.unwrap_or(by);
            let for_tools = &for_tools;
            self.0.put_credential(&NewCredential {
                name,
                secret,
                for_tools,
                for_agents,
                owner,
                expires_at,
                by,
            })
        })?;
        Ok(CredentialFacts(held))
    }

    /// Replaces a stored secret.
    #[pyo3(signature = (name, secret, *, overlap=None, expires=None, by=None))]
    fn rotate(
        &self,
        py: Python<'_>,
        name: Text<'_>,
        secret: &Bound<'_, PyAny>,
        overlap: Option<&Bound<'_, PyAny>>,
        expires: Option<&Bound<'_, PyAny>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<CredentialFacts> {
        let secret = secret_of(secret)?;
        let overlap = overlap.map(convert::duration).transpose();
        let overlap = overlap.map_err(|why| errors::invalid(py, &why, ""))?.unwrap_or(0);
        let expires_at = self.moment(py, expires)?;
        let by = by_of(py, &self.0, by)?;
        let name = &*name;
        let held = enter(py, || {
            let by = self.0.who(by)?;
            self.0.rotate_credential(name, &secret, overlap, expires_at, by)
        })?;
        Ok(CredentialFacts(held))
    }

    /// Removes a credential and drops its secrets.
    #[pyo3(signature = (name, *, reason, by=None))]
    fn remove(
        &self,
        py: Python<'_>,
        name: Text<'_>,
        reason: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<()> {
        let by = by_of(py, &self.0, by)?;
        let (name, reason) = (&*name, &*reason);
        enter(py, || {
            let by = self.0.who(by)?;
            self.0.remove_credential(name, reason, by)
        })
    }

    /// Replaces the store's master key; answers the entry's id.
    #[pyo3(signature = (master_key=None, *, reason, by=None))]
    fn rewrap(
        &self,
        py: Python<'_>,
        master_key: Option<&Bound<'_, PyAny>>,
        reason: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let given = master_key.map(|given| master(py, given)).transpose()?;
        let by = by_of(py, &self.0, by)?;
        let reason = &*reason;
        let entry = enter(py, || self.0.rewrap(given.as_ref(), reason, by))?;
        Ok(entry.to_string())
    }

    /// What the vault says of one credential, removed or not.
    fn get(&self, py: Python<'_>, name: Text<'_>) -> PyResult<CredentialFacts> {
        let name = &*name;
        enter(py, || self.0.credential(name)).map(CredentialFacts)
    }

    /// All credentials, by name; never their secrets.
    #[pyo3(signature = (*, removed=None))]
    fn list(&self, py: Python<'_>, removed: Option<Flag>) -> PyResult<Vec<CredentialFacts>> {
        enter(py, || Ok(self.0.here()?))?;
        let removed = removed.is_some_and(|flag| flag.0);
        let mut all = self.0.credentials();
        all.retain(|held| removed || held.facts.removed_at.is_none());
        Ok(all.into_iter().map(CredentialFacts).collect())
    }

    /// A text without any secret that the vault knows; `None` if it holds none.
    fn redact(&self, text: &Bound<'_, PyAny>) -> PyResult<Option<String>> {
        enter(text.py(), || self.0.knows_secrets())?;
        // Text with lone surrogates is text all the same: what cannot be read is not let through.
        let text = match text.cast::<PyString>() {
            Ok(text) => text.to_string_lossy().into_owned(),
            Err(_) => return Ok(None),
        };
        Ok(self.0.redact(&text))
    }

    /// Whether bytes hold a secret that the vault knows.
    fn holds(&self, py: Python<'_>, data: Octets<'_>) -> PyResult<bool> {
        enter(py, || self.0.knows_secrets())?;
        Ok(self.0.redact_value(&crate::canonical::Value::bytes(data.0)).is_some())
    }

    /// How many leases run.
    #[getter]
    fn running(&self) -> usize {
        self.0.leases().len()
    }

    fn __repr__(&self) -> String {
        format!("<vault of {:?}>", self.0)
    }
}

impl Vault {
    fn moment(&self, py: Python<'_>, given: Option<&Bound<'_, PyAny>>) -> PyResult<Option<i64>> {
        let now = self.0.stamp();
        let end = |at: &Bound<'_, PyAny>| match convert::duration(at) {
            Ok(span) if span > 0 => Ok(now.saturating_add(span)),
            Ok(_) => Err("expires is a duration above zero, or a moment to come".to_owned()),
            Err(_) => convert::moment(at, now),
        };
        given.map(end).transpose().map_err(|why| errors::invalid(py, &why, ""))
    }
}

/// The items of a list or tuple; of one thing, that alone.
fn items_of<'py>(object: &Bound<'py, PyAny>, what: &str) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if object.cast::<PyList>().is_ok() || object.cast::<PyTuple>().is_ok() {
        return object.try_iter()?.take(MAX_ITEMS).collect();
    }
    if object.cast::<PyDict>().is_ok() || object.cast::<PyBytes>().is_ok() {
        let found = convert::type_name(object);
        return Err(errors::invalid(object.py(), &format!("{what} is a list, not {found}"), ""));
    }
    Ok(vec![object.clone()])
}

/// A secret from text or bytes. No error holds what was given.
fn secret_of(object: &Bound<'_, PyAny>) -> PyResult<Secret> {
    let py = object.py();
    let wrong = |message: &str| errors::invalid(py, message, "");
    let made = if let Ok(text) = object.cast::<PyString>() {
        Secret::text(text.to_str().map_err(|_| wrong("a secret holds no lone surrogates"))?)
    } else if let Ok(bytes) = object.cast::<PyBytes>() {
        Secret::bytes(bytes.as_bytes())
    } else {
        let found = shown(&convert::type_name(object), 60);
        return Err(wrong(&format!("a secret is text or bytes, not {found}")));
    };
    made.map_err(|error| wrong(&error.to_string()))
}
