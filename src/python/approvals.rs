//! Approvals as Python values: what waits for a human, and the answers.

use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;

use super::convert::{Text, Whole};
use super::people::{Grant, human_id, text_of};
use super::values::Reason;
use super::{convert, enter, errors};
use crate::engine::{Engine as Core, EngineError, ToldApproval, shown};
use crate::principal::ApprovalId;
use crate::registry::Stage;

/// How long a wait goes on before the interpreter is asked whether it was interrupted.
const SLICE: Duration = Duration::from_millis(200);

/// What a human is asked: one call, or access. Where it stands, and its answer, are looked up when
/// they are asked for.
#[pyclass(frozen, module = "answerable", name = "Approval")]
pub(super) struct Approval {
    told: ToldApproval,
    core: Arc<Core>,
}

impl Approval {
    pub(super) fn of(py: Python<'_>, core: &Arc<Core>, id: &ApprovalId) -> PyResult<Self> {
        let told = enter(py, || core.approval(id))?;
        Ok(Self { told, core: core.clone() })
    }

    pub(super) fn told(told: ToldApproval, core: &Arc<Core>) -> Self {
        Self { told, core: core.clone() }
    }

    pub(super) fn core(&self) -> &Core {
        &self.core
    }

    fn now(&self, py: Python<'_>) -> PyResult<ToldApproval> {
        enter(py, || self.core.approval(&self.told.approval.id))
    }
}

#[pymethods]
impl Approval {
    #[getter]
    fn id(&self) -> String {
        self.told.approval.id.to_string()
    }

    /// `call` or `access`.
    #[getter]
    fn kind(&self) -> &'static str {
        self.told.approval.purpose.word()
    }

    /// `pending`, `approved`, `refused`, `used`, `expired` or `ended`.
    #[getter]
    fn status(&self, py: Python<'_>) -> PyResult<&'static str> {
        Ok(self.now(py)?.stage.word())
    }

    /// The tool; empty where access is asked for.
    #[getter]
    fn tool(&self) -> &str {
        &self.told.approval.tool
    }

    #[getter]
    fn resource(&self) -> Option<&str> {
        self.told.resource.as_deref()
    }

    /// The arguments as they were recorded, in words, by name.
    #[getter]
    fn arguments(&self) -> std::collections::BTreeMap<String, String> {
        self.told.arguments.iter().cloned().collect()
    }

    /// Why the call was not simply allowed.
    #[getter]
    fn reasons(&self) -> Vec<Reason> {
        self.told.reasons.iter().map(Reason::from).collect()
    }

    /// The scope that is asked for, a line a capability; empty for a call.
    #[getter]
    fn scope(&self) -> Vec<String> {
        self.told.scope.clone()
    }

    /// Why access is asked for, in the asker's words.
    #[getter]
    fn reason(&self) -> Option<&str> {
        self.told.why.as_deref()
    }

    /// How long access is asked for, in seconds.
    #[getter]
    #[allow(clippy::cast_precision_loss)] // Seconds as a float, as everywhere in Python.
    fn ttl(&self) -> Option<f64> {
        self.told.ttl.map(|ttl| ttl as f64 / 1e6)
    }

    /// The id of the human accountable.
    #[getter]
    fn human(&self) -> String {
        self.told.approval.human.to_string()
    }

    /// The id of the agent that asks.
    #[getter]
    fn agent(&self) -> String {
        self.told.approval.agent.to_string()
    }

    /// What people call the human accountable.
    #[getter]
    fn human_name(&self) -> &str {
        &self.told.human_name
    }

    /// What the agents of the chain are called, from the root.
    #[getter]
    fn via(&self) -> Vec<String> {
        self.told.via.clone()
    }

    /// The task's id.
    #[getter]
    fn task(&self) -> String {
        self.told.approval.task.to_string()
    }

    /// The task's sentence; `None` once erased.
    #[getter]
    fn sentence(&self) -> Option<&str> {
        self.told.sentence.as_deref()
    }

    /// The version of the policies that asked.
    #[getter]
    fn policy_version(&self) -> &str {
        &self.told.approval.policy
    }

    /// The entry that asks.
    #[getter]
    fn entry(&self) -> String {
        self.told.approval.entry.to_string()
    }

    /// The decision that asked; `None` where access is asked for.
    #[getter]
    fn decision(&self) -> Option<String> {
        self.told.approval.decision.map(|id| id.to_string())
    }

    #[getter]
    fn asked_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.told.approval.asked_at)
    }

    #[getter]
    fn expires_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.told.approval.expires_at)
    }

    /// The id of who answered.
    #[getter]
    fn by(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.now(py)?.approval.answer.as_ref().map(|answer| answer.by.to_string()))
    }

    /// What people call who answered.
    #[getter]
    fn by_name(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.now(py)?.by_name)
    }

    /// How sure we were of who answered.
    #[getter]
    fn assurance(&self, py: Python<'_>) -> PyResult<Option<&'static str>> {
        Ok(self.now(py)?.approval.answer.as_ref().map(|answer| answer.assurance.word()))
    }

    #[getter]
    fn answered_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        let at = self.now(py)?.approval.answer.as_ref().map(|answer| answer.at);
        at.map(|at| convert::instant(py, at)).transpose()
    }

    /// The note of who answered; `None` once erased.
    #[getter]
    fn note(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.now(py)?.note)
    }

    /// The code of what ended it.
    #[getter]
    fn because(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.now(py)?.approval.because.clone())
    }

    /// The decision that used the yes.
    #[getter]
    fn used(&self, py: Python<'_>) -> PyResult<Option<String>> {
        Ok(self.now(py)?.approval.used.map(|id| id.to_string()))
    }

    /// The grant that a yes to access gave.
    #[getter]
    fn grant(&self, py: Python<'_>) -> PyResult<Option<Grant>> {
        let held = enter(py, || {
            let told = self.core.approval(&self.told.approval.id)?;
            self.core.granted_access(&told.approval)
        })?;
        Ok(held.map(|held| Grant { held, engine: self.core.clone() }))
    }

    /// Waits until it is not pending any more; answers whether it is not.
    #[pyo3(signature = (timeout=None))]
    fn wait(&self, py: Python<'_>, timeout: Option<&Bound<'_, PyAny>>) -> PyResult<bool> {
        let most = timeout.map(convert::duration).transpose();
        let most = most.map_err(|why| errors::invalid(py, &why, ""))?;
        let most = most.map(|most| Duration::from_micros(u64::try_from(most).unwrap_or(0)));
        let id = self.told.approval.id;
        let begun = crate::clock::Stopwatch::start();
        loop {
            let spent = Duration::from_micros(u64::try_from(begun.micros()).unwrap_or(0));
            let left = most.map_or(SLICE, |most| most.saturating_sub(spent).min(SLICE));
            if enter(py, || self.core.wait_approval(id, left))? {
                return Ok(true);
            }
            py.check_signals()?;
            if most.is_some_and(|most| spent >= most) {
                return Ok(false);
            }
        }
    }

    /// Calls `done` once, from another thread, when it is not pending any more. Answers what
    /// `forget` takes.
    fn when_answered(&self, py: Python<'_>, done: Py<PyAny>) -> PyResult<u64> {
        let told = move || {
            // An interpreter that is going away has nobody who waits.
            let _ = Python::try_attach(|py| {
                if let Err(error) = done.call0(py) {
                    // The loop is gone, and with it whoever waited.
                    tracing::debug!(error = %error, "nobody waits any more");
                }
            });
        };
        enter(py, || self.core.watch_approval(self.told.approval.id, Box::new(told)))
    }

    /// Takes back what `when_answered` left.
    fn forget(&self, py: Python<'_>, token: Whole<0, { u64::MAX }>) {
        py.detach(|| self.core.forget_approval(&self.told.approval.id, token.0));
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        let id = self.told.approval.id;
        other.cast::<Self>().is_ok_and(|other| other.get().told.approval.id == id)
    }

    fn __hash__(&self) -> u64 {
        super::people::hash(self.told.approval.id.as_bytes())
    }

    fn __str__(&self) -> String {
        self.id()
    }

    fn __repr__(&self) -> String {
        let (id, kind) = (self.id(), self.kind());
        let agent = shown(&self.told.agent_name, 80);
        let what = match kind {
            "call" => shown(&self.told.approval.tool, 80),
            _ => shown(&self.told.scope.join("; "), 200),
        };
        format!("<approval {id}: {agent} asks for the {kind} {what}>")
    }
}

/// The approvals of an engine.
#[pyclass(frozen, subclass, module = "answerable._core", name = "Approvals")]
pub(super) struct Approvals(pub(super) Arc<Core>);

#[pymethods]
impl Approvals {
    #[new]
    fn new(engine: &super::engine::Engine) -> Self {
        Self(engine.core.clone())
    }

    /// What waits for a human, oldest first.
    fn pending(&self, py: Python<'_>) -> PyResult<Vec<Approval>> {
        self.of(py, Some(Stage::Pending))
    }

    /// Approvals by status, oldest first; all of them without one.
    #[pyo3(signature = (*, status=None))]
    fn list(&self, py: Python<'_>, status: Option<Text<'_>>) -> PyResult<Vec<Approval>> {
        let stage = status.as_deref().map(|word| {
            Stage::parse(word).ok_or_else(|| {
                let message = format!("there is no status `{}`", shown(word, 40));
                let hint = "choose pending, approved, refused, used, expired or ended";
                errors::invalid(py, &message, hint)
            })
        });
        self.of(py, stage.transpose()?)
    }

    /// One approval by its id.
    fn get(&self, py: Python<'_>, approval: &Bound<'_, PyAny>) -> PyResult<Approval> {
        Approval::of(py, &self.0, &approval_id(py, approval)?)
    }

    /// Records a human's yes.
    #[pyo3(signature = (approval, *, by, note=None))]
    fn approve(
        &self,
        py: Python<'_>,
        approval: &Bound<'_, PyAny>,
        by: &Bound<'_, PyAny>,
        note: Option<Text<'_>>,
    ) -> PyResult<Approval> {
        self.answer(py, approval, true, by, note.as_deref())
    }

    /// Records a human's no.
    #[pyo3(signature = (approval, *, by, note=None))]
    fn refuse(
        &self,
        py: Python<'_>,
        approval: &Bound<'_, PyAny>,
        by: &Bound<'_, PyAny>,
        note: Option<Text<'_>>,
    ) -> PyResult<Approval> {
        self.answer(py, approval, false, by, note.as_deref())
    }

    fn __repr__(&self) -> String {
        format!("<approvals of {:?}>", self.0)
    }
}

impl Approvals {
    fn of(&self, py: Python<'_>, stage: Option<Stage>) -> PyResult<Vec<Approval>> {
        let told = enter(py, || self.0.approvals(stage))?;
        Ok(told.into_iter().map(|told| Approval::told(told, &self.0)).collect())
    }

    fn answer(
        &self,
        py: Python<'_>,
        approval: &Bound<'_, PyAny>,
        yes: bool,
        by: &Bound<'_, PyAny>,
        note: Option<&str>,
    ) -> PyResult<Approval> {
        let id = approval_id(py, approval)?;
        let by = human_id(py, &self.0, by)?;
        let told = enter(py, || self.0.answer(&id, yes, by, note))?;
        Ok(Approval::told(told, &self.0))
    }
}

/// An approval, or its id.
fn approval_id(py: Python<'_>, object: &Bound<'_, PyAny>) -> PyResult<ApprovalId> {
    if let Ok(approval) = object.cast::<Approval>() {
        return Ok(approval.get().told.approval.id);
    }
    let text = text_of(object, "an approval or its id")?;
    text.parse().map_err(|_| {
        let name = text.chars().take(80).collect();
        let error = crate::registry::RegistryError::NotFound { kind: "approval", name };
        errors::engine(py, &EngineError::from(error))
    })
}
