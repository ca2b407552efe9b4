//! Grants as entries: each is a leaf of the trail, its token beside it.

use super::{Change, Put, RegistryError, draft};
use crate::canonical::{Digest, Value};
use crate::grant::Grant;
use crate::keys::Owner;
use crate::principal::{AgentId, GrantId, HumanId};
use crate::store::{Store, StoreError};
use crate::trail::entry::kind;

/// Where a grant's entry stands, by the grant's digest.
#[must_use]
pub fn grant_index_key(digest: &Digest) -> Vec<u8> {
    [b"g/", digest.as_slice()].concat()
}

/// A grant's digest, by its id.
#[must_use]
pub fn grant_id_key(id: &GrantId) -> Vec<u8> {
    [b"i/", id.as_bytes().as_slice()].concat()
}

/// Marks a grant as made under another.
#[must_use]
pub fn child_key(parent: &Digest, child: &Digest) -> Vec<u8> {
    [b"gp/", parent.as_slice(), child.as_slice()].concat()
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

/// The entry of a grant that was made here, or seen here for the first time.
///
/// # Errors
/// `Random` if the operating system gives no random bytes.
pub fn grant_entry(
    grant: &Grant,
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
        .beside("token", Value::str(&grant.token), &owner);
    if let Some(statement) = statement {
        draft = draft.beside("statement", Value::str(statement), &owner);
    }
    let mut puts = vec![
        Put::Index(grant_index_key(&grant.digest)),
        Put::Set(grant_id_key(&payload.id), grant.digest.to_vec()),
    ];
    if let Some(parent) = &payload.parent {
        puts.push(Put::Index(child_key(parent, &grant.digest)));
    }
    Ok(Change { draft, puts })
}
