//! A call that was begun: whether it may run, and how it ended. And what a denial looks like.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::exceptions::PyException;
use pyo3::prelude::*;

use super::super::approvals::Approval;
use super::super::convert::{Budget, snapshot, type_name};
use super::super::errors;
use super::super::values::Decision;
use super::super::vault::{Lease, Vault};
use crate::canonical::Value;
use crate::clock::Stopwatch;
use crate::decision::{Effect, Reason, code};
use crate::engine::{Engine as Core, Judged, Masking, Outcome, Recorded, Texts, shown};
use crate::principal::EntryId;
use crate::store::StoreError;

/// How much of an exception's text is read, in bytes; what is recorded of it is far shorter.
const MAX_READ: usize = 256 * 1024;

/// An allowed call that runs.
#[pyclass(frozen, weakref, module = "answerable._core", name = "Call")]
pub(in crate::python) struct Call {
    tool: Arc<str>,
    core: Arc<Core>,
    judged: Arc<Judged>,
    masking: Arc<Masking>,
    result: Recorded,
    texts: Texts,
    watch: Stopwatch,
    done: AtomicBool,
}

#[pymethods]
impl Call {
    /// The decision's entry.
    #[getter]
    fn entry(&self) -> Option<String> {
        self.judged.entry.map(|entry| entry.to_string())
    }

    /// Whether the decision's entry has to become durable before the tool may run.
    #[getter]
    fn pending(&self) -> bool {
        self.judged.must_wait
    }

    /// Whether what gave the call its authority has ended since it was allowed.
    #[getter]
    fn cancelled(&self) -> bool {
        self.core.authority_ended(&self.judged).is_some()
    }

    /// Calls `done` from another thread, with `None` or an exception, when the entry is durable.
    fn when_durable(&self, upto: Option<u64>, done: Py<PyAny>) {
        let upto = upto.unwrap_or(self.judged.upto);
        let told = move |result: Result<(), StoreError>| {
            // An interpreter that is going away has nobody who waits.
            let _ = Python::try_attach(|py| {
                let argument = match &result {
                    Ok(()) => py.None(),
                    Err(error) => errors::store(py, error).into_value(py).into_any(),
                };
                if let Err(error) = done.call1(py, (argument,)) {
                    // The loop is gone, and with it whoever waited.
                    tracing::debug!(error = %error, "nobody waits any more");
                }
            });
        };
        self.core.notify(upto, Box::new(told));
    }

    /// Waits until the entry is durable; answers `None` or an exception.
    #[pyo3(signature = (upto=None))]
    fn wait(&self, py: Python<'_>, upto: Option<u64>) -> Option<Py<PyAny>> {
        let upto = upto.unwrap_or(self.judged.upto);
        let waited = py.detach(|| self.core.wait(upto));
        waited.err().map(|error| errors::store(py, &error).into_value(py).into_any())
    }

    /// What the call was lent.
    #[getter]
    fn leases(slf: &Bound<'_, Self>) -> Vec<Lease> {
        let call = slf.get();
        let (core, judged) = (&call.core, &call.judged);
        judged.leases.iter().map(|lease| Lease::new(core, judged, lease.clone())).collect()
    }

    /// What it was lent of a credential, if it was.
    fn lease(&self, name: &str) -> Option<Lease> {
        let lease = self.judged.leases.iter().find(|lease| *lease.credential == *name)?;
        Some(Lease::new(&self.core, &self.judged, lease.clone()))
    }

    /// Whether a provider has to make a secret for it.
    #[getter]
    fn provided(&self) -> bool {
        self.judged.leases.iter().any(|lease| lease.provider.is_some())
    }

    /// The vault that its credentials are of.
    #[getter]
    fn vault(&self) -> Vault {
        Vault(self.core.clone())
    }

    /// The denial of a call whose credential's provider gave no secret.
    fn unlent(&self, py: Python<'_>, message: &str, fix: &str) -> Py<PyAny> {
        let clean = self.core.redact(message);
        let message = clean.as_deref().unwrap_or(message);
        let reason = Reason::new(code::CREDENTIAL_UNAVAILABLE, message).fix(fix);
        let decision = crate::decision::Decision::deny(vec![reason]);
        let entry = self.judged.entry.map(|entry| entry.to_string());
        denied_for(py, &self.tool, &decision, entry).into_value(py).into_any()
    }

    /// The tool's name.
    #[getter]
    fn tool(&self) -> &str {
        &self.tool
    }

    /// Raises the denial that a pending call turned out to be, if it is one.
    #[pyo3(signature = (error=None))]
    fn settle(&self, py: Python<'_>, error: Option<Bound<'_, PyAny>>) -> PyResult<()> {
        if let Some(error) = error {
            let closed = error.is_instance(errors::class(py, "EngineClosed")?.as_any())?;
            let code = if closed { code::ENGINE_CLOSED } else { code::STORE_UNAVAILABLE };
            let reason = Reason::new(code, error.to_string());
            let decision = crate::decision::Decision::deny(vec![reason]);
            let denied = denied_for(py, &self.tool, &decision, None);
            denied.set_cause(py, Some(PyErr::from_value(error)));
            return Err(denied);
        }
        if self.judged.decision.effect == Effect::Allow {
            return Ok(());
        }
        Err(denial(py, &self.tool, &self.core, &self.judged))
    }

    /// Records that the call returned. With `wait` false, answers what must be durable before the
    /// result is released.
    #[pyo3(signature = (result, *, wait=true))]
    fn returned(
        &self,
        py: Python<'_>,
        result: &Bound<'_, PyAny>,
        wait: bool,
    ) -> PyResult<Option<u64>> {
        let value = match self.result {
            Recorded::Keep => self.recorded(result),
            Recorded::Mask | Recorded::Digest => Err(type_name(result)),
        };
        self.finish(py, &Outcome::Returned(value), wait)
    }

    /// Records that the call raised. What stops a program, task or generator is never replaced by
    /// an error of the store, nor kept waiting.
    #[pyo3(signature = (error, *, wait=true))]
    fn raised(
        &self,
        py: Python<'_>,
        error: &Bound<'_, PyAny>,
        wait: bool,
    ) -> PyResult<Option<u64>> {
        let text = error.str().map(|text| text.to_string_lossy().into_owned());
        let mut text = text.unwrap_or_else(|_| "(its text cannot be read)".to_owned());
        if text.len() > MAX_READ {
            text = text.chars().take(MAX_READ / 4).collect();
        }
        let outcome = Outcome::Raised(type_name(error), self.texts.scrub(text));
        if error.is_instance_of::<PyException>() {
            return self.finish(py, &outcome, wait);
        }
        if let Err(error) = self.finish(py, &outcome, false) {
            tracing::error!(error = %error, "an outcome could not be recorded");
        }
        Ok(None)
    }

    fn __repr__(&self) -> String {
        let entry = self.entry().unwrap_or_default();
        format!("<call of {} {entry}>", shown(&self.tool, 80))
    }
}

impl Call {
    pub(super) fn new(
        tool: Arc<str>,
        core: Arc<Core>,
        judged: Judged,
        masking: Arc<Masking>,
        result: Recorded,
        texts: Texts,
    ) -> Self {
        let (watch, done) = (Stopwatch::start(), AtomicBool::new(false));
        let judged = Arc::new(judged);
        Self { tool, core, judged, masking, result, texts, watch, done }
    }

    /// The decision's entry.
    pub(in crate::python) fn id(&self) -> Option<EntryId> {
        self.judged.entry
    }

    /// A result as it is recorded; its type where that is all.
    fn recorded(&self, result: &Bound<'_, PyAny>) -> Result<Value, String> {
        let mut budget = Budget::for_results();
        let (value, _) = snapshot(result, &mut budget).map_err(|_| type_name(result))?;
        if self.texts.are_in(&value) {
            return Err(type_name(result));
        }
        match self.masking.veil("return", &value) {
            Cow::Borrowed(_) => Ok(value),
            Cow::Owned(veiled) => Ok(veiled),
        }
    }

    fn finish(&self, py: Python<'_>, outcome: &Outcome, wait: bool) -> PyResult<Option<u64>> {
        // What was not allowed has no outcome: a pending call may turn out so.
        if self.judged.decision.effect != Effect::Allow || self.done.swap(true, Ordering::AcqRel) {
            return Ok(None);
        }
        let upto = self
            .core
            .finish(&self.judged, self.watch.micros(), outcome)
            .map_err(|error| errors::store(py, &error))?;
        match upto {
            Some(upto) if wait => {
                py.detach(|| self.core.wait(upto)).map_err(|error| errors::store(py, &error))?;
                Ok(None)
            }
            upto => Ok(upto),
        }
    }
}

impl Drop for Call {
    /// What was lent does not outlive the call, also where it never ran.
    fn drop(&mut self) {
        if !self.judged.leases.iter().all(|lease| lease.ended()) {
            self.core.end_leases(&self.judged);
        }
    }
}

pub(super) fn denial(py: Python<'_>, tool: &str, core: &Arc<Core>, judged: &Judged) -> PyErr {
    let entry = judged.entry.map(|entry| entry.to_string());
    let asked = judged.decision.approval.filter(|_| judged.decision.effect == Effect::Ask);
    let error = match asked.map(|id| Approval::of(py, core, &id).and_then(|told| Py::new(py, told)))
    {
        None => denied_for(py, tool, &judged.decision, entry),
        Some(Ok(approval)) => {
            let details = [("approval", approval.into_any())];
            denied(py, "ApprovalRequired", tool, &judged.decision, entry, details)
        }
        // What waits cannot be told: the call is denied all the same, and says why.
        Some(Err(cause)) => {
            let error = denied_for(py, tool, &judged.decision, entry);
            error.set_cause(py, Some(cause));
            return error;
        }
    };
    if let Some(cause) = &judged.cause {
        error.set_cause(py, Some(errors::store(py, cause)));
    }
    error
}

fn denied_for(
    py: Python<'_>,
    tool: &str,
    decision: &crate::decision::Decision,
    entry: Option<String>,
) -> PyErr {
    denied(py, "AccessDenied", tool, decision, entry, [])
}

fn denied<const N: usize>(
    py: Python<'_>,
    class: &str,
    tool: &str,
    decision: &crate::decision::Decision,
    entry: Option<String>,
    more: [(&str, Py<PyAny>); N],
) -> PyErr {
    let first = decision.reasons.first();
    let code = first.map_or("access_denied", |reason| &*reason.code).to_owned();
    let hint = first.and_then(|reason| reason.fix.clone()).unwrap_or_default();
    let clean = crate::vault::scrub_everywhere(tool);
    let tool = clean.as_deref().unwrap_or(tool);
    let message = decision.sentence(&shown(tool, 80));
    let python = match Py::new(py, Decision::new(decision, tool, entry)) {
        Ok(decision) => decision.into_any(),
        Err(error) => return error,
    };
    let mut details = vec![("decision", python)];
    details.extend(more);
    errors::make(py, class, &message, &code, &hint, &details)
}

/// The denial of a call that nothing can judge.
pub(super) fn no_engine(py: Python<'_>, tool: &str) -> PyErr {
    let reason = Reason::new(code::NO_ENGINE, "no engine is open, so nothing can answer for it");
    let reason = reason.fix("open one with ans.open(\"./governance\")");
    denied_for(py, tool, &crate::decision::Decision::deny(vec![reason]), None)
}
