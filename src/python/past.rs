//! What happened and who could have done it, as Python values.

use std::sync::Arc;

use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList};

use super::{convert, notebook};
use crate::engine::{Could as CoreCould, Engine, Node, Reconstruction as Core, shown};

/// What happened, as a tree.
#[pyclass(frozen, module = "answerable", name = "Reconstruction")]
pub(super) struct Reconstruction(pub(super) Core);

#[pymethods]
impl Reconstruction {
    /// How many calls there are.
    #[getter]
    fn calls(&self) -> usize {
        self.0.calls
    }

    /// Whether there were more: the oldest are here.
    #[getter]
    fn cut(&self) -> bool {
        self.0.cut
    }

    /// The tree as nested dictionaries.
    #[getter]
    fn tree<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyList>> {
        self.below(py, &self.0.roots)
    }

    fn __str__(&self) -> String {
        self.0.to_string().trim_end().to_owned()
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
        self.__str__()
    }
}

impl Reconstruction {
    fn below<'py>(&self, py: Python<'py>, places: &[usize]) -> PyResult<Bound<'py, PyList>> {
        let nodes = places.iter().filter_map(|place| self.0.nodes.get(*place));
        let nodes: PyResult<Vec<_>> = nodes.map(|node| self.node(py, node)).collect();
        PyList::new(py, nodes?)
    }

    fn node<'py>(&self, py: Python<'py>, node: &Node) -> PyResult<Bound<'py, PyDict>> {
        let dict = PyDict::new(py);
        dict.set_item("what", node.what.word())?;
        dict.set_item("id", &node.id)?;
        dict.set_item("label", &node.label)?;
        dict.set_item("index", node.index)?;
        dict.set_item("at", node.at.map(|at| convert::instant(py, at)).transpose()?)?;
        dict.set_item("effect", &node.effect)?;
        dict.set_item("below", self.below(py, &node.below)?)?;
        Ok(dict)
    }
}

/// One grant under which a call could have been made.
#[pyclass(frozen, module = "answerable", name = "Could")]
pub(super) struct Could {
    pub(super) could: CoreCould,
    pub(super) core: Arc<Engine>,
}

#[pymethods]
impl Could {
    /// The id of the agent that held it.
    #[getter]
    fn agent(&self) -> &str {
        &self.could.agent
    }

    #[getter]
    fn agent_name(&self) -> String {
        self.core.name_of(&self.could.agent)
    }

    /// The id of the human in whose name.
    #[getter]
    fn human(&self) -> &str {
        &self.could.human
    }

    #[getter]
    fn human_name(&self) -> String {
        self.core.name_of(&self.could.human)
    }

    /// The names of the agents on the chain, from the root.
    #[getter]
    fn via(&self) -> Vec<String> {
        self.could.via.iter().map(|id| self.core.name_of(id)).collect()
    }

    #[getter]
    fn grant(&self) -> &str {
        &self.could.grant
    }

    #[getter]
    fn task(&self) -> &str {
        &self.could.task
    }

    /// From when.
    #[getter]
    fn since<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.could.from)
    }

    #[getter]
    fn until<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.could.until)
    }

    /// When the grant came to the record.
    #[getter]
    fn recorded<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        convert::instant(py, self.could.recorded)
    }

    /// The capability that covers tool and resource, in words.
    #[getter]
    fn capability(&self) -> &str {
        &self.could.capability
    }

    fn __repr__(&self) -> String {
        let via: Vec<String> = self.via().iter().map(|name| shown(name, 60)).collect();
        let (human, may) = (shown(&self.human_name(), 60), shown(&self.could.capability, 200));
        format!("<{human} → {}: {may}>", via.join(" → "))
    }
}
