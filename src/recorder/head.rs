//! The keys of the store that the recorder reads and writes, and the head of the trail among them.

use crate::canonical::{Map, Value, decode};
use crate::store::{Store, StoreError};
use crate::trail::merkle::Frontier;

/// Keys of the store that the recorder reads and writes.
pub mod keyspace {
    /// The head: size, frontier, newest time.
    pub const HEAD: &[u8] = b"m/head";
    /// Up to which entry blocks were merged.
    pub const MERGED: &[u8] = b"m/merged";
    /// How many bytes the records had when they were last weighed (8 bytes, big-endian).
    pub const WEIGHED: &[u8] = b"m/weighed";
    /// Blocks, by the index of their first leaf, big-endian.
    pub const BLOCK: &[u8] = b"b/";
    /// Counters of limits, by grant digest, capability and limit.
    pub const COUNTER: &[u8] = b"l/";

    /// The key of the block that starts at an index.
    #[must_use]
    pub fn block(first: u64) -> Vec<u8> {
        [BLOCK, &first.to_be_bytes()].concat()
    }

    /// The index of a block's first leaf, by its key.
    #[must_use]
    pub fn first_of(key: &[u8]) -> u64 {
        let bytes = key.get(BLOCK.len()..).and_then(|rest| rest.try_into().ok());
        bytes.map_or(0, u64::from_be_bytes)
    }
}

/// The head of the trail, as the store has it.
#[derive(Debug, Clone, PartialEq)]
pub struct Head {
    /// How many entries there are.
    pub frontier: Frontier,
    /// The newest entry's time.
    pub at: i64,
}

impl Head {
    /// Reads the head; an empty trail if there is none.
    ///
    /// # Errors
    /// What the store answered, or `Corrupt`.
    pub fn load(store: &dyn Store) -> Result<Self, StoreError> {
        let Some(bytes) = store.get(keyspace::HEAD)? else {
            return Ok(Self { frontier: Frontier::new(), at: 0 });
        };
        let corrupt = || StoreError::Corrupt { what: "the head of the trail".to_owned() };
        let map = decode(&bytes).map_err(|_| corrupt())?;
        let map = map.as_map().ok_or_else(corrupt)?;
        let frontier = map.get("frontier").and_then(Value::as_bytes).ok_or_else(corrupt)?;
        let at = match map.get("at") {
            Some(Value::Datetime(at)) => *at,
            _ => return Err(corrupt()),
        };
        let frontier = Frontier::from_bytes(frontier).map_err(|_| corrupt())?;
        Ok(Self { frontier, at })
    }

    pub(super) fn encode(frontier: &Frontier, at: i64) -> Vec<u8> {
        let mut map = Map::new();
        map.insert("v", Value::int(1));
        map.insert("frontier", Value::bytes(&frontier.to_bytes()));
        map.insert("at", Value::Datetime(at));
        Value::Map(map).encode()
    }
}
