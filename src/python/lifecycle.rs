//! Humans, agents and tasks through their lives, as Python classes.

use std::sync::Arc;

use pyo3::prelude::*;

use super::convert::{Flag, Text};
use super::endings::{Offboarding, offboarding};
use super::engine::by_of;
use super::people::{Agent, Human, agent_id, human_id, public_key, text_of};
use super::values::scope_of;
use super::{convert, enter, errors, notebook};
use crate::engine::{self as core, Engine as Core, shown};
use crate::principal::{AgentId, Assurance, HumanId, TaskId};
use crate::registry::{self, NewAgent, NewHuman, Rotation};

/// The humans of an engine.
#[pyclass(frozen, module = "answerable", name = "Humans")]
pub(super) struct Humans(pub(super) Arc<Core>);

#[pymethods]
impl Humans {
    /// Registers a human, asserted by whoever runs this.
    #[pyo3(signature = (account, *, name=None, by=None))]
    fn register(
        &self,
        py: Python<'_>,
        account: Text<'_>,
        name: Option<Text<'_>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Human> {
        let account = &*account;
        let name = name.as_deref();
        let by = by_of(py, &self.0, by)?;
        let assurance = Assurance::Asserted;
        let new = NewHuman { account, issuer: "local", name, assurance, by };
        enter(py, || self.0.register_human(&new)).map(Human)
    }

    /// Lets a human leave: what they own and what was granted for them ends. Answers the proof.
    #[pyo3(signature = (human, *, reason, successor=None, by=None))]
    fn offboard(
        &self,
        py: Python<'_>,
        human: &Bound<'_, PyAny>,
        reason: Text<'_>,
        successor: Option<&Bound<'_, PyAny>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Offboarding> {
        let reason = &*reason;
        let human = human_id(py, &self.0, human)?;
        let successor = successor.map(|to| human_id(py, &self.0, to)).transpose()?;
        let by = by_of(py, &self.0, by)?;
        let gone = enter(py, || self.0.offboard(human, successor, reason, by))?;
        offboarding(py, &gone.proof.text, &self.0.authority())
    }

    /// The operating system's account as a human: who does what names nobody else.
    fn operator(&self, py: Python<'_>) -> PyResult<Human> {
        enter(py, || {
            let id = self.0.operator()?;
            self.0.find_human(&id.to_string())
        })
        .map(Human)
    }

    /// A human by id or account.
    fn get(&self, py: Python<'_>, human: &Bound<'_, PyAny>) -> PyResult<Human> {
        let id = human_id(py, &self.0, human)?;
        enter(py, || self.0.find_human(&id.to_string())).map(Human)
    }

    /// All humans, oldest first.
    fn list(&self, py: Python<'_>) -> PyResult<Vec<Human>> {
        enter(py, || Ok(self.0.here()?))?;
        Ok(self.0.humans().into_iter().map(Human).collect())
    }
}

/// The agents of an engine.
#[pyclass(frozen, module = "answerable", name = "Agents")]
pub(super) struct Agents(pub(super) Arc<Core>);

impl Agents {
    /// Takes a step in an agent's life.
    fn step(
        &self,
        agent: &Bound<'_, PyAny>,
        by: Option<&Bound<'_, PyAny>>,
        take: impl FnOnce(&AgentId, Option<HumanId>) -> Result<Arc<registry::Agent>, core::EngineError>
        + Send,
    ) -> PyResult<Agent> {
        let py = agent.py();
        let id = agent_id(py, &self.0, agent)?;
        let by = by_of(py, &self.0, by)?;
        enter(py, || take(&id, by)).map(|agent| Agent::new(&self.0, agent))
    }
}

#[pymethods]
impl Agents {
    /// Issues an agent.
    #[pyo3(signature = (name, *, owner, purpose, ceiling, ttl, key=None, model=None, version=None, by=None))]
    #[allow(clippy::too_many_arguments)] // The public face's own.
    fn issue(
        &self,
        py: Python<'_>,
        name: Text<'_>,
        owner: &Bound<'_, PyAny>,
        purpose: Text<'_>,
        ceiling: &Bound<'_, PyAny>,
        ttl: &Bound<'_, PyAny>,
        key: Option<Text<'_>>,
        model: Option<Text<'_>>,
        version: Option<Text<'_>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Agent> {
        let name = &*name;
        let purpose = &*purpose;
        let key = key.as_deref();
        let model = model.as_deref();
        let version = version.as_deref();
        let owner = human_id(py, &self.0, owner)?;
        let ceiling = scope_of(ceiling)?;
        let ttl = convert::duration(ttl).map_err(|why| errors::invalid(py, &why, ""))?;
        let key = key.map(|key| public_key(py, key)).transpose()?;
        let by = by_of(py, &self.0, by)?;
        let agent = enter(py, || {
            let by = self.0.who(by)?;
            self.0.issue(NewAgent { name, owner, purpose, ceiling, ttl, key, model, version, by })
        })?;
        Ok(Agent::new(&self.0, agent))
    }

    /// Suspends an agent: what it holds or delegated is denied until it is resumed.
    #[pyo3(signature = (agent, *, reason, by=None))]
    fn suspend(
        &self,
        agent: &Bound<'_, PyAny>,
        reason: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Agent> {
        let reason = &*reason;
        self.step(agent, by, |id, by| self.0.suspend_agent(id, reason, by))
    }

    /// Resumes a suspended agent: its grants hold again as far as nothing else ended them.
    #[pyo3(signature = (agent, *, reason=None, by=None))]
    fn resume(
        &self,
        agent: &Bound<'_, PyAny>,
        reason: Option<Text<'_>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Agent> {
        let reason = reason.as_deref();
        self.step(agent, by, |id, by| self.0.resume_agent(id, reason, by))
    }

    /// Retires an agent, for good: everything it holds or delegated ends with the next call.
    #[pyo3(signature = (agent, *, reason, by=None))]
    fn retire(
        &self,
        agent: &Bound<'_, PyAny>,
        reason: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Agent> {
        let reason = &*reason;
        self.step(agent, by, |id, by| self.0.retire_agent(id, reason, by))
    }

    /// Gives an agent another key; grants to the old one end, or go on for an overlap.
    #[pyo3(signature = (agent, *, key=None, overlap=None, reason=None, by=None))]
    fn rotate(
        &self,
        py: Python<'_>,
        agent: &Bound<'_, PyAny>,
        key: Option<Text<'_>>,
        overlap: Option<&Bound<'_, PyAny>>,
        reason: Option<Text<'_>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Agent> {
        let key = key.as_deref();
        let reason = reason.as_deref();
        let key = key.map(|key| public_key(py, key)).transpose()?;
        let overlap = overlap.map(convert::duration).transpose();
        let overlap = overlap.map_err(|why| errors::invalid(py, &why, ""))?;
        let rotation = Rotation { key, overlap };
        self.step(agent, by, |id, by| self.0.rotate_agent(id, rotation, reason, by))
    }

    /// Gives an agent another owner.
    #[pyo3(signature = (agent, *, owner, reason=None, by=None))]
    fn transfer(
        &self,
        py: Python<'_>,
        agent: &Bound<'_, PyAny>,
        owner: &Bound<'_, PyAny>,
        reason: Option<Text<'_>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Agent> {
        let reason = reason.as_deref();
        let owner = human_id(py, &self.0, owner)?;
        self.step(agent, by, |id, by| self.0.transfer_agent(id, owner, reason, by))
    }

    /// Moves the end of an agent's term further away: from now, for `ttl`.
    #[pyo3(signature = (agent, *, ttl, reason=None, by=None))]
    fn renew(
        &self,
        py: Python<'_>,
        agent: &Bound<'_, PyAny>,
        ttl: &Bound<'_, PyAny>,
        reason: Option<Text<'_>>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Agent> {
        let reason = reason.as_deref();
        let ttl = convert::duration(ttl).map_err(|why| errors::invalid(py, &why, ""))?;
        self.step(agent, by, |id, by| self.0.renew_agent(id, ttl, reason, by))
    }

    /// An agent by id or name.
    fn get(&self, py: Python<'_>, agent: &Bound<'_, PyAny>) -> PyResult<Agent> {
        let id = agent_id(py, &self.0, agent)?;
        let agent = enter(py, || self.0.find_agent(&id.to_string()))?;
        Ok(Agent::new(&self.0, agent))
    }

    /// All agents, oldest first; of one status or owner where it is given.
    #[pyo3(signature = (*, status=None, owner=None))]
    fn list(
        &self,
        py: Python<'_>,
        status: Option<Text<'_>>,
        owner: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Agent>> {
        let status = status.as_deref();
        if status.is_some_and(|word| !["active", "suspended", "retired"].contains(&word)) {
            let hint = "active, suspended or retired";
            return Err(errors::invalid(py, "there is no such status", hint));
        }
        let owner = owner.map(|owner| human_id(py, &self.0, owner)).transpose()?;
        enter(py, || Ok(self.0.here()?))?;
        let agents = self.0.agents().into_iter();
        Ok(agents
            .filter(|agent| status.is_none_or(|word| agent.status.word() == word))
            .filter(|agent| owner.is_none_or(|owner| agent.owner == owner))
            .map(|agent| Agent::new(&self.0, agent))
            .collect())
    }
}

/// The tasks of an engine.
#[pyclass(frozen, module = "answerable", name = "Tasks")]
pub(super) struct Tasks(pub(super) Arc<Core>);

#[pymethods]
impl Tasks {
    /// Ends a task and every grant made for it; answers the entry's id.
    #[pyo3(signature = (task, *, reason, by=None))]
    fn end(
        &self,
        py: Python<'_>,
        task: &Bound<'_, PyAny>,
        reason: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let reason = &*reason;
        let id = task_id(task)?;
        let by = by_of(py, &self.0, by)?;
        Ok(enter(py, || self.0.end_task(id, reason, by))?.to_string())
    }

    /// A task by id.
    fn get(&self, py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<Task> {
        let id = task_id(task)?;
        enter(py, || self.0.task(&id)).map(Task)
    }

    /// All tasks, oldest first; only those that go on, or have ended, where it is asked.
    #[pyo3(signature = (*, ended=None))]
    fn list(&self, py: Python<'_>, ended: Option<Flag>) -> PyResult<Vec<Task>> {
        let tasks = enter(py, || self.0.tasks())?.into_iter();
        Ok(tasks.filter(|task| ended.is_none_or(|want| task.ended == want.0)).map(Task).collect())
    }

    /// The sentence of a task.
    fn sentence(&self, py: Python<'_>, task: &Bound<'_, PyAny>) -> PyResult<String> {
        let id = task_id(task)?;
        enter(py, || self.0.task_sentence(&id))
    }
}

/// A task by value or id.
pub(super) fn task_id(object: &Bound<'_, PyAny>) -> PyResult<TaskId> {
    if let Ok(task) = object.cast::<Task>() {
        return Ok(task.get().0.id);
    }
    let text = text_of(object, "a task or its id")?;
    text.parse().map_err(|error: crate::principal::IdError| {
        errors::invalid(object.py(), &error.to_string(), "grant.task is a task's id")
    })
}

/// The purpose that grants were made for.
#[pyclass(frozen, module = "answerable", name = "Task")]
pub(super) struct Task(pub(super) core::Task);

#[pymethods]
impl Task {
    #[getter]
    fn id(&self) -> String {
        self.0.id.to_string()
    }

    /// The id of the human it is done for.
    #[getter]
    fn human(&self) -> &str {
        &self.0.human
    }

    /// What it is, in the human's words; `None` once erased.
    #[getter]
    fn sentence(&self) -> Option<&str> {
        self.0.sentence.as_deref()
    }

    #[getter]
    fn opened_at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.0.opened_at)
    }

    /// Whether it has ended.
    #[getter]
    fn ended(&self) -> bool {
        self.0.ended
    }

    /// When it ended; `None` while it goes on.
    #[getter]
    fn ended_at<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyAny>>> {
        self.0.ended_at.map(|at| convert::instant(py, at)).transpose()
    }

    /// How many grants were made for it, those delegated included.
    #[getter]
    fn grants(&self) -> usize {
        self.0.grants
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0.id == self.0.id)
    }

    fn __hash__(&self) -> u64 {
        super::people::hash(self.0.id.as_bytes())
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
        let sentence = shown(self.0.sentence.as_deref().unwrap_or("(erased)"), 80);
        let state = if self.0.ended { "ended" } else { "open" };
        format!("<task {sentence} {state} {}>", self.0.id)
    }
}
