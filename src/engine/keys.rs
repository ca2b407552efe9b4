//! The authority's own keys: the one that signs, the one of the checkpoints, and their rotation.

use std::sync::Arc;

use super::{Engine, EngineError};
use crate::canonical::Value;
use crate::chain::Anchors;
use crate::keys::{KeyRing, Owner, PublicKey, SecretKey};
use crate::principal::{EntryId, HumanId};
use crate::recorder::Slot;
use crate::registry::{Put, RegistryError, Root, Signer, State, draft};
use crate::trail::checkpoint::{CheckpointKey, sign_key_statement};
use crate::trail::entry::kind;

/// Where the authority's present secret key lies, sealed.
pub(super) const AUTHORITY: &[u8] = b"k/authority";
/// Where the present checkpoint key lies, sealed.
pub(super) const CHECKPOINT: &[u8] = b"k/checkpoint";

/// The keys in force, and those before them.
pub(super) struct Keys {
    /// The key that signs root grants and statements.
    pub(super) authority: Arc<SecretKey>,
    /// The keys before it, the first one first.
    pub(super) roots: Vec<Root>,
    /// Each checkpoint key with the place of the leaf that put it in force.
    pub(super) checkpoints: Vec<(u64, Arc<CheckpointKey>)>,
    /// Not before the newest statement, in microseconds.
    pub(super) stated: i64,
    /// Every key that root grants may be signed with.
    pub(super) anchors: Anchors,
}

impl Keys {
    /// The checkpoint key in force for a trail of this size.
    pub(super) fn checkpoint(&self, size: u64) -> Option<Arc<CheckpointKey>> {
        let mut newest_first = self.checkpoints.iter().rev();
        newest_first.find(|(leaf, _)| *leaf < size).map(|(_, key)| key.clone())
    }
}

/// Seals one of the authority's keys.
pub(super) fn seal(
    ring: &KeyRing,
    at: &[u8],
    key: &SecretKey,
) -> Result<Put, crate::keys::KeyError> {
    let name = if at == AUTHORITY { "authority" } else { "checkpoint" };
    let sealed = ring.agents().seal(&key.expose_paserk(), &assertion(name))?;
    Ok(Put::Set(at.to_vec(), sealed))
}

pub(super) fn assertion(name: &str) -> String {
    format!("answerable/v1/{name}-key")
}

impl Engine {
    /// The authority's key that signs now.
    #[must_use]
    pub fn signing_key(&self) -> PublicKey {
        self.keys.read().authority.public()
    }

    /// The authority's key, for statements of its own.
    pub(super) fn signer(&self) -> Signer {
        let keys = self.keys.read();
        Signer {
            key: keys.authority.clone(),
            authority_id: self.authority_id.clone(),
            handovers: keys.roots.iter().map(|root| root.handover.clone()).collect(),
        }
    }

    /// Gives the authority another key: the present one names it. Root grants by the present key
    /// end, or go on for an overlap where they are on the record. The authority keeps its id and
    /// its first public key, which is all that a verifier needs.
    ///
    /// # Errors
    /// `Invalid` for an overlap that is not above zero or no reason, and the store's.
    pub fn rotate_authority(
        &self,
        overlap: Option<i64>,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<EntryId, EngineError> {
        self.now()?;
        if overlap.is_some_and(|overlap| overlap <= 0) {
            return Err(EngineError::Invalid(
                "an overlap must be above zero; leave it out to end the old grants at once"
                    .to_owned(),
            ));
        }
        let next = SecretKey::generate()?;
        self.rotate("authority_rotated", reason, by, |state, keys, slot, at| {
            let old = keys.authority.public();
            let until = overlap.map_or(slot.at(), |overlap| slot.at().saturating_add(overlap));
            let (_, checkpoint) =
                keys.checkpoints.last().ok_or_else(|| missing("checkpoint"))?.clone();
            let handover = sign_key_statement(
                &keys.authority,
                &self.authority_id,
                checkpoint.verifier(),
                Some((next.public(), until)),
                at,
            )?;
            let order = u32::try_from(keys.roots.len()).map_err(|_| missing("room"))?;
            let root = Root { order, key: old, until, handover: handover.clone() };
            let puts = vec![root.put()?, seal(&self.ring, AUTHORITY, &next)?];
            keys.roots.push(root);
            keys.anchors.add(next.public(), &self.authority_id);
            state.know_root(&old, until);
            state.know_root(&next.public(), i64::MAX);
            keys.authority = Arc::new(next);
            Ok((handover, puts, None))
        })
    }

    /// Gives the trail another checkpoint key, in force from the entry that says so.
    ///
    /// # Errors
    /// `Invalid` for no reason, and the store's.
    pub fn rotate_checkpoint_key(
        &self,
        reason: &str,
        by: Option<HumanId>,
    ) -> Result<EntryId, EngineError> {
        let next = SecretKey::generate()?;
        self.rotate("checkpoint_rotated", reason, by, |state, keys, _, at| {
            let key = CheckpointKey::from_seed(&self.origin(), &next.expose_seed())?;
            let statement =
                sign_key_statement(&keys.authority, &self.authority_id, key.verifier(), None, at)?;
            state.reserve(next.public());
            let puts = vec![seal(&self.ring, CHECKPOINT, &next)?];
            Ok((statement, puts, Some(Arc::new(key))))
        })
    }

    fn rotate(
        &self,
        action: &'static str,
        reason: &str,
        by: Option<HumanId>,
        change: impl FnOnce(&mut State, &mut Keys, &Slot<'_>, i64) -> Result<Change, EngineError>,
    ) -> Result<EntryId, EngineError> {
        self.check()?;
        let by = self.who(by)?;
        crate::registry::check_text("the reason", reason, 4_096)?;
        let (entry, ticket) = self.recorder.sequence(|slot| {
            let mut state = self.state.write();
            let mut keys = self.keys.write();
            // Verifiers take statements in the order of their times only.
            let at = slot.at().max(keys.stated + 1);
            let (statement, puts, checkpoint) = change(&mut state, &mut keys, slot, at)?;
            let entry = draft(kind::KEY)?
                .with("statement", Value::str(&statement))
                .with("action", Value::str(action))
                .with("by", Value::str(&by.to_string()))
                .beside("reason", Value::str(reason), &Owner::human(by));
            let id = entry.id;
            let place = slot.push(entry, puts);
            keys.stated = at;
            keys.checkpoints.extend(checkpoint.map(|key| (place, key)));
            self.epoch.store(state.epoch(), std::sync::atomic::Ordering::Release);
            Ok::<EntryId, EngineError>(id)
        })?;
        self.recorder.wait(ticket.upto)?;
        self.anchor();
        Ok(entry)
    }
}

/// A statement, the store's records that go with it, and the checkpoint key it puts in force.
type Change = (String, Vec<Put>, Option<Arc<CheckpointKey>>);

fn missing(what: &str) -> RegistryError {
    RegistryError::Illegal(format!("there is no {what} for it"))
}
