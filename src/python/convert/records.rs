//! Dataclasses and pydantic models: their fields as a record, and a new instance made of copies.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyString, PyType};

use super::snapshot::{read, read_dict, unreadable};
use super::unfit::Step;
use super::{Budget, Unfit, short, type_name, types};
use crate::canonical::{Map, Record, Value};

/// A dataclass: its fields, and a new instance made of their copies.
pub(super) fn dataclass<'py>(
    object: &Bound<'py, PyAny>,
    fields: &Bound<'py, PyAny>,
    budget: &mut Budget,
    depth: usize,
) -> Result<(Value, Bound<'py, PyAny>), Unfit> {
    let py = object.py();
    let kind = object.get_type();
    let wrong = |error: PyErr| unreadable(object, &error);
    let base = py.get_type::<PyAny>();
    let copy = base.call_method1(intern!(py, "__new__"), (&kind,)).map_err(wrong)?;
    let fields = fields.cast::<PyDict>().map_err(|_| odd(object))?.copy().map_err(wrong)?;
    budget.admit(fields.len())?;
    let mut entries: Vec<(Box<str>, Value)> = Vec::with_capacity(fields.len());
    for (name, field) in fields.iter() {
        let marker = field.getattr(intern!(py, "_field_type")).map_err(wrong)?;
        if marker.repr().map_err(wrong)?.to_string_lossy() != "_FIELD" {
            continue;
        }
        let name = name.cast_into::<PyString>().map_err(|_| odd(object))?;
        let text = name.to_str().map_err(|_| odd(object))?;
        let item = object.getattr(&name).map_err(wrong)?;
        let (value, item) =
            read(&item, budget, depth + 1).map_err(|why| why.within(Step::Key(text.to_owned())))?;
        base.call_method1(intern!(py, "__setattr__"), (&copy, &name, item)).map_err(wrong)?;
        entries.push((text.into(), value));
    }
    let is_field = |name: &str| entries.iter().any(|(field, _)| **field == *name);
    if let Some(more) = beyond(object, &kind, &is_field)? {
        return Err(
            format!("a {} holds `{more}`, which is no field of it", type_name(object)).into()
        );
    }
    let fields = Map::from_entries(entries)
        .map_err(|key| format!("the field `{}` occurs twice", short(&key)))?;
    Ok(record(&kind, fields, copy).map_err(wrong)?)
}

fn record<'py>(
    kind: &Bound<'py, PyType>,
    fields: Map,
    copy: Bound<'py, PyAny>,
) -> PyResult<(Value, Bound<'py, PyAny>)> {
    let type_name = qualified(kind)?.into();
    Ok((Value::Record(Box::new(Record { type_name, fields })), copy))
}

fn odd(object: &Bound<'_, PyAny>) -> String {
    format!("a {} is not made as its kind is", type_name(object))
}

/// An attribute of an instance that is no field: it would reach the body unjudged. What a
/// `cached_property` left does not count, since the copy computes it anew.
fn beyond(
    object: &Bound<'_, PyAny>,
    kind: &Bound<'_, PyType>,
    is_field: &dyn Fn(&str) -> bool,
) -> Result<Option<String>, String> {
    let py = object.py();
    let wrong = |error: PyErr| unreadable(object, &error);
    let cached = types(py).map_err(|error| error.to_string())?.cached.bind(py);
    if let Ok(all) = object.getattr(intern!(py, "__dict__"))
        && let Ok(all) = all.cast::<PyDict>()
    {
        for (name, _) in all.copy().map_err(wrong)?.iter() {
            let Ok(text) = name.extract::<String>() else { return Err(odd(object)) };
            let recomputed = || kind.getattr(&*text).is_ok_and(|found| found.get_type().is(cached));
            if !is_field(&text) && !recomputed() {
                return Ok(Some(short(&text)));
            }
        }
    }
    for class in kind.mro().iter() {
        let class = class.cast_into::<PyType>().map_err(|_| odd(object))?;
        let Some(slots) = own(&class, intern!(py, "__slots__"))? else { continue };
        let names: Vec<String> = match slots.extract::<String>() {
            Ok(one) => vec![one],
            Err(_) => {
                slots.try_iter().map_err(wrong)?.filter_map(|s| s.ok()?.extract().ok()).collect()
            }
        };
        for name in names {
            let special = name == "__dict__" || name == "__weakref__";
            if !special && !is_field(&name) && object.hasattr(&*name).unwrap_or(true) {
                return Ok(Some(short(&name)));
            }
        }
    }
    Ok(None)
}

/// A pydantic model: its fields and extras, and a copy made of theirs.
pub(super) fn model<'py>(
    object: &Bound<'py, PyAny>,
    declared: &Bound<'py, PyAny>,
    budget: &mut Budget,
    depth: usize,
) -> Result<(Value, Bound<'py, PyAny>), Unfit> {
    let py = object.py();
    let kind = object.get_type();
    let wrong = |error: PyErr| unreadable(object, &error);
    let declared = declared.cast::<PyDict>().map_err(|_| odd(object))?;
    let part = |name: &str| -> Result<Option<Bound<'py, PyDict>>, String> {
        let found = object.getattr(name).map_err(wrong)?;
        if found.is_none() {
            return Ok(None);
        }
        let found = found.cast_into::<PyDict>().map_err(|_| odd(object))?;
        budget.admit(found.len())?;
        found.copy().map(Some).map_err(wrong)
    };
    let (held, extra) = (part("__dict__")?, part("__pydantic_extra__")?);
    let private = part("__pydantic_private__")?;
    if let Some(name) = private.as_ref().and_then(|private| private.keys().iter().next()) {
        let name = name.str().map(|name| short(&name.to_string_lossy())).unwrap_or_default();
        return Err(format!(
            "a {} holds the private attribute `{name}`, which cannot be judged; pass its fields",
            type_name(object)
        )
        .into());
    }
    let fields = PyDict::new(py);
    for (name, item) in held.into_iter().flatten() {
        if declared.contains(&name).map_err(wrong)? {
            fields.set_item(name, item).map_err(wrong)?;
        }
    }
    let is_field = |name: &str| declared.contains(name).unwrap_or(false);
    if let Some(more) = beyond_model(object, &kind, &is_field)? {
        return Err(
            format!("a {} holds `{more}`, which is no field of it", type_name(object)).into()
        );
    }
    let (map, fields) = read_dict(&fields, budget, depth)?;
    let mut entries: Vec<(Box<str>, Value)> =
        map.iter().map(|(name, value)| (name.into(), value.clone())).collect();
    let extra = match extra {
        None => None,
        Some(extra) => {
            let (map, copy) = read_dict(&extra, budget, depth)?;
            entries.extend(map.iter().map(|(name, value)| (name.into(), value.clone())));
            Some(copy)
        }
    };
    let map = Map::from_entries(entries)
        .map_err(|key| format!("the field `{}` occurs twice", short(&key)))?;
    let base = py.get_type::<PyAny>();
    let copy = base.call_method1(intern!(py, "__new__"), (&kind,)).map_err(wrong)?;
    let given = object.getattr("__pydantic_fields_set__").map_err(wrong)?;
    let given = given.call_method0(intern!(py, "copy")).map_err(wrong)?;
    let names = given.try_iter().map_err(wrong)?.map(|name| name?.extract::<String>());
    let mut names = names.collect::<PyResult<Vec<_>>>().map_err(wrong)?;
    names.sort();
    budget.note(&Value::List(names.iter().map(|name| Value::str(name)).collect()));
    let set = |name: &str, value: Bound<'py, PyAny>| {
        base.call_method1(intern!(py, "__setattr__"), (&copy, name, value)).map_err(wrong)
    };
    let or_none = |part: Option<Bound<'py, PyDict>>| {
        part.map_or_else(|| py.None().into_bound(py), Bound::into_any)
    };
    set("__dict__", fields.into_any())?;
    set("__pydantic_fields_set__", given)?;
    set("__pydantic_extra__", or_none(extra))?;
    set("__pydantic_private__", or_none(private))?;
    Ok(record(&kind, map, copy.clone()).map_err(wrong)?)
}

/// As [`beyond`], without the slots that pydantic keeps its own state in.
fn beyond_model(
    object: &Bound<'_, PyAny>,
    kind: &Bound<'_, PyType>,
    is_field: &dyn Fn(&str) -> bool,
) -> Result<Option<String>, String> {
    beyond(object, kind, &|name| is_field(name) || name.starts_with("__pydantic_"))
}

pub(super) fn qualified(kind: &Bound<'_, PyType>) -> PyResult<String> {
    Ok(format!("{}.{}", kind.module()?, kind.qualname()?))
}

/// What stands in a class itself, not in those that it inherits from.
pub(super) fn own<'py>(
    kind: &Bound<'py, PyType>,
    name: &Bound<'py, PyString>,
) -> Result<Option<Bound<'py, PyAny>>, String> {
    let py = kind.py();
    // By the descriptor of `type`: a metaclass may state another `__dict__`.
    let read = || -> PyResult<Option<Bound<'py, PyAny>>> {
        let descriptor = py.get_type::<PyType>().getattr(intern!(py, "__dict__"))?;
        let all = descriptor.call_method1(intern!(py, "get"), (intern!(py, "__dict__"),))?;
        let all = all.call_method1(intern!(py, "__get__"), (kind,))?;
        let found = all.call_method1(intern!(py, "get"), (name,))?;
        Ok((!found.is_none()).then_some(found))
    };
    read().map_err(|_| "its type cannot be read".to_owned())
}
