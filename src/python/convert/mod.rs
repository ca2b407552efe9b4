//! Python objects to canonical values and back.
//!
//! [`snapshot`] reads an object once and answers both its value and a copy of it made from the
//! same reads: what is judged is what is passed on. Types are exact; what has no canonical form is
//! refused by name.

mod back;
mod budget;
mod given;
mod members;
mod records;
mod snapshot;
mod times;
mod unfit;

use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{PyDict, PyType};

pub(super) use self::back::{map_to_python, to_python};
pub(super) use self::budget::Budget;
pub(super) use self::given::{
    Dict, FilePath, Flag, Octets, Own, Text, Texts, Tree, Whole, expected, gone_through, listed,
};
pub(super) use self::snapshot::{snapshot, to_value};
pub(super) use self::times::{duration, instant, moment};
pub(super) use self::unfit::Unfit;
use crate::vault::scrub_everywhere;

/// Python types that are looked up once.
struct Types {
    decimal: Py<PyType>,
    datetime: Py<PyType>,
    uuid: Py<PyType>,
    enumeration: Py<PyType>,
    cached: Py<PyType>,
    epoch: Py<PyAny>,
    microsecond: Py<PyAny>,
}

static TYPES: PyOnceLock<Types> = PyOnceLock::new();

fn types(py: Python<'_>) -> PyResult<&Types> {
    TYPES.get_or_try_init(py, || {
        let datetime = py.import("datetime")?;
        let class = datetime.getattr("datetime")?;
        let utc = datetime.getattr("timezone")?.getattr("utc")?;
        let one = PyDict::new(py);
        one.set_item("microseconds", 1)?;
        Ok(Types {
            decimal: py.import("decimal")?.getattr("Decimal")?.cast_into::<PyType>()?.unbind(),
            uuid: py.import("uuid")?.getattr("UUID")?.cast_into::<PyType>()?.unbind(),
            enumeration: py.import("enum")?.getattr("Enum")?.cast_into::<PyType>()?.unbind(),
            cached: py
                .import("functools")?
                .getattr("cached_property")?
                .cast_into::<PyType>()?
                .unbind(),
            epoch: class.call1((1970, 1, 1, 0, 0, 0, 0, utc))?.unbind(),
            microsecond: datetime.getattr("timedelta")?.call((), Some(&one))?.unbind(),
            datetime: class.cast_into::<PyType>()?.unbind(),
        })
    })
}

/// The name of an object's type, as messages and records use it.
pub(super) fn type_name(object: &Bound<'_, PyAny>) -> String {
    let kind = object.get_type();
    match (kind.module(), kind.qualname()) {
        (Ok(module), Ok(name)) => {
            let (module, name) = (module.to_string_lossy(), name.to_string_lossy());
            let name = match &*module {
                "builtins" => name.into_owned(),
                _ => format!("{module}.{name}"),
            };
            // Before it is shortened: the beginning of a secret is not known any more.
            crate::engine::shown(&scrub_everywhere(&name).unwrap_or(name), 120)
        }
        _ => "an unknown type".to_owned(),
    }
}

fn short(text: &str) -> String {
    crate::engine::shown(text, 40)
}
