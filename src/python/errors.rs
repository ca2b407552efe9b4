//! Errors of the core as Python exceptions. The matches have no catch-all: a new error does not
//! compile until somebody decides what it is in Python.

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyModule, PyType};

use crate::chain::InvalidGrant;
use crate::engine::EngineError;
use crate::keys::KeyError;
use crate::registry::RegistryError;
use crate::scope::ScopeError;
use crate::store::StoreError;

/// The longest message of an error, in characters.
const LONGEST: usize = 4000;

static ERRORS: PyOnceLock<Py<PyModule>> = PyOnceLock::new();

/// A class of `answerable.errors`.
pub(super) fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyType>> {
    let module =
        ERRORS.get_or_try_init(py, || py.import("answerable.errors").map(Bound::unbind))?;
    Ok(module.bind(py).getattr(name)?.cast_into::<PyType>()?)
}

/// Makes an exception of `answerable.errors`.
pub(super) fn make(
    py: Python<'_>,
    name: &str,
    message: &str,
    code: &str,
    hint: &str,
    details: &[(&str, Py<PyAny>)],
) -> PyErr {
    // What was given may be of any length; what is said of it is to be read.
    let message = &*match message.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", message.get(..at).unwrap_or_default()).into(),
        None => std::borrow::Cow::Borrowed(message),
    };
    let built = class(py, name).and_then(|class| {
        let kwargs = PyDict::new(py);
        kwargs.set_item("code", code)?;
        kwargs.set_item("hint", hint)?;
        for (key, value) in details {
            kwargs.set_item(key, value)?;
        }
        class.call((message,), Some(&kwargs))
    });
    match built {
        Ok(error) => PyErr::from_value(error),
        Err(error) => error,
    }
}

/// `InvalidInput`.
pub(super) fn invalid(py: Python<'_>, message: &str, hint: &str) -> PyErr {
    make(py, "InvalidInput", message, "invalid_input", hint, &[])
}

/// Splits a core message of the form `what went wrong; what to do` into message and hint.
fn split(message: &str) -> (&str, &str) {
    message.rsplit_once("; ").unwrap_or((message, ""))
}

pub(super) fn engine(py: Python<'_>, error: &EngineError) -> PyErr {
    match error {
        EngineError::Store(error) => store(py, error),
        EngineError::Key(error) => key(py, error),
        EngineError::Grant(error) => grant(py, error),
        EngineError::Registry(error) => registry(py, error),
        EngineError::Block(error) => corrupted(py, &error.to_string()),
        EngineError::Checkpoint(error) => corrupted(py, &error.to_string()),
        EngineError::Policy(faults) => super::policy::refused(py, error, faults),
        EngineError::Invalid(message) => {
            let (message, hint) = split(message);
            invalid(py, message, hint)
        }
        EngineError::Withheld(error) => withheld(py, error),
        EngineError::ClockBehind => {
            let text = error.to_string();
            let (message, hint) = split(&text);
            make(py, "IllegalTransition", message, "clock_behind", hint, &[])
        }
    }
}

pub(super) fn withheld(py: Python<'_>, error: &crate::engine::Withheld) -> PyErr {
    let (message, hint) = split(&error.message);
    make(py, "VaultError", message, error.code, hint, &[])
}

fn corrupted(py: Python<'_>, message: &str) -> PyErr {
    make(py, "TrailCorrupted", message, "trail_corrupted", "run `answerable doctor`", &[])
}

pub(super) fn store(py: Python<'_>, error: &StoreError) -> PyErr {
    let class = match error {
        StoreError::Busy { .. } | StoreError::Attached { .. } => "StoreBusy",
        StoreError::Closed | StoreError::Forked => "EngineClosed",
        StoreError::Unavailable { .. } => "StoreUnavailable",
        StoreError::Corrupt { .. }
        | StoreError::Refused { .. }
        | StoreError::PutBack { .. }
        | StoreError::TooNew { .. } => "StoreError",
    };
    let text = error.to_string();
    let (message, hint) = text.rsplit_once(": ").unwrap_or((&text, ""));
    let (message, hint) = match error {
        StoreError::Unavailable { .. }
        | StoreError::Corrupt { .. }
        | StoreError::PutBack { .. }
        | StoreError::Refused { .. } => split(&text),
        _ => (message, hint),
    };
    make(py, class, message, error.code(), hint, &[])
}

pub(super) fn key(py: Python<'_>, error: &KeyError) -> PyErr {
    let text = error.to_string();
    let (message, hint) = split(&text);
    make(py, "InvalidInput", message, "key", hint, &[])
}

pub(super) fn grant(py: Python<'_>, error: &InvalidGrant) -> PyErr {
    let hop = error.hop.into_pyobject(py).map(|hop| hop.into_any().unbind());
    let Ok(hop) = hop;
    make(py, "InvalidGrant", &error.to_string(), error.error.code(), "", &[("hop", hop)])
}

pub(super) fn registry(py: Python<'_>, error: &RegistryError) -> PyErr {
    match error {
        RegistryError::NotFound { kind, .. } => {
            let hint = match *kind {
                "credential" => "list what there is with engine.vault.list()".to_owned(),
                kind => format!("list what there is with engine.{kind}s.list()"),
            };
            make(py, "NotFound", &error.to_string(), "not_found", &hint, &[])
        }
        RegistryError::Invalid(message) => {
            let (message, hint) = split(message);
            invalid(py, message, hint)
        }
        RegistryError::Illegal(message) => {
            let (message, hint) = split(message);
            make(py, "IllegalTransition", message, "illegal_transition", hint, &[])
        }
        RegistryError::Key(error) => key(py, error),
        RegistryError::Store(error) => store(py, error),
    }
}

pub(super) fn scope(py: Python<'_>, error: &ScopeError) -> PyErr {
    make(py, "InvalidInput", &error.to_string(), error.code(), "", &[])
}
