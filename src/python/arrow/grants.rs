//! The grants of a trail as columns: for whoever asks of all of them at once.
//!
//! What a token says is read, not verified: that is the verifier's to do.

use std::sync::Arc;

use arrow_array::{
    ArrayRef, BooleanArray, Int64Array, RecordBatch, StringArray, TimestampMicrosecondArray,
    UInt64Array,
};
use arrow_schema::{ArrowError, DataType, Field, Schema, SchemaRef, TimeUnit};
use data_encoding::BASE64URL_NOPAD;
use serde::de::IgnoredAny;

use super::columns::word_type;
use super::unfit;
use super::words::Words;
use super::workers::Made;
use crate::canonical::Value;
use crate::engine::Engine as Core;
use crate::trail::entry::Entry;

/// How long a signature at the end of a token's body is, in bytes.
const SIGNATURE: usize = 64;

/// Columns of words that repeat.
const WORDS: [&str; 6] = ["human", "issuer", "agent", "task", "scope", "limits"];

pub(super) fn schema() -> SchemaRef {
    let at = || DataType::Timestamp(TimeUnit::Microsecond, Some("UTC".into()));
    let mut fields = vec![
        Field::new("index", DataType::UInt64, false),
        Field::new("grant", DataType::Utf8, false),
        Field::new("digest", DataType::Utf8, false),
        Field::new("parent", DataType::Utf8, true),
        Field::new("depth", DataType::Int64, false),
        Field::new("from", at(), false),
        Field::new("until", at(), false),
        Field::new("offline", DataType::Boolean, false),
    ];
    fields.extend(WORDS.iter().map(|name| Field::new(*name, word_type(), false)));
    Arc::new(Schema::new(fields))
}

/// The grants at some places, which must be those of grants, ascending.
pub(super) fn batch_of(core: &Arc<Core>, places: &[u64], schema: &SchemaRef) -> Made {
    columns(&core.entries_at(places)?, schema).map_err(unfit)
}

fn columns(entries: &[Entry], schema: &SchemaRef) -> Result<RecordBatch, ArrowError> {
    let bytes = |entry: &Entry, key: &str| {
        let value = entry.fields.get(key).and_then(Value::as_bytes);
        value.map(|bytes| BASE64URL_NOPAD.encode(bytes))
    };
    let time = |key: &str| -> ArrayRef {
        let at = |entry: &Entry| match entry.fields.get(key) {
            Some(Value::Datetime(at)) => *at,
            _ => 0,
        };
        let times = TimestampMicrosecondArray::from_iter_values(entries.iter().map(at));
        Arc::new(times.with_timezone("UTC"))
    };
    let texts = |of: &dyn Fn(&Entry) -> Option<String>| -> ArrayRef {
        Arc::new(entries.iter().map(of).collect::<StringArray>())
    };
    let depth = |entry: &Entry| entry.fields.get("depth").and_then(Value::as_i64).unwrap_or(0);
    let offline = |entry: &Entry| entry.fields.get("offline") == Some(&Value::Bool(true));
    let mut made: Vec<ArrayRef> = vec![
        Arc::new(UInt64Array::from_iter_values(entries.iter().map(|entry| entry.index))),
        texts(&|entry| Some(entry.text("grant").to_owned())),
        texts(&|entry| Some(bytes(entry, "digest").unwrap_or_default())),
        texts(&|entry| bytes(entry, "parent")),
        Arc::new(Int64Array::from_iter_values(entries.iter().map(depth))),
        time("from"),
        time("until"),
        Arc::new(entries.iter().map(|entry| Some(offline(entry))).collect::<BooleanArray>()),
    ];
    let bodies: Vec<Option<String>> =
        entries.iter().map(|entry| body_of(entry.value_text("token")?)).collect();
    for name in WORDS {
        let mut words = Words::default();
        let mut numbers = Vec::with_capacity(entries.len());
        for (entry, body) in entries.iter().zip(&bodies) {
            numbers.push(match name {
                "scope" | "limits" => {
                    let part = body.as_deref().and_then(|body| part_of(body, name));
                    words.number(part.unwrap_or("[]"))
                }
                _ => words.number(entry.text(name)),
            });
        }
        made.push(Words::column(numbers.into_iter(), words.array())?);
    }
    RecordBatch::try_new(schema.clone(), made)
}

/// What a token says, as text.
fn body_of(token: &str) -> Option<String> {
    let body = token.split('.').nth(2)?;
    let mut bytes = BASE64URL_NOPAD.decode(body.as_bytes()).ok()?;
    bytes.truncate(bytes.len().checked_sub(SIGNATURE)?);
    String::from_utf8(bytes).ok()
}

/// The text of one member of an object, as it stands there.
fn part_of<'a>(object: &'a str, name: &str) -> Option<&'a str> {
    let mut rest = object.trim_start().strip_prefix('{')?;
    loop {
        let (key, after) = value_at(rest)?;
        let (value, after) = value_at(after.trim_start().strip_prefix(':')?)?;
        if serde_json::from_str::<String>(key).ok()? == name {
            return Some(value);
        }
        rest = after.trim_start().strip_prefix(',')?;
    }
}

/// The text of the value that some JSON begins with, and what follows it.
fn value_at(json: &str) -> Option<(&str, &str)> {
    let json = json.trim_start();
    let mut values = serde_json::Deserializer::from_str(json).into_iter::<IgnoredAny>();
    values.next()?.ok()?;
    let end = values.byte_offset();
    Some((json.get(..end)?, json.get(end..)?))
}

#[cfg(test)]
mod tests {
    use super::part_of;

    #[test]
    fn a_part_is_what_stands_in_the_object() {
        let object =
            r#" {"a" : "x\"}", "scope":[{"tool":"a.**"} , 1e3] ,"b":{"scope":2},"c":null}"#;
        assert_eq!(part_of(object, "scope"), Some(r#"[{"tool":"a.**"} , 1e3]"#));
        assert_eq!(part_of(object, "b"), Some(r#"{"scope":2}"#));
        assert_eq!(part_of(object, "c"), Some("null"));
        assert_eq!(part_of(object, "tool"), None);
        for broken in ["", "[]", "{", r#"{"a"}"#, r#"{"a":1 "scope":2}"#, r#"{"scope":"#] {
            assert_eq!(part_of(broken, "scope"), None, "{broken}");
        }
    }
}
