//! Canonical values and bytes: what is judged, committed to and hashed.
//!
//! A [`Value`] is the exact, typed form of everything that an argument, a caveat or an entry can
//! hold. Two values are equal exactly when their canonical bytes are, and every value has one
//! encoding only. `docs/formats.md` is normative for the bytes.

mod decode;
mod json;
mod number;
mod view;

pub use decode::{DecodeError, decode};
pub(crate) use json::whole_numbers_fit;
pub use json::{from_json, to_json};
pub use number::{Decimal, Int, NumberError, add as add_numbers, compare as compare_numbers};
pub use view::{Raw, each_key, map_view};

use hmac::{Hmac, KeyInit, Mac};
use sha2::{Digest as _, Sha256};

/// A SHA-256 digest.
pub type Digest = [u8; 32];

/// How deep lists, tuples, maps and records may nest.
pub const MAX_DEPTH: usize = 32;

/// One canonical value.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// Python's `None`.
    Null,
    /// `True` or `False`; never equal to an integer.
    Bool(bool),
    /// An integer of up to 4,096 bits.
    Int(Int),
    /// A finite IEEE 754 double; `-0.0` is stored as `0.0`. Build it with [`Value::float`].
    Float(f64),
    /// Unicode text without lone surrogates.
    Str(Box<str>),
    /// Raw bytes.
    Bytes(Box<[u8]>),
    /// An exact decimal number.
    Decimal(Decimal),
    /// An instant, in microseconds since 1970-01-01T00:00:00Z.
    Datetime(i64),
    /// A UUID (RFC 9562) in network byte order.
    Uuid([u8; 16]),
    /// A member of an enumeration.
    Enum(Box<EnumMember>),
    /// An ordered list.
    List(Vec<Value>),
    /// An ordered tuple; never equal to a list.
    Tuple(Vec<Value>),
    /// Text keys to values.
    Map(Map),
    /// A dataclass or model: a type name and its fields; never equal to a map.
    Record(Box<Record>),
}

/// A member of an enumeration: the type's qualified name, the member's name, its value.
#[derive(Debug, Clone, PartialEq)]
pub struct EnumMember {
    /// Module and qualified name of the type, joined by a dot.
    pub type_name: Box<str>,
    /// The member's name.
    pub name: Box<str>,
    /// The member's value.
    pub value: Value,
}

/// A record: the type's qualified name and its fields.
#[derive(Debug, Clone, PartialEq)]
pub struct Record {
    /// Module and qualified name of the type, joined by a dot.
    pub type_name: Box<str>,
    /// The fields by name.
    pub fields: Map,
}

/// Text keys to values, sorted by the keys' UTF-8 bytes, each key once.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Map(Vec<(Box<str>, Value)>);

impl Map {
    /// An empty map.
    #[must_use]
    pub fn new() -> Self {
        Self(Vec::new())
    }

    /// An empty map with room for so many entries.
    #[must_use]
    pub fn with_capacity(entries: usize) -> Self {
        Self(Vec::with_capacity(entries))
    }

    /// Builds a map from entries in any order.
    ///
    /// # Errors
    /// The first key that occurs twice.
    pub fn from_entries(mut entries: Vec<(Box<str>, Value)>) -> Result<Self, Box<str>> {
        entries.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
        if let Some(twice) = entries.windows(2).find_map(|pair| match pair {
            [a, b] if a.0 == b.0 => Some(a.0.clone()),
            _ => None,
        }) {
            return Err(twice);
        }
        Ok(Self(entries))
    }

    /// Sets a key, replacing what it held.
    pub fn insert(&mut self, key: &str, value: Value) {
        match self.0.binary_search_by(|(k, _)| k.as_bytes().cmp(key.as_bytes())) {
            Ok(at) => {
                if let Some(slot) = self.0.get_mut(at) {
                    slot.1 = value;
                }
            }
            Err(at) => self.0.insert(at, (key.into(), value)),
        }
    }

    /// The value of a key.
    #[must_use]
    pub fn get(&self, key: &str) -> Option<&Value> {
        // Argument maps are small: a scan beats a search up to a dozen keys.
        if self.0.len() <= 12 {
            return self.0.iter().find(|(k, _)| &**k == key).map(|(_, v)| v);
        }
        let at = self.0.binary_search_by(|(k, _)| k.as_bytes().cmp(key.as_bytes())).ok()?;
        self.0.get(at).map(|(_, v)| v)
    }

    /// Removes a key and returns what it held.
    pub fn remove(&mut self, key: &str) -> Option<Value> {
        let at = self.0.iter().position(|(k, _)| &**k == key)?;
        Some(self.0.remove(at).1)
    }

    /// The entries in order of their keys.
    pub fn iter(&self) -> impl Iterator<Item = (&str, &Value)> {
        self.0.iter().map(|(k, v)| (&**k, v))
    }

    /// How many entries there are.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether there is no entry.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Tags of the encoding, `docs/formats.md` section 1.
mod tag {
    pub(super) const NULL: u8 = 0;
    pub(super) const FALSE: u8 = 1;
    pub(super) const TRUE: u8 = 2;
    pub(super) const INT: u8 = 3;
    pub(super) const FLOAT: u8 = 4;
    pub(super) const STR: u8 = 5;
    pub(super) const BYTES: u8 = 6;
    pub(super) const DECIMAL: u8 = 7;
    pub(super) const DATETIME: u8 = 8;
    pub(super) const UUID: u8 = 9;
    pub(super) const ENUM: u8 = 10;
    pub(super) const LIST: u8 = 11;
    pub(super) const TUPLE: u8 = 12;
    pub(super) const MAP: u8 = 13;
    pub(super) const RECORD: u8 = 14;
}

impl Value {
    /// Text.
    #[must_use]
    pub fn str(text: &str) -> Self {
        Self::Str(text.into())
    }

    /// A small integer.
    #[must_use]
    pub fn int(number: i64) -> Self {
        Self::Int(Int::from(number))
    }

    /// Raw bytes.
    #[must_use]
    pub fn bytes(bytes: &[u8]) -> Self {
        Self::Bytes(bytes.into())
    }

    /// A finite float; `None` for NaN and the infinities.
    #[must_use]
    pub fn float(number: f64) -> Option<Self> {
        // Adding zero turns -0.0 into 0.0 and changes nothing else.
        number.is_finite().then_some(Self::Float(number + 0.0))
    }

    /// The word for the value's type, as error messages and masked records use it.
    #[must_use]
    pub fn type_word(&self) -> &'static str {
        match self {
            Self::Null => "None",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Float(_) => "float",
            Self::Str(_) => "str",
            Self::Bytes(_) => "bytes",
            Self::Decimal(_) => "Decimal",
            Self::Datetime(_) => "datetime",
            Self::Uuid(_) => "UUID",
            Self::Enum(_) => "enum",
            Self::List(_) => "list",
            Self::Tuple(_) => "tuple",
            Self::Map(_) => "dict",
            Self::Record(_) => "record",
        }
    }

    /// The text, if it is text.
    #[must_use]
    pub fn as_str(&self) -> Option<&str> {
        if let Self::Str(text) = self { Some(text) } else { None }
    }

    /// The bytes, if it is bytes.
    #[must_use]
    pub fn as_bytes(&self) -> Option<&[u8]> {
        if let Self::Bytes(bytes) = self { Some(bytes) } else { None }
    }

    /// The integer, if it is one that fits.
    #[must_use]
    pub fn as_i64(&self) -> Option<i64> {
        if let Self::Int(Int::Small(number)) = self { Some(*number) } else { None }
    }

    /// The map, if it is one.
    #[must_use]
    pub fn as_map(&self) -> Option<&Map> {
        if let Self::Map(map) = self { Some(map) } else { None }
    }

    /// The items, if it is a list.
    #[must_use]
    pub fn as_list(&self) -> Option<&[Value]> {
        if let Self::List(items) = self { Some(items) } else { None }
    }

    /// The canonical bytes.
    #[must_use]
    pub fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(64);
        self.encode_into(&mut out);
        out
    }

    /// Appends the canonical bytes to `out`.
    pub fn encode_into(&self, out: &mut Vec<u8>) {
        match self {
            Self::Null => out.push(tag::NULL),
            Self::Bool(false) => out.push(tag::FALSE),
            Self::Bool(true) => out.push(tag::TRUE),
            Self::Int(number) => {
                out.push(tag::INT);
                number.with_bytes(|bytes| put_bytes(out, bytes));
            }
            Self::Float(number) => {
                out.push(tag::FLOAT);
                out.extend_from_slice(&number.to_bits().to_be_bytes());
            }
            Self::Str(text) => {
                out.push(tag::STR);
                put_bytes(out, text.as_bytes());
            }
            Self::Bytes(bytes) => {
                out.push(tag::BYTES);
                put_bytes(out, bytes);
            }
            Self::Decimal(number) => {
                out.push(tag::DECIMAL);
                put_bytes(out, number.to_string().as_bytes());
            }
            Self::Datetime(micros) => {
                out.push(tag::DATETIME);
                out.extend_from_slice(&micros.to_be_bytes());
            }
            Self::Uuid(bytes) => {
                out.push(tag::UUID);
                out.extend_from_slice(bytes);
            }
            Self::Enum(member) => {
                out.push(tag::ENUM);
                put_bytes(out, member.type_name.as_bytes());
                put_bytes(out, member.name.as_bytes());
                member.value.encode_into(out);
            }
            Self::List(items) => put_items(out, tag::LIST, items),
            Self::Tuple(items) => put_items(out, tag::TUPLE, items),
            Self::Map(map) => {
                out.push(tag::MAP);
                put_map(out, map);
            }
            Self::Record(record) => {
                out.push(tag::RECORD);
                put_bytes(out, record.type_name.as_bytes());
                put_map(out, &record.fields);
            }
        }
    }
}

/// Appends an unsigned LEB128 number in its shortest form.
pub fn put_varint(out: &mut Vec<u8>, mut number: u64) {
    while number >= 0x80 {
        out.push((number & 0x7f) as u8 | 0x80);
        number >>= 7;
    }
    out.push(number as u8);
}

/// Takes an unsigned LEB128 number of up to 64 bits from the front of `bytes`.
pub fn take_varint(bytes: &mut &[u8]) -> Option<u64> {
    let mut number = 0u64;
    for shift in (0..64).step_by(7) {
        let (byte, rest) = bytes.split_first()?;
        *bytes = rest;
        number |= u64::from(byte & 0x7f) << shift;
        if byte & 0x80 == 0 {
            return Some(number);
        }
    }
    None
}

/// The canonical bytes of a map whose values are encoded already, in any order of keys.
///
/// The caller answers for each key standing there once.
#[must_use]
pub fn encode_map(mut entries: Vec<(&str, std::borrow::Cow<'_, [u8]>)>) -> Vec<u8> {
    entries.sort_unstable_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    let size: usize = entries.iter().map(|(key, value)| key.len() + value.len() + 2).sum();
    let mut out = Vec::with_capacity(size + 8);
    out.push(tag::MAP);
    put_varint(&mut out, entries.len() as u64);
    for (key, value) in entries {
        put_bytes(&mut out, key.as_bytes());
        out.extend_from_slice(&value);
    }
    out
}

/// The canonical bytes of text.
#[must_use]
pub fn encode_text(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 3);
    encode_text_into(text, &mut out);
    out
}

/// Appends the canonical bytes of text to `out`.
pub fn encode_text_into(text: &str, out: &mut Vec<u8>) {
    out.push(tag::STR);
    put_bytes(out, text.as_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn put_items(out: &mut Vec<u8>, tag: u8, items: &[Value]) {
    out.push(tag);
    put_varint(out, items.len() as u64);
    for item in items {
        item.encode_into(out);
    }
}

fn put_map(out: &mut Vec<u8>, map: &Map) {
    put_varint(out, map.len() as u64);
    for (key, value) in map.iter() {
        put_bytes(out, key.as_bytes());
        value.encode_into(out);
    }
}

/// Pre-authentication encoding of pieces: PASETO specification, "Common", section "PAE".
#[must_use]
pub fn pae(pieces: &[&[u8]]) -> Vec<u8> {
    let size: usize = pieces.iter().map(|piece| piece.len() + 8).sum();
    let mut out = Vec::with_capacity(size + 8);
    // The specification clears the top bit of each length; no slice is that long.
    out.extend_from_slice(&(pieces.len() as u64).to_le_bytes());
    for piece in pieces {
        out.extend_from_slice(&(piece.len() as u64).to_le_bytes());
        out.extend_from_slice(piece);
    }
    out
}

/// SHA-256 over PAE(domain, parts…): no two uses share an input.
#[must_use]
pub fn digest(domain: &str, parts: &[&[u8]]) -> Digest {
    let mut hasher = Sha256::new();
    hasher.update((parts.len() as u64 + 1).to_le_bytes());
    hasher.update((domain.len() as u64).to_le_bytes());
    hasher.update(domain.as_bytes());
    for part in parts {
        hasher.update((part.len() as u64).to_le_bytes());
        hasher.update(part);
    }
    hasher.finalize().into()
}

/// SHA-256 of bytes as they are.
#[must_use]
pub fn sha256(bytes: &[u8]) -> Digest {
    Sha256::digest(bytes).into()
}

/// HMAC-SHA256 (RFC 2104) over PAE(domain, parts…).
#[must_use]
pub fn keyed_digest(key: &[u8; 32], domain: &str, parts: &[&[u8]]) -> Digest {
    // INVARIANT: HMAC takes a key of any length, and 32 bytes are below its block size.
    let mut padded = sha2::digest::common::Key::<Hmac<Sha256>>::default();
    for (byte, from) in padded.iter_mut().zip(key) {
        *byte = *from;
    }
    let mut mac = <Hmac<Sha256> as KeyInit>::new(&padded);
    mac.update(&(parts.len() as u64 + 1).to_le_bytes());
    mac.update(&(domain.len() as u64).to_le_bytes());
    mac.update(domain.as_bytes());
    for part in parts {
        mac.update(&(part.len() as u64).to_le_bytes());
        mac.update(part);
    }
    mac.finalize().into_bytes().into()
}

/// A salt: 16 random bytes.
pub type Salt = [u8; 16];

/// The salt of one field, derived from its entry's salt, so that one field can be shown alone.
#[must_use]
pub fn field_salt(entry_salt: &Salt, field: &str) -> Salt {
    let full = digest("answerable/v1/field-salt", &[entry_salt, field.as_bytes()]);
    let mut salt = [0; 16];
    salt.copy_from_slice(&full[..16]);
    salt
}

/// The commitment to a field's value that stands in a leaf.
#[must_use]
pub fn commitment(salt: &Salt, field: &str, value: &Value) -> Digest {
    digest("answerable/v1/commitment", &[salt, field.as_bytes(), &value.encode()])
}

#[cfg(test)]
pub(crate) mod tests;
