//! Approvals: a human's answer to one request, and to no other.
//!
//! An approval is open while it waits, while its yes has not been used, and while its no stands
//! against the same request; what is open is kept in memory and bounded. It is bound to the keyed
//! digest of one request, ends with its chain, and a yes is used once, in the same atomic write as
//! the decision that it allows.

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::records::{base64, damaged, each, json, parse};
use super::{Change, Put, RegistryError, State, check_text, draft};
use crate::canonical::{Digest, Value};
use crate::chain::Chain;
use crate::grant::Grant;
use crate::keys::Owner;
use crate::principal::{AgentId, ApprovalId, Assurance, EntryId, HumanId, TaskId};
use crate::store::Store;
use crate::trail::entry::{Draft, kind};

/// Records of open approvals.
const OPEN: &[u8] = b"ap/";
/// Where an approval was asked for.
pub(super) const ASKED: &[u8] = b"ai/";
/// Where an approval was answered.
pub(super) const ANSWERED: &[u8] = b"aa/";

/// The most approvals that may be open under one root grant.
pub const MAX_OPEN_PER_GRANT: usize = 32;
/// The most approvals that may be open in one engine.
pub const MAX_OPEN: usize = 1_024;
/// The longest note, in bytes.
const MAX_NOTE: usize = 4_096;

/// What is asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Purpose {
    /// One call.
    Call,
    /// A further grant for the task.
    Access,
}

impl Purpose {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Call => "call",
            Self::Access => "access",
        }
    }
}

/// Where an approval stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Stage {
    /// It waits for an answer.
    Pending,
    /// A human said yes, and the call has not been repeated yet.
    Approved,
    /// A human said no.
    Refused,
    /// The yes was used: by one call, or by the grant it gave.
    Used,
    /// Nobody answered, or nobody used the answer, in time.
    Expired,
    /// What it hung on has ended.
    Ended,
}

impl Stage {
    /// The word.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Approved => "approved",
            Self::Refused => "refused",
            Self::Used => "used",
            Self::Expired => "expired",
            Self::Ended => "ended",
        }
    }

    /// By its word.
    #[must_use]
    pub fn parse(word: &str) -> Option<Self> {
        let all =
            [Self::Pending, Self::Approved, Self::Refused, Self::Used, Self::Expired, Self::Ended];
        all.into_iter().find(|stage| stage.word() == word)
    }
}

/// Who answered.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Answer {
    /// The human.
    pub by: HumanId,
    /// How sure we were of them.
    pub assurance: Assurance,
    /// When, in microseconds.
    pub at: i64,
    /// The entry that says so.
    pub entry: EntryId,
}

/// One approval. Nothing in it is personal: what is asked lies beside the entry that asks.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// The id.
    pub id: ApprovalId,
    /// What is asked for.
    pub purpose: Purpose,
    /// Where it stands; see [`Approval::stage_at`].
    pub stage: Stage,
    /// The keyed digest of the request.
    #[serde(with = "digest_text")]
    pub digest: Digest,
    /// When it was asked for, in microseconds.
    pub asked_at: i64,
    /// When it lapses, in microseconds.
    pub expires_at: i64,
    /// The root grant's digest.
    #[serde(with = "digest_text")]
    pub root: Digest,
    /// The acting grant's digest.
    #[serde(with = "digest_text")]
    pub leaf: Digest,
    /// The human accountable.
    pub human: HumanId,
    /// The agent that asks.
    pub agent: AgentId,
    /// The task.
    pub task: TaskId,
    /// The tool; empty where access is asked for.
    pub tool: String,
    /// The policy version of the judgement that asked.
    pub policy: String,
    /// The digest of what decided it: of the policies, and of what the tool declared; all zeros
    /// where access is asked for.
    #[serde(default, with = "digest_text")]
    pub basis: Digest,
    /// The entry that asks.
    pub entry: EntryId,
    /// The decision that asked; none where access is asked for.
    pub decision: Option<EntryId>,
    /// The answer.
    pub answer: Option<Answer>,
    /// The decision that used the yes.
    pub used: Option<EntryId>,
    /// The digest of the grant that the yes gave.
    #[serde(with = "maybe_digest_text")]
    pub grant: Option<Digest>,
    /// The code of what ended it.
    pub because: Option<String>,
}

impl Approval {
    /// Where it stands at a time.
    #[must_use]
    pub fn stage_at(&self, now: i64) -> Stage {
        match self.stage {
            Stage::Pending | Stage::Approved if now >= self.expires_at => Stage::Expired,
            stage => stage,
        }
    }

    fn open_key(&self) -> Vec<u8> {
        [OPEN, self.id.as_bytes()].concat()
    }

    fn record(&self) -> Result<Vec<u8>, RegistryError> {
        Ok(json(self)?.into_bytes())
    }

    /// The common fields of an entry about it.
    fn about(&self, id: EntryId, action: &'static str) -> Result<Draft, RegistryError> {
        let mut draft = draft(kind::APPROVAL)?;
        draft.id = id;
        Ok(draft
            .with("action", Value::str(action))
            .with("approval", Value::str(&self.id.to_string()))
            .with("purpose", Value::str(self.purpose.word()))
            .with("human", Value::str(&self.human.to_string()))
            .with("agent", Value::str(&self.agent.to_string()))
            .with("task", Value::str(&self.task.to_string())))
    }
}

/// An approval that is open, with the chain that it hangs on.
#[derive(Debug, Clone)]
pub struct Open {
    /// The approval.
    pub approval: Arc<Approval>,
    /// The chain; `None` where it cannot be read any more.
    pub chain: Option<Arc<Chain>>,
}

/// All that are open.
#[derive(Debug, Default)]
pub(super) struct Approvals {
    open: HashMap<ApprovalId, Open>,
    by_digest: HashMap<Digest, ApprovalId>,
}

impl Approvals {
    fn insert(&mut self, open: Open) {
        self.by_digest.insert(open.approval.digest, open.approval.id);
        self.open.insert(open.approval.id, open);
    }

    fn remove(&mut self, approval: &Approval) {
        self.open.remove(&approval.id);
        // One that lapsed may have a successor for the same request.
        if self.by_digest.get(&approval.digest) == Some(&approval.id) {
            self.by_digest.remove(&approval.digest);
        }
    }
}

/// Where an approval was asked for, by its id.
#[must_use]
pub fn asked_key(id: &ApprovalId) -> Vec<u8> {
    [ASKED, id.as_bytes().as_slice()].concat()
}

/// Where an approval was answered, by its id.
#[must_use]
pub fn answered_key(id: &ApprovalId) -> Vec<u8> {
    [ANSWERED, id.as_bytes().as_slice()].concat()
}

impl State {
    /// The open approval of a request, whatever it stands at.
    #[must_use]
    pub fn approval_of(&self, digest: &Digest) -> Option<&Arc<Approval>> {
        let id = self.approvals.by_digest.get(digest)?;
        self.approvals.open.get(id).map(|open| &open.approval)
    }

    /// An open approval by its id.
    #[must_use]
    pub fn approval(&self, id: &ApprovalId) -> Option<&Open> {
        self.approvals.open.get(id)
    }

    /// All open approvals, oldest first.
    #[must_use]
    pub fn approvals(&self) -> Vec<Open> {
        let mut all: Vec<Open> = self.approvals.open.values().cloned().collect();
        all.sort_by_key(|open| (open.approval.asked_at, open.approval.id));
        all
    }

    /// How many approvals are open.
    #[must_use]
    pub fn count_approvals(&self) -> usize {
        self.approvals.open.len()
    }

    /// How many approvals are open: under a root grant, and in all.
    #[must_use]
    pub fn approvals_under(&self, root: &Digest) -> (usize, usize) {
        let under = self.approvals.open.values().filter(|open| open.approval.root == *root);
        (under.count(), self.approvals.open.len())
    }

    /// Gives an approval that was read from the store its chain.
    pub fn bind_approval(&mut self, id: &ApprovalId, chain: Option<Arc<Chain>>) {
        if let Some(open) = self.approvals.open.get_mut(id) {
            open.chain = chain;
        }
    }

    /// Opens an approval. `told` lies beside its entry, under the accountable human's key.
    ///
    /// # Errors
    /// `Random` if the operating system gives no random bytes.
    pub fn ask_approval(
        &mut self,
        approval: Approval,
        chain: Arc<Chain>,
        told: Vec<(&'static str, Value)>,
    ) -> Result<Change, RegistryError> {
        let owner = Owner::human(approval.human);
        let digests = chain.hops().iter().map(|hop| Value::bytes(&hop.digest)).collect::<Vec<_>>();
        let mut draft = approval
            .about(approval.entry, "asked")?
            .with("chain", Value::List(digests))
            .with("tool", Value::str(&approval.tool))
            .with("policy", Value::str(&approval.policy))
            .with("until", Value::Datetime(approval.expires_at))
            .with_some("decision", approval.decision.map(|id| Value::str(&id.to_string())))
            .beside("request", Value::bytes(&approval.digest), &owner);
        for (field, value) in told {
            draft = draft.beside(field, value, &owner);
        }
        let puts = vec![
            Put::Set(approval.open_key(), approval.record()?),
            Put::Index(asked_key(&approval.id)),
        ];
        self.approvals.insert(Open { approval: Arc::new(approval), chain: Some(chain) });
        Ok(Change { draft, puts })
    }

    /// Records a human's answer to a pending approval.
    ///
    /// # Errors
    /// `NotFound`; `Illegal` if it is not pending any more or the human has left; `Invalid` for a
    /// note that is empty or too long.
    pub fn answer_approval(
        &mut self,
        id: &ApprovalId,
        yes: bool,
        by: HumanId,
        note: Option<&str>,
        at: i64,
    ) -> Result<(Arc<Approval>, Change), RegistryError> {
        note.map_or(Ok(()), |note| check_text("the note", note, MAX_NOTE))?;
        let human = self
            .humans
            .get(&by)
            .ok_or_else(|| RegistryError::NotFound { kind: "human", name: by.to_string() })?;
        if human.offboarded {
            return Err(RegistryError::Illegal(format!(
                "`{}` has left and answers nothing here; name a human who is here as by= (--by)",
                human.display()
            )));
        }
        let assurance = human.assurance;
        let open = self
            .approvals
            .open
            .get(id)
            .ok_or_else(|| RegistryError::NotFound { kind: "approval", name: id.to_string() })?;
        let stage = open.approval.stage_at(at);
        if stage != Stage::Pending {
            return Err(RegistryError::Illegal(format!(
                "the approval {id} is {} and cannot be answered any more; have the call made again",
                stage.word()
            )));
        }
        let entry = EntryId::from_bytes(crate::keys::random()?);
        let mut approval = (*open.approval).clone();
        approval.stage = if yes { Stage::Approved } else { Stage::Refused };
        approval.answer = Some(Answer { by, assurance, at, entry });
        let mut draft = approval
            .about(entry, if yes { "approved" } else { "refused" })?
            .with("by", Value::str(&by.to_string()))
            .with("assurance", Value::str(assurance.word()));
        if let Some(note) = note {
            draft = draft.beside("note", Value::str(note), &Owner::human(by));
        }
        let puts = vec![
            Put::Set(approval.open_key(), approval.record()?),
            Put::Index(answered_key(&approval.id)),
        ];
        let approval = Arc::new(approval);
        if let Some(open) = self.approvals.open.get_mut(id) {
            open.approval = approval.clone();
        }
        Ok((approval, Change { draft, puts }))
    }

    /// Uses up a yes, by a decision or by the grant it gave: what is answered goes with its entry.
    ///
    /// # Errors
    /// `Invalid` if the record cannot be written.
    pub fn use_approval(
        &mut self,
        id: &ApprovalId,
        decision: Option<EntryId>,
        grant: Option<&Grant>,
    ) -> Result<Vec<Put>, RegistryError> {
        let Some(open) = self.approvals.open.get(id) else { return Ok(Vec::new()) };
        let mut approval = (*open.approval).clone();
        approval.stage = Stage::Used;
        approval.used = decision;
        approval.grant = grant.map(|grant| grant.digest);
        let until = grant.map_or(approval.expires_at, |grant| grant.payload.exp);
        self.close_approval(&approval, until)
    }

    /// Ends the open approvals for which `why` answers a code, each with an entry.
    ///
    /// # Errors
    /// `Random` if the operating system gives no random bytes.
    pub fn end_approvals(
        &mut self,
        at: i64,
        why: &dyn Fn(&Self, &Open) -> Option<String>,
    ) -> Result<Vec<(ApprovalId, Change)>, RegistryError> {
        let mut changes = Vec::new();
        for open in self.approvals() {
            let mut approval = (*open.approval).clone();
            // A no just stands until it lapses: nobody can use it.
            if approval.expires_at <= at || approval.stage == Stage::Refused {
                continue;
            }
            let Some(code) = why(self, &open) else { continue };
            let draft = approval
                .about(EntryId::from_bytes(crate::keys::random()?), "ended")?
                .with("because", Value::str(&code));
            approval.stage = Stage::Ended;
            approval.because = Some(code);
            let puts = self.close_approval(&approval, approval.expires_at)?;
            changes.push((approval.id, Change { draft, puts }));
        }
        Ok(changes)
    }

    /// Takes what has lapsed from what is open: a few at a time, so that no write grows too large.
    ///
    /// # Errors
    /// `Invalid` if a record cannot be written.
    pub fn lapse_approvals(&mut self, at: i64) -> Result<Vec<Put>, RegistryError> {
        let mut puts = Vec::new();
        let lapsed = self.approvals.open.values().map(|open| open.approval.clone());
        let lapsed: Vec<_> = lapsed.filter(|approval| at >= approval.expires_at).take(32).collect();
        for approval in lapsed {
            let stage = approval.stage_at(at);
            let until = approval.expires_at;
            puts.extend(self.close_approval(&Approval { stage, ..(*approval).clone() }, until)?);
        }
        Ok(puts)
    }

    /// Closes an approval. `until`: when all that came of it has ended.
    fn close_approval(
        &mut self,
        approval: &Approval,
        until: i64,
    ) -> Result<Vec<Put>, RegistryError> {
        let record = approval.record()?;
        self.approvals.remove(approval);
        let [closed, kept] = super::closed::puts(&approval.id, record, until);
        Ok(vec![Put::Drop(approval.open_key()), closed, kept])
    }
}

pub(super) fn load(state: &mut State, store: &dyn Store) -> Result<(), RegistryError> {
    each(store, OPEN, |rest, value| {
        let approval: Approval = parse(value)?;
        if approval.id.as_bytes().as_slice() != rest {
            return Err(damaged());
        }
        state.approvals.insert(Open { approval: Arc::new(approval), chain: None });
        Ok(())
    })
}

mod digest_text {
    use serde::{Deserializer, Serializer, de};

    use super::{Digest, base64};

    pub(super) fn serialize<S: Serializer>(digest: &Digest, to: S) -> Result<S::Ok, S::Error> {
        base64::serialize(digest, to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<Digest, D::Error> {
        let bytes = base64::deserialize(from)?;
        bytes.try_into().map_err(|_| de::Error::custom("a digest has 32 bytes"))
    }
}

mod maybe_digest_text {
    use data_encoding::BASE64URL_NOPAD;
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

    use super::Digest;

    pub(super) fn serialize<S: Serializer>(
        digest: &Option<Digest>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        digest.map(|digest| BASE64URL_NOPAD.encode(&digest)).serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(
        from: D,
    ) -> Result<Option<Digest>, D::Error> {
        let Some(text) = Option::<String>::deserialize(from)? else { return Ok(None) };
        let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(de::Error::custom)?;
        bytes.try_into().map(Some).map_err(|_| de::Error::custom("a digest has 32 bytes"))
    }
}
