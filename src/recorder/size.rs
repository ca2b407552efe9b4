//! How much room entries take in a block, counted before they are packed.

use crate::canonical::{Int, Map, Value};
use crate::trail::entry::{Draft, Part};

/// About how many bytes a draft takes in a block: leaf and values.
pub(super) fn size_of_draft(draft: &Draft) -> usize {
    let fields: usize =
        draft.fields.iter().map(|(key, part)| key.len() + 16 + size_of_part(part)).sum();
    let beside: usize = draft
        .beside
        .iter()
        // The value in JSON, and 32 bytes of commitment.
        .map(|beside| 2 * beside.field.len() + size_of(&beside.value) + 64)
        .sum();
    160 + fields + beside
}

/// An upper bound, a close one, of a value's size in JSON.
pub(crate) fn size_of(value: &Value) -> usize {
    let of_all = |items: &[Value]| items.iter().map(|item| size_of(item) + 1).sum::<usize>();
    let of_map = |map: &Map| -> usize {
        map.iter().map(|(key, value)| size_of_text(key) + size_of(value) + 3).sum()
    };
    match value {
        Value::Null => 4,
        Value::Bool(_) => 5,
        Value::Int(Int::Small(number)) => {
            2 + number.unsigned_abs().checked_ilog10().unwrap_or(0) as usize
        }
        Value::Int(Int::Big(bytes)) => 16 + bytes.len() * 5 / 2,
        Value::Float(_) => 26,
        Value::Str(text) => size_of_text(text),
        Value::Bytes(bytes) => 16 + bytes.len() * 4 / 3,
        Value::Decimal(number) => 16 + number.to_string().len(),
        Value::Datetime(_) | Value::Uuid(_) => 48,
        Value::Enum(member) => {
            let names = size_of_text(&member.type_name) + size_of_text(&member.name);
            16 + names + size_of(&member.value)
        }
        Value::List(items) => 2 + of_all(items),
        Value::Tuple(items) => 14 + of_all(items),
        Value::Map(map) => 2 + of_map(map),
        Value::Record(record) => 20 + size_of_text(&record.type_name) + of_map(&record.fields),
    }
}

/// An upper bound of a text's size in JSON.
pub(crate) fn size_of_text(text: &str) -> usize {
    let plain = |byte: &u8| *byte >= 0x20 && !matches!(byte, b'"' | b'\\');
    if text.as_bytes().iter().all(plain) {
        return 2 + text.len();
    }
    let controls = text.bytes().filter(|byte| *byte < 0x20).count();
    let quoted = text.bytes().filter(|byte| matches!(byte, b'"' | b'\\')).count();
    2 + text.len() + 5 * controls + quoted
}

fn size_of_part(part: &Part) -> usize {
    match part {
        Part::Value(value) => size_of(value),
        // Our own words: nothing in them is escaped.
        Part::Word(word) => 2 + word.len(),
        Part::Text(text) => size_of_text(text),
        Part::Entry(_) => 32,
        Part::Encoded(bytes) => bytes.len() * 2,
    }
}
