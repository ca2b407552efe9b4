//! Stories of decisions as Python values.

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString};

use super::convert::{self, Whole};
use super::notebook;
use super::values::Reason;
use crate::clock::parse_instant;
use crate::engine as core;

/// One agent on the chain of a story.
#[pyclass(frozen, get_all, module = "answerable", name = "Hop")]
pub(super) struct Hop {
    agent: String,
    name: String,
    grant: String,
    until: String,
    statement: Option<String>,
    scope: Vec<String>,
    limits: Vec<String>,
    narrowed: Vec<String>,
    allowed_by: Vec<String>,
    closest: Option<String>,
}

impl From<core::Hop> for Hop {
    fn from(hop: core::Hop) -> Self {
        Self {
            agent: hop.agent,
            name: hop.name,
            grant: hop.grant,
            until: hop.until,
            statement: hop.statement,
            scope: hop.scope,
            limits: hop.limits,
            narrowed: hop.narrowed,
            allowed_by: hop.allowed_by,
            closest: hop.closest,
        }
    }
}

/// A verified chain, told: who gave what to whom, and what speaks against it now.
#[pyclass(frozen, module = "answerable", name = "Chain")]
pub(super) struct Chain(pub(super) core::Inspected);

#[pymethods]
impl Chain {
    #[getter]
    fn grant(&self) -> &str {
        &self.0.grant
    }

    #[getter]
    fn digest(&self) -> String {
        data_encoding::HEXLOWER.encode(&self.0.digest)
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
    fn task(&self) -> &str {
        &self.0.task
    }

    #[getter]
    fn sentence(&self) -> Option<&str> {
        self.0.sentence.as_deref()
    }

    #[getter]
    fn further_hops(&self) -> u8 {
        self.0.further_hops
    }

    #[getter]
    fn hops(&self) -> Vec<Hop> {
        self.0.hops.iter().cloned().map(Hop::from).collect()
    }

    #[getter]
    fn against(&self) -> Vec<Reason> {
        self.0.against.iter().map(Reason::from).collect()
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
        format!("<chain of {} hops to {}>", self.0.hops.len(), self.0.grant)
    }
}

/// The story of one decision: who, via what, what and where, and why.
#[pyclass(frozen, module = "answerable", name = "Story")]
pub(super) struct Story(pub(super) core::Story);

#[pymethods]
impl Story {
    #[getter]
    fn entry(&self) -> &str {
        &self.0.entry
    }

    /// The decision's place in the trail, from 0.
    #[getter]
    fn index(&self) -> u64 {
        self.0.index
    }

    /// When it was decided, in UTC.
    #[getter]
    fn at<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, parse_instant(&self.0.at).unwrap_or_default())
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

    /// The account and how sure we are of it, in words.
    #[getter]
    fn assurance(&self) -> &str {
        &self.0.assurance
    }

    #[getter]
    fn via(&self) -> Vec<Hop> {
        self.0.via.iter().cloned().map(Hop::from).collect()
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

    /// The arguments as they were recorded, in words, by name.
    #[getter]
    fn arguments<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        for (name, value) in &self.0.arguments {
            dict.set_item(name, value)?;
        }
        Ok(dict)
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

    /// The version of the policies that were asked.
    #[getter]
    fn policy(&self) -> &str {
        &self.0.policy
    }

    /// What a human was asked and answered, in words.
    #[getter]
    fn approval(&self) -> Option<&str> {
        self.0.approval.as_deref()
    }

    /// The entry of the call that this one was made in.
    #[getter]
    fn parent(&self) -> Option<&str> {
        self.0.parent.as_deref()
    }

    #[getter]
    fn erased(&self) -> Vec<String> {
        self.0.erased.clone()
    }

    /// The story as text, with times as `time` shows them; in UTC without it.
    #[pyo3(signature = (*, time=None))]
    fn text(&self, py: Python<'_>, time: Option<&Bound<'_, PyAny>>) -> PyResult<String> {
        let Some(time) = time else { return Ok(self.0.to_string()) };
        if !time.is_callable() {
            return Err(convert::expected(time, "a function that shows an instant"));
        }
        let mut failed = None;
        let text = self.0.render(&mut |at| {
            let told = parse_instant(at).map(|micros| {
                let at = convert::instant(py, micros)?;
                super::people::text_of(&time.call1((at,))?, "text from `time`")
            });
            match told {
                Some(Ok(text)) => text,
                Some(Err(error)) => {
                    failed.get_or_insert(error);
                    at.to_owned()
                }
                None => at.to_owned(),
            }
        });
        failed.map_or(Ok(text), Err)
    }

    fn __str__(&self) -> String {
        self.0.to_string()
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
        self.0.to_string()
    }
}

/// Foreign text for a terminal or a log: control, format and bidirectional characters escaped,
/// and no more than `most` characters.
#[pyfunction]
#[pyo3(signature = (text, most=Whole(200)), text_signature = "(text, most=200)")]
pub(super) fn shown(text: &Bound<'_, PyAny>, most: Whole<0, 0xffff_ffff>) -> PyResult<String> {
    let text = text.cast::<PyString>().map_err(|_| convert::expected(text, "text"))?;
    Ok(core::shown(&text.to_string_lossy(), most.get()))
}
