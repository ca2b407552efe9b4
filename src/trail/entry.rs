//! Entries: one leaf of the tree each, with the values it commits to lying beside it.
//!
//! A leaf is the canonical encoding of a map. It holds random ids, slugs, times and commitments;
//! whatever could be personal or secret lies beside it under one owner's key and is opened by a
//! salt derived from the entry's.

use std::borrow::Cow;
use std::sync::Arc;

use crate::canonical::{
    Digest, Map, Salt, Value, commitment, decode, encode_map, encode_text, field_salt,
};
use crate::keys::Owner;
use crate::principal::EntryId;

/// The leaf format that this version writes.
pub const LEAF_FORMAT: i64 = 1;

/// What an entry records. An unknown kind is read, hashed and reported, not refused.
pub mod kind {
    /// An authority or checkpoint key came into force; leaf 0 is one.
    pub const KEY: &str = "key";
    /// A human or an agent was registered or changed.
    pub const IDENTITY: &str = "identity";
    /// A task was opened or ended.
    pub const TASK: &str = "task";
    /// A grant was made or first seen.
    pub const GRANT: &str = "grant";
    /// A call was judged.
    pub const DECISION: &str = "decision";
    /// An allowed call ended.
    pub const OUTCOME: &str = "outcome";
    /// Authority was taken back.
    pub const REVOCATION: &str = "revocation";
    /// A halt was put in force or lifted.
    pub const HALT: &str = "halt";
    /// An approval was asked for, answered, or ended.
    pub const APPROVAL: &str = "approval";
    /// Policies were put in force.
    pub const POLICY: &str = "policy";
    /// An owner looked through what there is, and stands for it.
    pub const REVIEW: &str = "review";
    /// Values were erased.
    pub const ERASURE: &str = "erasure";
    /// An older state of the store was taken up on purpose.
    pub const RESTORE: &str = "restore";
    /// What was left over, derived or in the way was put in order.
    pub const REPAIR: &str = "repair";
    /// A credential was put, rotated or removed.
    pub const CREDENTIAL: &str = "credential";
    /// A credential was leased to an allowed call.
    pub const LEASE: &str = "lease";
}

/// A value beside a leaf.
#[derive(Debug, Clone, PartialEq)]
pub struct Beside {
    /// The field's name, which the leaf's commitment carries too.
    pub field: Cow<'static, str>,
    /// The value.
    pub value: Value,
    /// Whose key it lies under.
    pub owner: Owner,
}

/// The value of a leaf's key, before it is encoded.
#[derive(Debug, Clone, PartialEq)]
pub enum Part {
    /// A value.
    Value(Value),
    /// Text that is known beforehand.
    Word(&'static str),
    /// Text that many entries have.
    Text(Arc<str>),
    /// An entry's id.
    Entry(EntryId),
    /// What was encoded before, such as the ids of a chain.
    Encoded(Arc<[u8]>),
}

impl Part {
    fn encoded(&self) -> Cow<'_, [u8]> {
        match self {
            Self::Value(value) => value.encode().into(),
            Self::Word(word) => encode_text(word).into(),
            Self::Text(text) => encode_text(text).into(),
            Self::Entry(id) => encode_text(&id.to_string()).into(),
            Self::Encoded(bytes) => Cow::Borrowed(bytes),
        }
    }
}

impl From<Value> for Part {
    fn from(value: Value) -> Self {
        Self::Value(value)
    }
}

/// An entry before it has its place.
#[derive(Debug, Clone, PartialEq)]
pub struct Draft {
    /// Its id.
    pub id: EntryId,
    /// Its kind.
    pub kind: Cow<'static, str>,
    /// The leaf's own keys, without the common ones.
    pub fields: Vec<(&'static str, Part)>,
    /// The values beside it.
    pub beside: Vec<Beside>,
    /// Where the salts come from; never stored as such.
    pub salt: Salt,
}

impl Draft {
    /// A draft of an entry.
    #[must_use]
    pub fn new(id: EntryId, kind: &'static str, salt: Salt) -> Self {
        let (fields, beside) = (Vec::with_capacity(12), Vec::new());
        Self { id, kind: kind.into(), fields, beside, salt }
    }

    /// Sets a key of the leaf.
    #[must_use]
    pub fn with(mut self, key: &'static str, value: impl Into<Part>) -> Self {
        self.fields.push((key, value.into()));
        self
    }

    /// A key of the leaf that is text; empty where it is not.
    #[must_use]
    pub fn word(&self, key: &str) -> &str {
        let mut fields = self.fields.iter();
        match fields.find_map(|(name, part)| (*name == key).then_some(part)) {
            Some(Part::Word(word)) => word,
            Some(Part::Text(text)) => text,
            Some(Part::Value(value)) => value.as_str().unwrap_or_default(),
            _ => "",
        }
    }

    /// Sets a key of the leaf, if there is a value.
    #[must_use]
    pub fn with_some(self, key: &'static str, value: Option<impl Into<Part>>) -> Self {
        match value {
            Some(value) => self.with(key, value),
            None => self,
        }
    }

    /// Lays a value beside the leaf.
    #[must_use]
    pub fn beside(mut self, field: &'static str, value: Value, owner: &Owner) -> Self {
        self.beside.push(Beside { field: field.into(), value, owner: owner.clone() });
        self
    }

    /// The leaf's bytes, now that its time is known.
    #[must_use]
    pub fn leaf(&self, at: i64) -> Vec<u8> {
        let mut parts: Vec<(&str, Cow<'_, [u8]>)> = Vec::with_capacity(self.fields.len() + 5);
        parts.push(("v", Value::int(LEAF_FORMAT).encode().into()));
        parts.push(("kind", encode_text(&self.kind).into()));
        parts.push(("id", encode_text(&self.id.to_string()).into()));
        parts.push(("at", Value::Datetime(at).encode().into()));
        parts.extend(self.fields.iter().map(|(key, part)| (*key, part.encoded())));
        if !self.beside.is_empty() {
            let mut commitments = Map::new();
            let mut salt: Option<(&Owner, Salt)> = None;
            for Beside { field, value, owner } in &self.beside {
                let of_owner = match salt {
                    Some((known, salt)) if known == owner => salt,
                    _ => self.owner_salt(owner),
                };
                salt = Some((owner, of_owner));
                let digest = commitment(&field_salt(&of_owner, field), field, value);
                commitments.insert(field, Value::bytes(&digest));
            }
            parts.push(("commitments", Value::Map(commitments).encode().into()));
        }
        encode_map(parts)
    }

    /// The salt of all values under one owner: another for each, so that what is erased for one
    /// human cannot be guessed from what is kept for another.
    #[must_use]
    pub fn owner_salt(&self, owner: &Owner) -> Salt {
        field_salt(&self.salt, owner.text())
    }
}

/// A value that was opened, with the salt that proves it.
#[derive(Debug, Clone, PartialEq)]
pub struct Opened {
    /// The field's name.
    pub field: Box<str>,
    /// The value.
    pub value: Value,
    /// The salt of its commitment.
    pub salt: Salt,
}

/// An entry read back from the trail.
#[derive(Debug, Clone, PartialEq)]
pub struct Entry {
    /// Its place in the trail, from 0.
    pub index: u64,
    /// The leaf's bytes.
    pub leaf: Vec<u8>,
    /// The leaf's keys.
    pub fields: Map,
    /// The values beside it that could be opened.
    pub opened: Vec<Opened>,
}

impl Entry {
    /// Reads a leaf.
    ///
    /// # Errors
    /// Why its bytes are not a leaf.
    pub fn read(index: u64, leaf: &[u8], opened: Vec<Opened>) -> Result<Self, String> {
        match decode(leaf).map_err(|error| error.to_string())? {
            Value::Map(fields) => Ok(Self { index, leaf: leaf.to_vec(), fields, opened }),
            other => Err(format!("a leaf is a map, not {}", other.type_word())),
        }
    }

    /// A text key of the leaf; empty if there is none.
    #[must_use]
    pub fn text(&self, key: &str) -> &str {
        self.fields.get(key).and_then(Value::as_str).unwrap_or_default()
    }

    /// The entry's kind.
    #[must_use]
    pub fn kind(&self) -> &str {
        self.text("kind")
    }

    /// The entry's id, as text.
    #[must_use]
    pub fn id(&self) -> &str {
        self.text("id")
    }

    /// When it was sequenced, in microseconds.
    #[must_use]
    pub fn at(&self) -> i64 {
        match self.fields.get("at") {
            Some(Value::Datetime(at)) => *at,
            _ => 0,
        }
    }

    /// A value beside the leaf, if it could be opened.
    #[must_use]
    pub fn value(&self, field: &str) -> Option<&Value> {
        self.opened.iter().find(|opened| &*opened.field == field).map(|opened| &opened.value)
    }

    /// The text of a value beside the leaf, if it could be opened and is text.
    #[must_use]
    pub fn value_text(&self, field: &str) -> Option<&str> {
        self.value(field).and_then(Value::as_str)
    }

    /// The digests in a list of bytes, such as a decision's chain.
    #[must_use]
    pub fn digests(&self, key: &str) -> Vec<Digest> {
        let items = self.fields.get(key).and_then(Value::as_list).unwrap_or_default();
        items.iter().filter_map(|item| item.as_bytes()?.try_into().ok()).collect()
    }

    /// Whether the leaf commits to a field whose value is not there any more: erased, or dropped by
    /// age.
    #[must_use]
    pub fn is_erased(&self, field: &str) -> bool {
        self.value(field).is_none() && self.committed().any(|committed| committed == field)
    }

    /// The names of the fields that the leaf commits to.
    pub fn committed(&self) -> impl Iterator<Item = &str> {
        let map = self.fields.get("commitments").and_then(Value::as_map);
        map.into_iter().flat_map(|map| map.iter().map(|(field, _)| field))
    }
}
