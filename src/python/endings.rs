//! What ends authority, as Python values: revocations, halts, departures and their proofs.

use pyo3::prelude::*;

use super::convert::{Flag, Text, Whole};
use super::lifecycle::Task;
use super::people::{Agent, Grant, Human, agent_id, human_id, public_key, text_of};
use super::{convert, enter, errors};
use crate::engine::{self as core, Engine as Core, shown};
use crate::registry::{self, Halted, Target};

/// What a revocation did, and what it leaves to do.
#[pyclass(frozen, get_all, module = "answerable", name = "Revocation")]
pub(super) struct Revocation {
    /// Its entry.
    entry: String,
    /// `grant`, `task`, `agent` or `human`.
    target: &'static str,
    /// The id of what was revoked; `None` for a grant that was never seen here.
    id: Option<String>,
    /// Whether a grant that it names was seen here; those that were not end all the same.
    seen: bool,
    /// How many grants known here were made directly under it: they end too.
    children: usize,
    /// The id of the agent that held the grant.
    holder: Option<String>,
    /// The id of the agent that made the grant, and could make another like it.
    issuer: Option<String>,
    /// What to do beside, if anything.
    hint: String,
}

impl Revocation {
    pub(super) fn new(core: &Core, revoked: core::Revoked) -> Self {
        let name = |id: &Option<String>| {
            id.as_deref().map(|id| shown(&core.name_of(id), 80)).unwrap_or_default()
        };
        let mut hints = Vec::new();
        if let Some(issuer) = &revoked.issuer {
            let issuer = shown(&core.name_of(issuer), 80);
            hints.push(format!(
                "`{issuer}` made this grant and can make another; if it is not to be trusted, revoke the holder: engine.revoke(engine.agents.get(\"{issuer}\"), …), or `answerable revoke {issuer}`"
            ));
        }
        if revoked.children > 0 {
            let (holder, count) = (name(&revoked.holder), revoked.children);
            hints.push(format!(
                "`{holder}` delegated {count} further from it, which end too; if its key is not to be trusted, rotate it or revoke the holder"
            ));
        }
        if !revoked.seen {
            hints.push(
                "no grant of this digest was seen here yet; should it come, it is refused"
                    .to_owned(),
            );
        }
        Self {
            entry: revoked.entry.to_string(),
            target: revoked.target.word(),
            id: revoked.target.id(),
            seen: revoked.seen,
            children: revoked.children,
            holder: revoked.holder,
            issuer: revoked.issuer,
            hint: hints.join("; "),
        }
    }
}

#[pymethods]
impl Revocation {
    /// One that another process made, told again.
    #[new]
    #[pyo3(signature = (*, entry, target, id, seen, children, holder, issuer, hint))]
    #[allow(clippy::too_many_arguments)] // Its facts.
    fn told(
        py: Python<'_>,
        entry: Text<'_>,
        target: Text<'_>,
        id: Option<Text<'_>>,
        seen: Flag,
        children: Whole<0, { u64::MAX }>,
        holder: Option<Text<'_>>,
        issuer: Option<Text<'_>>,
        hint: Text<'_>,
    ) -> PyResult<Self> {
        let known = ["grant", "task", "agent", "human"].into_iter();
        let target = known.into_iter().find(|word| *word == &*target);
        let own = |text: Option<Text<'_>>| text.map(|text| text.to_string());
        Ok(Self {
            entry: entry.to_string(),
            target: target.ok_or_else(|| {
                errors::invalid(py, "there is no such target of a revocation", "")
            })?,
            id: own(id),
            seen: seen.0,
            children: children.get(),
            holder: own(holder),
            issuer: own(issuer),
            hint: hint.to_string(),
        })
    }

    fn __str__(&self) -> &str {
        &self.entry
    }

    fn __repr__(&self) -> String {
        let id = self.id.as_deref().unwrap_or("(not seen)");
        let hint = if self.hint.is_empty() { String::new() } else { format!("\n  {}", self.hint) };
        format!("<revocation of {} {id} {}>{hint}", self.target, self.entry)
    }
}

/// What a revocation names: a value, or the id of a grant, task, agent or human, or the
/// hexadecimal digest of a grant.
pub(super) fn target_of(
    py: Python<'_>,
    core: &Core,
    object: &Bound<'_, PyAny>,
) -> PyResult<Target> {
    if let Ok(grant) = object.cast::<Grant>() {
        let leaf = grant.get().held.chain().leaf();
        return Ok(Target::Grant(leaf.digest, Some(leaf.payload.id)));
    }
    if let Ok(agent) = object.cast::<Agent>() {
        return Ok(Target::Agent(agent.get().0.id));
    }
    if let Ok(human) = object.cast::<Human>() {
        return Ok(Target::Human(human.get().0.id));
    }
    if let Ok(task) = object.cast::<Task>() {
        return Ok(Target::Task(task.get().0.id));
    }
    let text = text_of(object, "a grant, task, agent or human, its id, or a grant's digest")?;
    if let Ok(id) = text.parse() {
        return Ok(Target::Agent(id));
    }
    if let Ok(id) = text.parse() {
        return Ok(Target::Human(id));
    }
    if let Ok(id) = text.parse() {
        return Ok(Target::Task(id));
    }
    enter(py, || core.grant_named(&text))
}

/// A halt in force.
#[pyclass(frozen, module = "answerable", name = "Halt")]
pub(super) struct Halt(pub(super) registry::Halt);

#[pymethods]
impl Halt {
    /// `everything`, `owner`, `agent` or `tool`.
    #[getter]
    fn target(&self) -> &'static str {
        self.0.target.word()
    }

    /// The owner's or agent's id, or the tool pattern; empty for everything.
    #[getter]
    fn name(&self) -> String {
        self.0.target.name()
    }

    /// Since when.
    #[getter]
    fn at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.0.at)
    }

    /// The id of who halted it; `None` if the record cannot be read, which halts everything.
    #[getter]
    fn by(&self) -> Option<String> {
        self.0.by.map(|by| by.to_string())
    }

    #[getter]
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    fn __repr__(&self) -> String {
        let reason = shown(self.0.reason.as_deref().unwrap_or("(cannot be read)"), 80);
        format!("<halt of {} {}: {reason}>", self.0.target.word(), shown(&self.0.target.name(), 80))
    }
}

/// What a halt names: one thing, or everything.
pub(super) fn halted_of(
    py: Python<'_>,
    core: &Core,
    agent: Option<&Bound<'_, PyAny>>,
    owner: Option<&Bound<'_, PyAny>>,
    tool: Option<String>,
) -> PyResult<Halted> {
    match (agent, owner, tool) {
        (None, None, None) => Ok(Halted::Everything),
        (Some(agent), None, None) => Ok(Halted::Agent(agent_id(py, core, agent)?)),
        (None, Some(owner), None) => Ok(Halted::Owner(human_id(py, core, owner)?)),
        (None, None, Some(tool)) => Ok(Halted::Tool(tool)),
        _ => Err(errors::invalid(
            py,
            "a halt names one of agent, owner and tool",
            "call it once for each",
        )),
    }
}

/// A departure and its proof.
#[pyclass(frozen, module = "answerable", name = "Offboarding")]
pub(super) struct Offboarding {
    inner: registry::Offboarding,
    text: String,
}

/// One agent, grant or lease of a departure.
#[pyclass(frozen, get_all, module = "answerable", name = "OffboardingItem")]
pub(super) struct OffboardingItem {
    /// `agent`, `grant` or `lease`.
    kind: String,
    /// Its id.
    id: String,
    /// What became of it.
    action: String,
    /// The entry that says so.
    entry: String,
    /// A grant's digest, in hexadecimal.
    digest: Option<String>,
}

#[pymethods]
impl OffboardingItem {
    fn __repr__(&self) -> String {
        format!("<{} {} {}>", self.kind, self.id, self.action)
    }
}

#[pymethods]
impl Offboarding {
    /// The proof: JSON text that `ans.verify_offboarding` checks with the public key alone.
    #[getter]
    fn text(&self) -> &str {
        &self.text
    }

    /// The id of who left.
    #[getter]
    fn human(&self) -> &str {
        &self.inner.human
    }

    /// The id of who has their agents now.
    #[getter]
    fn successor(&self) -> Option<&str> {
        self.inner.successor.as_deref()
    }

    /// The id of who saw to it.
    #[getter]
    fn by(&self) -> &str {
        &self.inner.by
    }

    /// When.
    #[getter]
    fn at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, crate::clock::parse_instant(&self.inner.at).unwrap_or_default())
    }

    /// The entry of the departure.
    #[getter]
    fn entry(&self) -> &str {
        &self.inner.entry
    }

    /// The entry that revokes every grant given for them.
    #[getter]
    fn revocation(&self) -> &str {
        &self.inner.revocation
    }

    /// How many agents.
    #[getter]
    fn agents(&self) -> u64 {
        self.inner.agents
    }

    /// How many grants still stood.
    #[getter]
    fn grants(&self) -> u64 {
        self.inner.grants
    }

    /// How many approvals were open.
    #[getter]
    fn approvals(&self) -> u64 {
        self.inner.approvals
    }

    /// How many leases of credentials ran.
    #[getter]
    fn leases(&self) -> u64 {
        self.inner.leases
    }

    /// Each of them.
    #[getter]
    fn items(&self) -> Vec<OffboardingItem> {
        let items = self.inner.items.iter().cloned();
        items
            .map(|item| OffboardingItem {
                kind: item.kind,
                id: item.id,
                action: item.action,
                entry: item.entry,
                digest: item.digest,
            })
            .collect()
    }

    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        let gone = &self.inner;
        format!("<offboarding of {}: {} agents, {} grants>", gone.human, gone.agents, gone.grants)
    }
}

/// Checks an offboarding proof with the authority's public key alone: no engine, no store.
#[pyfunction]
#[pyo3(signature = (proof, authority))]
pub(super) fn verify_offboarding(
    py: Python<'_>,
    proof: &Bound<'_, PyAny>,
    authority: Text<'_>,
) -> PyResult<Offboarding> {
    let authority = public_key(py, &authority)?;
    if let Ok(given) = proof.cast::<Offboarding>() {
        return offboarding(py, &given.get().text, &authority);
    }
    offboarding(py, &text_of(proof, "the text of an offboarding proof")?, &authority)
}

pub(super) fn offboarding(
    py: Python<'_>,
    text: &str,
    authority: &crate::keys::PublicKey,
) -> PyResult<Offboarding> {
    let inner = registry::verify_offboarding(text, authority).map_err(|why| {
        let message = format!("the offboarding proof is not sound: {why}");
        errors::make(py, "TrailCorrupted", &message, "proof_invalid", "", &[])
    })?;
    Ok(Offboarding { inner, text: text.to_owned() })
}
