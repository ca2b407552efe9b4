//! Revocations: a named grant, and everything below it, ends.

use super::{Change, Put, RegistryError, State, check_text, draft};
use crate::canonical::{Digest, Value};
use crate::keys::Owner;
use crate::principal::{GrantId, HumanId};
use crate::store::Store;
use crate::trail::entry::kind;

const GRANT: &[u8] = b"r/g/";

/// What a revocation names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A grant, by digest, and its id where it is known.
    Grant(Digest, Option<GrantId>),
}

impl State {
    /// Revokes a target and everything below it.
    ///
    /// # Errors
    /// `Invalid` for an empty reason, `Illegal` if it was revoked already.
    pub fn revoke(
        &mut self,
        target: &Target,
        by: HumanId,
        reason: &str,
    ) -> Result<Change, RegistryError> {
        check_text("the reason", reason, 4_096)?;
        let Target::Grant(digest, id) = target;
        if !self.revoked_grants.insert(*digest) {
            return Err(RegistryError::Illegal("the grant was revoked already".to_owned()));
        }
        let draft = draft(kind::REVOCATION)?
            .with("target", Value::str("grant"))
            .with("digest", Value::bytes(digest))
            .with_some("grant", id.map(|id| Value::str(&id.to_string())))
            .with("by", Value::str(&by.to_string()))
            .beside("reason", Value::str(reason), &Owner::human(by));
        self.changed();
        Ok(Change { draft, puts: vec![Put::Set([GRANT, digest.as_slice()].concat(), vec![1])] })
    }
}

pub(super) fn load(state: &mut State, store: &dyn Store) -> Result<(), RegistryError> {
    super::records::each(store, GRANT, |rest, _| {
        state.revoked_grants.insert(rest.try_into().map_err(|_| super::records::damaged())?);
        Ok(())
    })
}
