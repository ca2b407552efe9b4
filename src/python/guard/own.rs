//! An application's own attributes of its calls, which policies read as `context.own`.

use pyo3::prelude::*;
use pyo3::types::PyDict;

use super::super::convert::to_value;
use super::super::errors;
use crate::canonical::{Map, Value};
use crate::engine::shown;
use crate::request::MAX_OWN;

/// Takes a copy of attributes; within a block those of the block around it stand too, each with the
/// value that it has there.
pub(in crate::python) fn attributes(
    py: Python<'_>,
    given: &Bound<'_, PyDict>,
    around: Option<&Map>,
) -> PyResult<Map> {
    let wrong = |why: &str| {
        let hint = "own={\"tenant\": \"eu\"}: names, and values as arguments have them";
        errors::invalid(py, why, hint)
    };
    let mut all = around.cloned().unwrap_or_else(Map::new);
    for (name, value) in given.iter() {
        let name = name.extract::<String>();
        let name = name.map_err(|_| wrong("an attribute's name is not text"))?;
        let value = to_value(&value)
            .map_err(|why| wrong(&format!("the attribute `{}`: {why}", shown(&name, 60))))?;
        match all.get(&name) {
            Some(known) if *known != value => {
                let name = shown(&name, 60);
                return Err(errors::invalid(
                    py,
                    &format!(
                        "the attribute `{name}` has another value in the block around this one"
                    ),
                    "give an attribute once: where the outermost grant is put in force",
                ));
            }
            Some(_) => {}
            None => {
                all.insert(&name, value);
            }
        }
    }
    let size = Value::Map(all.clone()).encode().len();
    if size > MAX_OWN {
        let why = format!("the attributes take {size} bytes, and {MAX_OWN} are allowed");
        return Err(wrong(&why));
    }
    Ok(all)
}
