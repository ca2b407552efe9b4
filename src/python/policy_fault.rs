//! Policies that were refused, fault by fault.

use pyo3::prelude::*;

use super::errors;
use crate::engine::{EngineError, shown};

/// The faults of refused policies, as Python values.
#[pyclass(frozen, get_all, module = "answerable", name = "PolicyFault")]
pub(super) struct PolicyFault {
    /// The name of the file.
    source: String,
    /// The line, from 1; `None` where the fault has no place.
    line: Option<usize>,
    /// The column, from 1.
    column: Option<usize>,
    /// What is wrong.
    message: String,
    /// What to do about it.
    suggestion: Option<String>,
}

impl From<&crate::policy::LoadFault> for PolicyFault {
    fn from(fault: &crate::policy::LoadFault) -> Self {
        Self {
            source: fault.source.clone(),
            line: (fault.line > 0).then_some(fault.line),
            column: (fault.column > 0).then_some(fault.column),
            message: fault.message.clone(),
            suggestion: fault.suggestion.clone(),
        }
    }
}

#[pymethods]
impl PolicyFault {
    fn __str__(&self) -> String {
        let place = match (self.line, self.column) {
            (Some(line), Some(column)) => format!(":{line}:{column}"),
            (Some(line), None) => format!(":{line}"),
            _ => String::new(),
        };
        format!("{}{place}: {}", self.source, self.message)
    }

    fn __repr__(&self) -> String {
        format!("<policy fault {}>", shown(&self.__str__(), 300))
    }
}

/// Policies that were refused: `InvalidPolicy` with every fault.
pub(super) fn refused(
    py: Python<'_>,
    error: &EngineError,
    faults: &[crate::policy::LoadFault],
) -> PyErr {
    let first = faults.first().map(PolicyFault::from);
    let text = first.as_ref().map_or_else(|| error.to_string(), PolicyFault::__str__);
    let more = faults.len().saturating_sub(1);
    let text = if more == 0 { text } else { format!("{text}; and {more} more") };
    let hint = first.as_ref().and_then(|fault| fault.suggestion.clone());
    let hint = hint.unwrap_or_else(|| "correct it at its line and column".to_owned());
    let place = |of: Option<usize>| {
        of.and_then(|of| Some(of.into_pyobject(py).ok()?.into_any().unbind()))
            .unwrap_or_else(|| py.None())
    };
    let all: Vec<PolicyFault> = faults.iter().map(PolicyFault::from).collect();
    let all = all.into_pyobject(py).map_or_else(|_| py.None(), |list| list.unbind());
    let details = [
        ("line", place(first.as_ref().and_then(|fault| fault.line))),
        ("column", place(first.as_ref().and_then(|fault| fault.column))),
        ("faults", all),
    ];
    errors::make(py, "InvalidPolicy", &text, "invalid_policy", &hint, &details)
}
