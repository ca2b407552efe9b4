//! Entries of the trail as Python values.

use std::sync::Arc;

use pyo3::exceptions::{PyIndexError, PyOverflowError};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyIterator, PyList, PySlice, PyString};

use super::{convert, enter};
use crate::canonical::{Value, to_json};
use crate::clock::render_instant;
use crate::engine::{Engine as Core, Names, shown};
use crate::trail::entry::{self, kind};

/// One entry with what is told beside it.
pub(super) struct Row {
    pub(super) entry: entry::Entry,
    pub(super) outcome: Option<entry::Entry>,
    pub(super) names: Arc<Names>,
    pub(super) core: Arc<Core>,
}

/// Entries of the trail: a sequence.
#[pyclass(frozen, sequence, module = "answerable", name = "Entries")]
pub(super) struct Entries {
    pub(super) rows: Vec<Arc<Row>>,
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
        let missing = || PyIndexError::new_err("there is no such entry");
        let index: isize = match index.extract() {
            Ok(index) => index,
            Err(error) if error.is_instance_of::<PyOverflowError>(py) => return Err(missing()),
            Err(error) => return Err(error),
        };
        let length = isize::try_from(self.rows.len()).unwrap_or(isize::MAX);
        let place = if index < 0 { index + length } else { index };
        let row = usize::try_from(place).ok().and_then(|place| self.rows.get(place));
        let row = row.ok_or_else(missing)?;
        Ok(Bound::new(py, Entry(row.clone()))?.into_any())
    }

    fn __iter__<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyIterator>> {
        let entries: PyResult<Vec<_>> =
            self.rows.iter().map(|row| Bound::new(py, Entry(row.clone()))).collect();
        PyList::new(py, entries?)?.try_iter()
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
