//! Opening engines from Python: what the options mean, and the engines that are open here.

use std::path::Path;
use std::sync::atomic::AtomicI64;
use std::sync::{Arc, Weak};

use parking_lot::Mutex;
use pyo3::prelude::*;
use pyo3::types::{PyBytes, PyDict, PyString};

use super::convert::{Flag, Text};
use super::engine::Engine;
use super::{convert, enter, errors, policy};
use crate::engine::{Durability, Engine as Core, Options};
use crate::keys::MasterKey;
use crate::store::StoreError;

/// The engines in the order of opening: what a call falls back on where nothing else says.
static OPENED: Mutex<Vec<Weak<Core>>> = Mutex::new(Vec::new());

/// The engine that was opened last and is still open.
pub(super) fn last() -> Option<Arc<Core>> {
    let opened: Vec<Arc<Core>> = OPENED.lock().iter().rev().filter_map(Weak::upgrade).collect();
    // In a forked child the parent's engine answers, by saying that it is closed here.
    let closed = |core: &Core| matches!(core.check(), Err(StoreError::Closed));
    opened.into_iter().find(|core| !closed(core))
}

/// The engines that are open here, in the order of opening.
pub(super) fn opened() -> Vec<Arc<Core>> {
    OPENED.lock().iter().filter_map(Weak::upgrade).collect()
}

/// Closes every engine: called when the interpreter exits, while threads still run.
///
/// Answers what could not be written, if anything. In a forked child it does nothing.
#[pyfunction]
pub(super) fn close_all(py: Python<'_>) -> Option<String> {
    let open: Vec<Arc<Core>> = OPENED.lock().drain(..).filter_map(|core| core.upgrade()).collect();
    // The last handles are dropped here, without holding the interpreter.
    py.detach(|| {
        let mut failed = None;
        for core in open {
            failed = core.close().err().or(failed);
        }
        failed.map(|error| error.to_string())
    })
}

/// Opens a store, or attaches to the process that holds it, and remembers the engine.
pub(super) fn open(
    py: Python<'_>,
    path: &Path,
    attach: Option<&Bound<'_, PyAny>>,
    options: Options,
) -> PyResult<Arc<Core>> {
    let to = attach.and_then(|to| to.cast::<Engine>().ok()).map(|to| to.get().core.clone());
    let attach = match attach {
        Some(to) if !to.is_instance_of::<Engine>() => to.extract::<Flag>()?.0,
        given => given.is_some(),
    };
    let declared = policy::declared();
    let core = enter(py, || {
        // Whoever attaches was told before that somebody holds it.
        let busy = || StoreError::Busy { holder: None, path: path.to_path_buf() };
        let core = match to {
            Some(to) => to.attach_anew(options)?.ok_or_else(busy)?,
            None if attach => Core::attach(path, options)?.ok_or_else(busy)?,
            None => Core::open(path, options)?,
        };
        if core.holder().is_none() {
            core.declare(&declared)?;
        }
        Ok(core)
    })?;
    let mut opened = OPENED.lock();
    opened.retain(|known| known.strong_count() > 0);
    opened.push(Arc::downgrade(&core));
    drop(opened);
    Ok(core)
}

/// A durability mode by its word.
pub(super) fn durability_of(py: Python<'_>, word: &str) -> PyResult<Durability> {
    Durability::parse(word).ok_or_else(|| {
        let shown = crate::engine::shown(word, 40);
        let message = format!("there is no durability mode `{shown}`");
        errors::invalid(py, &message, "choose before, strict, after or relaxed")
    })
}

/// The time at which a clock is to stand, in microseconds.
pub(super) fn standing_at(py: Python<'_>, at: &Bound<'_, PyAny>) -> PyResult<Arc<AtomicI64>> {
    let at = convert::moment(at, 0).map_err(|why| errors::invalid(py, &why, ""))?;
    Ok(Arc::new(AtomicI64::new(at)))
}

/// A span of time that is an option.
pub(super) fn above_zero(
    py: Python<'_>,
    name: &str,
    given: Option<&Bound<'_, PyAny>>,
) -> PyResult<Option<i64>> {
    match given.map(convert::duration) {
        None => Ok(None),
        Some(Ok(span)) if span > 0 => Ok(Some(span)),
        Some(Ok(_)) => Err(errors::invalid(py, &format!("{name} is above zero"), "")),
        Some(Err(why)) => Err(errors::invalid(py, &format!("{name}: {why}"), "")),
    }
}

/// The master key that is given, as text or bytes.
pub(super) fn master(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<MasterKey> {
    let made = if let Ok(text) = given.cast::<PyString>() {
        // What cannot be read as text is no key either.
        MasterKey::parse(text.to_str().unwrap_or_default())
    } else if let Ok(bytes) = given.cast::<PyBytes>() {
        MasterKey::from_bytes(bytes.as_bytes())
    } else {
        let found = convert::type_name(given);
        let message = format!("expected 32 bytes or `k4.local.…` as master_key, not {found}");
        return Err(errors::invalid(py, &message, ""));
    };
    made.map_err(|error| errors::key(py, &error))
}

/// A schedule of retention: a duration, for decisions and outcomes, or one for each kind.
pub(super) fn schedule(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<Vec<(String, i64)>> {
    let age = |given: &Bound<'_, PyAny>| {
        convert::duration(given).map_err(|why| errors::invalid(py, &why, ""))
    };
    let Ok(kinds) = given.cast::<PyDict>() else {
        let age = age(given)?;
        return Ok(["decision", "outcome"].map(|kind| (kind.to_owned(), age)).to_vec());
    };
    kinds
        .iter()
        .map(|(kind, given)| Ok((kind.extract::<Text<'_>>()?.to_string(), age(&given)?)))
        .collect()
}
