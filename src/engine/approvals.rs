//! What a judgement that asks meets: the approval of that very request, found, made or used up.
//!
//! All of it happens under the sequencing lock, together with the decision's entry: of two repeats
//! of an approved call one is allowed, and what is on disk never holds the one without the other.

use std::borrow::Cow;
use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Condvar, Mutex};

use super::describe::detail;
use super::{Bound, Call, Engine, EngineError, Masking};
use crate::authorizer::Standing;
use crate::canonical::{Digest, Value};
use crate::chain::Chain;
use crate::decision::{Decision, Effect, Reason, code};
use crate::principal::{ApprovalId, EntryId};
use crate::recorder::Slot;
use crate::registry::{
    Approval, Change, MAX_OPEN, MAX_OPEN_PER_GRANT, Open, Purpose, Put, RegistryError, Stage, State,
};
use crate::request::{Request, ToolName};
use crate::store::{Batch, StoreError};

/// Called once, when an approval is not pending any more.
pub type Told = Box<dyn FnOnce() + Send>;

/// Who waits for answers.
#[derive(Default)]
pub(super) struct Waiting {
    waiters: Mutex<HashMap<ApprovalId, Vec<(u64, Told)>>>,
    next: AtomicU64,
}

impl Waiting {
    fn add(&self, id: ApprovalId, told: Told) -> u64 {
        let token = self.next.fetch_add(1, Ordering::Relaxed);
        self.waiters.lock().entry(id).or_default().push((token, told));
        token
    }

    fn forget(&self, id: &ApprovalId, token: u64) {
        let mut waiters = self.waiters.lock();
        if let Some(all) = waiters.get_mut(id) {
            all.retain(|(known, _)| *known != token);
            if all.is_empty() {
                waiters.remove(id);
            }
        }
    }

    /// Tells whoever waits for one of these.
    pub(super) fn tell(&self, ids: &[ApprovalId]) {
        let told: Vec<_> = {
            let mut waiters = self.waiters.lock();
            ids.iter().filter_map(|id| waiters.remove(id)).flatten().collect()
        };
        told.into_iter().for_each(|(_, told)| told());
    }

    #[cfg(test)]
    pub(super) fn is_empty(&self) -> bool {
        self.waiters.lock().is_empty()
    }

    /// Tells everybody: nothing will be answered here any more.
    pub(super) fn tell_all(&self) {
        let all = std::mem::take(&mut *self.waiters.lock());
        all.into_values().flatten().for_each(|(_, told)| told());
    }
}

impl Engine {
    /// The version of the policies in force; `none` if none were ever loaded.
    #[must_use]
    pub fn policy_version(&self) -> Cow<'static, str> {
        #[cfg(test)]
        if let Some(version) = &*self.version.lock() {
            return version.clone();
        }
        self.state.read().policies().version().to_string().into()
    }

    /// The digest of what decides the calls of a tool beside the chain, as the state has it.
    fn basis_in(&self, state: &State, tool: &ToolName) -> Digest {
        #[cfg(test)]
        if let Some(version) = &*self.version.lock() {
            return crate::canonical::sha256(version.as_bytes());
        }
        state.policies().basis(tool)
    }

    /// Turns a decision that asks into what the approval of that very request makes of it: an
    /// allow that uses it up once recorded, an ask that waits for it, or a deny.
    ///
    /// # Errors
    /// The store's, where a change cannot be prepared.
    pub(super) fn ask(
        &self,
        slot: &mut Slot<'_>,
        call: &Call<'_>,
        masking: &Masking,
        decision: Decision,
        entry: EntryId,
        puts: &mut Vec<Put>,
    ) -> Result<Decision, StoreError> {
        let (Some(bound), Ok(request)) = (call.bound, &call.request) else {
            let reason = Reason::new(code::NO_AUTHORITY, "there is nobody to ask for");
            return Ok(Decision::deny(vec![reason]));
        };
        let at = slot.at();
        let version = decision.policy_version.clone();
        let deny = |reason| {
            let policy_version = version.clone();
            Decision { policy_version, ..Decision::deny(vec![reason]) }
        };
        let mut state = self.state.write();
        let basis = self.basis_in(&state, &request.tool);
        let digest = self.approval_digest(bound, request, call, &basis);
        let known = state.approval_of(&digest).filter(|known| at < known.expires_at);
        if let Some(known) = known {
            return Ok(match known.stage {
                Stage::Approved => Decision {
                    policy_version: version,
                    approval: Some(known.id),
                    ..Decision::allow()
                },
                Stage::Refused => deny(refused(known)),
                _ => waits_for(decision, known.id),
            });
        }
        let root = bound.chain.root().digest;
        let (under, all) = state.approvals_under(&root);
        if under >= MAX_OPEN_PER_GRANT || all >= MAX_OPEN {
            // What has lapsed makes room.
            puts.extend(state.lapse_approvals(at).map_err(unavailable)?);
            let (under, all) = state.approvals_under(&root);
            if under >= MAX_OPEN_PER_GRANT || all >= MAX_OPEN {
                return Ok(deny(too_many(under)));
            }
        }
        let key = |error| unavailable(RegistryError::Key(error));
        let leaf = bound.chain.leaf();
        let approval = Approval {
            id: ApprovalId::from_bytes(crate::keys::random().map_err(key)?),
            purpose: Purpose::Call,
            stage: Stage::Pending,
            digest,
            asked_at: at,
            expires_at: at.saturating_add(self.approval_ttl).min(leaf.payload.exp),
            root,
            leaf: leaf.digest,
            human: leaf.payload.human,
            agent: leaf.payload.holder.agent,
            task: leaf.payload.task.id,
            tool: request.tool.as_str().to_owned(),
            policy: version.to_string(),
            basis,
            entry: EntryId::from_bytes(crate::keys::random().map_err(key)?),
            decision: Some(entry),
            answer: None,
            used: None,
            grant: None,
            because: None,
        };
        let decision = waits_for(decision, approval.id);
        let mut told = vec![("detail", detail(&decision.reasons))];
        if let Some(resource) = &request.resource {
            told.push(("resource", Value::str(resource.as_str())));
        }
        told.push(("arguments", self.recorded(&request.arguments, call, masking)));
        let change =
            state.ask_approval(approval, bound.chain.clone(), told).map_err(unavailable)?;
        if !Slot::fits(&change.draft) {
            let what = "the request is too large to ask about".to_owned();
            return Err(StoreError::Refused { what });
        }
        slot.push(change.draft, change.puts);
        self.note_approvals(&state);
        Ok(decision)
    }

    /// The approval that a yes to this very request stands in, before it is judged.
    pub(super) fn approved(
        &self,
        bound: &Bound,
        request: &Request,
        call: &Call<'_>,
    ) -> Option<ApprovalId> {
        if self.open_approvals.load(Ordering::Acquire) == 0 {
            return None;
        }
        let now = self.clock.stamp();
        let state = self.state.read();
        let basis = self.basis_in(&state, &request.tool);
        let digest = self.approval_digest(bound, request, call, &basis);
        let known = state.approval_of(&digest)?;
        (known.stage_at(now) == Stage::Approved).then_some(known.id)
    }

    /// Whether a yes has not been used, ended or lapsed.
    pub(super) fn still_approved(&self, id: &ApprovalId, at: i64) -> bool {
        let state = self.state.read();
        let open = state.approval(id);
        open.is_some_and(|open| open.approval.stage_at(at) == Stage::Approved)
    }

    /// Uses up a yes for a decision; what is answered goes with its entry.
    pub(super) fn use_up(&self, id: &ApprovalId, entry: EntryId) -> Result<Vec<Put>, StoreError> {
        let mut state = self.state.write();
        let puts = state.use_approval(id, Some(entry), None).map_err(unavailable)?;
        self.note_approvals(&state);
        if puts.is_empty() {
            // INVARIANT: an allow by a yes is recorded with its end, or not at all.
            return Err(StoreError::Unavailable { what: format!("the approval {id} is gone") });
        }
        Ok(puts)
    }

    /// Keeps the number of open approvals where a call can read it without a lock.
    pub(super) fn note_approvals(&self, state: &State) {
        self.open_approvals.store(state.count_approvals(), Ordering::Release);
        // What another process has read of them is old.
        self.revision.fetch_add(1, Ordering::AcqRel);
    }

    /// The keyed digest of everything that a yes would allow.
    fn approval_digest(
        &self,
        bound: &Bound,
        request: &Request,
        call: &Call<'_>,
        basis: &Digest,
    ) -> Digest {
        let chain: Vec<u8> = bound.chain.hops().iter().flat_map(|hop| hop.digest).collect();
        let mut arguments = Vec::with_capacity(128);
        for (name, value) in request.arguments.iter() {
            Value::str(name).encode_into(&mut arguments);
            value.encode_into(&mut arguments);
        }
        let mut by_type = Vec::new();
        for (name, word) in call.by_type {
            Value::str(name).encode_into(&mut by_type);
            Value::str(word).encode_into(&mut by_type);
        }
        let mut lent = Vec::new();
        for name in call.credentials {
            Value::str(name).encode_into(&mut lent);
        }
        // Anything and something empty are two things.
        let resource = request.resource.as_ref().map(|resource| resource.as_str());
        let resource = resource.map_or(Value::Null, Value::str).encode();
        let own = request.own.as_deref().map(|own| Value::Map(own.clone()).encode());
        let mut parts: Vec<&[u8]> = vec![
            b"call",
            &chain,
            request.tool.as_str().as_bytes(),
            &resource,
            &arguments,
            &by_type,
            call.beside,
            &lent,
            basis,
        ];
        parts.extend(own.as_deref());
        self.ring.approval_digest(&parts)
    }

    /// Ends the open approvals that a change of the state has taken the ground from.
    pub(super) fn settle_approvals(
        &self,
        state: &mut State,
        at: i64,
    ) -> Result<Vec<(ApprovalId, Change)>, RegistryError> {
        if state.count_approvals() == 0 {
            return Ok(Vec::new());
        }
        state.end_approvals(at, &|state, open| {
            self.ground_lost(state, open, at).map(|reason| reason.code.into_owned())
        })
    }

    /// Tells whoever waits for approvals that have ended.
    pub(super) fn tell_approvals(&self, ended: &[ApprovalId]) {
        self.waiting.tell(ended);
    }

    /// What has taken the ground from an open approval, if anything.
    pub(super) fn ground_lost(&self, state: &State, open: &Open, at: i64) -> Option<Reason> {
        let approval = &open.approval;
        let tool = ToolName::parse(&approval.tool).ok();
        if approval.purpose == Purpose::Call
            && tool.as_ref().is_none_or(|tool| self.basis_in(state, tool) != approval.basis)
        {
            let text = "the policies, or what the tool declares, were changed since";
            return Some(Reason::new(code::POLICY_CHANGED, text));
        }
        if let Some(answer) = &approval.answer
            && state.human(&answer.by).is_none_or(|human| human.offboarded)
        {
            return Some(Reason::new(code::HUMAN_OFFBOARDED, "who approved it has left"));
        }
        let Some(chain) = &open.chain else {
            return Some(Reason::new(code::NO_AUTHORITY, "its chain cannot be read any more"));
        };
        chain_against(state, chain, tool.as_ref(), at)
    }

    /// Gives the approvals read from the store their chains, and ends those that lost their ground
    /// while nobody looked.
    pub(super) fn reopen_approvals(&self) -> Result<(), EngineError> {
        let open = self.state.read().approvals();
        if open.is_empty() {
            return Ok(());
        }
        for known in &open {
            if self.store.remote().is_none() && !self.approval_agrees(&known.approval)? {
                // What was asked cannot be told any more, so no yes to it stands.
                continue;
            }
            let chain = match self.chain_of(&known.approval.leaf) {
                Ok(chain) => chain.map(Arc::new),
                Err(EngineError::Store(error)) => return Err(error.into()),
                Err(error) => {
                    tracing::warn!(%error, approval = %known.approval.id, "its chain does not stand");
                    None
                }
            };
            self.state.write().bind_approval(&known.approval.id, chain);
        }
        if self.store.remote().is_some() {
            // What has lost its ground there, its holder ends.
            self.note_approvals(&self.state.read());
            return Ok(());
        }
        self.transition(|state, now, _| {
            let ended = self.settle_approvals(state, now.at)?;
            Ok(((), ended.into_iter().map(|(_, change)| change).collect()))
        })?;
        let lapsed = {
            let mut state = self.state.write();
            let lapsed = state.lapse_approvals(self.clock.stamp())?;
            self.note_approvals(&state);
            lapsed
        };
        let mut batch = Batch::default();
        for put in lapsed {
            match put {
                Put::Set(key, value) => batch.put(key, value),
                Put::Index(key) | Put::Placed(key, _) | Put::Drop(key) => batch.delete(key),
            };
        }
        Ok(self.recorder.commit(batch)?)
    }

    /// Calls `told` once when an approval is not pending any more, or at once if it is not now.
    /// What is answered takes the waiter back, with [`Engine::forget_approval`].
    ///
    /// # Errors
    /// `Closed` or `Forked`.
    pub fn watch_approval(&self, id: ApprovalId, told: Told) -> Result<u64, EngineError> {
        self.check()?;
        let token = self.waiting.add(id, told);
        let pending = {
            let state = self.state.read();
            let open = state.approval(&id);
            open.is_some_and(|open| open.approval.stage_at(self.clock.stamp()) == Stage::Pending)
        };
        // Asked after the waiter stands: an answer in between is not missed.
        if !pending || self.check().is_err() {
            self.waiting.tell(&[id]);
        }
        Ok(token)
    }

    /// Takes back a waiter.
    pub fn forget_approval(&self, id: &ApprovalId, token: u64) {
        if self.here().is_ok() {
            self.waiting.forget(id, token);
        }
    }

    /// Waits until an approval is not pending any more, or the time is over; answers whether it is
    /// not pending.
    ///
    /// # Errors
    /// `Closed` or `Forked`.
    pub fn wait_approval(
        &self,
        id: ApprovalId,
        most: std::time::Duration,
    ) -> Result<bool, EngineError> {
        let met = Arc::new((Mutex::new(false), Condvar::new()));
        let other = met.clone();
        let told = move || {
            *other.0.lock() = true;
            other.1.notify_all();
        };
        let token = self.watch_approval(id, Box::new(told))?;
        let mut done = met.0.lock();
        let timed = met.1.wait_while_for(&mut done, |done| !*done, most);
        let answered = !timed.timed_out();
        drop(done);
        self.forget_approval(&id, token);
        Ok(answered)
    }
}

/// What speaks against a chain, and a tool under it.
pub(super) fn chain_against(
    state: &State,
    chain: &Chain,
    tool: Option<&ToolName>,
    at: i64,
) -> Option<Reason> {
    let standing = Standing::of(chain, state, None);
    match tool {
        Some(tool) => standing.against(chain, tool, at),
        None => standing.faults(chain, at).into_iter().next(),
    }
}

/// An ask that says what it waits for.
fn waits_for(mut decision: Decision, id: ApprovalId) -> Decision {
    decision.effect = Effect::Ask;
    decision.approval = Some(id);
    if decision.reasons.is_empty() {
        let text = "a human must approve this very call first";
        decision.reasons.push(Reason::new(code::APPROVAL_REQUIRED, text));
    }
    if let Some(first) = decision.reasons.first_mut() {
        first.fix = Some(format!(
            "have a human answer {id} (`answerable approvals approve {id}`), then make exactly this call again"
        ));
    }
    decision
}

fn refused(known: &Approval) -> Reason {
    Reason::new(code::APPROVAL_REFUSED, format!("a human refused this very call ({})", known.id))
        .fix("do without it, or ask the human who refused it")
}

fn too_many(under: usize) -> Reason {
    let text = if under >= MAX_OPEN_PER_GRANT {
        format!("{MAX_OPEN_PER_GRANT} approvals are open under this grant, the most there may be")
    } else {
        format!("{MAX_OPEN} approvals are open here, the most there may be")
    };
    Reason::new(code::TOO_MANY_APPROVALS, text)
        .fix("wait until some of them are answered, see `answerable approvals list`")
}

pub(super) fn unavailable(error: RegistryError) -> StoreError {
    match error {
        RegistryError::Store(error) => error,
        other => StoreError::Unavailable { what: other.to_string() },
    }
}
