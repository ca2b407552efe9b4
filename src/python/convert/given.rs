//! What the functions of the public face take: anything else is `InvalidInput`, with what was
//! expected, never Python's own `TypeError` or `OverflowError`.

use std::path::PathBuf;

use pyo3::PyClass;
use pyo3::exceptions::PyException;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyInt, PyList, PyString, PyTuple};

use super::super::errors;
use super::type_name;

/// A text argument.
#[derive(Clone, Copy)]
pub(in crate::python) struct Text<'a>(pub(in crate::python) &'a str);

impl std::ops::Deref for Text<'_> {
    type Target = str;

    fn deref(&self) -> &str {
        self.0
    }
}

impl<'a, 'py> FromPyObject<'a, 'py> for Text<'a> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        if object.cast::<PyString>().is_err() {
            return Err(expected(&object, "text"));
        }
        let surrogates = || errors::invalid(object.py(), "expected text, not lone surrogates", "");
        object.extract().map(Self).map_err(|_| surrogates())
    }
}

/// A list or tuple of texts.
pub(in crate::python) struct Texts(pub(in crate::python) Vec<String>);

impl FromPyObject<'_, '_> for Texts {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let items = listed(&object).ok_or_else(|| expected(&object, "a list of texts"))?;
        let texts: PyResult<Vec<String>> = items
            .into_iter()
            .map(|item| {
                let text = item.cast::<PyString>().map_err(|_| expected(&item, "text"))?;
                Ok(text
                    .to_str()
                    .map_err(|_| expected(&item, "text without lone surrogates"))?
                    .into())
            })
            .collect();
        texts.map(Self)
    }
}

/// A whole number from `LEAST` to `MOST`.
#[derive(Clone, Copy)]
pub(in crate::python) struct Whole<const LEAST: u64, const MOST: u64>(pub(in crate::python) u64);

impl<const LEAST: u64, const MOST: u64> Whole<LEAST, MOST> {
    /// The number, for a place that needs no more room than `MOST` does.
    pub(in crate::python) fn get<T: TryFrom<u64> + Default>(self) -> T {
        T::try_from(self.0).unwrap_or_default()
    }
}

impl<const LEAST: u64, const MOST: u64> FromPyObject<'_, '_> for Whole<LEAST, MOST> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let what = format!("a whole number from {LEAST} to {MOST}");
        if object.cast::<PyInt>().is_err() || object.cast::<PyBool>().is_ok() {
            return Err(expected(&object, &what));
        }
        let number = object.extract().ok().filter(|n| (LEAST..=MOST).contains(n));
        let beyond = || errors::invalid(object.py(), &format!("expected {what}"), "");
        number.map(Self).ok_or_else(beyond)
    }
}

/// A tree of a log: how many leaves it has, and its root as text.
pub(in crate::python) struct Tree(pub(in crate::python) u64, pub(in crate::python) String);

impl FromPyObject<'_, '_> for Tree {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let wrong = || expected(&object, "a size and a root");
        let items = listed(&object).ok_or_else(wrong)?;
        let [size, root] = items.as_slice() else { return Err(wrong()) };
        let Whole(size): Whole<0, { i64::MAX as u64 }> = size.extract()?;
        let Text(root) = root.extract()?;
        Ok(Self(size, root.to_owned()))
    }
}

/// `True` or `False`; what is merely true is refused.
#[derive(Clone, Copy)]
pub(in crate::python) struct Flag(pub(in crate::python) bool);

impl FromPyObject<'_, '_> for Flag {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        let flag = object.cast::<PyBool>().map_err(|_| expected(&object, "True or False"))?;
        Ok(Self(flag.is_true()))
    }
}

/// A path of the file system: text or a `PathLike`.
pub(in crate::python) struct FilePath(pub(in crate::python) PathBuf);

impl FromPyObject<'_, '_> for FilePath {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        // Bytes have a spelling of their own, and an open file is none.
        if object.cast::<PyBytes>().is_ok() {
            return Err(expected(&object, "a path as text or a PathLike"));
        }
        let path: PathBuf = match object.extract() {
            Ok(path) => path,
            // An interrupt while its own code ran goes on.
            Err(error) if !error.is_instance_of::<PyException>(object.py()) => return Err(error),
            Err(_) => return Err(expected(&object, "a path as text or a PathLike")),
        };
        let bytes = path.as_os_str().as_encoded_bytes();
        if bytes.is_empty() || bytes.contains(&0) {
            let message = "a path has at least one character, and none of them is NUL";
            return Err(errors::invalid(object.py(), message, ""));
        }
        Ok(Self(path))
    }
}

/// Bytes.
#[derive(Clone, Copy)]
pub(in crate::python) struct Octets<'a>(pub(in crate::python) &'a [u8]);

impl<'a, 'py> FromPyObject<'a, 'py> for Octets<'a> {
    type Error = PyErr;

    fn extract(object: Borrowed<'a, 'py, PyAny>) -> PyResult<Self> {
        object.cast::<PyBytes>().map_err(|_| expected(&object, "bytes"))?;
        object.extract().map(Self).map_err(Into::into)
    }
}

/// A dictionary.
pub(in crate::python) struct Dict<'py>(pub(in crate::python) Bound<'py, PyDict>);

impl<'py> FromPyObject<'_, 'py> for Dict<'py> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let dict = object.cast::<PyDict>().map_err(|_| expected(&object, "a dict"))?;
        Ok(Self(dict.to_owned()))
    }
}

/// A value of one of our own classes.
pub(in crate::python) struct Own<'py, T: PyClass>(pub(in crate::python) Bound<'py, T>);

impl<'py, T: PyClass> FromPyObject<'_, 'py> for Own<'py, T> {
    type Error = PyErr;

    fn extract(object: Borrowed<'_, 'py, PyAny>) -> PyResult<Self> {
        let name = T::NAME;
        let own = object.cast::<T>().map_err(|_| expected(&object, &format!("a {name}")))?;
        Ok(Self(own.to_owned()))
    }
}

/// The items of a list or tuple as they lie there: no code of a subclass is asked.
pub(in crate::python) fn listed<'py>(object: &Bound<'py, PyAny>) -> Option<Vec<Bound<'py, PyAny>>> {
    if let Ok(list) = object.cast::<PyList>() {
        return Some(list.iter().collect());
    }
    object.cast::<PyTuple>().ok().map(|tuple| tuple.iter().collect())
}

/// The items of anything that can be gone through; what its code raises is `InvalidInput`, and so
/// is more than `most`.
pub(in crate::python) fn gone_through<'py>(
    object: &Bound<'py, PyAny>,
    most: usize,
    what: &str,
) -> PyResult<Vec<Bound<'py, PyAny>>> {
    if let Some(items) = listed(object) {
        return Ok(items);
    }
    let wrong = |error: PyErr| match error.is_instance_of::<PyException>(object.py()) {
        true => expected(object, what),
        false => error, // An interrupt goes on.
    };
    if object.cast::<PyString>().is_ok() || object.cast::<PyBytes>().is_ok() {
        return Err(expected(object, what));
    }
    let mut items = Vec::new();
    for item in object.try_iter().map_err(wrong)? {
        if items.len() >= most {
            let message = format!("expected {what}, of at most {most}");
            return Err(errors::invalid(object.py(), &message, ""));
        }
        items.push(item.map_err(wrong)?);
    }
    Ok(items)
}

/// `InvalidInput` for an object of another type.
pub(in crate::python) fn expected(object: &Bound<'_, PyAny>, what: &str) -> PyErr {
    let message = format!("expected {what}, not {}", type_name(object));
    errors::invalid(object.py(), &message, "")
}
