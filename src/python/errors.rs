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
use crate::vault::scrub_everywhere;

/// The longest message of an error, in characters.
const LONGEST: usize = 4000;

/// What a tool's name or pattern looks like.
pub(super) const TOOL: &str =
    "dot segments of A-Z, a-z, 0-9, _ and -, such as `pay.transfer`; in a pattern `pay.*`";
/// What a resource or a pattern of some looks like.
pub(super) const RESOURCE: &str = "slash segments such as `account/travel-1`, or typed: `path:/srv/a`, `url:https://host/a`, `id:a`; in a pattern `account/*`";

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
    // Whatever it repeats of what was given: no secret of a vault leaves in it.
    let (clean, clean_hint) = (scrub_everywhere(message), scrub_everywhere(hint));
    let (message, hint) =
        (clean.as_deref().unwrap_or(message), clean_hint.as_deref().unwrap_or(hint));
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
        EngineError::Policy(faults) => super::policy_fault::refused(py, error, faults),
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
        | StoreError::CutShort { .. }
        | StoreError::Refused { .. }
        | StoreError::PutBack { .. }
        | StoreError::TooNew { .. } => "StoreError",
    };
    let text = error.to_string();
    let (message, hint) = text.rsplit_once(": ").unwrap_or((&text, ""));
    let (message, hint) = match error {
        StoreError::Unavailable { .. }
        | StoreError::Corrupt { .. }
        | StoreError::CutShort { .. }
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
                "human" => "engine.humans.list(), or `answerable humans list`, has all there are",
                "agent" => "engine.agents.list(), or `answerable agents list`, has all there are",
                "task" => "engine.tasks.list(), or `answerable tasks list`, has all there are",
                "rule" => "engine.rules.list(), or `answerable rules list`, has all there are",
                "credential" => {
                    "engine.vault.list(), or `answerable vault list`, has all there are"
                }
                "approval" => {
                    "engine.approvals.list(), or `answerable approvals list --all`, has those of the last 30 days"
                }
                "grant" => {
                    "engine.trail.entries(kind=\"grant\"), or `answerable trail show --kind grant`, has all that were seen here"
                }
                "policy version" => {
                    "engine.trail.entries(kind=\"policy\"), or `answerable trail show --kind policy`, has all that were in force"
                }
                _ => "it is another engine's, or has ended",
            };
            make(py, "NotFound", &error.to_string(), "not_found", hint, &[])
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
    let hint = match error {
        ScopeError::ToolPattern { .. } => TOOL,
        ScopeError::ResourcePattern { .. } => RESOURCE,
        ScopeError::Name { .. } => {
            "an argument's name as in the function, with dots for fields: `order.total`"
        }
        ScopeError::Caveat { .. } => "docs/caveats.md has each caveat with what it takes",
        ScopeError::Limit { .. } => {
            "such as ans.calls(10), ans.rate(5, \"1m\"), ans.total(\"amount\", 2000)"
        }
        ScopeError::Twice { .. } => "name it once; ans.all_of(…) joins caveats on one argument",
        ScopeError::TooMany { .. } => "grant less, or use patterns: `pay.*`, `account/*`",
    };
    make(py, "InvalidInput", &error.to_string(), error.code(), hint, &[])
}
