//! One governed call is judged: against the state of an epoch, again if that moved before its
//! entry was sequenced. Every failure is a deny.

use std::borrow::Cow;
use std::sync::Arc;
#[cfg(test)]
use std::sync::atomic::Ordering;

use super::call::{Call, Judged, unrecorded};
use super::leases::Lent;
use super::masking::{Masking, Recorded, Veiled};
use super::{Bound, Engine};
use crate::authorizer::{Governed, Judgement, authorize, unreadable};
use crate::canonical::Map;
use crate::clock::Reading;
use crate::decision::{Decision, Effect, Reason, code};
use crate::keys::KeyError;
use crate::principal::EntryId;
use crate::registry::Policies;
use crate::request::{DeclaredTool, Request};
use crate::store::StoreError;
use crate::trail::entry::{Draft, kind};

/// How often a judgement is made again because the state moved, before it is denied.
const MAX_ROUNDS: usize = 100;

/// One judgement, and how the arguments are recorded where a policy masks more than the tool does.
pub(super) struct Once {
    /// The state's epoch that it was made at; `None` where nothing was judged.
    pub(super) epoch: Option<u64>,
    pub(super) judgement: Judgement,
    pub(super) masking: Option<Arc<Masking>>,
}

impl Engine {
    /// Judges a call without recording anything.
    #[must_use]
    pub fn check_call(&self, bound: Option<&Bound>, request: &Request) -> Decision {
        if let Err(error) = self.check() {
            return unrecorded(&error).decision;
        }
        match bound {
            None => Decision::deny(vec![no_authority()]),
            Some(bound) => {
                let masking = Masking::default();
                self.judge_once(bound, request, &masking, None, false).judgement.decision
            }
        }
    }

    /// Judges a call, draws on its limits and appends its entry.
    ///
    /// Where the decision must be durable before the tool runs, `must_wait` says so and
    /// [`Engine::await_decision`] waits. Every failure is a deny.
    #[must_use]
    pub fn judge(&self, call: &Call<'_>) -> Judged {
        let watch = self.metrics.begin();
        let recorded = self.check().and_then(|()| self.judge_recorded(call));
        let judged = recorded.unwrap_or_else(|error| unrecorded(&error));
        let mut tool = call.request.as_ref().ok().map(|request| request.tool.as_str());
        let mut told = Cow::Borrowed(call.tool);
        if judged.decision.effect != Effect::Allow
            && let Some(clean) = self.redact(call.tool)
        {
            (tool, told) = (None, Cow::Owned(clean));
        }
        self.metrics.decided(watch, tool, &judged);
        let code = || judged.decision.reasons.first().map_or("", |reason| &*reason.code);
        let entry = || judged.entry.map(|id| id.to_string()).unwrap_or_default();
        match judged.decision.effect {
            Effect::Allow => tracing::debug!(tool = &*told, entry = entry(), "allowed"),
            Effect::Deny => {
                tracing::info!(tool = &*told, code = code(), entry = entry(), "denied");
            }
            Effect::Ask => tracing::info!(tool = &*told, entry = entry(), "asked a human"),
        }
        judged
    }

    fn judge_recorded(&self, call: &Call<'_>) -> Result<Judged, StoreError> {
        let key = |error: KeyError| StoreError::Unavailable { what: error.to_string() };
        let id = EntryId::from_bytes(self.random.take().map_err(key)?);
        let salt = self.random.take().map_err(key)?;
        let named = self.secret_in_name(call.tool);
        for _ in 0..MAX_ROUNDS {
            let mut approved = None;
            let against = named.as_ref().or(call.against.as_ref());
            let mut once = match (against, call.bound, &call.request) {
                (Some(reason), _, _) => self.unjudged(call, vec![reason.clone()]),
                (None, None, _) => self.unjudged(call, vec![no_authority()]),
                (None, Some(bound), Ok(request)) => {
                    approved = self.approved(bound, request, call);
                    let known = approved.is_some();
                    self.judge_once(bound, request, call.masking, call.declared, known)
                }
                (None, Some(_), Err(reasons)) => self.unjudged(call, reasons.clone()),
            };
            let lent = self.lend(call, &mut once.judgement);
            self.redact_reasons(&mut once.judgement.decision);
            let draft = Draft::new(id, kind::DECISION, salt);
            if let Some(judged) = self.append(call, once, approved, draft, &lent)? {
                return Ok(judged);
            }
        }
        let reason = Reason::new(code::CONTENDED, "the state kept changing while this was judged");
        let once = self.unjudged(call, vec![reason.fix("try again")]);
        let draft = Draft::new(id, kind::DECISION, salt);
        let judged = self.append(call, once, None, draft, &Lent::none())?;
        judged.ok_or(StoreError::Closed)
    }

    /// A deny before anything was judged. Who asks is not known then, so whatever a policy could
    /// mask is masked.
    fn unjudged(&self, call: &Call<'_>, reasons: Vec<Reason>) -> Once {
        let arguments = call.request.as_ref().ok().map(|request| &request.arguments);
        self.denied_unasked(reasons, call.masking, arguments)
    }

    fn denied_unasked(
        &self,
        reasons: Vec<Reason>,
        masking: &Masking,
        arguments: Option<&Map>,
    ) -> Once {
        let policies = self.state.read().policies().clone();
        let mut decision = Decision::deny(reasons);
        let masking = match &policies {
            Policies::Never => None,
            Policies::InForce(in_force) => masking.and_mask(in_force.rules.all_masks()),
            Policies::Unreadable { .. } => {
                masking.and_mask(arguments.into_iter().flat_map(Map::iter).map(|(name, _)| name))
            }
        };
        if !matches!(policies, Policies::Never) {
            decision.policy_version = policies.version().to_string().into();
        }
        let judgement = Judgement { decision, draws: Vec::new() };
        Once { epoch: None, judgement, masking: masking.map(Arc::new) }
    }

    /// Judges against the state of one epoch; `approved` says whether a human's yes to this very
    /// request stands, which the recording must then use up.
    fn judge_once(
        &self,
        bound: &Bound,
        request: &Request,
        masking: &Masking,
        declared: Option<&Arc<DeclaredTool>>,
        approved: bool,
    ) -> Once {
        let now = match self.clock.read() {
            Reading::Now(now) => now,
            Reading::Behind { now, mark } => {
                let behind = (mark - now) / crate::clock::MICROS;
                let reason = Reason::new(
                    code::CLOCK_BEHIND,
                    format!("the clock is {behind} s behind the highest time seen"),
                );
                let reasons = vec![reason.fix("set the clock right")];
                return self.denied_unasked(reasons, masking, Some(&request.arguments));
            }
        };
        if bound.chain.authority_id() != self.authority_id {
            let text = "the chain was made under another authority than this engine's";
            let reason = Reason::new(code::UNKNOWN_AUTHORITY, text);
            let reasons = vec![reason.fix("ask this engine's authority for a grant")];
            return self.denied_unasked(reasons, masking, Some(&request.arguments));
        }
        let (mut epoch, mut standing) = self.standing(bound);
        if let Err(unfit) = self.held_to(&standing, &request.tool, declared) {
            // The tool is new to the policies: they are held to it once, and what they say then
            // stands, or the tool's calls are denied.
            if let Some(tool) = unfit {
                self.hold_to(&tool);
                (epoch, standing) = self.standing(bound);
            }
            if self.held_to(&standing, &request.tool, declared).is_err() {
                let reasons = vec![self.unfit_reason(&request.tool)];
                let denied = self.denied_unasked(reasons, masking, Some(&request.arguments));
                return Once { epoch: Some(epoch), ..denied };
            }
        }
        let say = match standing.governed() {
            Governed::By(governing) => {
                let shadow = self.shadow.as_deref();
                let rules = &governing.rules;
                let against = rules.against();
                let seen = || shadow.and_then(|shadow| shadow.against(rules));
                if let Some(against) = against.or_else(seen) {
                    let mut reasons = standing.faults(&bound.chain, now);
                    reasons.push(against);
                    let denied = self.denied_unasked(reasons, masking, Some(&request.arguments));
                    return Once { epoch: Some(epoch), ..denied };
                }
                let say = governing.say(request, now, approved);
                if let Some(shadow) = shadow {
                    shadow.judged(governing, request, (now, approved), &say);
                }
                Some(say)
            }
            Governed::Free => None,
            Governed::Unreadable(_, why) => {
                let mut reasons = standing.faults(&bound.chain, now);
                reasons.push(unreadable(why));
                let denied = self.denied_unasked(reasons, masking, Some(&request.arguments));
                return Once { epoch: Some(epoch), ..denied };
            }
        };
        let merged = say.as_ref().and_then(|say| masking.and_mask(say.masks()));
        let declared = masking;
        let masking = merged.as_ref().unwrap_or(declared);
        if merged.is_some()
            && let Some(field) = request.template.iter().find(|f| masking.how(f) != Recorded::Keep)
        {
            let text =
                format!("a policy masks `{field}`, which names the resource, and that is recorded");
            let reason =
                Reason::new(code::POLICY_ERROR, text).fix("mask no argument of the template");
            let denied = self.denied_unasked(vec![reason], declared, Some(&request.arguments));
            return Once { epoch: Some(epoch), ..denied };
        }
        let veil = Veiled { masking, arguments: &request.arguments };
        let judgement = authorize(&bound.chain, &standing, request, say.as_ref(), &veil, now);
        #[cfg(test)]
        let judgement = self.asked_by_a_test(judgement, request, approved);
        Once { epoch: Some(epoch), judgement, masking: merged.map(Arc::new) }
    }

    #[cfg(test)]
    fn asked_by_a_test(&self, judgement: Judgement, request: &Request, yes: bool) -> Judgement {
        let asks = self.asks.lock().iter().any(|pattern| pattern.matches(&request.tool));
        // Whether the judgement knows of the yes or not, what comes of it is the same.
        let asks = asks && !(yes && self.knows.load(Ordering::Acquire));
        let text = "payments need a human's yes";
        if asks { judgement.asking(Reason::new(code::APPROVAL_REQUIRED, text)) } else { judgement }
    }
}

fn no_authority() -> Reason {
    Reason::new(code::NO_AUTHORITY, "no grant is in force here, so no human would answer for it")
        .fix("call it inside `with engine.acting(grant):`")
}
