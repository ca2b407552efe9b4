//! Python objects to canonical values and back.
//!
//! [`snapshot`] reads an object once and answers both its value and a copy of it made from the
//! same reads: what is judged is what is passed on. Types are exact; what has no canonical form is
//! refused by name.

mod given;
mod members;
mod records;

use pyo3::exceptions::PyException;
use pyo3::intern;
use pyo3::prelude::*;
use pyo3::sync::PyOnceLock;
use pyo3::types::{
    PyBool, PyBytes, PyDelta, PyDict, PyFloat, PyInt, PyList, PyString, PyTuple, PyType,
};

pub(super) use self::given::{
    Dict, FilePath, Flag, Octets, Own, Text, Texts, Tree, Whole, expected, gone_through, listed,
};
use self::members::member;
use self::records::{dataclass, model, own};
use crate::canonical::{Decimal, Int, MAX_DEPTH, Map, Value};
use crate::clock::{MICROS, parse_duration};
use crate::engine::Masking;
use crate::vault::scrub_everywhere;

/// How many values one argument may hold in all.
const MAX_NODES: usize = 100_000;
/// How many bytes of text and bytes one call's arguments may hold in all.
const MAX_BYTES: usize = 1024 * 1024;

/// The first and last instant that Python can show in UTC, in microseconds.
const FIRST: i64 = -62_135_596_800_000_000;
const LAST: i64 = 253_402_300_799_999_999;

/// Why an object has no canonical form, and where in it that is.
#[derive(Debug)]
pub(super) struct Unfit {
    /// From the outermost in; kept in reverse while it is on its way out.
    steps: Vec<Step>,
    why: String,
}

#[derive(Debug)]
enum Step {
    Key(String),
    Item(usize),
}

impl<T: Into<String>> From<T> for Unfit {
    fn from(why: T) -> Self {
        Self { steps: Vec::new(), why: why.into() }
    }
}

impl Unfit {
    /// The same, seen from what holds it.
    fn within(mut self, step: Step) -> Self {
        self.steps.push(step);
        self
    }

    /// In words.
    pub(super) fn told(&self) -> String {
        self.place(self.steps.len())
            .map_or_else(|| self.why.clone(), |place| format!("at {place}: {}", self.why))
    }

    /// In words that show nothing of what lies in a masked argument or field.
    pub(super) fn told_of(&self, name: &str, masking: &Masking) -> String {
        let keys = self.steps.iter().rev().filter_map(|step| match step {
            Step::Key(key) => Some(key.as_str()),
            Step::Item(_) => None,
        });
        let Some(keys) = masking.shows(name, keys) else { return self.told() };
        const WHY: &str = "it, or something in it, has no canonical form (masked)";
        let mut left = keys;
        let shown = self.steps.iter().rev().take_while(|step| {
            let goes_on = left > 0;
            left = left.saturating_sub(usize::from(matches!(step, Step::Key(_))));
            goes_on
        });
        let count = shown.count();
        self.place(count).map_or_else(|| WHY.to_owned(), |place| format!("at {place}: {WHY}"))
    }

    fn place(&self, steps: usize) -> Option<String> {
        let told = self.steps.iter().rev().take(steps).map(|step| match step {
            Step::Key(key) => format!(".{}", short(key)),
            Step::Item(place) => format!("[{place}]"),
        });
        (steps > 0).then(|| told.collect())
    }
}

/// What is left to spend on one call's arguments.
#[derive(Debug)]
pub(super) struct Budget {
    nodes: usize,
    bytes: usize,
    /// What was read and has no place in the canonical form, such as the zone of a datetime: in the
    /// order of that form, so that it says the same of the same values.
    beside: Vec<u8>,
}

impl Default for Budget {
    fn default() -> Self {
        Self { nodes: MAX_NODES, bytes: MAX_BYTES, beside: Vec::new() }
    }
}

impl Budget {
    /// For results, of which only small ones are recorded by value.
    pub(super) fn for_results() -> Self {
        Self { nodes: 2_000, bytes: 8 * 1024, beside: Vec::new() }
    }

    /// What was read since it was last taken, and has no place in the canonical form.
    pub(super) fn take_beside(&mut self) -> Vec<u8> {
        std::mem::take(&mut self.beside)
    }

    fn note(&mut self, value: &Value) {
        value.encode_into(&mut self.beside);
    }

    /// Notes what lies beside named values, whatever order they came in.
    fn note_all(&mut self, mut named: Vec<(String, Vec<u8>)>) {
        named.sort();
        for (_, beside) in named {
            self.beside.extend(beside);
        }
    }

    /// Refuses a container that cannot fit, before it is copied.
    fn admit(&self, items: usize) -> Result<(), String> {
        if items > self.nodes {
            return Err("it holds more than 100,000 values".to_owned());
        }
        Ok(())
    }

    fn spend(&mut self, bytes: usize) -> Result<(), String> {
        self.nodes = self.nodes.checked_sub(1).ok_or("it holds more than 100,000 values")?;
        self.bytes = self.bytes.checked_sub(bytes).ok_or("it holds more than 1 MiB")?;
        Ok(())
    }
}

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

/// An object's canonical value, and a copy of the object made from the same reads.
///
/// # Errors
/// Why it has no canonical form, in words that name the place and the type.
pub(super) fn snapshot<'py>(
    object: &Bound<'py, PyAny>,
    budget: &mut Budget,
) -> Result<(Value, Bound<'py, PyAny>), Unfit> {
    read(object, budget, 0)
}

/// An object's canonical value.
///
/// # Errors
/// As [`snapshot`].
pub(super) fn to_value(object: &Bound<'_, PyAny>) -> Result<Value, String> {
    Ok(read(object, &mut Budget::default(), 0).map_err(|why| why.told())?.0)
}

fn read<'py>(
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

fn integer(object: &Bound<'_, PyAny>, budget: &mut Budget) -> Result<Int, String> {
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

fn read_items<'py>(
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

fn read_dict<'py>(
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
fn unreadable(object: &Bound<'_, PyAny>, error: &PyErr) -> String {
    let raised = type_name(error.value(object.py()).as_any());
    format!("a {} cannot be read: it raised {raised}", type_name(object))
}

/// The instant of a datetime, by `datetime` itself, in microseconds.
fn micros(object: &Bound<'_, PyAny>, types: &Types) -> Result<i64, String> {
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
fn note_zone(object: &Bound<'_, PyAny>, types: &Types, budget: &mut Budget) -> PyResult<()> {
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

/// A decimal, and the exponent that it is written with: `1.10` is `1.1`, and looks otherwise.
fn decimal(object: &Bound<'_, PyAny>) -> PyResult<Result<(Value, i64), String>> {
    let parts = object.call_method0(intern!(object.py(), "as_tuple"))?;
    let (sign, digits, exponent) = parts.extract::<(u8, Vec<u8>, Bound<'_, PyAny>)>()?;
    let Ok(exponent) = exponent.extract::<i64>() else {
        return Ok(Err("NaN and infinities cannot be judged".to_owned()));
    };
    let digits: String = digits.iter().map(|digit| char::from(b'0' + digit % 10)).collect();
    let number = Decimal::new(sign == 1, &digits, exponent);
    Ok(number.map(|number| (Value::Decimal(number), exponent)).map_err(|e| e.to_string()))
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

/// A canonical value as a Python object. Enums and records come back as what they hold.
pub(super) fn to_python<'py>(py: Python<'py>, value: &Value) -> PyResult<Bound<'py, PyAny>> {
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

pub(super) fn map_to_python<'py>(py: Python<'py>, map: &Map) -> PyResult<Bound<'py, PyDict>> {
    let dict = PyDict::new(py);
    for (key, value) in map.iter() {
        dict.set_item(key, to_python(py, value)?)?;
    }
    Ok(dict)
}

/// An instant as a datetime in UTC.
pub(super) fn instant(py: Python<'_>, micros: i64) -> PyResult<Bound<'_, PyAny>> {
    let types = types(py)?;
    let since = types.microsecond.bind(py).mul(micros)?;
    types.epoch.bind(py).add(since)
}

/// A datetime with a zone, a duration before `now`, or RFC 3339 text, in microseconds.
pub(super) fn moment(object: &Bound<'_, PyAny>, now: i64) -> Result<i64, String> {
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
pub(super) fn duration(object: &Bound<'_, PyAny>) -> Result<i64, String> {
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
