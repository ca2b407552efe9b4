//! What takes authority back at once: revocations and halts.

use super::not_found;
use crate::canonical::{Digest, Value};
use crate::engine::{Engine, EngineError};
use crate::principal::{EntryId, GrantId, HumanId};
use crate::registry::{Halt, Halted, Target, children, task_index_key};

/// What a revocation did, and whether it was enough.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Revoked {
    /// Its entry.
    pub entry: EntryId,
    /// What it named.
    pub target: Target,
    /// Whether a grant that it names was ever seen here; those that were not end all the same.
    pub seen: bool,
    /// The agent that held the grant, and how many further grants known here it made from it.
    pub holder: Option<String>,
    /// How many grants known here were made directly under it. They, and all below, end too.
    pub children: usize,
    /// The agent that made the grant, and could make another like it.
    pub issuer: Option<String>,
}

impl Engine {
    /// Revokes a target and everything below it, known here or not.
    ///
    /// # Errors
    /// `NotFound` for a task never opened, as `State::revoke`, and the store's.
    pub fn revoke(
        &self,
        target: &Target,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<Revoked, EngineError> {
        let by = self.who(by)?;
        let reason = &*self.plain(reason);
        if let Target::Task(id) = target
            && self.store.get(&task_index_key(id))?.is_none()
        {
            return Err(not_found("task", id).into());
        }
        let entry = self.ends(self.transition(|state, now, _| {
            let change = state.revoke(target, now, by, reason, &self.signer())?;
            Ok((change.draft.id, vec![change]))
        }))?;
        let mut revoked = Revoked {
            entry,
            target: target.clone(),
            seen: true,
            holder: None,
            children: 0,
            issuer: None,
        };
        // What follows only tells more: the revocation stands.
        if let Target::Grant(digest, _) = target {
            let grant = self.grant_entry(digest)?;
            revoked.seen = grant.is_some();
            revoked.children = children(&*self.store, digest)?;
            if let Some(grant) = grant {
                revoked.holder = Some(grant.text("agent").to_owned());
                let issuer = grant.text("issuer");
                revoked.issuer = issuer.starts_with("agt_").then(|| issuer.to_owned());
            }
        }
        Ok(revoked)
    }

    /// The grant that a text names: its id, or its digest in hexadecimal. A digest needs not have
    /// been seen here: what was delegated offline can be revoked too.
    ///
    /// # Errors
    /// `NotFound` for an unknown id, and the store's.
    pub fn grant_named(&self, text: &str) -> Result<Target, EngineError> {
        let digest = data_encoding::HEXLOWER.decode(text.as_bytes()).ok();
        let digest = digest.and_then(|bytes| Digest::try_from(bytes).ok());
        if let Some(digest) = digest {
            let seen = self.grant_entry(&digest)?;
            let id = seen
                .and_then(|grant| grant.fields.get("grant").and_then(Value::as_str)?.parse().ok());
            return Ok(Target::Grant(digest, id));
        }
        let id = text.parse::<GrantId>().ok();
        Ok(Target::Grant(self.grant_digest(text)?, id))
    }

    /// Halts a target: no call that starts later is allowed, until it is lifted.
    ///
    /// # Errors
    /// As `State::halt`, and the store's.
    pub fn halt(
        &self,
        target: Halted,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<EntryId, EngineError> {
        let by = self.who(by)?;
        let reason = &*self.plain(reason);
        if let Halted::Tool(pattern) = &target {
            // It stands in the leaf as it is, for calls are held to it.
            self.refuse_secrets("the tool that a halt names", pattern)?;
        }
        self.ends(self.transition(|state, now, sealer| {
            let change = state.halt(target, now.at, by, reason, sealer)?;
            Ok((change.draft.id, vec![change]))
        }))
    }

    /// Lifts a halt.
    ///
    /// # Errors
    /// As `State::unhalt`, and the store's.
    pub fn unhalt(
        &self,
        target: &Halted,
        reason: Option<&str>,
        by: Option<HumanId>,
    ) -> Result<EntryId, EngineError> {
        let by = self.who(by)?;
        let reason = reason.map(|reason| self.plain(reason));
        let reason = reason.as_deref();
        self.transition(|state, _, _| {
            let change = state.unhalt(target, by, reason)?;
            Ok((change.draft.id, vec![change]))
        })
    }

    /// The halts in force.
    #[must_use]
    pub fn halts(&self) -> Vec<Halt> {
        self.state.read().halts()
    }
}
