//! The texts of what is masked, to be kept out of results and exceptions.

use data_encoding::HEXLOWER;

use crate::canonical::{Value, to_json};

/// The shortest text of a masked value that is looked for in results and exceptions.
const MIN_TEXT: usize = 3;
/// What stands where a masked text stood.
const STAND_IN: &str = "(masked)";

/// Texts that must not be recorded.
#[derive(Debug, Clone, Default)]
pub struct Texts(Vec<String>);

impl Texts {
    /// The texts, and the forms that they take in a `repr`.
    pub(super) fn new(mut texts: Vec<String>) -> Self {
        let escaped: Vec<String> = texts
            .iter()
            .filter(|text| text.contains(['\\', '\'', '"', '\n', '\r', '\t']))
            .flat_map(|text| {
                let common = text
                    .replace('\\', "\\\\")
                    .replace('\n', "\\n")
                    .replace('\r', "\\r")
                    .replace('\t', "\\t");
                [common.replace('\'', "\\'"), common.replace('"', "\\\""), common]
            })
            .collect();
        texts.extend(escaped);
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Self(texts)
    }

    /// A text without what is masked.
    #[must_use]
    pub fn scrub(&self, text: String) -> String {
        self.0.iter().fold(text, |text, masked| {
            if text.contains(masked.as_str()) {
                text.replace(masked.as_str(), STAND_IN)
            } else {
                text
            }
        })
    }

    /// Whether a value mentions what is masked.
    #[must_use]
    pub fn are_in(&self, value: &Value) -> bool {
        let inside = |text: &str| self.0.iter().any(|masked| text.contains(masked.as_str()));
        if self.0.is_empty() {
            return false;
        }
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Str(text) => inside(text),
            Value::Bytes(bytes) => inside(&String::from_utf8_lossy(bytes)),
            Value::List(items) | Value::Tuple(items) => items.iter().any(|item| self.are_in(item)),
            Value::Map(map) => map.iter().any(|(key, item)| inside(key) || self.are_in(item)),
            Value::Record(record) => record.fields.iter().any(|(_, item)| self.are_in(item)),
            Value::Enum(member) => inside(&member.name) || self.are_in(&member.value),
            Value::Uuid(bytes) => inside(&uuid_text(bytes)),
            Value::Int(_) | Value::Float(_) | Value::Decimal(_) | Value::Datetime(_) => {
                inside(&to_json(value))
            }
        }
    }
}

/// The texts of a value that is masked.
pub(super) fn collect(value: &Value, texts: &mut Vec<String>) {
    let mut add = |text: String| {
        if text.len() >= MIN_TEXT {
            texts.push(text);
        }
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Datetime(_) => {}
        Value::Str(text) => add(text.to_string()),
        Value::Bytes(bytes) => {
            add(HEXLOWER.encode(bytes));
            add(String::from_utf8_lossy(bytes).into_owned());
        }
        Value::Uuid(bytes) => {
            add(HEXLOWER.encode(bytes));
            add(uuid_text(bytes));
        }
        Value::Int(number) => add(number.to_string()),
        Value::Decimal(number) => add(number.to_string()),
        Value::Float(_) => add(to_json(value)),
        Value::Enum(member) => collect(&member.value, texts),
        Value::List(items) | Value::Tuple(items) => {
            items.iter().for_each(|item| collect(item, texts));
        }
        Value::Map(map) => map.iter().for_each(|(key, item)| {
            // Keys come with the call, as values do; the fields of a record are the type's own.
            collect(&Value::str(key), texts);
            collect(item, texts);
        }),
        Value::Record(record) => record.fields.iter().for_each(|(_, item)| collect(item, texts)),
    }
}

fn uuid_text(bytes: &[u8; 16]) -> String {
    let hex = HEXLOWER.encode(bytes);
    let part = |range| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

#[cfg(test)]
mod tests {
    use super::super::Masking;
    use super::*;
    use crate::canonical::Map;

    #[test]
    fn what_is_masked_is_kept_out_of_other_texts() {
        let mut arguments = Map::new();
        arguments.insert("password", Value::str("it's\nme"));
        arguments.insert("user", Value::str("alice"));
        let texts = Masking::default().texts(&arguments);
        assert_eq!(texts.scrub("no it's\nme here".into()), "no (masked) here");
        assert_eq!(texts.scrub("KeyError('it\\'s\\nme')".into()), "KeyError('(masked)')");
        assert!(texts.are_in(&Value::List(vec![Value::str("x it's\nme")])));
        assert!(!texts.are_in(&Value::str("alice")));
    }
}
