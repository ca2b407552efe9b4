//! Members of enumerations: their names and values, which must be what their bodies hold.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{
    PyBytes, PyCFunction, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType,
};

use super::records::{own, qualified};
use super::snapshot::{decimal, integer, read, read_items, unreadable};
use super::times::micros;
use super::unfit::Step;
use super::{Budget, Types, Unfit, short, type_name, types};
use crate::canonical::{EnumMember, Value};

/// A member: its value is judged, and the member itself is passed on.
///
/// A member that is a number or text besides could hold one and state another: `amount: int` would
/// be judged by the `_value_`, and the body would compute with what the member is. Such a member is
/// refused.
pub(super) fn member<'py>(
    object: &Bound<'py, PyAny>,
    budget: &mut Budget,
    depth: usize,
) -> Result<(Value, Bound<'py, PyAny>), Unfit> {
    let py = object.py();
    let kind = object.get_type();
    let wrong = |error: PyErr| unreadable(object, &error);
    let name = object.getattr(intern!(py, "_name_")).map_err(wrong)?;
    let name: String = name
        .extract()
        .map_err(|_| "a combined flag has no name and cannot be judged".to_owned())?;
    let value = object.getattr(intern!(py, "_value_")).map_err(wrong)?;
    let value = read(&value, budget, depth + 1)?.0;
    let types = types(py).map_err(|error| error.to_string())?;
    for class in kind.mro().iter() {
        let class = class.cast_into::<PyType>().map_err(|error| error.to_string())?;
        let plain = class.is(py.get_type::<PyAny>())
            || class.is_subclass(types.enumeration.bind(py)).map_err(wrong)?;
        if !plain && !holds(object, &class, &value, types, budget, depth)? {
            return Err(format!(
                "{}.{} is a {} that differs from its `_value_`",
                type_name(object),
                short(&name),
                class.name().map_err(wrong)?
            )
            .into());
        }
    }
    let type_name = qualified(&kind).map_err(wrong)?;
    let member = EnumMember { type_name: type_name.into(), name: name.into(), value };
    Ok((Value::Enum(Box::new(member)), object.clone()))
}

/// Whether what a member is, as one of its classes, is the value that it states. Read by the class
/// itself, so that nothing which the enumeration overrides is asked.
fn holds(
    object: &Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
    value: &Value,
    types: &Types,
    budget: &mut Budget,
    depth: usize,
) -> Result<bool, Unfit> {
    let py = object.py();
    let wrong = |error: PyErr| unreadable(object, &error);
    let is = |other: &Bound<'_, PyType>| class.is(other);
    if is(&py.get_type::<PyString>()) {
        let text = object.cast::<PyString>().map_err(|error| error.to_string())?;
        let text = text.to_str().map_err(|_| "text holds lone surrogates".to_owned())?;
        budget.spend(text.len())?;
        return Ok(*value == Value::str(text));
    }
    if is(&py.get_type::<PyInt>()) {
        return Ok(*value == Value::Int(integer(object, budget)?));
    }
    if is(&py.get_type::<PyFloat>()) {
        let number = object.cast::<PyFloat>().map_err(|error| error.to_string())?.value();
        // A zero below zero would be passed on as what it is.
        let below = number == 0.0 && number.is_sign_negative();
        return Ok(!below && Value::float(number).is_some_and(|held| *value == held));
    }
    if is(&py.get_type::<PyBytes>()) {
        let bytes = object.cast::<PyBytes>().map_err(|error| error.to_string())?;
        budget.spend(bytes.as_bytes().len())?;
        return Ok(*value == Value::bytes(bytes.as_bytes()));
    }
    if is(&py.get_type::<PyTuple>()) {
        let tuple = object.cast::<PyTuple>().map_err(|error| error.to_string())?;
        budget.admit(tuple.len())?;
        return Ok(*value == Value::Tuple(read_items(tuple, budget, depth)?.0));
    }
    if is(types.decimal.bind(py)) {
        let held = types.decimal.bind(py).call1((object,)).map_err(wrong)?;
        return Ok(*value == decimal(&held).map_err(wrong)??.0);
    }
    if is(types.datetime.bind(py)) {
        return Ok(*value == Value::Datetime(micros(object, types)?));
    }
    if is(&py.get_type::<PyList>()) || is(&py.get_type::<PyDict>()) {
        let word = type_name(object);
        return Err(format!("a {word} can change after it was judged; pass its value").into());
    }
    if own(class, intern!(py, "__dataclass_fields__"))?.is_some() {
        return holds_fields(object, class, value, budget, depth);
    }
    // What is made by compiled code holds what only that code can read.
    let made = own(class, intern!(py, "__new__"))?;
    // A `date` lies within every `datetime`, which was read.
    let read = class.is_subclass(types.uuid.bind(py)).map_err(wrong)?
        || made.is_some_and(|made| made.is_instance_of::<PyCFunction>());
    let within = types.datetime.bind(py).is_subclass(class).map_err(wrong)?;
    if read && !(within && object.is_instance(types.datetime.bind(py)).map_err(wrong)?) {
        let (word, name) = (type_name(object), class.name().map_err(wrong)?);
        let why = format!("a {word} is a {name} besides, which cannot be judged; pass its value");
        return Err(why.into());
    }
    Ok(true)
}

/// Whether the fields that a member has as a dataclass are those of the value that it states.
fn holds_fields(
    object: &Bound<'_, PyAny>,
    class: &Bound<'_, PyType>,
    value: &Value,
    budget: &mut Budget,
    depth: usize,
) -> Result<bool, Unfit> {
    let wrong = |error: PyErr| unreadable(object, &error);
    let Value::Record(stated) = value else { return Ok(false) };
    if *stated.type_name != *qualified(class).map_err(wrong)? {
        return Ok(false);
    }
    for (name, stated) in stated.fields.iter() {
        let held = object.getattr(name).map_err(wrong)?;
        let held =
            read(&held, budget, depth + 1).map_err(|why| why.within(Step::Key(name.to_owned())))?;
        if held.0 != *stated {
            return Ok(false);
        }
    }
    Ok(true)
}
