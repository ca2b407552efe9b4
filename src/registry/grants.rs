//! Grants as entries: each is a leaf of the trail, its token beside it.

use super::{Change, Put, RegistryError, draft};
use crate::canonical::{Digest, Value};
use crate::grant::Grant;
use crate::keys::Owner;
use crate::principal::{AgentId, GrantId, HumanId};
use crate::store::{Store, StoreError};
use crate::trail::entry::kind;

const ENDS: &[u8] = b"ge/";

/// Where a grant's entry stands, by the grant's digest.
#[must_use]
pub fn grant_index_key(digest: &Digest) -> Vec<u8> {
    [b"g/", digest.as_slice()].concat()
}

/// What is known of a grant, by its id; see [`Known::read`].
#[must_use]
pub fn grant_id_key(id: &GrantId) -> Vec<u8> {
    [b"i/", id.as_bytes().as_slice()].concat()
}

/// Marks a grant as made under another.
#[must_use]
pub fn child_key(parent: &Digest, child: &Digest) -> Vec<u8> {
    [b"gp/", parent.as_slice(), child.as_slice()].concat()
}

/// Marks when a grant ends, for what is kept only until then.
///
/// The value is the digest of its parent, if there is one.
#[must_use]
pub fn end_key(until: i64, digest: &Digest) -> Vec<u8> {
    // Big-endian, so that those that end first come first; nothing ends before 1970.
    [ENDS, &until.max(0).to_be_bytes(), digest.as_slice()].concat()
}

/// A grant that has ended, by its mark.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Ended {
    /// Its mark.
    pub key: Vec<u8>,
    /// Its digest.
    pub digest: Digest,
    /// Its parent's.
    pub parent: Option<Digest>,
}

/// The grants that ended first, at most so many, none later than `before`.
///
/// # Errors
/// The store's; a mark that cannot be read is left where it is.
pub fn ended_grants(store: &dyn Store, before: i64, most: usize) -> Result<Vec<Ended>, StoreError> {
    let mut found = Vec::new();
    store.scan(ENDS, None, &mut |key, parent| {
        let rest = key.get(ENDS.len()..).and_then(|rest| rest.split_first_chunk::<8>());
        let Some((until, digest)) = rest else { return true };
        if i64::from_be_bytes(*until) > before {
            return false;
        }
        if let Ok(digest) = digest.try_into() {
            found.push(Ended { key: key.to_vec(), digest, parent: parent.try_into().ok() });
        }
        found.len() < most
    })?;
    Ok(found)
}

/// How many grants known here were made directly under a grant.
///
/// # Errors
/// The store's.
pub fn children(store: &dyn Store, parent: &Digest) -> Result<usize, StoreError> {
    let mut count = 0;
    store.scan(&[b"gp/", parent.as_slice()].concat(), None, &mut |_, _| {
        count += 1;
        true
    })?;
    Ok(count)
}

/// What is known of a grant by its id.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Known {
    /// Its digest.
    pub digest: Digest,
    /// The place of its entry, where this engine made it; `None` where it was made elsewhere, so
    /// that nobody here can say when.
    pub made: Option<u64>,
}

impl Known {
    /// Reads the record under [`grant_id_key`].
    ///
    /// # Errors
    /// `Corrupt` for a record that is none.
    pub fn read(record: &[u8]) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt { what: "a grant's id".to_owned() };
        let (digest, place) = record.split_first_chunk::<32>().ok_or_else(corrupt)?;
        let made = match place {
            [] => None,
            place => Some(u64::from_be_bytes(place.try_into().map_err(|_| corrupt())?)),
        };
        Ok(Self { digest: *digest, made })
    }
}

/// Where a grant was made.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Origin {
    /// By this engine, with its entry.
    Here,
    /// Elsewhere, with a key that the engine does not watch; first seen with its entry.
    Elsewhere,
}

/// The entry of a grant that was made here, or seen here for the first time.
///
/// # Errors
/// `Random` if the operating system gives no random bytes.
pub fn grant_entry(
    grant: &Grant,
    origin: Origin,
    issuer: Option<AgentId>,
    statement: Option<&str>,
    by: Option<HumanId>,
) -> Result<Change, RegistryError> {
    let payload = &grant.payload;
    let owner = Owner::human(payload.human);
    let issuer = issuer.map_or_else(|| "authority".to_owned(), |agent| agent.to_string());
    let mut draft = draft(kind::GRANT)?
        .with("grant", Value::str(&payload.id.to_string()))
        .with("digest", Value::bytes(&grant.digest))
        .with_some("parent", payload.parent.as_ref().map(|parent| Value::bytes(parent)))
        .with("human", Value::str(&payload.human.to_string()))
        .with("issuer", Value::str(&issuer))
        .with("agent", Value::str(&payload.holder.agent.to_string()))
        .with("task", Value::str(&payload.task.id.to_string()))
        .with("depth", Value::int(i64::from(payload.depth)))
        .with("from", Value::Datetime(payload.iat))
        .with("until", Value::Datetime(payload.exp))
        .with_some("by", by.map(|human| Value::str(&human.to_string())))
        .with_some("offline", (origin == Origin::Elsewhere).then_some(Value::Bool(true)))
        .beside("token", Value::str(&grant.token), &owner);
    if let Some(statement) = statement {
        draft = draft.beside("statement", Value::str(statement), &owner);
    }
    let (id, digest) = (grant_id_key(&payload.id), grant.digest.to_vec());
    let mut puts = vec![
        Put::Index(grant_index_key(&grant.digest)),
        match origin {
            Origin::Here => Put::Placed(id, digest),
            Origin::Elsewhere => Put::Set(id, digest),
        },
    ];
    let mut parent_of = Vec::new();
    if let Some(parent) = &payload.parent {
        puts.push(Put::Index(child_key(parent, &grant.digest)));
        parent_of = parent.to_vec();
    }
    puts.push(Put::Set(end_key(payload.exp, &grant.digest), parent_of));
    Ok(Change { draft, puts })
}
