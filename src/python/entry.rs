//! One entry of the trail as a Python value.

use std::collections::HashMap;
use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::{convert, enter, notebook};
use crate::canonical::{Value, to_json};
use crate::clock::render_instant;
use crate::engine::{Engine as Core, EngineError, shown};
use crate::trail::entry::{self, kind};

/// One entry with what is told beside it.
pub(super) struct Row {
    pub(super) entry: entry::Entry,
    pub(super) outcome: Option<entry::Entry>,
    pub(super) core: Arc<Core>,
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

/// One entry of the trail.
#[pyclass(frozen, module = "answerable", name = "Entry")]
pub(super) struct Entry(pub(super) Arc<Row>);

impl Row {
    fn text(&self, key: &str) -> Option<String> {
        self.entry.fields.get(key).and_then(Value::as_str).map(str::to_owned)
    }

    pub(super) fn line(&self) -> String {
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
