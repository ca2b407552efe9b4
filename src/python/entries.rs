//! Entries of the trail as Python values.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::{PyIndexError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PySlice, PyString};

use super::arrow::{self, Batches, Source};
use super::convert::Text;
use super::{convert, enter, errors, notebook};
use crate::canonical::{Value, to_json};
use crate::clock::{MICROS, parse_instant, render_instant};
use crate::engine::{
    CountBy, Engine as Core, EngineError, Hits, Order, Query, count_places, shown,
};
use crate::trail::entry::{self, kind};
use crate::trail::index::Field;

/// One entry with what is told beside it.
pub(super) struct Row {
    pub(super) entry: entry::Entry,
    pub(super) outcome: Option<entry::Entry>,
    pub(super) core: Arc<Core>,
}

/// How many entries are read at once.
const READ: usize = 256;
/// How many entries a repr shows.
const SHOWN: usize = 20;

/// Which entries a view shows.
#[derive(Clone)]
enum Shown {
    /// All that fit.
    Fitting(Arc<Hits>, Order),
    /// These places, in this order.
    Listed(Arc<Vec<u64>>),
}

/// Entries of the trail: a sequence that is read as it is looked at.
#[pyclass(frozen, sequence, module = "answerable", name = "Entries")]
pub(super) struct Entries {
    core: Arc<Core>,
    shown: Shown,
}

impl Entries {
    pub(super) fn new(core: Arc<Core>, query: Query, order: Order) -> Self {
        Self { core, shown: Shown::Fitting(Arc::new(Hits::new(query)), order) }
    }

    /// Entries at some places, in their order.
    pub(super) fn of_places(core: Arc<Core>, places: Vec<u64>) -> Self {
        Self { core, shown: Shown::Listed(Arc::new(places)) }
    }

    fn listed(&self, places: Vec<u64>) -> Self {
        let shown = Shown::Listed(Arc::new(places));
        Self { core: self.core.clone(), shown }
    }

    /// All places, as they are shown.
    fn all(&self) -> Result<Vec<u64>, EngineError> {
        Ok(match &self.shown {
            Shown::Listed(places) => places.to_vec(),
            Shown::Fitting(hits, order) => {
                let mut all = hits.all(&self.core.library)?.to_vec();
                if *order == Order::Newest {
                    all.reverse();
                }
                all
            }
        })
    }

    /// The first so many places, as they are shown.
    fn first(&self, count: usize) -> Result<Vec<u64>, EngineError> {
        let library = &self.core.library;
        Ok(match &self.shown {
            Shown::Listed(places) => places.iter().take(count).copied().collect(),
            Shown::Fitting(hits, Order::Oldest) => hits.oldest(library, count)?,
            Shown::Fitting(hits, Order::Newest) => {
                hits.newest(library, count)?.into_iter().rev().collect()
            }
        })
    }

    /// The last so many places, as they are shown.
    fn last(&self, count: usize) -> Result<Vec<u64>, EngineError> {
        let library = &self.core.library;
        Ok(match &self.shown {
            Shown::Listed(places) => {
                places.get(places.len().saturating_sub(count)..).unwrap_or_default().to_vec()
            }
            Shown::Fitting(hits, Order::Oldest) => hits.newest(library, count)?,
            Shown::Fitting(hits, Order::Newest) => {
                hits.oldest(library, count)?.into_iter().rev().collect()
            }
        })
    }

    fn count(&self) -> Result<usize, EngineError> {
        Ok(match &self.shown {
            Shown::Listed(places) => places.len(),
            Shown::Fitting(hits, _) => hits.all(&self.core.library)?.len(),
        })
    }

    /// The rows at some places, in their order.
    fn rows(&self, places: &[u64]) -> Result<Vec<Arc<Row>>, EngineError> {
        rows(&self.core, places)
    }

    /// A slice that ends are enough to tell, without counting all.
    fn ends(&self, slice: &Bound<'_, PySlice>) -> PyResult<Option<Vec<u64>>> {
        let part = |name: &str| -> PyResult<Option<isize>> {
            let part = slice.getattr(name)?;
            if part.is_none() {
                return Ok(None);
            }
            // What does not fit is far beyond the trail, or no index: `indices` decides.
            Ok(Some(part.call_method0("__index__")?.extract().unwrap_or(isize::MAX)))
        };
        let (start, stop, step) = (part("start")?, part("stop")?, part("step")?);
        if step.is_some_and(|step| step != 1) {
            return Ok(None);
        }
        let size = |number: isize| usize::try_from(number).unwrap_or(usize::MAX);
        let py = slice.py();
        match (start, stop) {
            (None | Some(0..), Some(stop @ 0..)) => {
                let (start, stop) = (size(start.unwrap_or(0)), size(stop));
                if stop == size(isize::MAX) {
                    return Ok(None);
                }
                let first = enter(py, || self.first(stop))?;
                Ok(Some(first.get(start.min(first.len())..).unwrap_or_default().to_vec()))
            }
            (Some(start @ ..0), None) => {
                let count = start.unsigned_abs();
                enter(py, || self.last(count)).map(Some)
            }
            _ => Ok(None),
        }
    }

    fn source(&self) -> Source {
        match &self.shown {
            Shown::Listed(places) => Source::Listed(places.clone(), 0),
            Shown::Fitting(hits, order) => Source::all(hits, *order),
        }
    }
}

/// Entries at some places with their outcomes, in the order of the places.
pub(super) fn rows(core: &Arc<Core>, places: &[u64]) -> Result<Vec<Arc<Row>>, EngineError> {
    let mut sorted = places.to_vec();
    sorted.sort_unstable();
    sorted.dedup();
    let read = core.rows_at(&sorted)?;
    let by_place: HashMap<u64, Arc<Row>> = read
        .into_iter()
        .map(|(entry, outcome)| {
            let row = Row { entry, outcome, core: core.clone() };
            (row.entry.index, Arc::new(row))
        })
        .collect();
    Ok(places.iter().filter_map(|place| by_place.get(place).cloned()).collect())
}

#[pymethods]
impl Entries {
    fn __len__(&self, py: Python<'_>) -> PyResult<usize> {
        enter(py, || self.count())
    }

    fn __bool__(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(!enter(py, || self.first(1))?.is_empty())
    }

    fn __getitem__<'py>(&self, index: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let py = index.py();
        if let Ok(slice) = index.cast::<PySlice>() {
            if let Some(places) = self.ends(slice)? {
                return Ok(Bound::new(py, self.listed(places))?.into_any());
            }
            let all = enter(py, || self.all())?;
            let at = slice.indices(isize::try_from(all.len()).unwrap_or(isize::MAX))?;
            let mut places = Vec::with_capacity(at.slicelength);
            let mut place = at.start;
            for _ in 0..at.slicelength {
                places.extend(usize::try_from(place).ok().and_then(|place| all.get(place)));
                place += at.step;
            }
            return Ok(Bound::new(py, self.listed(places))?.into_any());
        }
        let missing = || PyIndexError::new_err("there is no such entry");
        let index: isize = match index.extract() {
            Ok(index) => index,
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => return Err(missing()),
            Err(error) => return Err(error),
        };
        let row = enter(py, || {
            let place = match usize::try_from(index) {
                Ok(at) => self.first(at.saturating_add(1))?.get(at).copied(),
                Err(_) => {
                    let back = index.unsigned_abs();
                    let last = self.last(back)?;
                    last.first().copied().filter(|_| last.len() == back)
                }
            };
            Ok(self.rows(place.as_slice())?.pop())
        })?;
        let row = row.ok_or_else(missing)?;
        Ok(Bound::new(py, Entry(row))?.into_any())
    }

    fn __iter__(&self) -> EntriesIterator {
        let source = self.source();
        let core = self.core.clone();
        let state = Mutex::new((source, VecDeque::new()));
        EntriesIterator { core, state }
    }

    /// How many there are, by the values of a field, the most first.
    fn count_by<'py>(&self, py: Python<'py>, field: Text<'_>) -> PyResult<Bound<'py, PyDict>> {
        let by = match &*field {
            "kind" => CountBy::Field(Field::Kind),
            "human" => CountBy::Field(Field::Human),
            "agent" => CountBy::Field(Field::Agent),
            "via" => CountBy::Field(Field::Via),
            "tool" => CountBy::Field(Field::Tool),
            "task" => CountBy::Field(Field::Task),
            "effect" => CountBy::Field(Field::Effect),
            "reason" => CountBy::Field(Field::Reason),
            "action" => CountBy::Field(Field::Action),
            "by" => CountBy::Field(Field::By),
            "resource" => CountBy::Resource,
            "hour" => CountBy::Time(3_600 * MICROS),
            "day" => CountBy::Time(86_400 * MICROS),
            _ => {
                let hint = "kind, human, agent, via, tool, resource, task, effect, reason, action, by, hour or day";
                return Err(errors::invalid(py, "entries are not counted by that", hint));
            }
        };
        let counts = enter(py, || match &self.shown {
            Shown::Fitting(hits, _) => hits.query().count_by(&self.core.library, by),
            Shown::Listed(places) => {
                let mut places = places.to_vec();
                places.sort_unstable();
                places.dedup();
                count_places(&self.core.library, by, &places)
            }
        })?;
        let mut counts: Vec<(String, u64)> = counts.into_iter().collect();
        if matches!(by, CountBy::Time(_)) {
            counts.sort();
        } else {
            counts.sort_by(|a, b| b.1.cmp(&a.1).then_with(|| a.0.cmp(&b.0)));
        }
        let names: Vec<String> = counts.iter().map(|(value, _)| self.core.name_of(value)).collect();
        let mut times: HashMap<&str, usize> = HashMap::new();
        for name in &names {
            *times.entry(name).or_default() += 1;
        }
        let dict = PyDict::new(py);
        for ((value, count), name) in counts.iter().zip(&names) {
            match by {
                CountBy::Time(_) => {
                    let at = parse_instant(value).unwrap_or_default();
                    dict.set_item(convert::instant(py, at)?, count)?;
                }
                // Two of one name are told apart.
                _ if times.get(name.as_str()).is_some_and(|times| *times > 1) => {
                    dict.set_item(format!("{name} ({value})"), count)?;
                }
                _ => dict.set_item(name, count)?,
            }
        }
        Ok(dict)
    }

    /// The Arrow PyCapsule interface: a stream of record batches.
    #[pyo3(signature = (requested_schema=None))]
    fn __arrow_c_stream__<'py>(
        &self,
        py: Python<'py>,
        requested_schema: Option<&Bound<'py, PyAny>>,
    ) -> PyResult<Bound<'py, PyCapsule>> {
        // The interface leaves it to the producer whether to follow a wish for other types.
        let _ = requested_schema;
        enter(py, || self.core.size())?;
        arrow::stream(py, Batches::new(self.core.clone(), self.source()))
    }

    /// The Arrow PyCapsule interface: the schema of the stream.
    #[allow(clippy::unused_self)] // A method by the interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::schema_capsule(py)
    }

    /// A `pyarrow.Table`.
    fn to_arrow<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        frames(slf, "to_arrow")
    }

    /// A `pandas.DataFrame`.
    fn to_pandas<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        frames(slf, "to_pandas")
    }

    /// A `polars.DataFrame`.
    fn to_polars<'py>(slf: &Bound<'py, Self>) -> PyResult<Bound<'py, PyAny>> {
        frames(slf, "to_polars")
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

    fn __repr__(&self, py: Python<'_>) -> PyResult<String> {
        let (rows, more) = enter(py, || {
            let places = self.first(SHOWN + 1)?;
            let more = places.len() > SHOWN;
            Ok((self.rows(places.get(..SHOWN.min(places.len())).unwrap_or_default())?, more))
        })?;
        let opens = match &self.shown {
            Shown::Fitting(hits, _) => hits.query().opens(),
            Shown::Listed(_) => false,
        };
        // Counting what must be opened first would take too long for a glance.
        let mut text = match (more, opens) {
            (false, _) => format!("<{} entries>", rows.len()),
            (true, true) => format!("<more than {SHOWN} entries>"),
            (true, false) => format!("<{} entries>", enter(py, || self.count())?),
        };
        for row in &rows {
            text.push_str("\n  ");
            text.push_str(&row.line());
        }
        if more {
            text.push_str("\n  …");
        }
        Ok(text)
    }
}

fn frames<'py>(entries: &Bound<'py, Entries>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    entries.py().import("answerable.frames")?.call_method1(name, (entries,))
}

/// Goes through entries, some at a time.
#[pyclass(frozen, module = "answerable", name = "EntriesIterator")]
pub(super) struct EntriesIterator {
    core: Arc<Core>,
    state: Mutex<(Source, VecDeque<Arc<Row>>)>,
}

#[pymethods]
impl EntriesIterator {
    fn __iter__(slf: PyRef<'_, Self>) -> PyRef<'_, Self> {
        slf
    }

    fn __next__(&self, py: Python<'_>) -> PyResult<Option<Entry>> {
        let row = enter(py, || {
            let mut state = self.state.lock();
            if state.1.is_empty() {
                let places = state.0.next_places(&self.core.library, READ)?;
                state.1 = rows(&self.core, &places)?.into();
            }
            Ok(state.1.pop_front())
        })?;
        Ok(row.map(Entry))
    }
}

/// One entry of the trail.
#[pyclass(frozen, module = "answerable", name = "Entry")]
pub(super) struct Entry(pub(super) Arc<Row>);

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
        let who = self.core.name_of(self.entry.text("human"));
        format!("{at} {} {} ({})", self.entry.id(), shown(&what, 100), shown(&who, 60))
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
        self.0.text("human").map(|id| self.0.core.name_of(&id))
    }

    /// The id of the acting agent, or of the one the entry is about.
    #[getter]
    fn agent(&self) -> Option<String> {
        self.0.text("agent")
    }

    /// The agent's name.
    #[getter]
    fn agent_name(&self) -> Option<String> {
        self.0.text("agent").map(|id| self.0.core.name_of(&id))
    }

    /// The names of the agents on the chain, from the root.
    #[getter]
    fn via(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let row = self.0.clone();
        enter(py, move || {
            let mut names = Vec::new();
            for digest in row.entry.digests("chain") {
                if let Some(grant) = row.core.grant_entry(&digest)? {
                    names.push(row.core.name_of(grant.text("agent")));
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
        format!("<entry {}>", self.0.line())
    }
}
