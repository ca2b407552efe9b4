//! The holder's socket from Python: serving it, and reaching through it.

use std::sync::{Arc, Weak};

use pyo3::prelude::*;

use super::convert::{Own, Text, expected};
use super::engine::Engine;
use super::values::{Capability, Limit, capabilities, limits_of, scope_of};
use super::{enter, errors};
use crate::engine::Engine as Core;
use crate::scope;

/// Serves other processes of the same user while the engine holds its store; what they ask to be
/// changed, `answer` changes: it is called with the text of a request and an engine.
#[pyfunction]
pub(super) fn serve(py: Python<'_>, engine: Own<'_, Engine>, answer: Py<PyAny>) -> PyResult<()> {
    let core = engine.0.get().core.clone();
    let weak: Weak<Core> = Arc::downgrade(&core);
    let verbs = move |text: &str| {
        let ends =
            || ("store_unavailable".to_owned(), "its holder is closing the store".to_owned());
        let core = weak.upgrade().ok_or_else(ends)?;
        let answered = Python::try_attach(|py| {
            let engine = Engine::of(core);
            answer.call1(py, (text, engine)).and_then(|text| text.extract::<String>(py)).map_err(
                |error| {
                    // The text of an unforeseen error may hold anything: it stays here.
                    tracing::error!(error = %kind_of(py, &error), "a request could not be answered");
                    ("store_unavailable".to_owned(), "its holder could not answer".to_owned())
                },
            )
        });
        answered.ok_or_else(ends)?
    };
    enter(py, || core.serve(Box::new(verbs)))
}

fn kind_of(py: Python<'_>, error: &PyErr) -> String {
    super::convert::type_name(error.value(py).as_any())
}

/// The process that holds the store of an attached engine, and two numbers that change when its
/// state has changed; `None` for an engine that holds its store itself.
#[pyfunction]
pub(super) fn holder(py: Python<'_>, engine: Own<'_, Engine>) -> PyResult<Option<(u32, u64, u64)>> {
    let core = engine.0.get().core.clone();
    enter(py, || {
        let Some(holder) = core.holder() else { return Ok(None) };
        let (run, epoch) = holder.version()?;
        Ok(Some((holder.pid(), run, epoch)))
    })
}

/// Hands a request to the process that holds the store; answers its text.
#[pyfunction]
pub(super) fn ask(py: Python<'_>, engine: Own<'_, Engine>, request: Text<'_>) -> PyResult<String> {
    let core = engine.0.get().core.clone();
    let request = &*request;
    enter(py, || {
        let holder = core.holder().ok_or_else(|| {
            crate::engine::EngineError::Invalid("this engine holds its store itself".to_owned())
        })?;
        Ok(holder.verb(request)?)
    })
}

/// Capabilities or limits as JSON text, in the form that grants are signed in.
#[pyfunction]
pub(super) fn to_wire(py: Python<'_>, items: &Bound<'_, PyAny>) -> PyResult<String> {
    let failed = |error: serde_json::Error| errors::invalid(py, &error.to_string(), "");
    if let Ok(scope) = scope_of(items) {
        return serde_json::to_string(scope.capabilities()).map_err(failed);
    }
    let limits = limits_of(items).map_err(|_| expected(items, "capabilities or limits"))?;
    serde_json::to_string(&limits).map_err(failed)
}

/// Capabilities from the text that [`to_wire`] made.
#[pyfunction]
pub(super) fn scope_from_wire(py: Python<'_>, text: Text<'_>) -> PyResult<Vec<Capability>> {
    let read: Result<Vec<scope::Capability>, _> = serde_json::from_str(&text);
    let scope = read
        .map_err(|error| errors::invalid(py, &error.to_string(), ""))
        .and_then(|all| scope::Scope::new(all).map_err(|error| errors::scope(py, &error)))?;
    Ok(capabilities(&scope))
}

/// Limits from the text that [`to_wire`] made.
#[pyfunction]
pub(super) fn limits_from_wire(py: Python<'_>, text: Text<'_>) -> PyResult<Vec<Limit>> {
    let read: Result<Vec<scope::Limit>, _> = serde_json::from_str(&text);
    let limits = read.map_err(|error| errors::invalid(py, &error.to_string(), ""))?;
    Ok(limits.into_iter().map(Limit::of).collect())
}
