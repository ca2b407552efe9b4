//! Names of arguments and, with dots, of the fields below them.

use super::error::ScopeError;
use crate::canonical::{Map, Value};
use crate::request::shown;

/// The longest name, in bytes.
pub const MAX_NAME_BYTES: usize = 256;
/// How many parts a dotted name may have.
pub const MAX_NAME_PARTS: usize = 8;

/// Checks a name: parts divided by dots, none empty.
pub(super) fn check_name(text: &str) -> Result<(), ScopeError> {
    let wrong = |why| Err(ScopeError::Name { text: shown(text), why });
    if text.len() > MAX_NAME_BYTES {
        return wrong("it is longer than 256 bytes");
    }
    if text.split('.').any(str::is_empty) {
        return wrong("it is empty, or has an empty part");
    }
    if text.split('.').count() > MAX_NAME_PARTS {
        return wrong("it has more than 8 parts");
    }
    Ok(())
}

/// The entries of a dict or record.
pub(super) fn object(value: &Value) -> Option<&Map> {
    match value {
        Value::Map(map) => Some(map),
        Value::Record(record) => Some(&record.fields),
        _ => None,
    }
}

/// The argument or field of a name.
pub(super) fn field<'a>(arguments: &'a Map, name: &str) -> Option<&'a Value> {
    match name.split_once('.') {
        None => arguments.get(name),
        Some((first, rest)) => field(object(arguments.get(first)?)?, rest),
    }
}

/// What follows `prefix` and a dot in a name; the whole name for an empty prefix.
pub(super) fn below<'a>(name: &'a str, prefix: &str) -> Option<&'a str> {
    if prefix.is_empty() { Some(name) } else { name.strip_prefix(prefix)?.strip_prefix('.') }
}

/// The proper prefixes of a dotted name, longest first: `a.b.c` gives `a.b`, `a`.
pub(super) fn containers(name: &str) -> impl Iterator<Item = &str> {
    std::iter::successors(name.rsplit_once('.').map(|(front, _)| front), |front| {
        front.rsplit_once('.').map(|(front, _)| front)
    })
}
