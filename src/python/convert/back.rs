//! Canonical values back to Python objects.

use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::times::instant;
use super::types;
use crate::canonical::{Int, Map, Value};

/// A canonical value as a Python object. Enums and records come back as what they hold.
pub(in crate::python) fn to_python<'py>(
    py: Python<'py>,
    value: &Value,
) -> PyResult<Bound<'py, PyAny>> {
    Ok(match value {
        Value::Null => py.None().into_bound(py),
        Value::Bool(flag) => PyBool::new(py, *flag).to_owned().into_any(),
        Value::Int(Int::Small(number)) => number.into_pyobject(py)?.into_any(),
        Value::Int(big) => py.get_type::<PyInt>().call1((big.to_string(),))?,
        Value::Float(number) => PyFloat::new(py, *number).into_any(),
        Value::Str(text) => PyString::new(py, text).into_any(),
        Value::Bytes(bytes) => PyBytes::new(py, bytes).into_any(),
        Value::Decimal(number) => types(py)?.decimal.bind(py).call1((number.to_string(),))?,
        Value::Datetime(micros) => instant(py, *micros)?,
        Value::Uuid(bytes) => {
            let kwargs = PyDict::new(py);
            kwargs.set_item("bytes", PyBytes::new(py, bytes))?;
            types(py)?.uuid.bind(py).call((), Some(&kwargs))?
        }
        Value::Enum(member) => to_python(py, &member.value)?,
        Value::List(items) => {
            let items: PyResult<Vec<_>> = items.iter().map(|item| to_python(py, item)).collect();
            PyList::new(py, items?)?.into_any()
        }
        Value::Tuple(items) => {
            let items: PyResult<Vec<_>> = items.iter().map(|item| to_python(py, item)).collect();
            PyTuple::new(py, items?)?.into_any()
        }
        Value::Map(map) => map_to_python(py, map)?.into_any(),
        Value::Record(record) => map_to_python(py, &record.fields)?.into_any(),
    })
}

pub(in crate::python) fn map_to_python<'py>(
    py: Python<'py>,
    map: &Map,
) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in map.iter() {
        dict.set_item(key, to_python(py, value)?)?;
    }
    Ok(dict)
}
