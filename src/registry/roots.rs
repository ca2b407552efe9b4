//! The authority's keys before the present one: each handed over to the next, and until when.

use serde::{Deserialize, Serialize};

use super::{Put, RegistryError, State};
use crate::keys::PublicKey;
use crate::store::Store;

const PREFIX: &[u8] = b"au/";

/// A key of the authority that was replaced.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Root {
    /// Its place: 0 for the first, which gives the authority its id.
    pub order: u32,
    /// The key.
    pub key: PublicKey,
    /// Until when root grants by it hold, in microseconds.
    pub until: i64,
    /// The statement by which it named the next.
    pub handover: String,
}

impl Root {
    /// The store's record of it.
    ///
    /// # Errors
    /// `Invalid` if it cannot be written.
    pub fn put(&self) -> Result<Put, RegistryError> {
        let key = [PREFIX, self.key.id().as_bytes()].concat();
        Ok(Put::Set(key, super::records::json(self)?.into_bytes()))
    }
}

impl State {
    /// Until when root grants by a key hold; `None` if it is none of the authority's.
    #[must_use]
    pub fn root_key_until(&self, id: &str) -> Option<i64> {
        self.roots.get(id).copied()
    }

    /// Takes up a key of the authority, and until when root grants by it hold.
    pub fn know_root(&mut self, key: &PublicKey, until: i64) {
        self.roots.insert(key.id(), until);
        self.reserve(*key);
        self.changed();
    }
}

/// The keys that were replaced, the first one first.
///
/// # Errors
/// The store's.
pub fn roots(store: &dyn Store) -> Result<Vec<Root>, RegistryError> {
    let mut all: Vec<Root> = Vec::new();
    super::records::each(store, PREFIX, |rest, value| {
        let root: Root = super::records::parse(value)?;
        if rest != root.key.id().as_bytes() {
            return Err(super::records::damaged());
        }
        all.push(root);
        Ok(())
    })?;
    all.sort_by_key(|root| root.order);
    Ok(all)
}
