//! The guard's doorway: binds a Python call to a request, has it judged, and records its outcome.

mod bind;
mod call;
mod own;
mod tool;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use pyo3::prelude::*;

pub(super) use self::bind::bind_named;
pub(super) use self::call::Call;
pub(super) use self::own::attributes;
pub(super) use self::tool::Tool;
use super::convert::Dict;
use super::people::Grant;
use crate::canonical::Map;
use crate::decision::{Reason, code};
use crate::engine::{Bound as Held, Engine as Core};

/// The authority in force in a block: a chain, an engine, and whether the block still runs.
#[pyclass(frozen, weakref, module = "answerable._core", name = "Authority")]
pub(super) struct Authority {
    grant: Py<Grant>,
    held: Arc<Held>,
    core: Arc<Core>,
    /// This block and those around it: when one has ended, so has this.
    alive: Vec<Arc<AtomicBool>>,
    /// For a block in a generator: answers whether the generator stands still, so that whoever
    /// calls here is not its body.
    left: Option<Py<PyAny>>,
    /// The application's own attributes of the calls of the block.
    own: Option<Arc<Map>>,
}

#[pymethods]
impl Authority {
    #[new]
    #[pyo3(signature = (grant, outer=None, left=None, own=None))]
    fn new(
        py: Python<'_>,
        grant: Py<Grant>,
        outer: Option<&Self>,
        left: Option<Py<PyAny>>,
        own: Option<Dict<'_>>,
    ) -> PyResult<Self> {
        let inner = grant.get();
        let around = outer.and_then(|outer| outer.own.clone());
        let own = match own {
            Some(own) => Some(Arc::new(attributes(py, &own.0, around.as_deref())?)),
            None => around,
        };
        let mut alive = outer.map(|outer| outer.alive.clone()).unwrap_or_default();
        alive.push(Arc::new(AtomicBool::new(true)));
        let (held, core) = (inner.held.clone(), inner.engine.clone());
        Ok(Self { held, core, grant, alive, left, own })
    }

    /// Ends the block: whatever still runs below it is denied from here on.
    fn end(&self) {
        if let Some(own) = self.alive.last() {
            own.store(false, Ordering::Release);
        }
    }

    /// Whether the block and those around it still run, here.
    #[getter]
    fn alive(&self, py: Python<'_>) -> bool {
        self.is_alive() && !self.is_left(py)
    }

    #[getter]
    fn grant(&self, py: Python<'_>) -> Py<Grant> {
        self.grant.clone_ref(py)
    }

    fn __repr__(&self) -> String {
        format!("<authority of {}>", self.held.chain().leaf().payload.id)
    }
}

impl Authority {
    fn is_alive(&self) -> bool {
        self.alive.iter().all(|block| block.load(Ordering::Acquire))
    }

    /// Whether it was put in force by a generator that now stands still. What cannot be asked
    /// counts as left.
    fn is_left(&self, py: Python<'_>) -> bool {
        let Some(left) = &self.left else { return false };
        left.call0(py).and_then(|answer| answer.extract(py)).unwrap_or(true)
    }
}

/// The chain in force at a call, and what speaks against it before anything is looked at.
fn in_force<'a>(
    py: Python<'_>,
    authority: Option<&'a Authority>,
    core: &Arc<Core>,
) -> (Option<&'a Held>, Option<Reason>) {
    let Some(authority) = authority else { return (None, None) };
    if !Arc::ptr_eq(&authority.core, core) {
        let reason = Reason::new(
            code::NO_AUTHORITY,
            "the grant in force belongs to another engine than the tool's",
        );
        return (None, Some(reason.fix("act under a grant of the tool's engine")));
    }
    if !authority.is_alive() {
        let text = "the block that gave this call its authority has ended";
        let fix = "finish what was started inside `with engine.acting(grant):` before it ends";
        return (Some(&authority.held), Some(Reason::new(code::AUTHORITY_ENDED, text).fix(fix)));
    }
    let ended = authority.is_left(py).then(|| {
        let text = "the authority belongs to the body of a generator that stands still here";
        Reason::new(code::AUTHORITY_SUSPENDED, text).fix(
            "call it in the generator's body, or under `with engine.acting(grant):` of your own",
        )
    });
    (Some(&authority.held), ended)
}
