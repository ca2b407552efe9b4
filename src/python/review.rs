//! Inventory and review, as Python values.

use std::fmt::Write as _;
use std::sync::Arc;

use pyo3::prelude::*;

use super::convert::Text;
use super::engine::by_of;
use super::people::Agent;
use super::{convert, enter, errors, notebook};
use crate::engine::{self as core, Engine as Core, Severity, shown};

/// Something that somebody should look at.
#[pyclass(frozen, module = "answerable", name = "Finding")]
pub(super) struct Finding(pub(super) core::Finding);

#[pymethods]
impl Finding {
    /// The stable slug.
    #[getter]
    fn code(&self) -> &'static str {
        self.0.code
    }

    /// `info`, `low`, `medium` or `high`.
    #[getter]
    fn severity(&self) -> &'static str {
        self.0.severity.word()
    }

    /// The ids of what it is about, the first foremost.
    #[getter]
    fn subjects(&self) -> Vec<String> {
        self.0.subjects.clone()
    }

    /// Why, with the numbers.
    #[getter]
    fn why(&self) -> &str {
        &self.0.why
    }

    /// What would settle it.
    #[getter]
    fn suggestion(&self) -> &str {
        &self.0.suggestion
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
        let (severity, code) = (self.0.severity.word(), self.0.code);
        format!("<finding {severity} {code}: {}>", shown(&self.0.why, 300))
    }
}

/// One agent and its use.
#[pyclass(frozen, module = "answerable", name = "AgentUse")]
pub(super) struct AgentUse(core::Used, String);

#[pymethods]
impl AgentUse {
    #[getter]
    fn agent(&self) -> Agent {
        Agent::of(self.0.agent.clone(), self.1.clone())
    }

    /// When a call was last allowed under it, itself acting or one it delegated to.
    #[getter]
    fn last_use<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.last_use.map(|at| convert::instant(py, at)).transpose()
    }

    /// How many calls were allowed.
    #[getter]
    fn allowed(&self) -> u64 {
        self.0.allowed
    }

    /// How many calls of its own were refused.
    #[getter]
    fn refused(&self) -> u64 {
        self.0.refused
    }

    /// How many grants to it have not ended.
    #[getter]
    fn standing(&self) -> u64 {
        self.0.standing
    }

    /// How many grants that it made have not ended.
    #[getter]
    fn children(&self) -> u64 {
        self.0.children
    }

    fn __repr__(&self) -> String {
        let used = &self.0;
        let name = shown(&used.agent.name, 80);
        format!("<use of {name}: {} allowed, {} refused>", used.allowed, used.refused)
    }
}

/// What a review found.
#[pyclass(frozen, module = "answerable", name = "Review")]
pub(super) struct Review {
    pub(super) inner: core::Review,
    pub(super) core: Arc<Core>,
}

#[pymethods]
impl Review {
    /// When.
    #[getter]
    fn at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.inner.at)
    }

    /// How many entries were read.
    #[getter]
    fn size(&self) -> u64 {
        self.inner.size
    }

    /// All agents, oldest first.
    #[getter]
    fn agents(&self) -> Vec<AgentUse> {
        let agents = self.inner.agents.iter();
        agents.map(|used| AgentUse(used.clone(), self.core.agent_uri(&used.agent.id))).collect()
    }

    /// The findings, those that matter most first.
    #[getter]
    fn findings(&self) -> Vec<Finding> {
        self.inner.findings.iter().cloned().map(Finding).collect()
    }

    /// The findings of a severity or above.
    fn above(&self, py: Python<'_>, severity: Text<'_>) -> PyResult<Vec<Finding>> {
        let least = Severity::parse(&severity).ok_or_else(|| {
            errors::invalid(py, "there is no such severity", "info, low, medium or high")
        })?;
        let findings = self.inner.findings.iter();
        Ok(findings.filter(|f| f.severity >= least).cloned().map(Finding).collect())
    }

    /// Records that somebody looked through it and stands for what is there.
    #[pyo3(signature = (*, note, by=None))]
    fn attest(
        &self,
        py: Python<'_>,
        note: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let note = &*note;
        let by = by_of(py, &self.core, by)?;
        Ok(enter(py, || self.core.attest(&self.inner, note, by))?.to_string())
    }

    fn __len__(&self) -> usize {
        self.inner.findings.len()
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
        let (agents, findings) = (self.inner.agents.len(), &self.inner.findings);
        let mut text = format!("<review of {agents} agents: {} findings>", findings.len());
        for finding in findings.iter().take(50) {
            let (severity, why) = (finding.severity.word(), shown(&finding.why, 200));
            let _ = write!(text, "\n  {severity:<6} {}: {why}", finding.code);
        }
        text
    }
}
