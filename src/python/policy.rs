//! Policies as Python values: loaded, read, checked, tried on cases and on the past.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::convert::{Dict, FilePath, Flag, Text};
use super::engine::{by_of, opened};
use super::guard::Tool;
use super::people::text_of;
use super::trail::entry_id;
use super::values::Reason;
use super::{convert, enter, errors};
use crate::canonical::{Map, Value};
use crate::clock::{Clock, Source};
use crate::engine::{
    self as core, Case, CaseHuman, Engine as Core, EngineError, Folder, Loaded, shown,
};
use crate::principal::Assurance;
use crate::request::{DeclaredTool, Resource, ToolName};

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

/// A compiled set of policies, in force or not.
#[pyclass(frozen, module = "answerable", name = "PolicySet")]
pub(super) struct PolicySet(Loaded);

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
    #[pyo3(signature = (tool, *, resource=None, arguments=None, human=None, agent=None, chain=None, task=None, time=None, host=None, approved=Flag(false)))]
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
pub(super) struct PolicyFinding(core::PolicyFinding);

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

/// What a replay found.
#[pyclass(frozen, module = "answerable", name = "Replay")]
pub(super) struct Replay(core::Replay);

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
pub(super) struct PolicyExplanation(core::PolicyStory);

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

fn arguments_of(given: Option<&Dict<'_>>) -> Result<Map, String> {
    match given.map(|given| convert::to_value(&given.0)).transpose()? {
        Some(Value::Map(map)) => Ok(map),
        _ => Ok(Map::new()),
    }
}

/// The texts of a dict, its lists and its instants; anything else is refused by name.
struct Stated(Map);

impl Stated {
    fn of(py: Python<'_>, given: &Bound<'_, PyAny>, what: &str, words: &[&str]) -> PyResult<Self> {
        let hint = format!("{what} has {}", words.join(", "));
        let wrong = |why: String| errors::invalid(py, &why, &hint);
        let Value::Map(map) = convert::to_value(given).map_err(wrong)? else {
            return Err(wrong(format!("{what} is a dict, or text")));
        };
        if let Some((word, _)) = map.iter().find(|(word, _)| !words.contains(word)) {
            let word = shown(word, 40);
            return Err(errors::invalid(py, &format!("`{word}` means nothing in {what}"), &hint));
        }
        Ok(Self(map))
    }

    fn text(&self, py: Python<'_>, word: &str) -> PyResult<Option<String>> {
        match self.0.get(word) {
            None => Ok(None),
            Some(Value::Str(text)) => Ok(Some(text.to_string())),
            Some(_) => Err(errors::invalid(py, &format!("`{word}` is text"), "write it in quotes")),
        }
    }

    fn texts(&self, py: Python<'_>, word: &str) -> PyResult<Vec<String>> {
        let wrong =
            || errors::invalid(py, &format!("`{word}` is a list of texts"), "write `[\"a\"]`");
        let Some(value) = self.0.get(word) else { return Ok(Vec::new()) };
        let items = value.as_list().ok_or_else(wrong)?.iter();
        items.map(|item| item.as_str().map(str::to_owned).ok_or_else(wrong)).collect()
    }

    fn instant(&self, py: Python<'_>, word: &str) -> PyResult<Option<i64>> {
        match self.0.get(word) {
            None => Ok(None),
            Some(Value::Datetime(at)) => Ok(Some(*at)),
            Some(_) => Err(errors::invalid(
                py,
                &format!("`{word}` is a datetime with a zone"),
                "write `2026-01-05T10:00:00Z`",
            )),
        }
    }
}

fn human_of(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<CaseHuman> {
    let usual = CaseHuman::default();
    if given.cast::<PyString>().is_ok() {
        return Ok(CaseHuman { account: text_of(given, "an account")?, ..usual });
    }
    let words = ["id", "account", "issuer", "assurance", "groups"];
    let stated = Stated::of(py, given, "human", &words)?;
    let assurance = match stated.text(py, "assurance")?.as_deref() {
        None => usual.assurance,
        Some("asserted") => Assurance::Asserted,
        Some("oidc") => Assurance::Oidc,
        Some("signed") => Assurance::Signed,
        Some(_) => {
            return Err(errors::invalid(
                py,
                "there is no such assurance",
                "write asserted, oidc or signed",
            ));
        }
    };
    Ok(CaseHuman {
        id: stated.text(py, "id")?.unwrap_or(usual.id),
        account: stated.text(py, "account")?.unwrap_or(usual.account),
        issuer: stated.text(py, "issuer")?.unwrap_or(usual.issuer),
        assurance,
        groups: stated.texts(py, "groups")?,
    })
}

fn agent_into(py: Python<'_>, given: &Bound<'_, PyAny>, case: &mut Case) -> PyResult<()> {
    if given.cast::<PyString>().is_ok() {
        case.agent = text_of(given, "an agent's name")?;
        return Ok(());
    }
    let stated = Stated::of(py, given, "agent", &["name", "purpose", "groups", "owner"])?;
    case.agent = stated.text(py, "name")?.unwrap_or_else(|| case.agent.clone());
    case.purpose = stated.text(py, "purpose")?.unwrap_or_default();
    case.agent_groups = stated.texts(py, "groups")?;
    let owner = given.get_item("owner").ok();
    case.owner = owner.map(|owner| human_of(py, &owner)).transpose()?;
    Ok(())
}

fn chain_into(py: Python<'_>, given: &Bound<'_, PyAny>, case: &mut Case) -> PyResult<()> {
    let stated = if given.cast::<PyDict>().is_ok() {
        Stated::of(py, given, "chain", &["agents", "issued", "latest"])?
    } else {
        let wrong = |why: String| errors::invalid(py, &why, "give a list of agents' names");
        let agents = convert::to_value(given).map_err(wrong)?;
        let mut map = Map::new();
        map.insert("agents", agents);
        Stated(map)
    };
    case.agents = stated.texts(py, "agents")?;
    case.issued = stated.instant(py, "issued")?;
    case.latest = stated.instant(py, "latest")?;
    match case.agents.last() {
        Some(last) if *last != case.agent => Err(errors::invalid(
            py,
            "the chain does not end with the agent that acts",
            "name the agents from the root to the one that acts",
        )),
        _ => Ok(()),
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
