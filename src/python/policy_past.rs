//! Policies and the past: replays, and why a decision was taken.

use std::collections::HashMap;

use pyo3::prelude::*;

use super::convert;
use crate::engine::{self as core, shown};

/// What a replay found.
#[pyclass(frozen, module = "answerable", name = "Replay")]
pub(super) struct Replay(pub(super) core::Replay);

#[pymethods]
impl Replay {
    /// The version that was tried.
    #[getter]
    fn version(&self) -> &str {
        &self.0.version
    }

    /// How many decisions were judged again.
    #[getter]
    fn examined(&self) -> u64 {
        self.0.examined
    }

    /// How many stay as they were.
    #[getter]
    fn same(&self) -> u64 {
        self.0.same
    }

    /// The decisions that would change, oldest first.
    #[getter]
    fn changes(&self) -> Vec<ReplayedDecision> {
        self.0.changes.iter().cloned().map(ReplayedDecision).collect()
    }

    /// The decisions that cannot be told: the record no longer says enough.
    #[getter]
    fn undecided(&self) -> Vec<ReplayedDecision> {
        self.0.undecided.iter().cloned().map(ReplayedDecision).collect()
    }

    fn __repr__(&self) -> String {
        let (changes, unknown) = (self.0.changes.len(), self.0.undecided.len());
        format!("<replay of {}: {changes} change, {unknown} unknown>", self.0.examined)
    }
}

/// A decision that other policies would have changed, or cannot tell about.
#[pyclass(frozen, module = "answerable", name = "ReplayedDecision")]
pub(super) struct ReplayedDecision(core::Replayed);

#[pymethods]
impl ReplayedDecision {
    /// The decision's entry.
    #[getter]
    fn entry(&self) -> &str {
        &self.0.entry
    }

    /// When it was made.
    #[getter]
    fn at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.0.at)
    }

    /// The tool.
    #[getter]
    fn tool(&self) -> &str {
        &self.0.tool
    }

    /// The name of the agent that acted.
    #[getter]
    fn agent(&self) -> &str {
        &self.0.agent
    }

    /// What was decided.
    #[getter]
    fn before(&self) -> &str {
        &self.0.before
    }

    /// What would be; `unknown` where the record no longer says enough.
    #[getter]
    fn after(&self) -> &str {
        self.0.after
    }

    /// The ids of the policies that would decide.
    #[getter]
    fn policies(&self) -> Vec<String> {
        self.0.policies.iter().map(ToString::to_string).collect()
    }

    /// The first reason, or why it cannot be told.
    #[getter]
    fn why(&self) -> &str {
        &self.0.why
    }

    fn __repr__(&self) -> String {
        let tool = shown(&self.0.tool, 80);
        format!("<replayed {tool}: {} → {}>", self.0.before, self.0.after)
    }
}

/// What the policies said of a recorded call.
#[pyclass(frozen, module = "answerable", name = "PolicyExplanation")]
pub(super) struct PolicyExplanation(pub(super) core::PolicyStory);

#[pymethods]
impl PolicyExplanation {
    /// The version that judged it; `none` if no policies were in force.
    #[getter]
    fn version(&self) -> &str {
        &self.0.version
    }

    /// The policies that decided, erred, or nearly permitted it.
    #[getter]
    fn policies(&self) -> Vec<PolicyTold> {
        self.0.policies.iter().cloned().map(PolicyTold).collect()
    }

    /// The smallest changes that would have allowed it.
    #[getter]
    fn changes(&self) -> Vec<String> {
        self.0.changes.clone()
    }

    /// Why not all of it can be told, if so.
    #[getter]
    fn unknown(&self) -> Option<&str> {
        self.0.unknown.as_deref()
    }

    fn __repr__(&self) -> String {
        let told: Vec<String> =
            self.0.policies.iter().map(|one| format!("{} {}", one.role, one.id)).collect();
        format!("<policy explanation {}>", shown(&told.join(", "), 300))
    }
}

/// Text, line, column, outcome, and the values read by path.
type Part = (String, usize, usize, &'static str, HashMap<String, String>);

/// One policy's part in a decision.
#[pyclass(frozen, module = "answerable", name = "PolicyTold")]
pub(super) struct PolicyTold(core::PolicyTold);

#[pymethods]
impl PolicyTold {
    /// Its `@id`.
    #[getter]
    fn id(&self) -> &str {
        &self.0.id
    }

    /// `decided`, `erred` or `nearly`.
    #[getter]
    fn role(&self) -> &'static str {
        self.0.role
    }

    /// `permit` or `forbid`.
    #[getter]
    fn effect(&self) -> &'static str {
        self.0.effect.word()
    }

    /// The name of its file.
    #[getter]
    fn source(&self) -> &str {
        &self.0.source
    }

    /// Its line there, from 1.
    #[getter]
    fn line(&self) -> usize {
        self.0.line
    }

    /// The sentence that it has for its caller.
    #[getter]
    fn reason(&self) -> Option<&str> {
        self.0.reason.as_deref()
    }

    /// What of its head did not admit the call.
    #[getter]
    fn scope(&self) -> Vec<String> {
        self.0.scope.clone()
    }

    /// The parts of its condition that were looked at: text, line, column, outcome (`holds`,
    /// `fails` or `errs`) and the values read, by path.
    #[getter]
    fn parts(&self) -> Vec<Part> {
        let parts = self.0.parts.iter();
        let told = |part: &core::Part| {
            let values = part.values.iter().cloned().collect();
            (part.text.clone(), part.line, part.column, part.outcome, values)
        };
        parts.map(told).collect()
    }

    fn __repr__(&self) -> String {
        format!("<policy {} {}>", self.0.role, shown(&self.0.id, 100))
    }
}
