//! A judgement becomes an entry: sequenced against the state it was made at, with the limits it
//! draws, the human's yes that it uses up and the leases that it lends, in one write.

use std::sync::atomic::Ordering;

use super::call::{Call, Judged, Under, unrecorded};
use super::draws::{drawn, needs, used_up};
use super::judge::Once;
use super::leases::Lent;
use super::{Durability, Engine};
use crate::decision::{Decision, Effect};
use crate::keys::Owner;
use crate::principal::ApprovalId;
use crate::recorder::Draw;
use crate::registry::Put;
use crate::store::StoreError;
use crate::trail::entry::Draft;

impl Engine {
    /// Appends the decision's entry; `None` if the state has moved since it was judged.
    pub(super) fn append(
        &self,
        call: &Call<'_>,
        once: Once,
        approved: Option<ApprovalId>,
        draft: Draft,
        lent: &Lent,
    ) -> Result<Option<Judged>, StoreError> {
        let Once { epoch, judgement, masking } = once;
        let asked = judgement.decision.clone();
        let (judgement, draws) = needs(call, judgement);
        self.count(call, &draws)?;
        let id = draft.id;
        let (leases, lease_drafts) = match call.bound {
            Some(bound) if !lent.is_empty() => self.leased(lent, bound, id)?,
            _ => (Vec::new(), Vec::new()),
        };
        let (judged, ticket) = self.recorder.sequence(|slot| {
            if epoch.is_some_and(|epoch| epoch != self.epoch.load(Ordering::Acquire)) {
                return Ok::<_, StoreError>(None);
            }
            let mut puts: Vec<Put> = Vec::new();
            let mut decision = judgement.decision;
            let how = masking.as_deref().unwrap_or(call.masking);
            if let Some(approval) = approved
                && decision.effect == Effect::Allow
            {
                if !self.still_approved(&approval, slot.at()) {
                    // Another call was faster: this one has no yes.
                    return Ok(None);
                }
                decision.approval = Some(approval);
            }
            if decision.effect == Effect::Ask {
                decision = self.ask(slot, call, how, decision, id, &mut puts)?;
                // What a human is asked stands in every mode.
                slot.insist();
            }
            let mut draft = draft;
            if decision.effect == Effect::Allow && !draws.is_empty() {
                match slot.draw(&draws, &mut puts)? {
                    Draw::Drawn => draft = draft.with("draws", drawn(&draws, call)),
                    Draw::UsedUp(place) => {
                        let reached = draws.get(place).map(|(id, _)| id);
                        decision = Decision::deny(vec![used_up(reached, &judgement.draws, call)]);
                    }
                    // So many others are counted that this one was let go of.
                    Draw::Uncounted => return Ok(None),
                }
            }
            if decision.effect == Effect::Allow
                && let Some(approval) = &decision.approval
            {
                puts.extend(self.use_up(approval, id)?);
                slot.insist();
            }
            let owner = match call.bound {
                Some(bound) => bound.owner.clone(),
                None => Owner::day(slot.at()),
            };
            // Whatever else denies it: which policies were asked, and which of them failed, stands.
            decision.policy_version = asked.policy_version;
            decision.policy_errors = asked.policy_errors;
            if decision.effect != Effect::Deny {
                // A yes turns an ask into an allow; the policies that asked still decided.
                decision.policies = asked.policies;
            }
            let draft = self.describe(call, how, &decision, draft, &owner);
            slot.push_described(draft, puts);
            if decision.effect == Effect::Allow {
                for draft in lease_drafts {
                    slot.push(draft, Vec::new());
                }
            }
            Ok(Some((decision, owner)))
        })?;
        Ok(judged.map(|(decision, owner)| {
            let waits = match self.durability {
                Durability::Before | Durability::Strict => true,
                Durability::After | Durability::Relaxed => ticket.must_wait,
            };
            let under = match (call.bound, &call.request, epoch) {
                (Some(bound), Ok(request), Some(judged_at)) if decision.effect == Effect::Allow => {
                    let (epoch, standing) = self.standing(bound);
                    // INVARIANT: what moved since the judgement is looked at when it is asked for.
                    let epoch = epoch.min(judged_at);
                    let (chain, tool) = (bound.chain.clone(), request.tool.clone());
                    Some(Under { chain, tool, epoch, standing })
                }
                _ => None,
            };
            let leases = if decision.effect == Effect::Allow { leases } else { Vec::new() };
            self.remember_leases(&leases);
            Judged {
                decision,
                leases,
                entry: Some(id),
                upto: ticket.upto,
                must_wait: waits,
                cause: None,
                masking,
                owner: Some(owner),
                under,
            }
        }))
    }

    /// Waits until a decision's entry is durable; turns it into a deny if it cannot be.
    #[must_use]
    pub fn await_decision(&self, judged: Judged) -> Judged {
        if !judged.must_wait {
            return judged;
        }
        match self.wait(judged.upto) {
            Ok(()) => judged,
            Err(error) => unrecorded(&error),
        }
    }

    /// Calls `waiter` when a decision's entry is durable, or cannot become so.
    pub fn notify(&self, upto: u64, waiter: crate::recorder::Waiter) {
        match self.here() {
            Ok(()) => self.recorder.notify(upto, waiter),
            Err(error) => waiter(Err(error)),
        }
    }

    /// Waits until all entries below `upto` are durable.
    ///
    /// # Errors
    /// The store's.
    pub fn wait(&self, upto: u64) -> Result<(), StoreError> {
        self.here()?;
        self.recorder.wait(upto)
    }
}
