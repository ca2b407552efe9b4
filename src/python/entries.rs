//! Entries of the trail as Python values.

use std::collections::{HashMap, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use pyo3::exceptions::{PyIndexError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::{PyCapsule, PyDict, PySlice};

use super::arrow::{self, Batches, Pieces, Source};
use super::convert::Text;
use super::entry::{Entry, Row, rows};
use super::{convert, enter, errors, notebook};
use crate::clock::{MICROS, parse_instant};
use crate::engine::{CountBy, Engine as Core, EngineError, Hits, Order, Query, count_places};
use crate::trail::index::Field;

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
        arrow::stream(py, Batches::entries(self.core.clone(), self.source()))
    }

    /// The Arrow PyCapsule interface: the schema of the stream.
    #[allow(clippy::unused_self)] // A method by the interface.
    fn __arrow_c_schema__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyCapsule>> {
        arrow::schema_capsule(py)
    }

    /// The batches of that stream one by one, each a stream of its own.
    fn _pieces(&self, py: Python<'_>) -> PyResult<Pieces> {
        enter(py, || self.core.size())?;
        Ok(Pieces::new(Batches::entries(self.core.clone(), self.source())))
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
