//! Approvals: told, answered by a human; and access asked for, just in time.

use std::sync::Arc;

use super::not_found;
use crate::canonical::{Digest, Value};
use crate::decision::Reason;
use crate::engine::approvals::chain_against;
use crate::engine::story::{arguments, reasons};
use crate::engine::verbs::grants::Prepared;
use crate::engine::{Bound, Engine, EngineError, NewGrant, TaskChoice, describe};
use crate::keys::random;
use crate::principal::{ApprovalId, EntryId, HumanId};
use crate::recorder::Slot;
use crate::registry::{
    Approval, MAX_OPEN, MAX_OPEN_PER_GRANT, Origin, Purpose, RegistryError, Stage, State,
    answered_key, asked_key, check_text, closed_approval, closed_approvals, grant_entry,
};
use crate::scope::{Limit, Scope};
use crate::trail::entry::Entry;

/// An approval with all that its human needs to know.
#[derive(Debug, Clone)]
pub struct ToldApproval {
    /// The approval.
    pub approval: Arc<Approval>,
    /// Where it stands now.
    pub stage: Stage,
    /// What people call the human accountable.
    pub human_name: String,
    /// What the agent is called.
    pub agent_name: String,
    /// The chain's agents from the root, by name.
    pub via: Vec<String>,
    /// The task's sentence, where it is known here.
    pub sentence: Option<String>,
    /// The resource, where there is one and it was not erased.
    pub resource: Option<String>,
    /// The arguments as they were recorded, in the order of their names.
    pub arguments: Vec<(String, String)>,
    /// Why the call was not simply allowed.
    pub reasons: Vec<Reason>,
    /// The scope that is asked for, a line a capability.
    pub scope: Vec<String>,
    /// Why access is asked for, in the asker's words.
    pub why: Option<String>,
    /// How long access is asked for, in microseconds.
    pub ttl: Option<i64>,
    /// What people call who answered.
    pub by_name: Option<String>,
    /// The note of who answered.
    pub note: Option<String>,
}

/// Access that is asked for.
#[derive(Debug, Clone)]
pub struct NewAccess {
    /// What it should allow.
    pub scope: Scope,
    /// Limits over all its capabilities.
    pub limits: Vec<Limit>,
    /// Why.
    pub reason: String,
    /// How long, in microseconds from the answer on.
    pub ttl: i64,
}

impl Engine {
    /// Approvals by where they stand, oldest first; all of them without a stage. Those that are not
    /// open any more are read from the store.
    ///
    /// # Errors
    /// The store's.
    pub fn approvals(&self, stage: Option<Stage>) -> Result<Vec<ToldApproval>, EngineError> {
        self.check()?;
        let now = self.clock.stamp();
        let open = self.state.read().approvals();
        let mut all: Vec<Arc<Approval>> = open.into_iter().map(|open| open.approval).collect();
        if !matches!(stage, Some(Stage::Pending | Stage::Approved)) {
            self.recorder.flush()?;
            all.extend(closed_approvals(&*self.store)?.into_iter().map(Arc::new));
        }
        all.retain(|approval| stage.is_none_or(|stage| approval.stage_at(now) == stage));
        all.sort_by_key(|approval| (approval.asked_at, approval.id));
        all.dedup_by_key(|approval| approval.id);
        all.into_iter().map(|approval| self.told_approval(approval)).collect()
    }

    /// One approval, open or not.
    ///
    /// # Errors
    /// `NotFound`, and the store's.
    pub fn approval(&self, id: &ApprovalId) -> Result<ToldApproval, EngineError> {
        self.check()?;
        let open = self.state.read().approval(id).map(|open| open.approval.clone());
        let approval = match open {
            Some(approval) => approval,
            None => {
                // One that was closed this moment is on its way to the store.
                self.recorder.flush()?;
                let closed = closed_approval(&*self.store, id)?;
                Arc::new(closed.ok_or_else(|| not_found("approval", id))?)
            }
        };
        self.told_approval(approval)
    }

    /// Records a human's answer. A yes to access makes the grant in the same write.
    ///
    /// # Errors
    /// `NotFound`; `Illegal` if it is not pending any more, what it hangs on has ended, or the human
    /// has left; `Invalid` for a note that is empty or too long; for access as `Engine::grant`.
    pub fn answer(
        &self,
        id: &ApprovalId,
        yes: bool,
        by: HumanId,
        note: Option<&str>,
    ) -> Result<ToldApproval, EngineError> {
        self.now()?;
        let by = self.who(Some(by))?;
        let note = note.map(|note| self.plain(note));
        let note = note.as_deref();
        let known = self.state.read().approval(id).map(|open| open.approval.clone());
        if known.is_none() {
            self.recorder.flush()?;
            if let Some(closed) = closed_approval(&*self.store, id)? {
                return Err(already(id, closed.stage).into());
            }
        }
        let access = match known {
            Some(known) if yes && known.purpose == Purpose::Access => Some(self.access_of(&known)?),
            _ => None,
        };
        let approval = self.transition(|state, now, _| {
            let at = now.at;
            // Of this moment: policies may have been loaded since.
            let lost = state.approval(id).filter(|_| yes);
            if let Some(why) = lost.and_then(|open| self.ground_lost(state, open, at)) {
                return Err(RegistryError::Illegal(format!(
                    "the approval {id} cannot be given any more: {}",
                    why.message
                )));
            }
            if let Some(made) = &access {
                self.may_stand(state, made)?;
            }
            let (approval, mut change) = state.answer_approval(id, yes, by, note, at)?;
            let mut changes = Vec::new();
            if let Some(made) = &access {
                let grant = made.grant.payload.id.to_string();
                change.draft = change.draft.with("grant", Value::str(&grant));
                change.puts.extend(state.use_approval(id, None, Some(&made.grant))?);
                changes.push(change);
                changes.push(grant_entry(&made.grant, Origin::Here, None, None, Some(by))?);
            } else {
                changes.push(change);
            }
            Ok((approval, changes))
        })?;
        self.waiting.tell(&[*id]);
        self.approval(&approval.id)
    }

    /// Asks a human for a further grant to the holder of a chain, for the same task and human.
    /// Asking the same again while it waits finds the same approval.
    ///
    /// # Errors
    /// `Illegal` if the chain does not hold now, or too many approvals are open; `Grant` or
    /// `Invalid` if it would reach beyond the holder's ceiling or term, or has no reason.
    pub fn request_access(
        &self,
        bound: &Bound,
        new: NewAccess,
    ) -> Result<ToldApproval, EngineError> {
        self.now()?;
        check_text("the reason", &new.reason, 4_096)?;
        let new = NewAccess { reason: self.plain(&new.reason).into_owned(), ..new };
        let root = bound.chain().root();
        let leaf = bound.chain().leaf();
        // Refused here what could not be given later.
        self.prepare(access_grant(bound, &new))?;
        let scope = text_of(&new.scope)?;
        let limits = text_of(&new.limits)?;
        let digest = self.access_digest(bound, &scope, &limits, &new);
        let id = self.transition(|state, now, _| {
            let at = now.at;
            if let Some(known) = state.approval_of(&digest)
                && at < known.expires_at
            {
                return match known.stage {
                    Stage::Refused => Err(RegistryError::Illegal(format!(
                        "a human refused this access ({}); do without it, or ask the human who refused it",
                        known.id
                    ))),
                    _ => Ok((known.id, Vec::new())),
                };
            }
            if let Some(against) = chain_against(state, bound.chain(), None, at) {
                return Err(RegistryError::Illegal(format!(
                    "access cannot be asked for: {}",
                    against.message
                )));
            }
            let mut puts = Vec::new();
            if is_full(state, &root.digest) {
                puts.extend(state.lapse_approvals(at)?);
            }
            if is_full(state, &root.digest) {
                return Err(RegistryError::Illegal(format!(
                    "{MAX_OPEN_PER_GRANT} approvals are open under this grant, or {MAX_OPEN} in all; wait until some are answered"
                )));
            }
            let approval = Approval {
                id: ApprovalId::from_bytes(random()?),
                purpose: Purpose::Access,
                stage: Stage::Pending,
                digest,
                asked_at: at,
                expires_at: at.saturating_add(self.approval_ttl).min(leaf.payload.exp),
                root: root.digest,
                leaf: leaf.digest,
                human: leaf.payload.human,
                agent: leaf.payload.holder.agent,
                task: leaf.payload.task.id,
                tool: String::new(),
                policy: "none".to_owned(),
                basis: Digest::default(),
                entry: EntryId::from_bytes(random()?),
                decision: None,
                answer: None,
                used: None,
                grant: None,
                because: None,
            };
            let id = approval.id;
            let told = vec![
                ("scope", Value::str(&scope)),
                ("limits", Value::str(&limits)),
                ("reason", Value::str(&new.reason)),
                ("ttl", Value::int(new.ttl)),
            ];
            let mut change = state.ask_approval(approval, bound.chain.clone(), told)?;
            if !Slot::fits(&change.draft) {
                return Err(RegistryError::Invalid("the scope is too large to ask for".to_owned()));
            }
            change.puts.extend(puts);
            Ok((id, vec![change]))
        })?;
        self.approval(&id)
    }

    /// The grant that a yes gave, as a chain; `None` where there is none.
    ///
    /// # Errors
    /// As `Engine::accept`.
    pub fn granted_access(&self, approval: &Approval) -> Result<Option<Arc<Bound>>, EngineError> {
        let Some(digest) = &approval.grant else { return Ok(None) };
        let Some(chain) = self.chain_of(digest)? else { return Ok(None) };
        let sentence = self.task_sentence(&approval.task).ok();
        Ok(Some(Arc::new(Bound::new(chain, vec![sentence]))))
    }

    /// The grant that a pending request for access asks for, signed and nowhere yet.
    fn access_of(&self, approval: &Approval) -> Result<Prepared, EngineError> {
        let gone = || {
            EngineError::Invalid("what was asked for is not here any more; ask again".to_owned())
        };
        let entry = self.entry_of(&asked_key(&approval.id))?.ok_or_else(gone)?;
        let text = |field| entry.value_text(field).ok_or_else(gone);
        let scope: Scope = serde_json::from_str(text("scope")?).map_err(|_| gone())?;
        let limits: Vec<Limit> = serde_json::from_str(text("limits")?).map_err(|_| gone())?;
        let ttl = entry.value("ttl").and_then(Value::as_i64).ok_or_else(gone)?;
        self.prepare(NewGrant {
            human: approval.human,
            agent: approval.agent,
            task: TaskChoice::Open(approval.task),
            scope,
            limits,
            ttl,
            further_hops: 0,
            by: None,
        })
    }

    fn access_digest(&self, bound: &Bound, scope: &str, limits: &str, new: &NewAccess) -> Digest {
        let chain: Vec<u8> = bound.chain().hops().iter().flat_map(|hop| hop.digest).collect();
        let reason = new.reason.as_bytes();
        let ttl = new.ttl.to_be_bytes();
        let parts: [&[u8]; 6] =
            [b"access", &chain, scope.as_bytes(), limits.as_bytes(), reason, &ttl];
        self.ring.approval_digest(&parts)
    }

    /// The entry whose place stands under a key.
    pub(in crate::engine) fn entry_of(&self, key: &[u8]) -> Result<Option<Entry>, EngineError> {
        match self.index_at(key)? {
            Some(index) => self.entry_at(index),
            None => Ok(None),
        }
    }

    /// Reads what lies beside an approval's entries.
    pub(in crate::engine) fn told_approval(
        &self,
        approval: Arc<Approval>,
    ) -> Result<ToldApproval, EngineError> {
        // An entry that is not written yet would be missed.
        self.recorder.flush()?;
        let asked = self.entry_of(&asked_key(&approval.id))?;
        let answered = match &approval.answer {
            Some(_) => self.entry_of(&answered_key(&approval.id))?,
            None => None,
        };
        let name = |id: &str| self.name_of(id);
        let mut via = Vec::new();
        for digest in asked.as_ref().map(|entry| entry.digests("chain")).unwrap_or_default() {
            let grant = self.grant_entry(&digest)?;
            via.extend(grant.map(|grant| name(grant.text("agent"))));
        }
        let scope = asked.as_ref().and_then(|entry| entry.value_text("scope"));
        let scope: Option<Scope> = scope.and_then(|text| serde_json::from_str(text).ok());
        let text = |field| asked.as_ref().and_then(|e| e.value_text(field)).map(str::to_owned);
        Ok(ToldApproval {
            stage: approval.stage_at(self.clock.stamp()),
            human_name: name(&approval.human.to_string()),
            agent_name: name(&approval.agent.to_string()),
            via,
            sentence: self.task_sentence(&approval.task).ok(),
            resource: text("resource"),
            arguments: asked.as_ref().map(arguments).unwrap_or_default(),
            reasons: asked.as_ref().map(reasons).unwrap_or_default(),
            scope: scope
                .map(|scope| scope.capabilities().iter().map(describe).collect())
                .unwrap_or_default(),
            why: text("reason"),
            ttl: asked.as_ref().and_then(|entry| entry.value("ttl")).and_then(Value::as_i64),
            by_name: approval.answer.as_ref().map(|answer| name(&answer.by.to_string())),
            note: answered.as_ref().and_then(|e| e.value_text("note")).map(str::to_owned),
            approval,
        })
    }
}

fn already(id: &ApprovalId, stage: Stage) -> RegistryError {
    RegistryError::Illegal(format!(
        "the approval {id} is {} and cannot be answered any more; have the call made again",
        stage.word()
    ))
}

fn is_full(state: &State, root: &Digest) -> bool {
    let (under, all) = state.approvals_under(root);
    under >= MAX_OPEN_PER_GRANT || all >= MAX_OPEN
}

fn access_grant(bound: &Bound, new: &NewAccess) -> NewGrant {
    let leaf = &bound.chain().leaf().payload;
    NewGrant {
        human: leaf.human,
        agent: leaf.holder.agent,
        task: TaskChoice::Open(leaf.task.id),
        scope: new.scope.clone(),
        limits: new.limits.clone(),
        ttl: new.ttl,
        further_hops: 0,
        by: None,
    }
}

fn text_of(value: &impl serde::Serialize) -> Result<String, EngineError> {
    serde_json::to_string(value).map_err(|error| EngineError::Invalid(error.to_string()))
}
