//! The trail as Python values: entries, stories, checkpoints, exports, and their verification.

use std::fs::File;
use std::io::{BufReader, BufWriter, Write};
use std::path::PathBuf;
use std::sync::Arc;

use pyo3::exceptions::PyIndexError;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PySlice, PyString};

use super::people::{agent_id, human_id, public_key, text_of};
use super::values::Reason;
use super::{convert, enter, errors};
use crate::canonical::{Value, to_json};
use crate::clock::render_instant;
use crate::engine::{self as core, Engine as Core, EngineError, Filter, Names, shown};
use crate::scope::{ResourcePattern, ToolPattern};
use crate::trail::checkpoint::SignedCheckpoint;
use crate::trail::entry::{self, kind};
use crate::trail::verify::{self as verifier, VerifyError};

/// The trail of an engine.
#[pyclass(frozen, module = "answerable", name = "Trail")]
pub(super) struct Trail(pub(super) Arc<Core>);

#[pymethods]
impl Trail {
    /// The entries that a filter asks for, oldest first.
    #[pyo3(signature = (*, human=None, agent=None, via=None, tool=None, resource=None, task=None, effect=None, reason=None, kind=None, since=None, until=None))]
    #[allow(clippy::too_many_arguments)] // The public face's own.
    fn entries(
        &self,
        py: Python<'_>,
        human: Option<&Bound<'_, PyAny>>,
        agent: Option<&Bound<'_, PyAny>>,
        via: Option<&Bound<'_, PyAny>>,
        tool: Option<&str>,
        resource: Option<&str>,
        task: Option<&str>,
        effect: Option<&str>,
        reason: Option<String>,
        kind: Option<String>,
        since: Option<&Bound<'_, PyAny>>,
        until: Option<&Bound<'_, PyAny>>,
    ) -> PyResult<Entries> {
        let core = &self.0;
        let wrong = |why: String| errors::invalid(py, &why, "");
        if effect.is_some_and(|effect| !["allow", "deny", "ask"].contains(&effect)) {
            return Err(errors::invalid(py, "there is no such effect", "allow, deny or ask"));
        }
        let human = match human {
            Some(human) if human.extract::<&str>().is_ok_and(|text| text == "none") => {
                Some("none".to_owned())
            }
            Some(human) => Some(human_id(py, core, human)?.to_string()),
            None => None,
        };
        let agent = agent.map(|agent| agent_id(py, core, agent)).transpose()?;
        let via = via.map(|agent| agent_id(py, core, agent)).transpose()?;
        let tool = tool.map(ToolPattern::parse).transpose().map_err(|e| errors::scope(py, &e))?;
        let resource =
            resource.map(ResourcePattern::parse).transpose().map_err(|e| errors::scope(py, &e))?;
        let now = core.now_or_mark();
        let filter = Filter {
            human,
            agent: agent.map(|id| id.to_string()),
            via: via.map(|id| id.to_string()),
            tool,
            resource,
            task: task.map(str::to_owned),
            effect: effect.map(str::to_owned),
            reason,
            kind,
            since: since.map(|at| convert::moment(at, now)).transpose().map_err(wrong)?,
            until: until.map(|at| convert::moment(at, now)).transpose().map_err(wrong)?,
        };
        let (found, names) = enter(py, || Ok((core.entries(&filter)?, core.names())))?;
        let names = Arc::new(names);
        let rows = found
            .into_iter()
            .map(|(entry, outcome)| Row {
                entry,
                outcome,
                names: names.clone(),
                core: core.clone(),
            })
            .map(Arc::new)
            .collect();
        Ok(Entries { rows })
    }

    /// One entry by its id.
    fn get(&self, py: Python<'_>, entry: &Bound<'_, PyAny>) -> PyResult<Entry> {
        let id = entry_id(entry)?;
        let core = &self.0;
        let found = enter(py, || {
            let Some(entry) = core.entry(&id)? else { return Ok(None) };
            let outcome =
                if entry.kind() == kind::DECISION { core.outcome_of(&entry)? } else { None };
            Ok(Some((entry, outcome)))
        })?;
        let Some((entry, outcome)) = found else {
            let message = format!("there is no entry `{}`", shown(&id, 60));
            return Err(errors::make(py, "NotFound", &message, "not_found", "", &[]));
        };
        let row = Row { entry, outcome, names: Arc::new(core.names()), core: core.clone() };
        Ok(Entry(Arc::new(row)))
    }

    /// The four questions of one decision, readable.
    fn story(&self, py: Python<'_>, entry: &Bound<'_, PyAny>) -> PyResult<Story> {
        let id = entry_id(entry)?;
        enter(py, || self.0.story(&id)).map(Story)
    }

    /// Flushes all that was appended and signs the tree's head.
    fn checkpoint(&self, py: Python<'_>) -> PyResult<Checkpoint> {
        enter(py, || self.0.checkpoint()).map(Checkpoint)
    }

    /// Writes the whole trail as JSON lines, into a new file beside which nothing partial is left.
    fn export(&self, py: Python<'_>, path: PathBuf) -> PyResult<u64> {
        let core = &self.0;
        enter(py, || {
            let failed = |error: std::io::Error| {
                EngineError::Invalid(format!("cannot write {}: {error}", path.display()))
            };
            let mut partial = path.clone().into_os_string();
            partial.push(".partial");
            let partial = PathBuf::from(partial);
            let mut out = BufWriter::new(File::create(&partial).map_err(failed)?);
            let wrote = core.export(&mut out)?;
            out.flush().map_err(failed)?;
            out.get_ref().sync_all().map_err(failed)?;
            std::fs::rename(&partial, &path).map_err(failed)?;
            Ok(wrote.entries)
        })
    }

    /// Verifies the live trail; raises `TrailCorrupted` with every fault and its place.
    #[pyo3(signature = (*, since=None))]
    fn verify(&self, py: Python<'_>, since: Option<&Bound<'_, PyAny>>) -> PyResult<Report> {
        let since = since_of(since)?;
        let core = &self.0;
        let report = enter(py, || core.verify(&since))?;
        judge(py, report)
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

fn entry_id(object: &Bound<'_, PyAny>) -> PyResult<String> {
    if let Ok(entry) = object.cast::<Entry>() {
        return Ok(entry.get().0.entry.id().to_owned());
    }
    text_of(object, "an entry or its id")
}

struct Row {
    entry: entry::Entry,
    outcome: Option<entry::Entry>,
    names: Arc<Names>,
    core: Arc<Core>,
}

/// Entries of the trail: a sequence.
#[pyclass(frozen, sequence, module = "answerable", name = "Entries")]
pub(super) struct Entries {
    rows: Vec<Arc<Row>>,
}

#[pymethods]
impl Entries {
    fn __len__(&self) -> usize {
        self.rows.len()
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        if let Ok(slice) = index.cast::<PySlice>() {
            let length = isize::try_from(self.rows.len()).unwrap_or(isize::MAX);
            let at = slice.indices(length)?;
            let mut rows = Vec::with_capacity(at.slicelength);
            let mut place = at.start;
            for _ in 0..at.slicelength {
                let row = usize::try_from(place).ok().and_then(|place| self.rows.get(place));
                rows.extend(row.cloned());
                place += at.step;
            }
            return Ok(Bound::new(py, Self { rows })?.into_any());
        }
        let index: isize = index.extract()?;
        let length = isize::try_from(self.rows.len()).unwrap_or(isize::MAX);
        let place = if index < 0 { index + length } else { index };
        let row = usize::try_from(place).ok().and_then(|place| self.rows.get(place));
        let row = row.ok_or_else(|| PyIndexError::new_err("there is no such entry"))?;
        Ok(Bound::new(py, Entry(row.clone()))?.into_any())
    }

    fn __repr__(&self) -> String {
        let mut text = format!("<{} entries>", self.rows.len());
        for row in self.rows.iter().take(20) {
            text.push_str("\n  ");
            text.push_str(&row.line());
        }
        if self.rows.len() > 20 {
            text.push_str("\n  …");
        }
        text
    }
}

/// One entry of the trail.
#[pyclass(frozen, module = "answerable", name = "Entry")]
pub(super) struct Entry(Arc<Row>);

impl Row {
    fn text(&self, key: &str) -> Option<String> {
        self.entry.fields.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    fn line(&self) -> String {
        let at = render_instant(self.entry.at()).unwrap_or_default();
        let what = match self.entry.kind() {
            kind::DECISION => format!("{} {}", self.entry.text("effect"), self.tool()),
            kind => format!("{kind} {}", self.entry.text("action")),
        };
        let who = self.names.of(self.entry.text("human"));
        format!("{at} {} {} ({})", self.entry.id(), shown(&what, 100), shown(who, 60))
    }

    fn tool(&self) -> &str {
        match self.entry.text("tool") {
            "" => self.entry.value_text("tool").unwrap_or_default(),
            tool => tool,
        }
    }
}

#[pymethods]
impl Entry {
    #[getter]
    fn id(&self) -> &str {
        self.0.entry.id()
    }

    /// Its place in the trail, from 0.
    #[getter]
    fn index(&self) -> u64 {
        self.0.entry.index
    }

    #[getter]
    fn kind(&self) -> &str {
        self.0.entry.kind()
    }

    /// When it was sequenced, in UTC.
    #[getter]
    fn at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.0.entry.at())
    }

    /// The id of the human accountable; `"none"` for a call that nobody answers for.
    #[getter]
    fn human(&self) -> Option<String> {
        self.0.text("human")
    }

    /// The human's name.
    #[getter]
    fn human_name(&self) -> Option<String> {
        self.0.text("human").map(|id| self.0.names.of(&id).to_owned())
    }

    /// The id of the acting agent, or of the one the entry is about.
    #[getter]
    fn agent(&self) -> Option<String> {
        self.0.text("agent")
    }

    /// The agent's name.
    #[getter]
    fn agent_name(&self) -> Option<String> {
        self.0.text("agent").map(|id| self.0.names.of(&id).to_owned())
    }

    /// The names of the agents on the chain, from the root.
    #[getter]
    fn via(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let row = self.0.clone();
        enter(py, move || {
            let mut names = Vec::new();
            for digest in row.entry.digests("chain") {
                if let Some(grant) = row.core.grant_entry(&digest)? {
                    names.push(row.names.of(grant.text("agent")).to_owned());
                }
            }
            Ok(names)
        })
    }

    #[getter]
    fn task(&self) -> Option<String> {
        self.0.text("task")
    }

    #[getter]
    fn tool(&self) -> Option<&str> {
        (self.0.entry.kind() == kind::DECISION).then(|| self.0.tool())
    }

    #[getter]
    fn resource(&self) -> Option<&str> {
        self.0.entry.value_text("resource")
    }

    /// The recorded arguments by name; what was masked is shown as such.
    #[getter]
    fn arguments<'py>(&self, py: Python<'py>) -> PyResult<Option<Bound<'py, PyDict>>> {
        let Some(Value::Map(recorded)) = self.0.entry.value("arguments") else { return Ok(None) };
        let dict = PyDict::new(py);
        for (name, item) in recorded.iter() {
            let parts = item.as_list().unwrap_or_default();
            let value = match (parts.first().and_then(Value::as_str), parts.get(1)) {
                (Some("keep"), Some(value)) => convert::to_python(py, value)?,
                (Some(how), Some(word)) => {
                    let text = format!("({how}: {})", word.as_str().unwrap_or_default());
                    PyString::new(py, &text).into_any()
                }
                _ => PyString::new(py, "(unknown)").into_any(),
            };
            dict.set_item(name, value)?;
        }
        Ok(Some(dict))
    }

    /// `allow`, `deny` or `ask`, for a decision.
    #[getter]
    fn effect(&self) -> Option<String> {
        self.0.text("effect")
    }

    /// The codes of a decision's reasons.
    #[getter]
    fn reasons(&self) -> Vec<String> {
        let codes = self.0.entry.fields.get("reasons").and_then(Value::as_list);
        let codes = codes.unwrap_or_default().iter().filter_map(Value::as_str);
        codes.map(str::to_owned).collect()
    }

    /// The version of the policies that were asked.
    #[getter]
    fn policy(&self) -> Option<String> {
        self.0.text("policy")
    }

    /// The entry of the call that this one was made in.
    #[getter]
    fn parent(&self) -> Option<String> {
        self.0.text("parent")
    }

    /// How an allowed call ended: `returned` or `raised`; `None` while it has not.
    #[getter]
    fn outcome(&self) -> Option<String> {
        self.0.outcome.as_ref().map(|outcome| outcome.text("status").to_owned())
    }

    /// How long the call took, in seconds; `None` while it has not ended.
    #[getter]
    fn duration(&self) -> Option<f64> {
        let outcome = self.0.outcome.as_ref()?;
        let micros = outcome.fields.get("duration_us").and_then(Value::as_i64)?;
        Some(micros as f64 / 1e6)
    }

    /// All keys of the leaf.
    #[getter]
    fn leaf<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        convert::map_to_python(py, &self.0.entry.fields)
    }

    /// The values beside the leaf that could be opened, by field.
    #[getter]
    fn values<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for opened in &self.0.entry.opened {
            dict.set_item(&*opened.field, convert::to_python(py, &opened.value)?)?;
        }
        Ok(dict)
    }

    /// The entry as one line of JSON: leaf and opened values.
    fn json(&self) -> String {
        let leaf = to_json(&Value::Map(self.0.entry.fields.clone()));
        let values: Vec<String> = self
            .0
            .entry
            .opened
            .iter()
            .map(|opened| {
                let field = to_json(&Value::str(&opened.field));
                format!("{field}:{}", to_json(&opened.value))
            })
            .collect();
        let index = self.0.entry.index;
        format!(r#"{{"index":{index},"leaf":{leaf},"values":{{{}}}}}"#, values.join(","))
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0.entry.leaf == self.0.entry.leaf)
    }

    fn __hash__(&self) -> u64 {
        self.0.entry.index
    }

    fn __repr__(&self) -> String {
        format!("<entry {}>", self.0.line())
    }
}

/// One agent on the chain of a story.
#[pyclass(frozen, get_all, module = "answerable", name = "Hop")]
pub(super) struct Hop {
    agent: String,
    name: String,
    grant: String,
    until: String,
    statement: Option<String>,
    scope: Vec<String>,
    narrowed: Vec<String>,
}

/// The story of one decision: who, via what, what and where, and why.
#[pyclass(frozen, module = "answerable", name = "Story")]
pub(super) struct Story(core::Story);

#[pymethods]
impl Story {
    #[getter]
    fn entry(&self) -> &str {
        &self.0.entry
    }

    #[getter]
    fn headline(&self) -> String {
        self.0.headline()
    }

    #[getter]
    fn human(&self) -> &str {
        &self.0.human
    }

    #[getter]
    fn human_name(&self) -> &str {
        &self.0.human_name
    }

    #[getter]
    fn via(&self) -> Vec<Hop> {
        let hops = self.0.via.iter().cloned();
        hops.map(|hop| Hop {
            agent: hop.agent,
            name: hop.name,
            grant: hop.grant,
            until: hop.until,
            statement: hop.statement,
            scope: hop.scope,
            narrowed: hop.narrowed,
        })
        .collect()
    }

    #[getter]
    fn task(&self) -> Option<&str> {
        self.0.task.as_deref()
    }

    #[getter]
    fn tool(&self) -> &str {
        &self.0.tool
    }

    #[getter]
    fn resource(&self) -> Option<&str> {
        self.0.resource.as_deref()
    }

    #[getter]
    fn effect(&self) -> &str {
        &self.0.effect
    }

    #[getter]
    fn reasons(&self) -> Vec<Reason> {
        self.0.reasons.iter().map(Reason::from).collect()
    }

    #[getter]
    fn outcome(&self) -> Option<&str> {
        self.0.outcome.as_deref()
    }

    fn __str__(&self) -> String {
        self.0.to_string()
    }

    fn __repr__(&self) -> String {
        self.0.to_string()
    }

    fn _repr_html_(&self) -> String {
        let text = self.0.to_string();
        let text = text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;");
        format!("<pre style=\"white-space:pre-wrap\">{text}</pre>")
    }
}

/// A signed head of the trail: (origin, size, root), a C2SP checkpoint.
#[pyclass(frozen, module = "answerable", name = "Checkpoint")]
pub(super) struct Checkpoint(SignedCheckpoint);

#[pymethods]
impl Checkpoint {
    /// A checkpoint from its text; its signature is checked where it is used.
    #[staticmethod]
    fn parse(py: Python<'_>, text: &str) -> PyResult<Self> {
        SignedCheckpoint::parse(text)
            .map(Self)
            .map_err(|error| errors::invalid(py, &error.to_string(), ""))
    }

    #[getter]
    fn text(&self) -> &str {
        self.0.text()
    }

    #[getter]
    fn origin(&self) -> &str {
        &self.0.claimed().origin
    }

    #[getter]
    fn size(&self) -> u64 {
        self.0.claimed().size
    }

    /// The root hash, in hexadecimal.
    #[getter]
    fn root(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0.claimed().root)
    }

    fn __str__(&self) -> &str {
        self.0.text()
    }

    fn __repr__(&self) -> String {
        format!("<checkpoint of {} entries, root {}>", self.size(), self.root())
    }

    fn __eq__(&self, other: &Bound<'_, PyAny>) -> bool {
        other.cast::<Self>().is_ok_and(|other| other.get().0.text() == self.0.text())
    }

    fn __hash__(&self) -> u64 {
        self.0.claimed().size
    }
}

/// One fault of a trail, with its place and both states.
#[pyclass(frozen, get_all, module = "answerable", name = "Fault")]
#[derive(Clone)]
pub(super) struct Fault {
    code: &'static str,
    what: String,
    place: String,
    line: Option<u64>,
    index: Option<u64>,
    through: Option<u64>,
    entry: Option<String>,
    field: Option<String>,
    expected: Option<String>,
    found: Option<String>,
}

#[pymethods]
impl Fault {
    fn __str__(&self) -> String {
        format!("{} at {}: {}", self.code, self.place, self.what)
    }

    fn __repr__(&self) -> String {
        format!("<fault {} at {}: {}>", self.code, self.place, shown(&self.what, 200))
    }
}

/// What was verified.
#[pyclass(frozen, get_all, module = "answerable", name = "Report")]
pub(super) struct Report {
    size: u64,
    root: String,
    origin: String,
    checkpoints: u64,
    since_agreed: u64,
    kinds: std::collections::BTreeMap<String, u64>,
    unknown_kinds: Vec<String>,
    newest_checkpoint_size: u64,
    unanchored: u64,
    disclosed: u64,
    withheld: u64,
    decisions_without_outcome: u64,
}

#[pymethods]
impl Report {
    fn __str__(&self) -> String {
        let (size, checkpoints, disclosed) = (self.size, self.checkpoints, self.disclosed);
        let mut text = format!(
            "verified: {size} entries under {checkpoints} checkpoints, {disclosed} values as committed"
        );
        let mut note = |count: u64, what: &str| {
            if count > 0 {
                text.push_str(&format!("; {count} {what}"));
            }
        };
        note(self.withheld, "values withheld or erased");
        note(self.unanchored, "entries after the newest checkpoint");
        note(self.decisions_without_outcome, "allowed calls without an outcome");
        note(self.unknown_kinds.len() as u64, "kinds of entries unknown to this version");
        text
    }

    fn __repr__(&self) -> String {
        format!("<report: {}>", self.__str__())
    }
}

fn judge(py: Python<'_>, report: Result<verifier::Report, VerifyError>) -> PyResult<Report> {
    let report = match report {
        Ok(report) => report,
        Err(VerifyError::Read(error)) => {
            return Err(errors::invalid(py, &format!("cannot read the trail: {error}"), ""));
        }
        Err(error @ VerifyError::Corrupted(_)) => {
            let message = error.to_string();
            let VerifyError::Corrupted(report) = error else {
                return Err(errors::invalid(py, &message, ""));
            };
            let faults: PyResult<Vec<Py<Fault>>> =
                report.faults.iter().map(|fault| Py::new(py, fault_of(fault))).collect();
            let faults = PyList::new(py, faults?)?.into_any().unbind();
            let hint = "keep the file as it is: each fault names its place and both states";
            let details = [("faults", faults)];
            return Err(errors::make(
                py,
                "TrailCorrupted",
                &message,
                "trail_corrupted",
                hint,
                &details,
            ));
        }
    };
    Ok(Report {
        size: report.size,
        root: data_encoding::HEXLOWER.encode(&report.root),
        origin: report.origin,
        checkpoints: report.checkpoints,
        since_agreed: report.since_agreed,
        kinds: report.kinds,
        unknown_kinds: report.unknown_kinds,
        newest_checkpoint_size: report.newest_checkpoint_size,
        unanchored: report.unanchored,
        disclosed: report.disclosed,
        withheld: report.withheld,
        decisions_without_outcome: report.decisions_without_outcome,
    })
}

fn fault_of(fault: &verifier::Fault) -> Fault {
    Fault {
        code: fault.code.slug(),
        what: fault.what.clone(),
        place: fault.place.to_string(),
        line: fault.place.line,
        index: fault.place.index,
        through: fault.place.through,
        entry: fault.place.entry.clone(),
        field: fault.place.field.clone(),
        expected: fault.expected.clone(),
        found: fault.found.clone(),
    }
}

/// One checkpoint or several: values, texts, or paths of files that hold a text.
fn since_of(since: Option<&Bound<'_, PyAny>>) -> PyResult<Vec<String>> {
    let Some(since) = since else { return Ok(Vec::new()) };
    if let Ok(checkpoint) = since.cast::<Checkpoint>() {
        return Ok(vec![checkpoint.get().0.text().to_owned()]);
    }
    if let Ok(text) = since.cast::<PyString>() {
        let text = text.to_str()?;
        if text.contains('\n') {
            return Ok(vec![text.to_owned()]);
        }
    }
    if since.cast::<PyString>().is_ok() || since.hasattr("__fspath__")? {
        let path: PathBuf = since.extract()?;
        let text = std::fs::read_to_string(&path).map_err(|error| {
            let message = format!("cannot read the checkpoint {}: {error}", path.display());
            errors::invalid(since.py(), &message, "give a Checkpoint, its text, or a file of it")
        })?;
        return Ok(vec![text]);
    }
    let mut all = Vec::new();
    for item in since.try_iter()? {
        all.extend(since_of(Some(&item?))?);
    }
    Ok(all)
}

/// Verifies an exported trail with the authority's public key alone.
#[pyfunction]
#[pyo3(signature = (path, authority, *, since=None, progress=None))]
pub(super) fn verify(
    py: Python<'_>,
    path: PathBuf,
    authority: &str,
    since: Option<&Bound<'_, PyAny>>,
    progress: Option<Py<PyAny>>,
) -> PyResult<Report> {
    let authority = public_key(py, authority)?;
    let since = since_of(since)?;
    let file = File::open(&path).map_err(|error| {
        let message = format!("cannot read {}: {error}", path.display());
        errors::invalid(py, &message, "give the path of a file that trail.export() wrote")
    })?;
    let mut failed = None;
    let report = py.detach(|| {
        let since: Vec<&str> = since.iter().map(String::as_str).collect();
        verifier::verify(BufReader::new(file), &authority, &since, &mut |done, of| {
            if let (Some(progress), None) = (&progress, &failed) {
                let told = Python::attach(|py| progress.call1(py, (done, of)).map(|_| ()));
                failed = told.err();
            }
        })
    });
    match failed {
        Some(error) => Err(error),
        None => judge(py, report),
    }
}
