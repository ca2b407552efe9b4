//! The JSON rendering of values: readable, exact, one to one.
//!
//! `null`, booleans, text, lists and maps are themselves. A number with `.`, `e` or `E` is a
//! float, any other an integer from -2^63 to 2^63 - 1. Everything else is an object with one key
//! that starts with `$`; a map's own keys that start with `$` are written with one more.

use std::fmt;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};
use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::ser::{SerializeMap, SerializeSeq};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Decimal, EnumMember, Int, MAX_DEPTH, Map, Record, Value};
use crate::clock::{parse_instant, render_instant};

/// The JSON text of a value.
#[must_use]
pub fn to_json(value: &Value) -> String {
    // INVARIANT: values hold no non-text keys and no non-finite floats, so writing cannot fail.
    serde_json::to_string(value).unwrap_or_default()
}

/// Reads JSON text written by [`to_json`].
///
/// # Errors
/// What was wrong and where, in words.
pub fn from_json(text: &str) -> Result<Value, String> {
    whole_numbers_fit(text)?;
    serde_json::from_str(text).map_err(|error| error.to_string())
}

/// The JSON library reads whole numbers beyond 64 bits, and `-0`, as floats: they are refused.
pub(crate) fn whole_numbers_fit(text: &str) -> Result<(), String> {
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c == '"' || c == '-' || c.is_ascii_digit()) {
        let from = rest.get(at..).unwrap_or_default();
        let end = if let Some(inside) = from.strip_prefix('"') {
            let mut escaped = false;
            let close = inside.find(|c| {
                let closes = c == '"' && !escaped;
                escaped = c == '\\' && !escaped;
                closes
            });
            close.map_or(from.len(), |close| close + 2)
        } else {
            let of_number = |c: char| c.is_ascii_alphanumeric() || matches!(c, '+' | '-' | '.');
            let end = from.find(|c| !of_number(c)).unwrap_or(from.len());
            let number = from.get(..end).unwrap_or_default();
            let whole = !number.contains(['.', 'e', 'E']);
            if whole && (number == "-0" || number.parse::<i64>().is_err()) {
                let shown: String = number.chars().take(40).collect();
                return Err(format!("`{shown}` is not an integer of 64 bits"));
            }
            end
        };
        rest = from.get(end..).unwrap_or_default();
    }
    Ok(())
}

impl Serialize for Value {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Null => serializer.serialize_unit(),
            Self::Bool(flag) => serializer.serialize_bool(*flag),
            Self::Int(Int::Small(number)) => serializer.serialize_i64(*number),
            Self::Int(big) => tagged(serializer, "$int", &big.to_string()),
            Self::Float(number) => serializer.serialize_f64(*number),
            Self::Str(text) => serializer.serialize_str(text),
            Self::Bytes(bytes) => tagged(serializer, "$bytes", &BASE64URL_NOPAD.encode(bytes)),
            Self::Decimal(number) => tagged(serializer, "$decimal", &number.to_string()),
            Self::Datetime(micros) => match render_instant(*micros) {
                Some(text) => tagged(serializer, "$datetime", &text),
                None => tagged(serializer, "$instant", &micros.to_string()),
            },
            Self::Uuid(bytes) => tagged(serializer, "$uuid", &HEXLOWER.encode(bytes)),
            Self::Enum(member) => {
                tagged(serializer, "$enum", &(&member.type_name, &member.name, &member.value))
            }
            Self::List(items) => items.serialize(serializer),
            Self::Tuple(items) => tagged(serializer, "$tuple", &Items(items)),
            Self::Map(map) => map.serialize(serializer),
            Self::Record(record) => {
                tagged(serializer, "$record", &(&record.type_name, &record.fields))
            }
        }
    }
}

struct Items<'a>(&'a [Value]);

impl Serialize for Items<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut seq = serializer.serialize_seq(Some(self.0.len()))?;
        for item in self.0 {
            seq.serialize_element(item)?;
        }
        seq.end()
    }
}

impl Serialize for Map {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(self.len()))?;
        for (key, value) in self.iter() {
            if key.starts_with('$') {
                map.serialize_entry(&format!("${key}"), value)?;
            } else {
                map.serialize_entry(key, value)?;
            }
        }
        map.end()
    }
}

fn tagged<S: Serializer, T: Serialize + ?Sized>(
    serializer: S,
    key: &str,
    value: &T,
) -> Result<S::Ok, S::Error> {
    let mut map = serializer.serialize_map(Some(1))?;
    map.serialize_entry(key, value)?;
    map.end()
}

impl<'de> Deserialize<'de> for Value {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let value = deserializer.deserialize_any(ValueVisitor)?;
        if nesting(&value) > MAX_DEPTH {
            return Err(de::Error::custom("values nest too deep"));
        }
        Ok(value)
    }
}

/// How many others the innermost value lies in.
fn nesting(value: &Value) -> usize {
    let below = |value: &Value| 1 + nesting(value);
    let of_map = |map: &Map| map.iter().map(|(_, value)| below(value)).max().unwrap_or(0);
    match value {
        Value::List(items) | Value::Tuple(items) => items.iter().map(below).max().unwrap_or(0),
        Value::Map(map) => of_map(map),
        Value::Record(record) => of_map(&record.fields),
        Value::Enum(member) => below(&member.value),
        _ => 0,
    }
}

struct ValueVisitor;

impl<'de> Visitor<'de> for ValueVisitor {
    type Value = Value;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a value")
    }

    fn visit_unit<E>(self) -> Result<Value, E> {
        Ok(Value::Null)
    }

    fn visit_bool<E>(self, flag: bool) -> Result<Value, E> {
        Ok(Value::Bool(flag))
    }

    fn visit_i64<E>(self, number: i64) -> Result<Value, E> {
        Ok(Value::int(number))
    }

    fn visit_u64<E: de::Error>(self, number: u64) -> Result<Value, E> {
        let small = i64::try_from(number);
        small.map(Value::int).map_err(|_| E::custom("an integer beyond 2^63 is written as `$int`"))
    }

    fn visit_f64<E: de::Error>(self, number: f64) -> Result<Value, E> {
        Value::float(number).ok_or_else(|| E::custom("a float is not finite"))
    }

    fn visit_str<E>(self, text: &str) -> Result<Value, E> {
        Ok(Value::str(text))
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Value, A::Error> {
        let mut items = Vec::new();
        while let Some(item) = seq.next_element()? {
            items.push(item);
        }
        Ok(Value::List(items))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Value, A::Error> {
        let mut entries: Vec<(Box<str>, Value)> = Vec::new();
        while let Some(key) = map.next_key::<String>()? {
            match key.strip_prefix('$') {
                Some(rest) if rest.starts_with('$') => {
                    entries.push((rest.into(), map.next_value()?))
                }
                Some(word) if entries.is_empty() => {
                    let value = special(word, &mut map)?;
                    if map.next_key::<String>()?.is_some() {
                        return Err(de::Error::custom("a `$` key stands alone in its object"));
                    }
                    return Ok(value);
                }
                Some(_) => return Err(de::Error::custom("a `$` key stands alone in its object")),
                None => entries.push((key.into(), map.next_value()?)),
            }
        }
        let map = Map::from_entries(entries);
        map.map(Value::Map)
            .map_err(|key| de::Error::custom(format!("the key `{key}` occurs twice")))
    }
}

fn special<'de, A: MapAccess<'de>>(word: &str, map: &mut A) -> Result<Value, A::Error> {
    let wrong = || de::Error::custom(format!("`${word}` holds something else than it should"));
    Ok(match word {
        "int" => {
            let text = map.next_value::<String>()?;
            let number = Int::parse(&text).map_err(de::Error::custom)?;
            if number.to_string() != text {
                return Err(wrong());
            }
            if matches!(number, Int::Small(_)) {
                return Err(de::Error::custom("`$int` is for integers beyond 64 bits"));
            }
            Value::Int(number)
        }
        "bytes" => {
            let text = map.next_value::<String>()?;
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| wrong())?;
            Value::Bytes(bytes.into())
        }
        "decimal" => {
            let text = map.next_value::<String>()?;
            let number = Decimal::parse(&text).map_err(de::Error::custom)?;
            if number.to_string() != text {
                return Err(wrong());
            }
            Value::Decimal(number)
        }
        "datetime" => {
            let text = map.next_value::<String>()?;
            let micros = parse_instant(&text).ok_or_else(wrong)?;
            if render_instant(micros).as_deref() != Some(&*text) {
                return Err(wrong());
            }
            Value::Datetime(micros)
        }
        "instant" => {
            let text = map.next_value::<String>()?;
            let micros: i64 = text.parse().map_err(|_| wrong())?;
            if render_instant(micros).is_some() || micros.to_string() != text {
                return Err(wrong());
            }
            Value::Datetime(micros)
        }
        "uuid" => {
            let text = map.next_value::<String>()?;
            let bytes = HEXLOWER.decode(text.as_bytes()).map_err(|_| wrong())?;
            Value::Uuid(bytes.try_into().map_err(|_| wrong())?)
        }
        "enum" => {
            let (type_name, name, value) = map.next_value::<(String, String, Value)>()?;
            Value::Enum(Box::new(EnumMember {
                type_name: type_name.into(),
                name: name.into(),
                value,
            }))
        }
        "tuple" => Value::Tuple(map.next_value()?),
        "record" => {
            let (type_name, fields) = map.next_value::<(String, Value)>()?;
            let Value::Map(fields) = fields else { return Err(wrong()) };
            Value::Record(Box::new(Record { type_name: type_name.into(), fields }))
        }
        _ => return Err(de::Error::custom(format!("`${word}` is not a kind of value"))),
    })
}
