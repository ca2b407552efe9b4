//! The trail of an engine as a Python value.

use std::io::{BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDict, PyInt};

use super::arrow::Granted;
use super::convert::{FilePath, Text, Texts, Whole};
use super::engine::by_of;
use super::entries::Entries;
use super::entry::{Entry, Row};
use super::files::create_own;
use super::lifecycle::{Task, task_id};
use super::past::{Could, Reconstruction};
use super::people::{Grant, Human, agent_id, human_id, text_of};
use super::receipt::Receipt;
use super::story::{Chain, Story};
use super::verify::{Checkpoint, Report, judge, progress_of, since_of, witness_keys};
use super::{convert, enter, errors};
use crate::canonical::Digest;
use crate::engine::{About, Engine as Core, EngineError, Erase, Filter, LEAST_AGE, Order, shown};
use crate::registry::Target;
use crate::request::{Resource, ToolName};
use crate::scope::{ResourcePattern, ToolPattern};
use crate::trail::entry::kind;

/// Any whole number that is not below zero.
type Any = Whole<0, { u64::MAX }>;

/// The trail of an engine.
#[pyclass(frozen, module = "answerable", name = "Trail")]
pub(super) struct Trail(pub(super) Arc<Core>);

#[pymethods]
impl Trail {
    /// The entries that a filter asks for, as a sequence that is read as it is looked at.
    #[pyo3(signature = (*, human=None, agent=None, via=None, grant=None, tool=None, resource=None, task=None, effect=None, reason=None, kind=None, action=None, by=None, parent=None, since=None, until=None, after=None, before=None, order=None))]
    #[allow(clippy::too_many_arguments)] // The public face's own.
    fn entries(
        &self,
        py: Python<'_>,
        human: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        via: Option<&Bound<'_, PyAny>>,
        grant: Option<&Bound<'_, PyAny>>,
        tool: Option<Text<'_>>,
        resource: Option<Text<'_>>,
        task: Option<&Bound<'_, PyAny>>,
        effect: Option<Text<'_>>,
        reason: Option<Text<'_>>,
        kind: Option<Text<'_>>,
        action: Option<Text<'_>>,
        by: Option<&Bound<'_, PyAny>>,
        parent: Option<&Bound<'_, PyAny>>,
        since: Option<&Bound<'_, PyAny>>,
        until: Option<&Bound<'_, PyAny>>,
        after: Option<&Bound<'_, PyAny>>,
        before: Option<&Bound<'_, PyAny>>,
        order: Option<Text<'_>>,
    ) -> PyResult<Entries> {
        let core = &self.0;
        let wrong = |why: String| errors::invalid(py, &why, "");
        if effect.is_some_and(|effect| !["allow", "deny", "ask"].contains(&&*effect)) {
            return Err(errors::invalid(py, "there is no such effect", "allow, deny or ask"));
        }
        let order = match order.as_deref() {
            None | Some("oldest") => Order::Oldest,
            Some("newest") => Order::Newest,
            Some(_) => {
                return Err(errors::invalid(py, "there is no such order", "oldest or newest"));
            }
        };
        let none =
            |human: &Bound<'_, PyAny>| human.extract::<&str>().is_ok_and(|text| text == "none");
        let human = match human {
            Some(human) if none(human) => Some("none".to_owned()),
            Some(human) => Some(human_id(py, core, human)?.to_string()),
            None => None,
        };
        let agent = agent.map(|agent| agent_id(py, core, agent)).transpose()?;
        let via = via.map(|agent| agent_id(py, core, agent)).transpose()?;
        let by = by.map(|human| human_id(py, core, human)).transpose()?;
        let task = task.map(task_id).transpose()?;
        let tool = tool.as_deref().map(ToolPattern::parse).transpose();
        let resource = resource.as_deref().map(ResourcePattern::parse).transpose();
        let now = core.now_or_mark();
        let filter = Filter {
            human,
            agent: agent.map(|id| id.to_string()),
            via: via.map(|id| id.to_string()),
            grant: grant.map(|grant| grant_digest(core, grant)).transpose()?,
            tool: tool.map_err(|error| errors::scope(py, &error))?,
            resource: resource.map_err(|error| errors::scope(py, &error))?,
            task: task.map(|id| id.to_string()),
            effect: effect.map(|text| text.to_string()),
            reason: reason.map(|text| text.to_string()),
            kind: kind.map(|text| text.to_string()),
            action: action.map(|text| text.to_string()),
            by: by.map(|id| id.to_string()),
            parent: parent.map(|entry| entry_id(core, entry)).transpose()?,
            since: since.map(|at| convert::moment(at, now)).transpose().map_err(wrong)?,
            until: until.map(|at| convert::moment(at, now)).transpose().map_err(wrong)?,
        };
        let first = after.map(|entry| place_of(core, entry)).transpose()?;
        let end = before.map(|entry| place_of(core, entry)).transpose()?;
        let first = first.map(|index| index.saturating_add(1));
        let query = enter(py, || core.query(&filter, first, end))?;
        Ok(Entries::new(core.clone(), query, order))
    }

    /// All grants as Arrow columns, for `answerable.analysis`.
    fn _granted(&self, py: Python<'_>) -> PyResult<Granted> {
        let filter = Filter { kind: Some(kind::GRANT.to_owned()), ..Filter::default() };
        let query = enter(py, || self.0.query(&filter, None, None))?;
        Ok(Granted::new(self.0.clone(), query))
    }

    /// The ids of the entries at some places, ascending; `None` where none can be read.
    fn _ids(&self, py: Python<'_>, places: Vec<u64>) -> PyResult<Vec<Option<String>>> {
        let found = enter(py, || self.0.entries_at(&places))?;
        let mut found = found.into_iter().peekable();
        let each = places.iter().map(|place| {
            found.next_if(|entry| entry.index == *place).map(|entry| entry.id().to_owned())
        });
        Ok(each.collect())
    }

    /// Waits until there are more than `size` durable entries, for `timeout` seconds at most;
    /// answers how many there are.
    fn wait(
        &self,
        py: Python<'_>,
        size: &Bound<'_, PyAny>,
        timeout: &Bound<'_, PyAny>,
    ) -> PyResult<u64> {
        let size: u64 = size.extract().map_err(|_| {
            errors::invalid(py, "a size is a number from 0 on", "len(engine.trail)")
        })?;
        let patience = timeout.extract::<f64>().ok().filter(|seconds| *seconds >= 0.0);
        let patience = patience.ok_or_else(|| {
            errors::invalid(py, "a time to wait is a number of seconds, not below 0", "")
        })?;
        let patience = patience.min(3600.0);
        enter(py, || {
            self.0.check()?;
            Ok(self.0.wait_beyond(size, Duration::from_secs_f64(patience)))
        })
    }

    /// Entries as they come, from a place on.
    #[pyo3(signature = (**filters))]
    fn follow<'py>(
        slf: &Bound<'py, Self>,
        filters: Option<&Bound<'py, PyDict>>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let class = slf.py().import("answerable.following")?.getattr("Follow")?;
        class.call((slf,), filters)
    }

    /// One entry by its id.
    fn get(&self, py: Python<'_>, entry: &Bound<'_, PyAny>) -> PyResult<Entry> {
        let core = &self.0;
        let id = entry_id(core, entry)?;
        let found = enter(py, || {
            let Some(entry) = core.entry(&id)? else { return Ok(None) };
            let outcome = core.outcome_of(&entry)?;
            Ok(Some((entry, outcome)))
        })?;
        let Some((entry, outcome)) = found else {
            let message = format!("there is no entry `{}`", shown(&id, 60));
            return Err(errors::make(py, "NotFound", &message, "not_found", "", &[]));
        };
        let row = Row { entry, outcome, core: core.clone() };
        Ok(Entry(Arc::new(row)))
    }

    /// What an entry was part of, or all that was done for a task or in a human's name, as a tree.
    fn reconstruct(&self, py: Python<'_>, what: &Bound<'_, PyAny>) -> PyResult<Reconstruction> {
        let core = &self.0;
        let id = if let Ok(task) = what.cast::<Task>() {
            task.get().0.id.to_string()
        } else if let Ok(human) = what.cast::<Human>() {
            human.get().0.id.to_string()
        } else if let Ok(text) = what.extract::<&str>()
            && !text.starts_with("ent_")
            && !text.starts_with("tsk_")
        {
            human_id(py, core, what)?.to_string()
        } else if what.extract::<&str>().is_ok_and(|text| text.starts_with("tsk_")) {
            task_id(what)?.to_string()
        } else {
            entry_id(core, what)?
        };
        enter(py, || core.reconstruct(&id)).map(Reconstruction)
    }

    /// Who held authority over a tool, and a resource, at a moment.
    #[pyo3(signature = (tool, resource=None, *, at=None))]
    fn who_could(
        &self,
        py: Python<'_>,
        tool: Text<'_>,
        resource: Option<Text<'_>>,
        at: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Vec<Could>> {
        let core = &self.0;
        let wrong = |why: String| errors::invalid(py, &why, "");
        let tool = ToolName::parse(&tool)
            .map_err(|error| errors::invalid(py, &error.to_string(), errors::TOOL))?;
        let resource = resource.as_deref().map(Resource::parse).transpose();
        let resource =
            resource.map_err(|error| errors::invalid(py, &error.to_string(), errors::RESOURCE))?;
        let now = core.now_or_mark();
        let at = at.map(|at| convert::moment(at, now)).transpose().map_err(wrong)?.unwrap_or(now);
        let answer = enter(py, || core.who_could(&tool, resource.as_ref(), at))?;
        if !answer.erased.is_empty() {
            let text = format!("{} grants of that time were erased", answer.erased.len());
            let category = py.get_type::<pyo3::exceptions::PyUserWarning>();
            let text = std::ffi::CString::new(text).unwrap_or_default();
            PyErr::warn(py, &category, &text, 1)?;
        }
        let found = answer.found.into_iter();
        Ok(found.map(|could| Could { could, core: core.clone() }).collect())
    }

    /// The four questions of one decision, readable.
    fn story(&self, py: Python<'_>, entry: &Bound<'_, PyAny>) -> PyResult<Story> {
        let id = entry_id(&self.0, entry)?;
        enter(py, || self.0.story(&id)).map(Story)
    }

    /// A chain told, by a grant, its token or its id. Nothing is recorded.
    fn chain(&self, py: Python<'_>, grant: &Bound<'_, PyAny>) -> PyResult<Chain> {
        let text = match grant.cast::<Grant>() {
            Ok(grant) => grant.get().held.chain().text(),
            Err(_) => text_of(grant, "a grant, its token or its id")?,
        };
        enter(py, || self.0.inspect(&text)).map(Chain)
    }

    /// The checkpoints signed so far, smallest first.
    fn checkpoints(&self, py: Python<'_>) -> PyResult<Vec<Checkpoint>> {
        let all = enter(py, || self.0.checkpoints())?;
        Ok(all.into_iter().map(Checkpoint).collect())
    }

    /// Flushes all that was appended and signs the tree's head.
    fn checkpoint(&self, py: Python<'_>) -> PyResult<Checkpoint> {
        enter(py, || self.0.checkpoint()).map(Checkpoint)
    }

    /// Writes the whole trail as JSON lines, into a new file beside which nothing partial is left;
    /// its owner alone may read it.
    fn export(&self, py: Python<'_>, path: FilePath) -> PyResult<u64> {
        let path = path.0;
        let core = &self.0;
        enter(py, || {
            let failed = |error: std::io::Error| {
                EngineError::Invalid(format!("cannot write {}: {error}", path.display()))
            };
            let mut partial = path.clone().into_os_string();
            partial.push(".partial");
            let partial = PathBuf::from(partial);
            let mut out = BufWriter::new(create_own(&partial).map_err(failed)?);
            let wrote = core.export(&mut out)?;
            out.flush().map_err(failed)?;
            out.get_ref().sync_all().map_err(failed)?;
            std::fs::rename(&partial, &path).map_err(failed)?;
            Ok(wrote.entries)
        })
    }

    /// Erases a human, or the values of one entry; answers the id of the entry that says so.
    #[pyo3(signature = (*, human=None, entry=None, reason, by=None))]
    fn erase(
        &self,
        py: Python<'_>,
        human: Option<&Bound<'_, PyAny>>,
        entry: Option<&Bound<'_, PyAny>>,
        reason: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let core = &self.0;
        let what = match (human, entry) {
            (Some(human), None) => Erase::Human(human_id(py, core, human)?),
            (None, Some(entry)) => Erase::Entry(entry_id(core, entry)?),
            _ => return Err(errors::invalid(py, "name a human or an entry, one of them", "")),
        };
        let by = by_of(py, core, by)?;
        enter(py, || core.erase(&what, &reason, by)).map(|id| id.to_string())
    }

    /// A receipt of an entry, or of all that was done for a task.
    #[pyo3(signature = (entry=None, *, task=None))]
    fn receipt(
        &self,
        py: Python<'_>,
        entry: Option<&Bound<'_, PyAny>>,
        task: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Receipt> {
        let about = match (entry, task) {
            (Some(entry), None) => About::Entry(entry_id(&self.0, entry)?),
            (None, Some(task)) => {
                if let Ok(task) = task.cast::<Task>() {
                    About::Task(task.get().0.id)
                } else {
                    let text = text_of(task, "a task or its id")?;
                    let parsed = text.parse().map_err(|_| {
                        let message = format!("there is no task `{}`", shown(&text, 60));
                        errors::make(py, "NotFound", &message, "not_found", "", &[])
                    })?;
                    About::Task(parsed)
                }
            }
            _ => return Err(errors::invalid(py, "name an entry or a task, one of them", "")),
        };
        enter(py, || self.0.receipt(&about)).map(Receipt)
    }

    /// Drops the values of entries of some kinds that are older than an age.
    #[pyo3(signature = (*, kinds=None, older_than=None, reason, by=None))]
    fn expire(
        &self,
        py: Python<'_>,
        kinds: Option<Texts>,
        older_than: Option<&Bound<'_, PyAny>>,
        reason: Text<'_>,
        by: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<String> {
        let core = &self.0;
        let age = match older_than {
            Some(age) => convert::duration(age).map_err(|why| errors::invalid(py, &why, ""))?,
            None => LEAST_AGE,
        };
        let usual = || vec!["decision".to_owned(), "outcome".to_owned()];
        let kinds = kinds.map_or_else(usual, |given| given.0);
        let what = Erase::Older(kinds, core.now_or_mark().saturating_sub(age));
        let by = by_of(py, core, by)?;
        enter(py, || core.erase(&what, &reason, by)).map(|id| id.to_string())
    }

    /// Up to `count` entries from a place on, in the order of the trail, each as it stands alone.
    fn page(&self, py: Python<'_>, start: Any, count: Any) -> PyResult<Entries> {
        let size = enter(py, || self.0.size())?;
        let end = start.0.saturating_add(count.0).min(size);
        Ok(Entries::of_places(self.0.clone(), (start.0..end).collect()))
    }

    /// The key that signs checkpoints now, as a C2SP verifier key.
    fn checkpoint_key(&self) -> String {
        self.0.checkpoint_key()
    }

    /// The consistency proof between two sizes, each hash in base64.
    fn consistency(&self, py: Python<'_>, old: Any, new: Any) -> PyResult<Vec<String>> {
        enter(py, || self.0.consistency(old.0, new.0))
    }

    /// Takes up witnesses' signature lines of a checkpoint.
    #[pyo3(signature = (size, lines, *, key=None))]
    fn add_cosignatures(
        &self,
        py: Python<'_>,
        size: Any,
        lines: Text<'_>,
        key: Option<Text<'_>>,
    ) -> PyResult<Checkpoint> {
        enter(py, || self.0.add_cosignatures(size.0, &lines, key.as_deref())).map(Checkpoint)
    }

    /// Verifies the live trail; raises `TrailCorrupted` with every fault and its place.
    #[pyo3(signature = (*, since=None, witnesses=None, progress=None))]
    fn verify(
        &self,
        py: Python<'_>,
        since: Option<&Bound<'_, PyAny>>,
        witnesses: Option<Texts>,
        progress: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Report> {
        let since = since_of(since)?;
        let witnesses = witness_keys(py, witnesses.map(|given| given.0))?;
        let progress = progress_of(progress)?;
        let core = &self.0;
        let mut raised = None;
        let mut watch = |done: u64, of: u64| {
            let Some(progress) = &progress else { return true };
            raised = Python::attach(|py| progress.call1(py, (done, of)).err());
            raised.is_none()
        };
        let report = enter(py, || core.verify_watched(&since, &witnesses, &mut watch));
        match raised {
            Some(error) => Err(error),
            None => judge(py, report?),
        }
    }

    /// Writes leaves and tree into a folder, as C2SP tlog-tiles; answers how many entries it covers.
    fn archive(&self, py: Python<'_>, path: FilePath) -> PyResult<u64> {
        Ok(enter(py, || self.0.archive(&path.0))?.entries)
    }

    /// Copies the store's records into fresh files; answers bytes before, after, of the records,
    /// and how many records there are.
    fn compact<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let done = enter(py, || self.0.compact())?;
        let told = PyDict::new(py);
        told.set_item("before", done.before)?;
        told.set_item("after", done.after)?;
        told.set_item("live", done.live)?;
        told.set_item("records", done.records)?;
        Ok(told)
    }

    /// How many entries there are.
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        let size = enter(py, || self.0.size())?;
        Ok(usize::try_from(size).unwrap_or(usize::MAX))
    }

    fn __repr__(&self) -> String {
        format!("<trail of {:?}>", self.0)
    }
}

/// An entry's id, by value, id or place in the trail.
pub(super) fn entry_id(core: &Core, object: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(entry) = object.cast::<Entry>() {
        return Ok(entry.get().0.entry.id().to_owned());
    }
    if object.cast::<PyInt>().is_ok() && object.cast::<PyBool>().is_err() {
        let py = object.py();
        let missing = || {
            let message = "there is no entry at that place";
            errors::make(py, "NotFound", message, "not_found", "places are counted from 0", &[])
        };
        let index: u64 = object.extract().map_err(|_| missing())?;
        let entry = enter(py, || {
            core.size()?; // which flushes what was appended
            core.entry_at(index)
        })?;
        return entry.map(|entry| entry.id().to_owned()).ok_or_else(missing);
    }
    text_of(object, "an entry, its id or its place")
}

/// An entry's place in the trail, by value, id or place.
fn place_of(core: &Core, object: &Bound<'_, PyAny>) -> PyResult<u64> {
    let py = object.py();
    if object.cast::<PyInt>().is_ok() && object.cast::<PyBool>().is_err() {
        let wrong = |_| errors::invalid(py, "a place in the trail is counted from 0", "");
        return object.extract().map_err(wrong);
    }
    // An entry in hand by its id too: it may be one of a history that the store was put back from.
    let id = entry_id(core, object)?;
    match enter(py, || core.entry(&id))? {
        Some(entry) => Ok(entry.index),
        None => {
            let message = format!("there is no entry `{}`", shown(&id, 60));
            Err(errors::make(py, "NotFound", &message, "not_found", "", &[]))
        }
    }
}

/// A grant's digest, by value, token, id or digest.
fn grant_digest(core: &Core, object: &Bound<'_, PyAny>) -> PyResult<Digest> {
    if let Ok(grant) = object.cast::<Grant>() {
        return Ok(grant.get().held.chain().leaf().digest);
    }
    let text = text_of(object, "a grant, its id or its digest")?;
    match enter(object.py(), || core.grant_named(&text))? {
        Target::Grant(digest, _) => Ok(digest),
        _ => Err(errors::invalid(object.py(), "that is no grant", "")),
    }
}
