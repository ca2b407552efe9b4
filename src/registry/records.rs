//! Records of the store: sealed JSON, and clear facts that are not personal.

use crate::canonical::{Value, from_json};
use crate::keys::{KeyError, KeyRing, Owner};
use crate::registry::{Put, RegistryError};
use crate::scope::Scope;
use crate::store::{Store, StoreError};

/// Seals and opens records under data keys; keys that it makes are written with the records.
pub struct Sealer<'a> {
    ring: &'a KeyRing,
    store: &'a dyn Store,
    made: Vec<Put>,
}

impl<'a> Sealer<'a> {
    /// A sealer over the store's data keys.
    #[must_use]
    pub fn new(ring: &'a KeyRing, store: &'a dyn Store) -> Self {
        Self { ring, store, made: Vec::new() }
    }

    /// The key ring.
    #[must_use]
    pub fn ring(&self) -> &KeyRing {
        self.ring
    }

    /// Seals text for an owner.
    ///
    /// # Errors
    /// `Sealed` or `Random`.
    pub fn seal(&mut self, owner: &Owner, text: &str, name: &str) -> Result<Vec<u8>, KeyError> {
        let owner = &owner.of_records();
        let at = data_key_at(owner);
        let load = |_: &Owner| load_data_key(self.store, owner);
        let (key, made) = self.ring.find_or_make(owner, &load)?;
        if let Some(wrapped) = made {
            self.made.push(Put::Set(at, wrapped));
        }
        key.seal(text, &assertion(name))
    }

    /// Opens what was sealed for an owner; `None` if the key is gone that it lies under. An owner
    /// who was erased has another key as soon as something more is recorded of theirs.
    ///
    /// # Errors
    /// `Sealed` if it does not open.
    pub fn open(
        &self,
        owner: &Owner,
        sealed: &[u8],
        name: &str,
    ) -> Result<Option<String>, KeyError> {
        let owner = &owner.of_records();
        let load = |_: &Owner| load_data_key(self.store, owner);
        let Some(key) = self.ring.find(owner, &load)? else { return Ok(None) };
        match key.open(sealed, &assertion(name)) {
            Ok(text) => Ok(Some(text.to_string())),
            Err(KeyError::Sealed) if self.was_erased(owner)? => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn was_erased(&self, owner: &Owner) -> Result<bool, KeyError> {
        let kept = self.store.get(&erased_at(owner)).map_err(|_| KeyError::Sealed)?;
        Ok(kept.is_some())
    }

    /// The wrapped keys made so far, to be written first.
    pub fn take_made(&mut self) -> Vec<Put> {
        std::mem::take(&mut self.made)
    }
}

fn assertion(name: &str) -> String {
    format!("answerable/v1/record/{name}")
}

/// The store's key of an owner's wrapped data key.
#[must_use]
pub fn data_key_at(owner: &Owner) -> Vec<u8> {
    [b"k/data/", owner.text().as_bytes()].concat()
}

/// The store's key of the note that an owner's data key was dropped once.
#[must_use]
pub fn erased_at(owner: &Owner) -> Vec<u8> {
    [b"k/gone/", owner.text().as_bytes()].concat()
}

/// Reads an owner's wrapped data key.
///
/// # Errors
/// `Sealed` if the store cannot be read.
pub fn load_data_key(store: &dyn Store, owner: &Owner) -> Result<Option<Vec<u8>>, KeyError> {
    store.get(&data_key_at(owner)).map_err(|_| KeyError::Sealed)
}

/// A scope as a canonical value, for entries.
#[must_use]
pub fn scope_value(scope: &Scope) -> Value {
    let text = serde_json::to_string(scope).unwrap_or_default();
    from_json(&text).unwrap_or(Value::Null)
}

/// A record's JSON.
pub(super) fn json<T: serde::Serialize>(record: &T) -> Result<String, RegistryError> {
    serde_json::to_string(record).map_err(|error| RegistryError::Invalid(error.to_string()))
}

/// Reads a record's JSON.
pub(super) fn parse<T: serde::de::DeserializeOwned>(bytes: &[u8]) -> Result<T, RegistryError> {
    serde_json::from_slice(bytes).map_err(|_| damaged())
}

/// A record that cannot be read.
pub(super) fn damaged() -> RegistryError {
    RegistryError::Store(StoreError::Corrupt { what: "a record of the registry".to_owned() })
}

/// Calls `read` with the rest of the key and the value of every record under a prefix.
pub(super) fn each(
    store: &dyn Store,
    prefix: &[u8],
    read: impl FnMut(&[u8], &[u8]) -> Result<(), RegistryError>,
) -> Result<(), RegistryError> {
    each_of(store, prefix, read)
}

/// As [`each`], for whichever error `read` answers.
pub(super) fn each_of<E: From<StoreError>>(
    store: &dyn Store,
    prefix: &[u8],
    mut read: impl FnMut(&[u8], &[u8]) -> Result<(), E>,
) -> Result<(), E> {
    let mut failed = Ok(());
    store.scan(prefix, None, &mut |key, value| {
        failed = read(key.get(prefix.len()..).unwrap_or_default(), value);
        failed.is_ok()
    })?;
    failed
}

/// Bytes as base64url text in a record.
pub(super) mod base64 {
    use data_encoding::BASE64URL_NOPAD;
    use serde::{Deserialize, Deserializer, Serializer, de};

    pub(in super::super) fn serialize<S: Serializer>(
        bytes: &[u8],
        serializer: S,
    ) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&BASE64URL_NOPAD.encode(bytes))
    }

    pub(in super::super) fn deserialize<'de, D: Deserializer<'de>>(
        deserializer: D,
    ) -> Result<Vec<u8>, D::Error> {
        let text = String::deserialize(deserializer)?;
        BASE64URL_NOPAD.decode(text.as_bytes()).map_err(de::Error::custom)
    }
}
