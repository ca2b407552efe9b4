//! Humans, agents, grants and keys as Python values. They show ids and names, never keys.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyString, PyTuple};

use super::convert::{Flag, Octets, Own, Text, Whole};
use super::values::{Capability, capabilities, limits_of, scope_of};
use super::{convert, enter, errors, notebook};
use crate::engine::{Bound as Held, Claim, Delegation, Engine as Core, shown};
use crate::keys::{PublicKey, SecretKey as CoreKey};
use crate::principal::{AgentId, HumanId};
use crate::registry;
use crate::request::ToolName;
use crate::scope;

/// An accountable person.
#[pyclass(frozen, module = "answerable", name = "Human")]
pub(super) struct Human(pub(super) Arc<registry::Human>);

#[pymethods]
impl Human {
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    #[getter]
    fn account(&self) -> &str {
        &self.0.account
    }

    #[getter]
    fn issuer(&self) -> &str {
        &self.0.issuer
    }

    #[getter]
    fn name(&self) -> Option<&str> {
        self.0.name.as_deref()
    }

    /// Whether they have left.
    #[getter]
    fn offboarded(&self) -> bool {
        self.0.offboarded
    }

    #[getter]
    fn assurance(&self) -> &'static str {
        self.0.assurance.word()
    }

    #[getter]
    fn registered_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.0.registered_at)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0.id == self.0.id)
    }

    fn __hash__(&self) -> u64 {
        hash(self.0.id.as_bytes())
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        notebook(slf, "html")
    }

    #[pyo3(signature = (include=None, exclude=None))]
    fn _repr_mimebundle_<'py>(
        slf: &Bound<'py, Self>,
        include: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (include, exclude); // Both forms are small: the front end takes its own.
        notebook(slf, "bundle")
    }

    fn __repr__(&self) -> String {
        format!("<human {} {}>", shown(self.0.display(), 80), self.0.id)
    }
}

/// Software that acts for somebody.
#[pyclass(frozen, module = "answerable", name = "Agent")]
pub(super) struct Agent(pub(super) Arc<registry::Agent>, String);

impl Agent {
    pub(super) fn new(engine: &Core, agent: Arc<registry::Agent>) -> Self {
        let uri = engine.agent_uri(&agent.id);
        Self(agent, uri)
    }

    pub(super) fn of(agent: Arc<registry::Agent>, uri: String) -> Self {
        Self(agent, uri)
    }
}

#[pymethods]
impl Agent {
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    #[getter]
    fn name(&self) -> &str {
        &self.0.name
    }

    /// The owner's id.
    #[getter]
    fn owner(&self) -> String {
        self.0.owner.to_string()
    }

    #[getter]
    fn purpose(&self) -> &str {
        &self.0.purpose
    }

    #[getter]
    fn status(&self) -> &'static str {
        self.0.status.word()
    }

    /// The model it runs on, where it was stated.
    #[getter]
    fn model(&self) -> Option<&str> {
        self.0.model.as_deref()
    }

    /// Its own version, where it was stated.
    #[getter]
    fn version(&self) -> Option<&str> {
        self.0.version.as_deref()
    }

    /// `answerable://<authority>/agent/<id>`.
    #[getter]
    fn uri(&self) -> &str {
        &self.1
    }

    #[getter]
    fn ceiling(&self) -> Vec<Capability> {
        capabilities(&self.0.ceiling)
    }

    /// The public key, as PASERK text.
    #[getter]
    fn key(&self) -> String {
        self.0.key.paserk()
    }

    /// Whether the engine keeps the secret key.
    #[getter]
    fn managed(&self) -> bool {
        self.0.managed
    }

    #[getter]
    fn issued_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.0.issued_at)
    }

    #[getter]
    fn expires_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.0.expires_at)
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0.id == self.0.id)
    }

    fn __hash__(&self) -> u64 {
        hash(self.0.id.as_bytes())
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        notebook(slf, "html")
    }

    #[pyo3(signature = (include=None, exclude=None))]
    fn _repr_mimebundle_<'py>(
        slf: &Bound<'py, Self>,
        include: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (include, exclude); // Both forms are small: the front end takes its own.
        notebook(slf, "bundle")
    }

    fn __repr__(&self) -> String {
        let agent = &self.0;
        format!("<agent {} {} {}>", shown(&agent.name, 80), agent.status.word(), agent.id)
    }
}

pub(super) fn hash(id: &[u8; 16]) -> u64 {
    // Ids are random: any eight of their bytes are a hash.
    let (first, _) = id.split_at(8);
    first.try_into().map_or(0, u64::from_le_bytes)
}

/// An Ed25519 secret key of an agent that signs for itself.
#[pyclass(frozen, module = "answerable", name = "SecretKey")]
pub(super) struct SecretKey(pub(super) CoreKey);

#[pymethods]
impl SecretKey {
    /// A new key.
    #[staticmethod]
    fn generate(py: Python<'_>) -> PyResult<Self> {
        CoreKey::generate().map(Self).map_err(|error| errors::key(py, &error))
    }

    /// A key from PASERK text, `k4.secret.…`.
    #[staticmethod]
    fn parse(py: Python<'_>, text: Text<'_>) -> PyResult<Self> {
        CoreKey::parse(&text).map(Self).map_err(|error| errors::key(py, &error))
    }

    /// The public key, as PASERK text.
    #[getter]
    fn public(&self) -> String {
        self.0.public().paserk()
    }

    /// The secret key itself, as PASERK text: whoever has it can sign for the agent.
    fn reveal(&self) -> String {
        self.0.expose_paserk().to_string()
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        Err(errors::invalid(py, "a secret key cannot be pickled", "use .reveal() and keep it safe"))
    }
}

/// A verified chain: the authority that an agent holds for one task of one human.
#[pyclass(frozen, module = "answerable", name = "Grant")]
pub(super) struct Grant {
    pub(super) held: Arc<Held>,
    pub(super) engine: Arc<Core>,
}

#[pymethods]
impl Grant {
    /// The id of the last hop's grant.
    #[getter]
    fn id(&self) -> String {
        self.held.chain().leaf().payload.id.to_string()
    }

    /// The digest of the last hop's signed bytes, in hexadecimal.
    #[getter]
    fn digest(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.held.chain().leaf().digest)
    }

    /// The id of the human accountable.
    #[getter]
    fn human(&self) -> String {
        self.held.chain().leaf().payload.human.to_string()
    }

    /// The id of the agent that holds it.
    #[getter]
    fn agent(&self) -> String {
        self.held.chain().leaf().payload.holder.agent.to_string()
    }

    /// The id of the task.
    #[getter]
    fn task(&self) -> String {
        self.held.chain().leaf().payload.task.id.to_string()
    }

    /// How many hops precede it: 0 for a root grant.
    #[getter]
    fn depth(&self) -> u8 {
        self.held.chain().leaf().payload.depth
    }

    #[getter]
    fn expires_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.held.chain().leaf().payload.exp)
    }

    #[getter]
    fn scope(&self) -> Vec<Capability> {
        capabilities(&self.held.chain().leaf().payload.scope)
    }

    /// What it allows of these tools, and nothing else: a scope to delegate.
    #[pyo3(signature = (*tools))]
    fn scope_for(&self, tools: &Bound<'_, PyTuple>) -> PyResult<Vec<Capability>> {
        let scope = &self.held.chain().leaf().payload.scope;
        let mut parts: Vec<scope::Capability> = Vec::new();
        for tool in tools.iter() {
            let name = ToolName::parse(&text_of(&tool, "a tool's name")?)
                .map_err(|error| errors::invalid(tools.py(), &error.to_string(), ""))?;
            for part in scope.capabilities().iter().filter_map(|all| all.only(&name)) {
                if !parts.contains(&part) {
                    parts.push(part);
                }
            }
        }
        Ok(parts.into_iter().map(Capability::from).collect())
    }

    /// Makes a handle: what a framework may write down in place of the chain.
    fn handle(&self, py: Python<'_>) -> PyResult<String> {
        Ok(enter(py, || self.engine.handle(&self.held))?.to_string())
    }

    /// Claims a call that a framework may start again after a pause.
    fn claim(&self, py: Python<'_>, call: Octets<'_>) -> PyResult<&'static str> {
        enter(py, || self.engine.claim(&self.held, call.0)).map(Claim::word)
    }

    /// Ends a claim.
    #[pyo3(signature = (call, *, returned))]
    fn settle(&self, py: Python<'_>, call: Octets<'_>, returned: Flag) -> PyResult<()> {
        enter(py, || self.engine.settle_claim(&self.held, call.0, returned.0))
    }

    /// The chain's text: evidence, not a bearer secret.
    #[getter]
    fn token(&self) -> String {
        self.held.chain().text()
    }

    /// What each hop stated, the task's sentence first; `None` where it is not known here.
    #[getter]
    fn statements(&self) -> Vec<Option<String>> {
        self.held.statements().to_vec()
    }

    /// Whether this grant is `other` or below it.
    fn extends(&self, other: Own<'_, Self>) -> bool {
        self.held.chain().extends(other.0.get().held.chain())
    }

    /// Adds a hop for another agent, within this grant.
    #[pyo3(
        signature = (agent, *, scope, task=None, ttl=None, limits=None, max_depth=Whole(0), key=None),
        text_signature = "($self, agent, *, scope, task=None, ttl=None, limits=None, max_depth=0, key=None)"
    )]
    #[allow(clippy::too_many_arguments)] // The public face's own.
    fn delegate(
        &self,
        py: Python<'_>,
        agent: &Bound<'_, PyAny>,
        scope: &Bound<'_, PyAny>,
        task: Option<Text<'_>>,
        ttl: Option<&Bound<'_, PyAny>>,
        limits: Option<&Bound<'_, PyAny>>,
        max_depth: Whole<0, 255>,
        key: Option<Own<'_, SecretKey>>,
    ) -> PyResult<Self> {
        let task = task.map(|text| text.to_string());
        let ttl = ttl.map(|ttl| convert::duration(ttl));
        let ttl = ttl.transpose().map_err(|why| errors::invalid(py, &why, ""))?;
        let new = Delegation {
            agent: agent_id(py, &self.engine, agent)?,
            scope: scope_of(scope)?,
            limits: limits.map(limits_of).transpose()?.unwrap_or_default(),
            ttl,
            further_hops: max_depth.get(),
            statement: task,
        };
        let key = key.map(|key| key.0.get().0.clone());
        let engine = self.engine.clone();
        let held = self.held.clone();
        let held = enter(py, move || engine.delegate(&held, new, key.as_ref()))?;
        Ok(Self { held, engine: self.engine.clone() })
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| {
            other.get().held.chain().leaf().digest == self.held.chain().leaf().digest
        })
    }

    fn __hash__(&self) -> u64 {
        hash(self.held.chain().leaf().payload.id.as_bytes())
    }

    fn _repr_html_<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        notebook(slf, "html")
    }

    #[pyo3(signature = (include=None, exclude=None))]
    fn _repr_mimebundle_<'py>(
        slf: &Bound<'py, Self>,
        include: Option<&Bound<'py, PyAny>>,
        exclude: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let _ = (include, exclude); // Both forms are small: the front end takes its own.
        notebook(slf, "bundle")
    }

    fn __repr__(&self) -> String {
        let leaf = &self.held.chain().leaf().payload;
        format!("<grant {} depth {} for {}>", leaf.id, leaf.depth, leaf.human)
    }

    fn __reduce__(&self, py: Python<'_>) -> PyResult<()> {
        let hint = "send grant.token and take it up with engine.accept(token)";
        Err(errors::invalid(py, "a grant cannot be pickled", hint))
    }
}

/// A human by value, id, or account where it is unique.
pub(super) fn human_id(
    py: Python<'_>,
    engine: &Core,
    object: &Bound<'_, PyAny>,
) -> PyResult<HumanId> {
    if let Ok(human) = object.cast::<Human>() {
        return Ok(human.get().0.id);
    }
    let text = text_of(object, "a human, an id or an account")?;
    Ok(engine.find_human(&text).map_err(|error| errors::engine(py, &error))?.id)
}

/// An agent by value, id or name.
pub(super) fn agent_id(
    py: Python<'_>,
    engine: &Core,
    object: &Bound<'_, PyAny>,
) -> PyResult<AgentId> {
    if let Ok(agent) = object.cast::<Agent>() {
        return Ok(agent.get().0.id);
    }
    let text = text_of(object, "an agent, an id or a name")?;
    Ok(engine.find_agent(&text).map_err(|error| errors::engine(py, &error))?.id)
}

/// Text, or a clear error.
pub(super) fn text_of(object: &Bound<'_, PyAny>, what: &str) -> PyResult<String> {
    let found = convert::type_name(object);
    let wrong = || errors::invalid(object.py(), &format!("expected {what}, not {found}"), "");
    let text = object.cast::<PyString>().map_err(|_| wrong())?;
    text.to_str().map(str::to_owned).map_err(|_| {
        errors::invalid(object.py(), &format!("expected {what}, not text with lone surrogates"), "")
    })
}

/// A public key as PASERK text.
pub(super) fn public_key(py: Python<'_>, text: &str) -> PyResult<PublicKey> {
    PublicKey::parse(text).map_err(|error| errors::key(py, &error))
}
