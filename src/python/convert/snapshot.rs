//! Reads an object once, into its canonical value and a copy made from the same reads.

use pyo3::intern;
use pyo3::prelude::*;
use pyo3::types::{PyBool, PyBytes, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple};

use super::budget::Budget;
use super::members::member;
use super::records::{dataclass, model, own};
use super::times::{micros, note_zone};
use super::unfit::{Step, Unfit};
use super::{short, type_name, types};
use crate::canonical::{Decimal, Int, MAX_DEPTH, Map, Value};

/// An object's canonical value, and a copy of the object made from the same reads.
///
/// # Errors
/// Why it has no canonical form, in words that name the place and the type.
pub(in crate::python) fn snapshot<'py>(
    object: &Bound<'py, PyAny>,
    budget: &mut Budget,
) -> Result<(Value, Bound<'py, PyAny>), Unfit> {
    read(object, budget, 0)
}

/// An object's canonical value.
///
/// # Errors
/// As [`snapshot`].
pub(in crate::python) fn to_value(object: &Bound<'_, PyAny>) -> Result<Value, String> {
    Ok(read(object, &mut Budget::default(), 0).map_err(|why| why.told())?.0)
}

pub(super) fn read<'py>(
    object: &Bound<'py, PyAny>,
    budget: &mut Budget,
    depth: usize,
) -> Result<(Value, Bound<'py, PyAny>), Unfit> {
    if depth > MAX_DEPTH {
        return Err("it nests too deep, or holds itself".into());
    }
    let same = object.clone();
    if object.is_none() {
        budget.spend(0)?;
        return Ok((Value::Null, same));
    }
    if let Ok(text) = object.cast_exact::<PyString>() {
        let text = text.to_str().map_err(|_| "text holds lone surrogates".to_owned())?;
        budget.spend(text.len())?;
        return Ok((Value::str(text), same));
    }
    if let Ok(flag) = object.cast_exact::<PyBool>() {
        budget.spend(0)?;
        return Ok((Value::Bool(flag.is_true()), same));
    }
    if object.cast_exact::<PyInt>().is_ok() {
        return Ok((Value::Int(integer(object, budget)?), same));
    }
    if let Ok(number) = object.cast_exact::<PyFloat>() {
        budget.spend(0)?;
        let value = Value::float(number.value()).ok_or("NaN and infinities cannot be judged")?;
        // A zero below zero is judged and recorded as zero, so that is what is passed on.
        let below = number.value() == 0.0 && number.value().is_sign_negative();
        let copy = if below { PyFloat::new(object.py(), 0.0).into_any() } else { same };
        return Ok((value, copy));
    }
    if let Ok(list) = object.cast_exact::<PyList>() {
        budget.admit(list.len())?;
        // One atomic copy first: nobody can change it between judging and passing on.
        let items = list.to_tuple();
        let (values, copies) = read_items(&items, budget, depth)?;
        let copy = PyList::new(object.py(), copies).map_err(|error| error.to_string())?;
        return Ok((Value::List(values), copy.into_any()));
    }
    if let Ok(dict) = object.cast_exact::<PyDict>() {
        budget.admit(dict.len())?;
        let copy = dict.copy().map_err(|error| error.to_string())?;
        let (map, copy) = read_dict(&copy, budget, depth)?;
        return Ok((Value::Map(map), copy.into_any()));
    }
    if let Ok(tuple) = object.cast_exact::<PyTuple>() {
        budget.admit(tuple.len())?;
        let (values, copies) = read_items(tuple, budget, depth)?;
        let copy = PyTuple::new(object.py(), copies).map_err(|error| error.to_string())?;
        return Ok((Value::Tuple(values), copy.into_any()));
    }
    if let Ok(bytes) = object.cast_exact::<PyBytes>() {
        budget.spend(bytes.as_bytes().len())?;
        return Ok((Value::bytes(bytes.as_bytes()), same));
    }
    read_rare(object, budget, depth)
}

pub(super) fn integer(object: &Bound<'_, PyAny>, budget: &mut Budget) -> Result<Int, String> {
    budget.spend(8)?;
    if let Ok(small) = object.extract::<i64>() {
        return Ok(Int::from(small));
    }
    let too_large = || "an integer has more than 4,096 bits".to_owned();
    // By `int` itself: a subclass may answer as it likes.
    let int = object.py().get_type::<PyInt>();
    let bytes_of = |size: usize| -> PyResult<Bound<'_, PyAny>> {
        let kwargs = PyDict::new(object.py());
        kwargs.set_item("signed", true)?;
        int.call_method(intern!(object.py(), "to_bytes"), (object, size, "big"), Some(&kwargs))
    };
    let bits: usize = int
        .call_method1(intern!(object.py(), "bit_length"), (object,))
        .and_then(|bits| bits.extract())
        .map_err(|_| too_large())?;
    if bits > 4_096 {
        return Err(too_large());
    }
    let bytes = bytes_of(bits / 8 + 1).map_err(|_| too_large())?;
    let bytes = bytes.cast::<PyBytes>().map_err(|_| too_large())?;
    budget.spend(bytes.as_bytes().len())?;
    Int::from_signed_bytes(bytes.as_bytes()).ok_or_else(too_large)
}

type Items<'py> = (Vec<Value>, Vec<Bound<'py, PyAny>>);

pub(super) fn read_items<'py>(
    items: &Bound<'py, PyTuple>,
    budget: &mut Budget,
    depth: usize,
) -> Result<Items<'py>, Unfit> {
    budget.spend(0)?;
    let mut values = Vec::with_capacity(items.len());
    let mut copies = Vec::with_capacity(items.len());
    for (place, item) in items.iter().enumerate() {
        let (value, copy) =
            read(&item, budget, depth + 1).map_err(|why| why.within(Step::Item(place)))?;
        values.push(value);
        copies.push(copy);
    }
    Ok((values, copies))
}

pub(super) fn read_dict<'py>(
    dict: &Bound<'py, PyDict>,
    budget: &mut Budget,
    depth: usize,
) -> Result<(Map, Bound<'py, PyDict>), Unfit> {
    budget.spend(0)?;
    let copy = PyDict::new(dict.py());
    let mut entries = Vec::with_capacity(dict.len());
    let (before, mut beside) = (budget.take_beside(), Vec::new());
    for (key, item) in dict.iter() {
        let text = key
            .cast_exact::<PyString>()
            .map_err(|_| format!("a key is {}, not str", type_name(&key)))?;
        let text = text.to_str().map_err(|_| "a key holds lone surrogates".to_owned())?;
        budget.spend(text.len())?;
        let (value, item) =
            read(&item, budget, depth + 1).map_err(|why| why.within(Step::Key(text.to_owned())))?;
        copy.set_item(&key, item).map_err(|error| error.to_string())?;
        if !budget.beside.is_empty() {
            beside.push((text.to_owned(), budget.take_beside()));
        }
        entries.push((text.into(), value));
    }
    let map = Map::from_entries(entries)
        .map_err(|key| format!("the key `{}` occurs twice", short(&key)))?;
    budget.beside = before;
    budget.note_all(beside);
    Ok((map, copy))
}

/// What is not one of the plain types: looked at in the order of how common it is.
fn read_rare<'py>(
    object: &Bound<'py, PyAny>,
    budget: &mut Budget,
    depth: usize,
) -> Result<(Value, Bound<'py, PyAny>), Unfit> {
    let py = object.py();
    let types = types(py).map_err(|error| error.to_string())?;
    // The type itself, never `__class__`, which an object may state as it likes.
    let kind = object.get_type();
    let wrong = |error: PyErr| unreadable(object, &error);
    if kind.is(&types.decimal) {
        budget.spend(0)?;
        let (value, exponent) = decimal(object).map_err(wrong)??;
        budget.note(&Value::int(exponent));
        let below = value == Value::Decimal(Decimal::zero())
            && object
                .call_method0(intern!(py, "is_signed"))
                .and_then(|s| s.extract())
                .map_err(wrong)?;
        let copy = match below {
            true => object.call_method0(intern!(py, "copy_abs")).map_err(wrong)?,
            false => object.clone(),
        };
        return Ok((value, copy));
    }
    if kind.is(&types.datetime) {
        budget.spend(0)?;
        let instant = micros(object, types)?;
        note_zone(object, types, budget).map_err(wrong)?;
        return Ok((Value::Datetime(instant), object.clone()));
    }
    if kind.is(&types.uuid) {
        budget.spend(0)?;
        let bytes: Vec<u8> =
            object.getattr(intern!(py, "bytes")).and_then(|b| b.extract()).map_err(wrong)?;
        let bytes = bytes.try_into().map_err(|_| "a UUID has 16 bytes".to_owned())?;
        return Ok((Value::Uuid(bytes), object.clone()));
    }
    if kind.is_subclass(types.enumeration.bind(py)).map_err(wrong)? {
        return member(object, budget, depth);
    }
    if let Some(fields) = own(&kind, intern!(py, "__dataclass_fields__"))? {
        return dataclass(object, &fields, budget, depth);
    }
    let marker = intern!(py, "__pydantic_fields__");
    if own(&kind, marker)?.is_some() {
        let fields = kind.getattr(marker).map_err(wrong)?;
        return model(object, &fields, budget, depth);
    }
    let (word, advice) = (type_name(object), advice(object));
    Err(format!("a value of type {word} has no canonical form{advice}").into())
}

/// What to pass instead of a value whose type only resembles one that can be judged.
fn advice(object: &Bound<'_, PyAny>) -> &'static str {
    // These look at the type itself.
    if object.is_instance_of::<PyDict>() {
        "; types are exact: pass dict(…) of it"
    } else if object.is_instance_of::<PyList>() {
        "; types are exact: pass list(…) of it"
    } else if object.is_instance_of::<PyTuple>() {
        "; types are exact: pass tuple(…) of it"
    } else if object.is_instance_of::<PyString>() {
        "; types are exact: pass str(…) of it"
    } else if object.is_instance_of::<PyInt>() {
        "; types are exact: pass int(…) of it"
    } else if object.is_instance_of::<PyFloat>() {
        "; types are exact: pass float(…) of it"
    } else if object.is_instance_of::<PyBytes>() {
        "; types are exact: pass bytes(…) of it"
    } else {
        ""
    }
}

/// An error's type only: its text may hold values.
pub(super) fn unreadable(object: &Bound<'_, PyAny>, error: &PyErr) -> String {
    let raised = type_name(error.value(object.py()).as_any());
    format!("a {} cannot be read: it raised {raised}", type_name(object))
}

/// A decimal, and the exponent that it is written with: `1.10` is `1.1`, and looks otherwise.
pub(super) fn decimal(object: &Bound<'_, PyAny>) -> PyResult<Result<(Value, i64), String>> {
    let parts = object.call_method0(intern!(object.py(), "as_tuple"))?;
    let (sign, digits, exponent) = parts.extract::<(u8, Vec<u8>, Bound<'_, PyAny>)>()?;
    let Ok(exponent) = exponent.extract::<i64>() else {
        return Ok(Err("NaN and infinities cannot be judged".to_owned()));
    };
    let digits: String = digits.iter().map(|digit| char::from(b'0' + digit % 10)).collect();
    let number = Decimal::new(sign == 1, &digits, exponent);
    Ok(number.map(|number| (Value::Decimal(number), exponent)).map_err(|e| e.to_string()))
}
