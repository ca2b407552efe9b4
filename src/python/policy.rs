//! The policies of an engine, from Python: loaded, read, checked, tried on the past.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::prelude::*;

use super::convert::{FilePath, Text};
use super::engine::by_of;
use super::guard::Tool;
use super::opening::opened;
use super::policy_past::{PolicyExplanation, Replay};
use super::policy_set::{PolicyFinding, PolicySet};
use super::trail::entry_id;
use super::{convert, enter, errors};
use crate::engine::Engine as Core;
use crate::request::{DeclaredTool, ToolName};

/// What the tools of this process declare, by their names: for engines that are opened later, and
/// for policies that are read without one. A tool that nobody can call any more is not kept.
static DECLARED: Mutex<BTreeMap<ToolName, Weak<DeclaredTool>>> = Mutex::new(BTreeMap::new());

/// Takes note of what a tool declares, here and in every engine that may meet it.
#[pyfunction]
pub(super) fn declare(py: Python<'_>, tool: &Tool) -> PyResult<()> {
    let Some(declared) = tool.declared.clone() else { return Ok(()) };
    let engines = match &tool.engine {
        Some(engine) => vec![engine.clone()],
        None => {
            let name = declared.declaration.name.clone();
            DECLARED.lock().insert(name, Arc::downgrade(&declared));
            opened()
        }
    };
    for engine in engines {
        // One that cannot write allows nothing, and one that only reads judges nothing here: their
        // calls say so.
        if engine.check().is_ok() && engine.holder().is_none() {
            enter(py, || engine.declare(std::slice::from_ref(&declared)))?;
        }
    }
    Ok(())
}

/// Forgets what the tools of this process declared: engines that are opened later, and policies that
/// are read later, meet a tool when it is called. Tests that share a process keep apart by it.
#[pyfunction]
pub(super) fn forget_declared() {
    DECLARED.lock().clear();
}

/// What the tools of this process declare.
pub(super) fn declared() -> Vec<Arc<DeclaredTool>> {
    DECLARED.lock().values().filter_map(Weak::upgrade).collect()
}

/// The policies of an engine.
#[pyclass(frozen, module = "answerable", name = "Policies")]
pub(super) struct Policies(pub(super) Arc<Core>);

#[pymethods]
impl Policies {
    /// The version in force, as entries name it; `none` if none were ever loaded.
    #[getter]
    fn version(&self, py: Python<'_>) -> PyResult<String> {
        enter(py, || Ok(self.0.here()?))?;
        Ok(self.0.policy_version().to_string())
    }

    /// Loads a folder of policies, all or nothing.
    #[pyo3(signature = (path, *, by=None))]
    fn load(
        &self,
        py: Python<'_>,
        path: FilePath,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<PolicySet> {
        let by = by_of(py, &self.0, by)?;
        Ok(PolicySet(enter(py, || self.0.load_policies(&path.0, by))?))
    }

    /// The policies of a folder or of a version, compiled but not put in force; those in force
    /// without either.
    #[pyo3(signature = (path=None, *, version=None))]
    fn read(
        &self,
        py: Python<'_>,
        path: Option<FilePath>,
        version: Option<Text<'_>>,
    ) -> PyResult<PolicySet> {
        let version = version.as_deref();
        let loaded = match (path, version) {
            (Some(_), Some(_)) => {
                return Err(errors::invalid(
                    py,
                    "a folder and a version are given",
                    "give one of them, or neither for those in force",
                ));
            }
            (Some(path), None) => enter(py, || self.0.read_policies(&path.0))?,
            (None, version) => enter(py, || self.0.policies_of(version))?,
        };
        Ok(PolicySet(loaded))
    }

    /// Looks for what policies should not say: those of a folder, or those in force.
    #[pyo3(signature = (path=None))]
    fn check(&self, py: Python<'_>, path: Option<FilePath>) -> PyResult<Vec<PolicyFinding>> {
        let findings = enter(py, || {
            let loaded = match path {
                Some(path) => self.0.read_policies(&path.0)?,
                None => self.0.policies_of(None)?,
            };
            let mut findings = loaded.findings();
            findings.extend(self.0.scope_findings(&loaded)?);
            Ok(findings)
        })?;
        Ok(findings.into_iter().map(PolicyFinding).collect())
    }

    /// Judges the calls of the past again under the policies of a folder.
    #[pyo3(signature = (path, *, since=None, until=None))]
    fn replay(
        &self,
        py: Python<'_>,
        path: FilePath,
        since: Option<&Bound<'_, PyAny>>,
        until: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Replay> {
        let now = self.0.now_or_mark();
        let moment =
            |at: Option<&Bound<'_, PyAny>>| at.map(|at| convert::moment(at, now)).transpose();
        let wrong = |why: String| errors::invalid(py, &why, "write `7d`, a date or a datetime");
        let (since, until) = (moment(since).map_err(wrong)?, moment(until).map_err(wrong)?);
        let replay = enter(py, || {
            let candidate = self.0.read_policies(&path.0)?;
            self.0.replay_policies(&candidate, since, until)
        })?;
        Ok(Replay(replay))
    }

    /// Which policies decided a recorded call, which nearly did, and what would have allowed it.
    fn explain(&self, py: Python<'_>, entry: &Bound<'_, PyAny>) -> PyResult<PolicyExplanation> {
        let id = entry_id(&self.0, entry)?;
        Ok(PolicyExplanation(enter(py, || self.0.explain_policies(&id))?))
    }

    fn __repr__(&self) -> String {
        format!("<policies {}>", self.0.policy_version())
    }
}
