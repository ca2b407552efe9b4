//! Blocks: what the store keeps of the trail. One value holds many leaves and, sealed once for
//! each owner, the values beside them.
//!
//! `docs/formats.md`, section "Blocks", is normative.

use std::collections::BTreeMap;

use data_encoding::BASE64URL_NOPAD;
use serde::{Deserialize, Serialize};

use super::entry::{Draft, Entry, Opened};
use crate::canonical::{Map, Value, decode, field_salt};
use crate::keys::{KeyError, Owner, SealKey};

/// The block format that this version writes and reads.
pub const BLOCK_FORMAT: i64 = 1;
/// How large a block's leaves and values may get before the next one starts, in bytes.
pub const TARGET_BYTES: usize = 40 * 1024;

/// Why a block cannot be read.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum BlockError {
    /// Not a block of this format.
    #[error("the block is damaged: {0}")]
    Damaged(String),
    /// A newer format.
    #[error(
        "the block has format {0}; this version reads format {BLOCK_FORMAT}: upgrade answerable"
    )]
    Newer(i64),
    /// A key could not be used.
    #[error(transparent)]
    Key(#[from] KeyError),
}

/// Values of one entry under one owner: its offset in the block, the owner's salt, the values.
#[derive(Serialize, Deserialize)]
pub(super) struct SealedItem(pub(super) u32, String, Map2);

/// A map in its JSON rendering.
#[derive(Serialize, Deserialize)]
#[serde(transparent)]
struct Map2(Value);

pub(super) fn assertion(authority_id: &str, first: u64, owner: &Owner) -> String {
    format!("answerable/v1/block/{authority_id}/{first}/{}", owner.text())
}

/// Packs drafts and their leaves, the first at index `first`.
///
/// # Errors
/// What `key_of` answered, or a value that could not be sealed.
pub fn pack(
    authority_id: &str,
    first: u64,
    entries: &[(&Draft, Vec<u8>)],
    key_of: &mut dyn FnMut(&Owner) -> Result<SealKey, KeyError>,
) -> Result<Vec<u8>, KeyError> {
    let mut by_owner: BTreeMap<&Owner, BTreeMap<u32, (&Draft, Map)>> = BTreeMap::new();
    for (offset, (draft, _)) in (0u32..).zip(entries) {
        for beside in &draft.beside {
            let items = by_owner.entry(&beside.owner).or_default();
            let (_, map) = items.entry(offset).or_insert_with(|| (draft, Map::new()));
            map.insert(&beside.field, beside.value.clone());
        }
    }
    let mut sealed = Map::new();
    for (owner, items) in by_owner {
        let items: Vec<SealedItem> = items
            .into_iter()
            .map(|(offset, (draft, map))| {
                let salt = BASE64URL_NOPAD.encode(&draft.owner_salt(owner));
                SealedItem(offset, salt, Map2(Value::Map(map)))
            })
            .collect();
        let text = serde_json::to_string(&items).map_err(|_| KeyError::Sealed)?;
        let body = key_of(owner)?.seal(&text, &assertion(authority_id, first, owner))?;
        sealed.insert(owner.text(), Value::bytes(&body));
    }
    let leaves = entries.iter().map(|(_, leaf)| Value::bytes(leaf)).collect();
    let mut block = Map::new();
    block.insert("v", Value::int(BLOCK_FORMAT));
    block.insert("leaves", Value::List(leaves));
    block.insert("sealed", Value::Map(sealed));
    Ok(Value::Map(block).encode())
}

/// A block whose leaves were read; its values are still sealed.
#[derive(Debug, Clone)]
pub struct Block {
    first: u64,
    leaves: Vec<Value>,
    sealed: Map,
}

impl Block {
    /// Reads a block that was stored at index `first`.
    ///
    /// # Errors
    /// `Damaged` or `Newer`.
    pub fn read(first: u64, bytes: &[u8]) -> Result<Self, BlockError> {
        let damaged = |what: &str| BlockError::Damaged(what.to_owned());
        let value = decode(bytes).map_err(|error| BlockError::Damaged(error.to_string()))?;
        let Value::Map(mut map) = value else { return Err(damaged("it is no map")) };
        match map.get("v").and_then(Value::as_i64) {
            Some(BLOCK_FORMAT) => {}
            Some(newer) if newer > BLOCK_FORMAT => return Err(BlockError::Newer(newer)),
            _ => return Err(damaged("it states no format")),
        }
        let Some(Value::List(leaves)) = map.remove("leaves") else {
            return Err(damaged("it has no leaves"));
        };
        let Some(Value::Map(sealed)) = map.remove("sealed") else {
            return Err(damaged("it has no sealed part"));
        };
        if leaves.iter().any(|leaf| leaf.as_bytes().is_none()) {
            return Err(damaged("a leaf is not bytes"));
        }
        Ok(Self { first, leaves, sealed })
    }

    /// The index of its first leaf.
    #[must_use]
    pub fn first(&self) -> u64 {
        self.first
    }

    /// How many leaves it has.
    #[must_use]
    pub fn len(&self) -> usize {
        self.leaves.len()
    }

    /// Whether it has no leaf.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.leaves.is_empty()
    }

    /// The leaves' bytes, in order.
    pub fn leaves(&self) -> impl Iterator<Item = &[u8]> {
        self.leaves.iter().filter_map(Value::as_bytes)
    }

    /// Opens what `key_of` has keys for: a missing key leaves its values closed.
    ///
    /// # Errors
    /// `Damaged` for a leaf or sealed part that cannot be read, `Key` for one that does not open.
    pub fn entries(
        &self,
        authority_id: &str,
        key_of: &mut dyn FnMut(&Owner) -> Result<Option<SealKey>, KeyError>,
    ) -> Result<Vec<Entry>, BlockError> {
        let mut opened: Vec<Vec<Opened>> = vec![Vec::new(); self.leaves.len()];
        for (owner, body) in self.sealed.iter() {
            let owner = Owner::from_text(owner);
            let Some(key) = key_of(&owner)? else { continue };
            let body = body.as_bytes().unwrap_or_default();
            let text = key.open(body, &assertion(authority_id, self.first, &owner))?;
            let damaged = |what: String| BlockError::Damaged(what);
            let items: Vec<SealedItem> =
                serde_json::from_str(&text).map_err(|error| damaged(error.to_string()))?;
            for SealedItem(offset, salt, Map2(values)) in items {
                let salt = BASE64URL_NOPAD.decode(salt.as_bytes()).unwrap_or_default();
                let salt: [u8; 16] =
                    salt.try_into().map_err(|_| damaged("a salt has 16 bytes".to_owned()))?;
                let slot = opened
                    .get_mut(offset as usize)
                    .ok_or_else(|| damaged("a value belongs to no leaf".to_owned()))?;
                let Value::Map(values) = values else {
                    return Err(damaged("an entry's values are no map".to_owned()));
                };
                for (field, value) in values.iter() {
                    let salt = field_salt(&salt, field);
                    slot.push(Opened { field: field.into(), value: value.clone(), salt });
                }
            }
        }
        let entries = self.leaves().zip(opened).zip(self.first..);
        entries
            .map(|((leaf, opened), index)| {
                Entry::read(index, leaf, opened).map_err(BlockError::Damaged)
            })
            .collect()
    }
}
