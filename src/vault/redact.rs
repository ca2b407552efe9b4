//! Redaction: finds known secrets in text and bytes, in the spellings in which they get about.
//!
//! Nothing is spent where no secret is known. Where some are, other text costs a look at a bit for
//! each byte, and one at what kind of byte it is; the work grows with the length of the text alone.

use std::fmt;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use data_encoding::HEXLOWER;
use parking_lot::RwLock;

use super::Secret;
use super::known::Known;
use super::patterns::SHORTEST;
use crate::canonical::{Map, Value, to_json};

/// The secrets that are known here, and where they stand.
#[derive(Default)]
pub struct Redactor {
    any: AtomicBool,
    known: RwLock<Known>,
}

/// The redactors of this process.
static EVERYWHERE: RwLock<Vec<Weak<Redactor>>> = RwLock::new(Vec::new());
/// Whether any of them ever knew a secret.
static ANYWHERE: AtomicBool = AtomicBool::new(false);

/// A text without the secrets of any vault that is open in this process, for where nothing says
/// whose it is; `None` if it holds none.
#[must_use]
pub fn scrub_everywhere(text: &str) -> Option<String> {
    if !ANYWHERE.load(Ordering::Acquire) {
        return None;
    }
    let all: Vec<Arc<Redactor>> = EVERYWHERE.read().iter().filter_map(Weak::upgrade).collect();
    let mut clean: Option<String> = None;
    for redactor in all {
        let next = redactor.scrub(clean.as_deref().unwrap_or(text));
        clean = next.or(clean);
    }
    clean
}

impl Redactor {
    /// Whether any secret is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Has [`scrub_everywhere`] look for what it knows too.
    pub fn tell_everywhere(self: &Arc<Self>) {
        let mut all = EVERYWHERE.write();
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(self));
    }

    /// Learns a secret of a credential.
    pub fn learn(&self, name: &str, secret: &Secret) {
        self.known.write().add(name, secret);
        self.know();
    }

    fn know(&self) {
        self.any.store(true, Ordering::Release);
        ANYWHERE.store(true, Ordering::Release);
    }

    /// Learns a secret that a provider made for one lease: it is remembered until many others have
    /// come after it.
    pub fn learn_made(&self, name: &str, secret: &Secret) {
        self.known.write().add_made(name, secret);
        self.know();
    }

    /// Forgets all secrets; their bytes are overwritten.
    pub fn clear(&self) {
        self.any.store(false, Ordering::Release);
        *self.known.write() = Known::default();
    }

    /// A text without secrets; `None` if it holds none.
    #[must_use]
    pub fn scrub(&self, text: &str) -> Option<String> {
        if self.is_empty() || text.len() < SHORTEST {
            return None;
        }
        let known = self.known.read();
        let spans = known.spans(text.as_bytes());
        if spans.is_empty() {
            return None;
        }
        let mut clean = String::new();
        let mut kept = 0;
        for (start, end, name) in spans {
            // A form in bytes that are no text of their own may begin or end inside a character.
            let from = (kept..=start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(kept);
            let to = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
            clean.push_str(text.get(kept..from).unwrap_or_default());
            clean.push_str(&stand_in(name));
            kept = to;
        }
        clean.push_str(text.get(kept..).unwrap_or_default());
        Some(clean)
    }

    /// Whether bytes hold a secret, and which credential's.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<Arc<str>> {
        if self.is_empty() || bytes.len() < SHORTEST {
            return None;
        }
        let known = self.known.read();
        known.spans(bytes).first().map(|(_, _, name)| (*name).clone())
    }

    /// A value without secrets; `None` if it holds none.
    #[must_use]
    pub fn veil(&self, value: &Value) -> Option<Value> {
        if self.is_empty() {
            return None;
        }
        match value {
            Value::Str(text) => self.scrub(text).map(|clean| Value::str(&clean)),
            Value::Bytes(bytes) => self.find(bytes).map(|name| Value::str(&stand_in(&name))),
            Value::List(items) => self.items(items).map(Value::List),
            Value::Tuple(items) => self.items(items).map(Value::Tuple),
            Value::Map(map) => self.map(map).map(Value::Map),
            Value::Record(record) => {
                let (kind, fields) = (self.scrub(&record.type_name), self.map(&record.fields));
                if kind.is_none() && fields.is_none() {
                    return None;
                }
                let mut record = record.clone();
                record.type_name = kind.map_or(record.type_name, String::into_boxed_str);
                record.fields = fields.unwrap_or(record.fields);
                Some(Value::Record(record))
            }
            Value::Enum(member) => {
                let (kind, name) = (self.scrub(&member.type_name), self.scrub(&member.name));
                let inner = self.veil(&member.value);
                if kind.is_none() && name.is_none() && inner.is_none() {
                    return None;
                }
                let mut member = member.clone();
                member.type_name = kind.map_or(member.type_name, String::into_boxed_str);
                member.name = name.map_or(member.name, String::into_boxed_str);
                member.value = inner.unwrap_or(member.value);
                Some(Value::Enum(member))
            }
            // A number can be a secret too, written out.
            Value::Int(number) => {
                self.find(number.to_string().as_bytes()).map(|name| Value::str(&stand_in(&name)))
            }
            Value::Decimal(number) => {
                self.find(number.to_string().as_bytes()).map(|name| Value::str(&stand_in(&name)))
            }
            Value::Uuid(bytes) => {
                let found = self.find(bytes);
                let found = found.or_else(|| self.find(HEXLOWER.encode(bytes).as_bytes()));
                found.map(|name| Value::str(&stand_in(&name)))
            }
            Value::Float(_) => {
                self.find(to_json(value).as_bytes()).map(|name| Value::str(&stand_in(&name)))
            }
            Value::Null | Value::Bool(_) | Value::Datetime(_) => None,
        }
    }

    /// A map without secrets, in names and values; `None` if it holds none.
    #[must_use]
    pub fn veil_map(&self, map: &Map) -> Option<Map> {
        if self.is_empty() { None } else { self.map(map) }
    }

    fn items(&self, items: &[Value]) -> Option<Vec<Value>> {
        let mut changed: Option<Vec<Value>> = None;
        for (place, item) in items.iter().enumerate() {
            if let Some(clean) = self.veil(item)
                && let Some(slot) = changed.get_or_insert_with(|| items.to_vec()).get_mut(place)
            {
                *slot = clean;
            }
        }
        changed
    }

    fn map(&self, map: &Map) -> Option<Map> {
        let clean: Vec<_> =
            map.iter().map(|(key, item)| (self.scrub(key), self.veil(item))).collect();
        if clean.iter().all(|(key, item)| key.is_none() && item.is_none()) {
            return None;
        }
        let mut changed = Map::new();
        for ((key, item), (clean_key, clean_item)) in map.iter().zip(clean) {
            let key = clean_key.unwrap_or_else(|| key.to_owned());
            changed.insert(&key, clean_item.unwrap_or_else(|| item.clone()));
        }
        Some(changed)
    }
}

fn stand_in(name: &str) -> String {
    format!("(credential {name})")
}

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redactor>")
    }
}

#[cfg(test)]
mod tests;
