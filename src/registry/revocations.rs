//! Revocations: a named grant, task, agent or human, and everything below it, ends. Each is signed
//! by the authority, so that it stands as evidence apart from the trail.
//!
//! An agent or a human is revoked up to a place in the trail. A grant states its own start, and
//! whoever signs it may state any: so it holds after such a revocation only where this engine knows
//! that it was made later, by the place of its entry.

use std::sync::Arc;

use serde::Serialize;

use super::{Change, Moment, Put, RegistryError, State, check_text, draft};
use crate::canonical::{Digest, Value};
use crate::clock::render_instant;
use crate::keys::{self, KeyError, Owner, SecretKey};
use crate::principal::{AgentId, EntryId, GrantId, HumanId, TaskId};
use crate::store::Store;
use crate::trail::entry::kind;

const GRANT: &[u8] = b"r/g/";
const AGENT: &[u8] = b"r/a/";
const HUMAN: &[u8] = b"r/h/";

/// Where it stands that a grant was revoked.
#[must_use]
pub fn revoked_key(digest: &Digest) -> Vec<u8> {
    [GRANT, digest.as_slice()].concat()
}

/// What a revocation names.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Target {
    /// A grant, by digest, and its id where it is known.
    Grant(Digest, Option<GrantId>),
    /// Everything that an agent held until now.
    Agent(AgentId),
    /// Everything that was granted for a human until now.
    Human(HumanId),
    /// A task, and every grant made for it.
    Task(TaskId),
}

/// The authority's key, for statements of its own.
#[derive(Clone)]
pub struct Signer {
    /// The key that signs.
    pub key: Arc<SecretKey>,
    /// The authority's id.
    pub authority_id: String,
    /// How the authority's first key came to the present one: each names the next.
    pub handovers: Vec<String>,
}

impl Signer {
    /// Signs a payload for one purpose.
    ///
    /// # Errors
    /// `Key` if it is larger than a statement may be.
    pub(super) fn sign<T: Serialize>(
        &self,
        purpose: &str,
        payload: &T,
    ) -> Result<String, RegistryError> {
        let text = super::records::json(payload)?;
        let assertion = statement_assertion(purpose, &self.authority_id);
        Ok(keys::sign(&self.key, &text, b"", &assertion)?.0)
    }
}

/// The implicit assertion of an authority's statement for one purpose.
#[must_use]
pub fn statement_assertion(purpose: &str, authority_id: &str) -> String {
    format!("answerable/v1/{purpose}/{authority_id}")
}

/// The signed part of a revocation. Field order is the order in which it is written.
#[derive(Serialize)]
struct Statement<'a> {
    v: u8,
    entry: EntryId,
    target: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    id: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    digest: Option<String>,
    by: HumanId,
    at: String,
}

impl Target {
    /// The word on the wire.
    #[must_use]
    pub fn word(&self) -> &'static str {
        match self {
            Self::Grant(..) => "grant",
            Self::Agent(_) => "agent",
            Self::Human(_) => "human",
            Self::Task(_) => "task",
        }
    }

    /// The id, where it is known.
    #[must_use]
    pub fn id(&self) -> Option<String> {
        match self {
            Self::Grant(_, id) => id.map(|id| id.to_string()),
            Self::Agent(id) => Some(id.to_string()),
            Self::Human(id) => Some(id.to_string()),
            Self::Task(id) => Some(id.to_string()),
        }
    }
}

impl State {
    /// Revokes a target and everything below it.
    ///
    /// An agent or a human is revoked up to here: what this engine grants later is not touched.
    ///
    /// # Errors
    /// `Invalid` for an empty reason, `NotFound` for an unknown agent or human, `Illegal` if a
    /// grant was revoked, or a task has ended, already.
    pub fn revoke(
        &mut self,
        target: &Target,
        now: Moment,
        by: HumanId,
        reason: &str,
        signer: &Signer,
    ) -> Result<Change, RegistryError> {
        check_text("the reason", reason, 4_096)?;
        let not_found =
            |kind| RegistryError::NotFound { kind, name: target.id().unwrap_or_default() };
        match target {
            Target::Grant(digest, _) if self.revoked_grants.contains(digest) => {
                return Err(RegistryError::Illegal(
                    "the grant was revoked already; nothing is left to revoke, the entries of kind `revocation` say who did it and why".to_owned(),
                ));
            }
            Target::Agent(id) if !self.agents.contains_key(id) => return Err(not_found("agent")),
            Target::Human(id) if !self.humans.contains_key(id) => return Err(not_found("human")),
            Target::Task(id) if self.ended_tasks.contains(id) => {
                return Err(RegistryError::Illegal(format!(
                    "the task {id} has ended already; nothing is left to end, open another with the next grant"
                )));
            }
            _ => {}
        }
        let mut draft = draft(kind::REVOCATION)?;
        let id = target.id();
        let digest = match target {
            Target::Grant(digest, _) => Some(digest),
            _ => None,
        };
        let statement = Statement {
            v: 1,
            entry: draft.id,
            target: target.word(),
            id: id.as_deref(),
            digest: digest.map(|digest| data_encoding::BASE64URL_NOPAD.encode(digest)),
            by,
            at: render_instant(now.at).ok_or(KeyError::Malformed("its time has no text"))?,
        };
        let statement = signer.sign("revocation", &statement)?;
        draft = draft
            .with("target", Value::str(target.word()))
            .with_some("digest", digest.map(|digest| Value::bytes(digest)))
            .with_some(target.word(), id.as_deref().map(Value::str))
            .with("by", Value::str(&by.to_string()))
            .with("statement", Value::str(&statement))
            .beside("reason", Value::str(reason), &Owner::human(by));
        let put = match target {
            Target::Grant(digest, _) => {
                self.revoked_grants.insert(*digest);
                Put::Set(revoked_key(digest), vec![1])
            }
            Target::Agent(id) => {
                self.cut_agents.insert(*id, now.place);
                Put::Set([AGENT, id.as_bytes()].concat(), now.place.to_be_bytes().to_vec())
            }
            Target::Human(id) => {
                self.cut_humans.insert(*id, now.place);
                Put::Set([HUMAN, id.as_bytes()].concat(), now.place.to_be_bytes().to_vec())
            }
            Target::Task(id) => {
                self.ended_tasks.insert(*id);
                Put::Index(super::tasks::ended_at(id))
            }
        };
        self.changed();
        Ok(Change { draft, puts: vec![put] })
    }

    /// Forgets that a grant was revoked, once it has ended by itself and for good.
    pub fn forget_revoked(&mut self, digest: &Digest) {
        self.revoked_grants.remove(digest);
    }

    /// Up to which place of the trail all that an agent held was revoked.
    #[must_use]
    pub fn agent_cut(&self, id: &AgentId) -> Option<u64> {
        self.cut_agents.get(id).copied()
    }

    /// Up to which place of the trail all that was granted for a human was revoked.
    #[must_use]
    pub fn human_cut(&self, id: &HumanId) -> Option<u64> {
        self.cut_humans.get(id).copied()
    }
}

pub(super) fn load(state: &mut State, store: &dyn Store) -> Result<(), RegistryError> {
    super::records::each(store, GRANT, |rest, _| {
        state.revoked_grants.insert(rest.try_into().map_err(|_| super::records::damaged())?);
        Ok(())
    })?;
    // A time stood here once: read as a place it lies beyond every trail, and ends all for good.
    let place = |value: &[u8]| -> Result<u64, RegistryError> {
        Ok(u64::from_be_bytes(value.try_into().map_err(|_| super::records::damaged())?))
    };
    super::records::each(store, AGENT, |rest, value| {
        let id = rest.try_into().map_err(|_| super::records::damaged())?;
        state.cut_agents.insert(AgentId::from_bytes(id), place(value)?);
        Ok(())
    })?;
    super::records::each(store, HUMAN, |rest, value| {
        let id = rest.try_into().map_err(|_| super::records::damaged())?;
        state.cut_humans.insert(HumanId::from_bytes(id), place(value)?);
        Ok(())
    })
}
