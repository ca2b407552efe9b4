//! One governed call: judged, sequenced, recorded; then its outcome.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use super::describe::{MAX_RECORDED, MAX_TEXT, cut};
use super::draws::{needs, used_up};
use super::masking::{Masking, Recorded, Veiled};
use super::vault::{Lease, Lent};
use super::{Durability, Engine};
use crate::authorizer::{Governed, Judgement, Standing, authorize, unreadable};
use crate::canonical::{Map, Value, encode_text};
use crate::chain::Chain;
use crate::clock::Reading;
use crate::decision::{Decision, Effect, Reason, code};
use crate::keys::{KeyError, Owner};
use crate::principal::{ApprovalId, EntryId};
use crate::recorder::{Slot, size_of};
use crate::registry::{Policies, Put};
use crate::request::{DeclaredTool, Request, ToolName};
use crate::store::StoreError;
use crate::trail::entry::{Draft, Part, kind};

/// How often a judgement is made again because the state moved, before it is denied.
const MAX_ROUNDS: usize = 100;

/// A verified chain in force here, with what its hops state and what the state says of it.
#[derive(Debug)]
pub struct Bound {
    pub(super) chain: Arc<Chain>,
    statements: Vec<Option<String>>,
    owner: Owner,
    pub(super) fields: Fields,
    standing: RwLock<Option<(u64, Arc<Standing>)>>,
}

/// What every decision under a chain repeats, encoded once.
#[derive(Debug)]
pub(super) struct Fields {
    pub(super) human: Arc<[u8]>,
    pub(super) agent: Arc<[u8]>,
    pub(super) task: Arc<[u8]>,
    pub(super) chain: Arc<[u8]>,
}

impl Bound {
    pub(super) fn new(chain: Chain, statements: Vec<Option<String>>) -> Self {
        let digests = chain.hops().iter().map(|hop| Value::bytes(&hop.digest)).collect();
        let leaf = &chain.leaf().payload;
        let fields = Fields {
            human: encode_text(&leaf.human.to_string()).into(),
            agent: encode_text(&leaf.holder.agent.to_string()).into(),
            task: encode_text(&leaf.task.id.to_string()).into(),
            chain: Value::List(digests).encode().into(),
        };
        Self {
            owner: Owner::human(chain.root().payload.human),
            chain: Arc::new(chain),
            statements,
            fields,
            standing: RwLock::new(None),
        }
    }

    /// The chain.
    #[must_use]
    pub fn chain(&self) -> &Chain {
        &self.chain
    }

    /// What each hop states, where it is known; the task's sentence first.
    #[must_use]
    pub fn statements(&self) -> &[Option<String>] {
        &self.statements
    }
}

/// One call, as the guard saw it.
#[derive(Debug)]
pub struct Call<'a> {
    /// The tool's name as the caller gave it.
    pub tool: &'a str,
    /// What is asked; the reasons why it cannot be judged where it cannot.
    pub request: Result<Request, Vec<Reason>>,
    /// Arguments passed by reference, unjudged: name and type, for the record.
    pub by_type: &'a [(Box<str>, String)],
    /// What the body gets and the canonical form leaves out, such as a datetime's zone: a yes is
    /// bound to it.
    pub beside: &'a [u8],
    /// How arguments are recorded.
    pub masking: &'a Masking,
    /// The chain in force.
    pub bound: Option<&'a Bound>,
    /// Why there is none, or what speaks against it before anything is looked at.
    pub against: Option<Reason>,
    /// The entry of the call that this one is made in.
    pub parent: Option<EntryId>,
    /// What the tool declares, where it does: policies are held to it before they judge its calls.
    pub declared: Option<&'a Arc<DeclaredTool>>,
    /// The names of the credentials that it needs.
    pub credentials: &'a [Box<str>],
}

/// A judged call.
#[derive(Debug, Clone)]
pub struct Judged {
    /// The decision.
    pub decision: Decision,
    /// The decision's entry; `None` if it could not be recorded.
    pub entry: Option<EntryId>,
    /// All entries below this index must be durable for the decision's to be.
    pub upto: u64,
    /// Whether the caller must wait for that before the tool runs.
    pub must_wait: bool,
    /// Why it could not be recorded.
    pub cause: Option<StoreError>,
    /// How its arguments are recorded, where a policy masks more of them than the tool does.
    pub masking: Option<Arc<Masking>>,
    /// What it was lent.
    pub leases: Vec<Arc<Lease>>,
    owner: Option<Owner>,
    under: Option<Under>,
}

/// One judgement, and how the arguments are recorded where a policy masks more than the tool does.
struct Once {
    /// The state's epoch that it was made at; `None` where nothing was judged.
    epoch: Option<u64>,
    judgement: Judgement,
    masking: Option<Arc<Masking>>,
}

/// What an allowed call runs under.
#[derive(Debug, Clone)]
struct Under {
    pub(super) chain: Arc<Chain>,
    tool: ToolName,
    epoch: u64,
    standing: Arc<Standing>,
}

/// How an allowed call ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// It returned: the result's canonical form, or its type where it has none.
    Returned(Result<Value, String>),
    /// It raised: the exception's type and text.
    Raised(String, String),
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

    /// What the state says of a chain, remembered until the state changes.
    fn standing(&self, bound: &Bound) -> (u64, Arc<Standing>) {
        let epoch = self.epoch.load(Ordering::Acquire);
        if let Some((known, standing)) = &*bound.standing.read()
            && *known == epoch
        {
            return (epoch, standing.clone());
        }
        let state = self.state.read();
        let sentence = bound.statements.first().and_then(Option::as_deref);
        let standing = Arc::new(Standing::of(&bound.chain, &*state, sentence));
        let epoch = state.epoch();
        drop(state);
        *bound.standing.write() = Some((epoch, standing.clone()));
        (epoch, standing)
    }

    /// Appends the decision's entry; `None` if the state has moved since it was judged.
    fn append(
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
            if decision.effect == Effect::Allow
                && !draws.is_empty()
                && let Err(place) = slot.draw(&draws, &mut puts)?
            {
                let reached = draws.get(place).map(|(id, _)| id);
                decision = Decision::deny(vec![used_up(reached, &judgement.draws, call)]);
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

    /// Appends the outcome of an allowed call; answers what must be durable before the result is
    /// released, if anything.
    ///
    /// # Errors
    /// The store's, in the modes that gate the result.
    pub fn finish(
        &self,
        judged: &Judged,
        duration_us: i64,
        outcome: &Outcome,
    ) -> Result<Option<u64>, StoreError> {
        self.metrics.ended(duration_us, outcome);
        let gates = matches!(self.durability, Durability::Strict | Durability::After);
        match self.append_outcome(judged, duration_us, outcome) {
            Ok(upto) => Ok(match self.durability {
                Durability::Strict => Some(upto),
                Durability::After => Some(judged.upto),
                Durability::Before | Durability::Relaxed => None,
            }),
            Err(error) if gates => Err(error),
            Err(error) => {
                tracing::error!(error = %error, "an outcome could not be recorded");
                Ok(None)
            }
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

    /// What has ended the authority of an allowed call since it was judged, if anything.
    #[must_use]
    pub fn authority_ended(&self, judged: &Judged) -> Option<Reason> {
        let under = judged.under.as_ref()?;
        if let Err(error) = self.check() {
            return unrecorded(&error).decision.reasons.into_iter().next();
        }
        let now = self.clock.stamp();
        if under.epoch == self.epoch.load(Ordering::Acquire) {
            return under.standing.against(&under.chain, &under.tool, now);
        }
        let standing = Standing::of(&under.chain, &*self.state.read(), None);
        standing.against(&under.chain, &under.tool, now)
    }

    fn append_outcome(
        &self,
        judged: &Judged,
        duration_us: i64,
        outcome: &Outcome,
    ) -> Result<u64, StoreError> {
        self.check()?;
        let (Some(decision), Some(owner)) = (judged.entry, &judged.owner) else {
            return Err(StoreError::Closed);
        };
        let key = |error: KeyError| StoreError::Unavailable { what: error.to_string() };
        let id = EntryId::from_bytes(self.random.take().map_err(key)?);
        let mut draft = Draft::new(id, kind::OUTCOME, self.random.take().map_err(key)?)
            .with("decision", Part::Entry(decision))
            .with("duration_us", Value::int(duration_us));
        if self.authority_ended(judged).is_some() {
            draft = draft.with("authority_ended", Value::Bool(true));
        }
        draft = draft.with_some("leases", self.end_leases(judged));
        draft = match outcome {
            Outcome::Returned(result) => {
                let (item, word) = match result {
                    Ok(value) => {
                        let clean = self.redact_value(value);
                        let value = clean.as_ref().unwrap_or(value);
                        if size_of(value) > MAX_RECORDED {
                            let size = i64::try_from(value.encode().len()).unwrap_or(i64::MAX);
                            let size = Value::int(size);
                            (vec![Value::str("large"), size], Part::Word(value.type_word()))
                        } else {
                            (vec![Value::str("keep"), value.clone()], Part::Word(value.type_word()))
                        }
                    }
                    Err(word) => {
                        let word = Value::str(cut(&self.told(word), 256));
                        (vec![Value::str("type")], Part::Value(word))
                    }
                };
                draft.with("status", Part::Word("returned")).with("type", word).beside(
                    "result",
                    Value::List(item),
                    owner,
                )
            }
            Outcome::Raised(word, text) => {
                let clean = self.redact(text);
                let text = clean.as_ref().unwrap_or(text);
                draft
                    .with("status", Part::Word("raised"))
                    .with("type", Value::str(cut(&self.told(word), 256)))
                    .beside("error", Value::str(cut(text, MAX_TEXT)), owner)
            }
        };
        let ((), ticket) = self.recorder.sequence(|slot: &mut Slot<'_>| {
            slot.push(draft, Vec::new());
            Ok::<(), StoreError>(())
        })?;
        Ok(ticket.upto)
    }
}

fn unrecorded(error: &StoreError) -> Judged {
    let (code, message): (&'static str, Cow<'static, str>) = match error {
        StoreError::Closed | StoreError::Forked => (code::ENGINE_CLOSED, error.to_string().into()),
        StoreError::Attached { .. } => (
            code::STORE_ATTACHED,
            "another process holds the store, and calls are judged and recorded there".into(),
        ),
        other => (code::STORE_UNAVAILABLE, other.to_string().into()),
    };
    Judged {
        decision: Decision::deny(vec![Reason::new(code, message)]),
        entry: None,
        upto: 0,
        must_wait: false,
        cause: Some(error.clone()),
        masking: None,
        leases: Vec::new(),
        owner: None,
        under: None,
    }
}

fn no_authority() -> Reason {
    Reason::new(code::NO_AUTHORITY, "no grant is in force here, so no human would answer for it")
        .fix("call it inside `with engine.acting(grant):`")
}
