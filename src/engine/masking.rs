//! What must not be shown: arguments masked by declaration or by their name, and nested fields.

mod names;
mod texts;

use std::borrow::Cow;

pub use names::is_secret;
pub use texts::Texts;
use texts::collect;

use crate::authorizer::Veil;
use crate::canonical::{Map, Value};

/// How an argument is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// As it is.
    Keep,
    /// Its type only.
    Mask,
    /// Its type and a keyed digest.
    Digest,
}

/// How the arguments of a tool are recorded: as declared, else by their names.
#[derive(Debug, Clone, Default)]
pub struct Masking {
    declared: Vec<(Box<str>, Recorded)>,
    /// What was decided for the names of a signature, which are the same in every call.
    decided: Vec<(Box<str>, Recorded)>,
}

impl Masking {
    /// What is declared, by name; with dots for nested fields.
    #[must_use]
    pub fn new(declared: Vec<(Box<str>, Recorded)>) -> Self {
        Self { declared, decided: Vec::new() }
    }

    /// This, decided for some names once and for all calls.
    #[must_use]
    pub fn deciding<'a>(mut self, names: impl Iterator<Item = &'a str>) -> Self {
        self.decided = names.map(|name| (name.into(), self.how_at(name, name))).collect();
        self
    }

    /// This, with these masked too whatever was declared; `None` if nothing is added.
    #[must_use]
    pub fn and_mask<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut merged: Option<Self> = None;
        for name in names {
            let all = merged.as_ref().unwrap_or(self);
            if all.declared.iter().any(|(known, how)| **known == *name && *how == Recorded::Mask) {
                continue;
            }
            let all = merged.get_or_insert_with(|| self.clone());
            // What lies below is masked with it, even if it was to be kept by its own name.
            let below = |known: &str| known.strip_prefix(name).is_some_and(|r| r.starts_with('.'));
            all.declared.retain(|(known, _)| **known != *name && !below(known));
            all.declared.push((name.into(), Recorded::Mask));
            all.decided.retain(|(known, _)| **known != *name && !below(known));
        }
        merged
    }

    /// How an argument is recorded.
    #[must_use]
    pub fn how(&self, name: &str) -> Recorded {
        match self.decided.iter().find(|(decided, _)| **decided == *name) {
            Some((_, how)) => *how,
            None => self.how_at(name, name),
        }
    }

    fn how_at(&self, path: &str, name: &str) -> Recorded {
        match self.declared.iter().find(|(declared, _)| **declared == *path) {
            Some((_, how)) => *how,
            None if is_secret(name) => Recorded::Mask,
            None => Recorded::Keep,
        }
    }

    /// A value as it is recorded: nested secrets replaced by `["mask", type]`.
    #[must_use]
    pub fn veil<'a>(&self, path: &str, value: &'a Value) -> Cow<'a, Value> {
        self.veiled(path, value).map_or(Cow::Borrowed(value), Cow::Owned)
    }

    fn veiled(&self, path: &str, value: &Value) -> Option<Value> {
        match value {
            Value::Map(map) => self.veiled_map(path, map).map(Value::Map),
            Value::Record(record) => {
                let fields = self.veiled_map(path, &record.fields)?;
                let mut record = record.clone();
                record.fields = fields;
                Some(Value::Record(record))
            }
            Value::List(items) => self.veiled_items(path, items).map(Value::List),
            Value::Tuple(items) => self.veiled_items(path, items).map(Value::Tuple),
            _ => None,
        }
    }

    fn veiled_map(&self, path: &str, map: &Map) -> Option<Map> {
        let mut changed: Option<Map> = None;
        for (key, item) in map.iter() {
            let below = format!("{path}.{key}");
            let veiled = match self.how_at(&below, key) {
                Recorded::Keep => self.veiled(&below, item),
                Recorded::Mask | Recorded::Digest => {
                    Some(Value::List(vec![Value::str("mask"), Value::str(item.type_word())]))
                }
            };
            if let Some(veiled) = veiled {
                changed.get_or_insert_with(|| map.clone()).insert(key, veiled);
            }
        }
        changed
    }

    fn veiled_items(&self, path: &str, items: &[Value]) -> Option<Vec<Value>> {
        let mut changed: Option<Vec<Value>> = None;
        for (place, item) in items.iter().enumerate() {
            if let Some(veiled) = self.veiled(path, item)
                && let Some(slot) = changed.get_or_insert_with(|| items.to_vec()).get_mut(place)
            {
                *slot = veiled;
            }
        }
        changed
    }

    /// Whether a refusal over an argument, with dots a field of one, would show what is masked.
    #[must_use]
    pub fn hides(&self, name: &str, arguments: &Map) -> bool {
        if let Some(value) = arguments.get(name) {
            return self.how(name) != Recorded::Keep || self.veiled(name, value).is_some();
        }
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        let Some(value) = arguments.get(first) else {
            // A name that was shortened or escaped: any of them may be meant.
            return is_secret(name)
                || arguments.iter().any(|(name, _)| self.how(name) != Recorded::Keep);
        };
        if self.how(first) != Recorded::Keep {
            return true;
        }
        let mut path = first.to_owned();
        for part in rest.split('.') {
            path.push('.');
            path.push_str(part);
            if self.how_at(&path, part) != Recorded::Keep {
                return true;
            }
        }
        self.veiled(first, value).is_some()
    }

    /// Whether an argument, or with dots a field, is masked or lies in what is.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.shows(name.split_once('.').map_or(name, |(first, _)| first), name.split('.').skip(1))
            .is_some()
    }

    /// How many of the keys that lead to something in an argument may be shown: up to the first
    /// that is masked; `None` where all may.
    #[must_use]
    pub fn shows<'a>(&self, name: &str, keys: impl Iterator<Item = &'a str>) -> Option<usize> {
        if self.how(name) != Recorded::Keep {
            return Some(0);
        }
        let mut path = name.to_owned();
        for (place, key) in keys.enumerate() {
            path.push('.');
            path.push_str(key);
            if self.how_at(&path, key) != Recorded::Keep {
                return Some(place + 1);
            }
        }
        None
    }

    /// The texts of what is masked, to be kept out of results and exceptions; longest first.
    #[must_use]
    pub fn texts(&self, arguments: &Map) -> Texts {
        let mut texts = Vec::new();
        for (name, value) in arguments.iter() {
            match self.how(name) {
                Recorded::Keep => self.nested_texts(name, value, &mut texts),
                Recorded::Mask | Recorded::Digest => collect(value, &mut texts),
            }
        }
        Texts::new(texts)
    }

    fn nested_texts(&self, path: &str, value: &Value, texts: &mut Vec<String>) {
        let mut fields = |map: &Map| {
            for (key, item) in map.iter() {
                let below = format!("{path}.{key}");
                match self.how_at(&below, key) {
                    Recorded::Keep => self.nested_texts(&below, item, texts),
                    Recorded::Mask | Recorded::Digest => collect(item, texts),
                }
            }
        };
        match value {
            Value::Map(map) => fields(map),
            Value::Record(record) => fields(&record.fields),
            Value::List(items) | Value::Tuple(items) => {
                items.iter().for_each(|item| self.nested_texts(path, item, texts));
            }
            _ => {}
        }
    }
}

/// What is masked in one call.
pub(super) struct Veiled<'a> {
    pub(super) masking: &'a Masking,
    pub(super) arguments: &'a Map,
}

impl Veil for Veiled<'_> {
    fn hides(&self, name: &str) -> bool {
        self.masking.hides(name, self.arguments)
    }

    fn hides_keys(&self, holder: &str) -> bool {
        self.masking.covers(holder)
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;
    use crate::canonical::to_json;

    #[test]
    fn what_was_decided_for_a_name_is_what_is_decided_each_time() {
        let declared = vec![("memo".into(), Recorded::Digest), ("token".into(), Recorded::Keep)];
        let names = ["memo", "token", "password", "amount"];
        let (each, once) =
            (Masking::new(declared.clone()), Masking::new(declared).deciding(names.into_iter()));
        for name in names.into_iter().chain(["secret", "other"]) {
            assert_eq!(each.how(name), once.how(name), "{name}");
        }
        // What a policy masks is masked, whatever was decided before.
        let masked = once.and_mask(["amount", "token"].into_iter()).unwrap();
        for (name, how) in
            [("amount", Recorded::Mask), ("token", Recorded::Mask), ("memo", Recorded::Digest)]
        {
            assert_eq!(masked.how(name), how, "{name}");
        }
        assert!(masked.and_mask(["amount"].into_iter()).is_none());
    }

    #[test]
    fn nested_secrets_are_veiled_and_a_declaration_stands_over_a_name() {
        let mut inner = Map::new();
        inner.insert("token", Value::str("abc"));
        inner.insert("user", Value::str("alice"));
        let value = Value::List(vec![Value::Map(inner)]);
        let masking = Masking::default();
        assert_eq!(
            to_json(&masking.veil("config", &value)),
            r#"[{"token":["mask","str"],"user":"alice"}]"#
        );
        let keep = Masking::new(vec![("config.token".into(), Recorded::Keep)]);
        assert_eq!(*keep.veil("config", &value), value);
    }
}
