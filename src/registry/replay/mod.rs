//! What the trail says is in force, made from its entries alone, to hold the store's records to it:
//! whoever can write the store's files can take a record out, put an older one back or make one up,
//! without any key. The entry that goes with it stands in the tree.
//!
//! Only leaves are read: what is erased beside them does not matter here. An entry and its records
//! are written in one batch, so they never differ by a crash.

mod approvals;
mod ends;
mod others;
mod people;

use std::fmt;
use std::str::FromStr;

pub use self::others::Statement;

use super::State;
use super::records::each_of as each;
use crate::canonical::{Digest, Raw};
use crate::principal::EntryId;
use crate::store::{Store, StoreError};
use crate::trail::entry::kind;

/// The kinds of entries that change what is in force, all of them.
pub const STATE_KINDS: [&str; 8] = [
    kind::KEY,
    kind::IDENTITY,
    kind::REVOCATION,
    kind::HALT,
    kind::APPROVAL,
    kind::POLICY,
    kind::CREDENTIAL,
    kind::REVIEW,
];

/// What the entries of kind `task` do that change it; most open one, which changes nothing.
pub const STATE_ACTION: &str = "ended";

/// What the entries read so far leave in force.
#[derive(Debug, Default)]
pub struct Replay {
    people: people::People,
    ends: ends::Ends,
    approvals: approvals::Told,
    others: others::Others,
}

/// The entry that says something.
#[derive(Debug, Clone, Copy)]
pub struct Said {
    /// Its place in the trail.
    pub place: u64,
    id: Option<EntryId>,
}

impl fmt::Display for Said {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.id {
            Some(id) => write!(f, "entry {} ({id})", self.place),
            None => write!(f, "entry {}", self.place),
        }
    }
}

/// A revoked grant whose record is not there.
#[derive(Debug, Clone, Copy)]
pub struct Unrecorded {
    /// The grant's digest.
    pub digest: Digest,
    /// The entry that revokes it.
    pub said: Said,
}

/// A leaf that is read.
struct Leaf<'a> {
    said: Said,
    keys: &'a [(&'a str, Raw<'a>)],
}

impl<'a> Leaf<'a> {
    fn raw(&self, key: &str) -> Option<Raw<'a>> {
        self.keys.iter().find(|(name, _)| *name == key).map(|(_, raw)| *raw)
    }

    fn text(&self, key: &str) -> &'a str {
        self.raw(key).and_then(Raw::text).unwrap_or_default()
    }

    fn at(&self, key: &str) -> Result<i64, StoreError> {
        self.raw(key).and_then(Raw::datetime).ok_or_else(|| self.unreadable(key))
    }

    fn parsed<T: FromStr>(&self, key: &str) -> Result<T, StoreError> {
        self.text(key).parse().map_err(|_| self.unreadable(key))
    }

    fn digest(&self, key: &str) -> Result<Digest, StoreError> {
        let bytes = self.raw(key).and_then(Raw::bytes);
        bytes.and_then(|bytes| bytes.try_into().ok()).ok_or_else(|| self.unreadable(key))
    }

    fn unreadable(&self, key: &str) -> StoreError {
        StoreError::Corrupt { what: format!("{} of the trail has no `{key}` to go by", self.said) }
    }
}

/// The difference between a record and the trail.
fn differs(record: impl fmt::Display, says: impl fmt::Display) -> StoreError {
    StoreError::Corrupt {
        what: format!("the record of {record} is not what the trail says: {says}"),
    }
}

impl Replay {
    /// Takes up the next entry, in the order of the trail; those of other kinds change nothing.
    ///
    /// # Errors
    /// `Corrupt` for an entry without what its kind and action have.
    pub fn take(&mut self, place: u64, keys: &[(&str, Raw<'_>)]) -> Result<(), StoreError> {
        let mut leaf = Leaf { said: Said { place, id: None }, keys };
        leaf.said.id = leaf.text("id").parse().ok();
        match leaf.text("kind") {
            kind::IDENTITY => {
                if leaf.text("action") == "offboarded" {
                    self.ends.departed = Some(place);
                }
                self.people.take(&leaf)
            }
            kind::TASK | kind::REVOCATION | kind::HALT => self.ends.take(&leaf),
            kind::APPROVAL => self.approvals.take(&leaf),
            kind::KEY | kind::POLICY | kind::CREDENTIAL | kind::REVIEW => self.others.take(&leaf),
            _ => Ok(()),
        }
    }

    /// The statements of the authority's keys, in their order.
    #[must_use]
    pub fn statements(&self) -> &[Statement] {
        &self.others.statements
    }

    /// Holds the records, and what was loaded from them, to the trail. `newest` is the time of its
    /// newest entry. Answers the revoked grants without a record, which are in order only where the
    /// grant has ended for good.
    ///
    /// # Errors
    /// `Corrupt`, naming the record, what the trail says of it and which entry; the store's.
    pub fn compare(
        &self,
        state: &State,
        store: &dyn Store,
        newest: i64,
    ) -> Result<Vec<Unrecorded>, StoreError> {
        self.people.compare(state)?;
        let unrecorded = self.ends.compare(state, store)?;
        self.approvals.compare(state, store, newest)?;
        self.others.compare(state, store)?;
        Ok(unrecorded)
    }
}
