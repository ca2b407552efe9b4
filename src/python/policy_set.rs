//! A set of policies as a Python value: what is in it, what it says of a request, what is found.

use std::collections::HashMap;

use pyo3::prelude::*;

use super::convert::{Dict, FilePath, Flag, Text};
use super::guard::attributes;
use super::policy::declared;
use super::policy_case::{agent_into, arguments_of, chain_into, human_of};
use super::values::Reason;
use super::{convert, enter, errors};
use crate::clock::{Clock, Source};
use crate::engine::{self as core, Case, Folder, Loaded, shown};
use crate::request::{Resource, ToolName};

/// A compiled set of policies, in force or not.
#[pyclass(frozen, module = "answerable", name = "PolicySet")]
pub(super) struct PolicySet(pub(super) Loaded);

#[pymethods]
impl PolicySet {
    /// Reads a folder without an engine, held to the tools that this process declares.
    #[staticmethod]
    fn read(py: Python<'_>, path: FilePath) -> PyResult<Self> {
        let tools = declared().iter().map(|tool| tool.declaration.clone()).collect();
        Ok(Self(enter(py, || Loaded::read(Folder::read(&path.0)?, tools))?))
    }

    /// The version, as entries name it.
    #[getter]
    fn version(&self) -> &str {
        &self.0.policies.rules.version
    }

    /// The entry that put it in force, if that was now.
    #[getter]
    fn entry(&self) -> Option<String> {
        self.0.entry.map(|entry| entry.to_string())
    }

    /// The policies, in the order of their files.
    #[getter]
    fn policies(&self) -> Vec<Policy> {
        self.0.policies.rules.set.policies().iter().map(Policy::of).collect()
    }

    /// How many conditions are compiled, and how many there are.
    #[getter]
    fn coverage(&self) -> (usize, usize) {
        let coverage = self.0.policies.rules.set.coverage();
        (coverage.compiled, coverage.total)
    }

    /// The names of the tools that the policies were held to.
    #[getter]
    fn tools(&self) -> Vec<&str> {
        self.0.policies.texts.tools.iter().map(|tool| tool.name.as_str()).collect()
    }

    /// Looks for what the policies should not say.
    fn check(&self, py: Python<'_>) -> Vec<PolicyFinding> {
        py.detach(|| self.0.findings()).into_iter().map(PolicyFinding).collect()
    }

    /// Judges a request that nobody made, by the policies alone.
    #[pyo3(signature = (tool, *, resource=None, arguments=None, human=None, agent=None, chain=None, task=None, time=None, host=None, own=None, approved=Flag(false)))]
    #[allow(clippy::too_many_arguments)] // Each is one fact of the request.
    fn judge(
        &self,
        py: Python<'_>,
        tool: Text<'_>,
        resource: Option<Text<'_>>,
        arguments: Option<Dict<'_>>,
        human: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        chain: Option<&Bound<'_, PyAny>>,
        task: Option<Text<'_>>,
        time: Option<&Bound<'_, PyAny>>,
        host: Option<Text<'_>>,
        own: Option<Dict<'_>>,
        approved: Flag,
    ) -> PyResult<PolicyAnswer> {
        let hint = "state the request as a call would make it: docs/policies.md has the parts";
        let wrong = |why: String| errors::invalid(py, &why, hint);
        let now = match time {
            Some(time) => convert::moment(time, 0).map_err(wrong)?,
            None => Clock::new(Source::System, 0).stamp(),
        };
        let mut case = Case {
            tool: ToolName::parse(&tool).map_err(|error| wrong(error.to_string()))?,
            // Empty text names no resource: a case can so override what its defaults name.
            resource: resource
                .filter(|text| !text.is_empty())
                .map(|text| Resource::parse(&text))
                .transpose()
                .map_err(|error| wrong(error.to_string()))?,
            arguments: arguments_of(arguments.as_ref()).map_err(wrong)?,
            human: human.map(|human| human_of(py, human)).transpose()?.unwrap_or_default(),
            agent: "agent".to_owned(),
            purpose: String::new(),
            agent_groups: Vec::new(),
            owner: None,
            agents: Vec::new(),
            task: task.map(|text| text.to_string()).unwrap_or_default(),
            issued: None,
            latest: None,
            now,
            host: host.map(|text| text.to_string()),
            own: own.map(|own| attributes(py, &own.0, None)).transpose()?,
            approved: approved.0,
        };
        if let Some(agent) = agent {
            agent_into(py, agent, &mut case)?;
        }
        if let Some(chain) = chain {
            chain_into(py, chain, &mut case)?;
        }
        let answer = py.detach(|| self.0.judge(&case));
        Ok(PolicyAnswer {
            effect: answer.effect.word(),
            reasons: answer.reasons.iter().map(Reason::from).collect(),
            policies: answer.policies.iter().map(ToString::to_string).collect(),
            errors: answer.errors.iter().map(ToString::to_string).collect(),
            masks: answer.masks,
        })
    }

    fn __len__(&self) -> usize {
        self.0.policies.rules.set.policies().len()
    }

    fn __repr__(&self) -> String {
        format!("<policy set {} of {}>", self.version(), self.__len__())
    }
}

/// One policy.
#[pyclass(frozen, get_all, module = "answerable", name = "Policy")]
pub(super) struct Policy {
    /// Its `@id`.
    id: String,
    /// `permit` or `forbid`.
    effect: &'static str,
    /// The name of its file.
    source: String,
    /// Its line there, from 1.
    line: usize,
    /// What it says.
    text: String,
    /// Its annotations.
    annotations: HashMap<String, String>,
}

impl Policy {
    fn of(policy: &crate::policy::Policy) -> Self {
        let annotations = policy.annotations.iter().cloned().collect();
        Self {
            id: policy.id.to_string(),
            effect: policy.effect.word(),
            source: policy.source.to_string(),
            line: policy.line,
            text: policy.text.to_string(),
            annotations,
        }
    }
}

#[pymethods]
impl Policy {
    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        let (id, source) = (shown(&self.id, 100), shown(&self.source, 100));
        format!("<policy {id}: {} at {source}:{}>", self.effect, self.line)
    }
}

/// What policies answer to one request.
#[pyclass(frozen, get_all, module = "answerable", name = "PolicyAnswer")]
pub(super) struct PolicyAnswer {
    /// `allow`, `deny` or `ask`.
    effect: &'static str,
    /// Why not, or why a human must be asked.
    reasons: Vec<Reason>,
    /// The ids of the policies that decide.
    policies: Vec<String>,
    /// The ids of the policies that cannot be evaluated.
    errors: Vec<String>,
    /// The arguments that are masked.
    masks: Vec<String>,
}

#[pymethods]
impl PolicyAnswer {
    fn __repr__(&self) -> String {
        format!("<policy answer {}: {}>", self.effect, shown(&self.policies.join(", "), 200))
    }
}

/// Something that somebody should look at in policies.
#[pyclass(frozen, module = "answerable", name = "PolicyFinding")]
pub(super) struct PolicyFinding(pub(super) core::PolicyFinding);

#[pymethods]
impl PolicyFinding {
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

    /// The file, or what else it is about.
    #[getter]
    fn source(&self) -> &str {
        &self.0.source
    }

    /// The line, from 1; `None` where it has no place in a file.
    #[getter]
    fn line(&self) -> Option<usize> {
        (self.0.line > 0).then_some(self.0.line)
    }

    /// The id of the policy; `None` where it is about no one policy.
    #[getter]
    fn policy(&self) -> Option<&str> {
        self.0.policy.as_deref()
    }

    /// What it is.
    #[getter]
    fn message(&self) -> &str {
        &self.0.message
    }

    /// What would settle it.
    #[getter]
    fn fix(&self) -> &str {
        &self.0.fix
    }

    fn __repr__(&self) -> String {
        let (severity, code) = (self.0.severity.word(), self.0.code);
        format!("<policy finding {severity} {code}: {}>", shown(&self.0.message, 300))
    }
}
