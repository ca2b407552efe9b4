//! Instants and durations: datetimes read by `datetime` itself, and what stands for a time in the
//! arguments of verbs.

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyDelta, PyFloat, PyInt, PyString};

use super::budget::Budget;
use super::snapshot::{to_value, unreadable};
use super::{Types, type_name, types};
use crate::canonical::Value;
use crate::clock::{MICROS, parse_duration};

/// The first and last instant that Python can show in UTC, in microseconds.
const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;

/// The instant of a datetime, by `datetime` itself, in microseconds.
pub(super) fn micros(object: &Bound<'_, PyAny>, types: &Types) -> Result<i64, String> {
    let py = object.py();
    let wrong = |error: PyErr| unreadable(object, &error);
    let datetime = types.datetime.bind(py);
    let call = |name: &str, other: Option<&Py<PyAny>>| match other {
        Some(other) => datetime.call_method1(name, (object, other)),
        None => datetime.call_method1(name, (object,)),
    };
    if call("utcoffset", None).map_err(wrong)?.is_none() {
        return Err("a datetime without a zone cannot be judged; give it one".to_owned());
    }
    let since = call("__sub__", Some(&types.epoch)).map_err(wrong)?;
    let micros = since.floor_div(types.microsecond.bind(py)).map_err(wrong)?;
    let micros = micros.extract().map_err(wrong)?;
    if !(FIRST..=LAST).contains(&micros) {
        return Err("a datetime outside the years 1 to 9999 of UTC cannot be judged".to_owned());
    }
    Ok(micros)
}

/// Notes how a datetime is told: its offset, the zone's name and kind.
pub(super) fn note_zone(
    object: &Bound<'_, PyAny>,
    types: &Types,
    budget: &mut Budget,
) -> PyResult<()> {
    let py = object.py();
    let offset = types.datetime.bind(py).call_method1("utcoffset", (object,))?;
    let offset: i64 = offset.floor_div(types.microsecond.bind(py))?.extract()?;
    let zone = object.getattr(intern!(py, "tzinfo"))?;
    let text = |name: PyResult<Bound<'_, PyAny>>| -> PyResult<Value> {
        match name {
            Ok(name) => Ok(name.extract::<&str>().map_or(Value::Null, Value::str)),
            Err(error) if error.is_instance_of::<PyException>(py) => Ok(Value::Null),
            Err(interrupt) => Err(interrupt),
        }
    };
    budget.note(&Value::int(offset));
    budget.note(&Value::str(&type_name(&zone)));
    budget.note(&text(zone.call_method1(intern!(py, "tzname"), (object,)))?);
    // By its key a `ZoneInfo` goes on after this instant.
    budget.note(&text(zone.getattr(intern!(py, "key")))?);
    Ok(())
}

/// An instant as a datetime in UTC.
pub(in crate::python) fn instant(py: Python<'_>, micros: i64) -> PyResult<Bound<'_, PyAny>> {
    let types = types(py)?;
    let since = types.microsecond.bind(py).mul(micros)?;
    types.epoch.bind(py).add(since)
}

/// A datetime with a zone, a duration before `now`, or RFC 3339 text, in microseconds.
pub(in crate::python) fn moment(object: &Bound<'_, PyAny>, now: i64) -> Result<i64, String> {
    if let Ok(text) = object.cast::<PyString>() {
        let text = text.to_str().map_err(|_| "text holds lone surrogates".to_owned())?;
        if let Some(at) = crate::clock::parse_instant(text) {
            return Ok(at);
        }
        return Ok(now.saturating_sub(parse_duration(text)?));
    }
    if let Ok(delta) = object.cast::<PyDelta>() {
        return Ok(now.saturating_sub(duration(delta)?));
    }
    match to_value(object)? {
        Value::Datetime(at) => Ok(at),
        other => Err(format!(
            "expected a datetime with a zone, RFC 3339 text, or a duration such as `24h`, not {}",
            other.type_word()
        )),
    }
}

/// `"30m"`-like text, a timedelta, or seconds, in microseconds.
pub(in crate::python) fn duration(object: &Bound<'_, PyAny>) -> Result<i64, String> {
    let wrong = || {
        format!(
            "expected a duration such as `30m`, a timedelta, or seconds, not {}",
            type_name(object)
        )
    };
    if let Ok(text) = object.cast::<PyString>() {
        return parse_duration(text.to_str().map_err(|_| wrong())?);
    }
    if object.cast::<PyBool>().is_ok() {
        return Err(wrong());
    }
    if object.cast::<PyDelta>().is_ok() {
        let types = types(object.py()).map_err(|error| error.to_string())?;
        let micros = object.floor_div(types.microsecond.bind(object.py()));
        return micros.and_then(|micros| micros.extract()).map_err(|_| wrong());
    }
    if object.cast::<PyInt>().is_err() && object.cast::<PyFloat>().is_err() {
        return Err(wrong());
    }
    if let Ok(seconds) = object.extract::<i64>() {
        return seconds.checked_mul(MICROS).ok_or_else(|| "the duration is too long".to_owned());
    }
    match object.extract::<f64>() {
        Ok(seconds) if seconds.is_finite() && seconds.abs() < 9e12 => {
            Ok((seconds * MICROS as f64).round() as i64)
        }
        _ => Err(wrong()),
    }
}
