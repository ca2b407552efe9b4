//! One governed call: judged, sequenced, recorded; then its outcome.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use parking_lot::RwLock;

use super::masking::{Masking, Recorded};
use super::{Durability, Engine};
use crate::authorizer::{Judgement, Standing, authorize, limit_of, limit_reason};
use crate::canonical::{Digest, Map, Value, compare_numbers, encode_text};
use crate::chain::Chain;
use crate::clock::Reading;
use crate::decision::{Decision, Effect, Reason, code};
use crate::keys::{KeyError, Owner};
use crate::principal::EntryId;
use crate::recorder::{MeterId, Need, Slot, size_of, size_of_text};
use crate::registry::Put;
use crate::request::{Request, ToolName};
use crate::scope::Limit;
use crate::store::StoreError;
use crate::trail::entry::{Draft, Part, kind};

/// How often a judgement is made again because the state moved, before it is denied.
const MAX_ROUNDS: usize = 100;
/// The largest recorded value of one argument or result, in bytes of JSON.
const MAX_RECORDED: usize = 8 * 1024;
/// The most that a denial's reasons take up, in bytes of JSON.
const MAX_DETAIL: usize = 12 * 1024;
/// The largest recorded text of a resource or exception, in bytes.
const MAX_TEXT: usize = 4 * 1024;

/// A verified chain in force here, with what its hops state and what the state says of it.
#[derive(Debug)]
pub struct Bound {
    chain: Arc<Chain>,
    statements: Vec<Option<String>>,
    owner: Owner,
    fields: Fields,
    standing: RwLock<Option<(u64, Arc<Standing>)>>,
}

/// What every decision under a chain repeats, encoded once.
#[derive(Debug)]
struct Fields {
    human: Arc<[u8]>,
    agent: Arc<[u8]>,
    task: Arc<[u8]>,
    chain: Arc<[u8]>,
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
    /// How arguments are recorded.
    pub masking: &'a Masking,
    /// The chain in force.
    pub bound: Option<&'a Bound>,
    /// Why there is none, or what speaks against it before anything is looked at.
    pub against: Option<Reason>,
    /// The entry of the call that this one is made in.
    pub parent: Option<EntryId>,
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
    owner: Option<Owner>,
    under: Option<Under>,
}

/// What an allowed call runs under.
#[derive(Debug, Clone)]
struct Under {
    chain: Arc<Chain>,
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
                let (_, judgement) = self.judge_once(bound, request, &Masking::default());
                judgement.decision
            }
        }
    }

    /// Judges a call, draws on its limits and appends its entry.
    ///
    /// Where the decision must be durable before the tool runs, `must_wait` says so and
    /// [`Engine::await_decision`] waits. Every failure is a deny.
    #[must_use]
    pub fn judge(&self, call: &Call<'_>) -> Judged {
        if let Err(error) = self.check() {
            return unrecorded(&error);
        }
        match self.judge_recorded(call) {
            Ok(judged) => judged,
            Err(error) => unrecorded(&error),
        }
    }

    fn judge_recorded(&self, call: &Call<'_>) -> Result<Judged, StoreError> {
        let key = |error: KeyError| StoreError::Unavailable { what: error.to_string() };
        let id = EntryId::from_bytes(self.random.take().map_err(key)?);
        let salt = self.random.take().map_err(key)?;
        for _ in 0..MAX_ROUNDS {
            let (epoch, judgement) = match (&call.against, call.bound, &call.request) {
                (Some(reason), _, _) => (None, Judgement::deny(reason.clone())),
                (None, None, _) => (None, Judgement::deny(no_authority())),
                (None, Some(bound), Ok(request)) => {
                    let (epoch, judgement) = self.judge_once(bound, request, call.masking);
                    (Some(epoch), judgement)
                }
                (None, Some(_), Err(reasons)) => {
                    let decision = Decision::deny(reasons.clone());
                    (None, Judgement { decision, draws: Vec::new() })
                }
            };
            let draft = Draft::new(id, kind::DECISION, salt);
            if let Some(judged) = self.append(call, epoch, judgement, draft)? {
                return Ok(judged);
            }
        }
        let reason = Reason::new(code::CONTENDED, "the state kept changing while this was judged");
        let judgement = Judgement::deny(reason.fix("try again"));
        let draft = Draft::new(id, kind::DECISION, salt);
        let judged = self.append(call, None, judgement, draft)?;
        judged.ok_or(StoreError::Closed)
    }

    /// Judges against the state of one epoch.
    fn judge_once(&self, bound: &Bound, request: &Request, masking: &Masking) -> (u64, Judgement) {
        let now = match self.clock.read() {
            Reading::Now(now) => now,
            Reading::Behind { now, mark } => {
                let behind = (mark - now) / crate::clock::MICROS;
                let reason = Reason::new(
                    code::CLOCK_BEHIND,
                    format!("the clock is {behind} s behind the highest time seen"),
                );
                let epoch = self.epoch.load(Ordering::Acquire);
                return (epoch, Judgement::deny(reason.fix("set the clock right")));
            }
        };
        let (epoch, standing) = self.standing(bound);
        if bound.chain.authority_id() != self.authority_id {
            let text = "the chain was made under another authority than this engine's";
            let reason = Reason::new(code::UNKNOWN_AUTHORITY, text);
            return (epoch, Judgement::deny(reason.fix("ask this engine's authority for a grant")));
        }
        let masked = |name: &str| masking.hides(name, &request.arguments);
        (epoch, authorize(&bound.chain, &standing, request, &masked, now))
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
        let standing = Arc::new(Standing::of(&bound.chain, &*state));
        let epoch = state.epoch();
        drop(state);
        *bound.standing.write() = Some((epoch, standing.clone()));
        (epoch, standing)
    }

    /// Appends the decision's entry; `None` if the state has moved since it was judged.
    fn append(
        &self,
        call: &Call<'_>,
        epoch: Option<u64>,
        judgement: Judgement,
        draft: Draft,
    ) -> Result<Option<Judged>, StoreError> {
        let (judgement, draws) = needs(call, judgement);
        let id = draft.id;
        let (judged, ticket) = self.recorder.sequence(|slot| {
            if epoch.is_some_and(|epoch| epoch != self.epoch.load(Ordering::Acquire)) {
                return Ok::<_, StoreError>(None);
            }
            let mut puts: Vec<Put> = Vec::new();
            let mut decision = judgement.decision;
            if !draws.is_empty()
                && let Err(place) = slot.draw(&draws, &mut puts)?
            {
                let reached = draws.get(place).map(|(id, _)| id);
                decision = Decision::deny(vec![used_up(reached, &judgement.draws, call)]);
            }
            let owner = match call.bound {
                Some(bound) => bound.owner.clone(),
                None => Owner::day(slot.at()),
            };
            let draft = self.describe(call, &decision, draft, &owner);
            slot.push(draft, puts);
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
            Judged {
                decision,
                entry: Some(id),
                upto: ticket.upto,
                must_wait: waits,
                cause: None,
                owner: Some(owner),
                under,
            }
        }))
    }

    /// Fills a decision's entry.
    fn describe(&self, call: &Call<'_>, decision: &Decision, draft: Draft, owner: &Owner) -> Draft {
        let codes = decision.reasons.iter().map(|reason| Value::str(&reason.code)).collect();
        let mut draft = draft;
        match call.bound {
            Some(bound) => {
                let fields = &bound.fields;
                draft = draft
                    .with("human", Part::Encoded(fields.human.clone()))
                    .with("agent", Part::Encoded(fields.agent.clone()))
                    .with("task", Part::Encoded(fields.task.clone()))
                    .with("chain", Part::Encoded(fields.chain.clone()));
            }
            None => draft = draft.with("human", Part::Word("none")),
        }
        draft = draft
            .with("effect", Part::Word(decision.effect.word()))
            .with("reasons", Value::List(codes))
            .with("policy", Value::str(&decision.policy_version))
            .with_some("parent", call.parent.map(Part::Entry));
        match &call.request {
            Ok(request) => {
                draft = draft.with("tool", Value::str(request.tool.as_str()));
                let resource =
                    request.resource.as_ref().map(|resource| resource.as_str().to_owned());
                let digest = self.request_digest(call.bound, request, resource.as_deref());
                if let Some(resource) = &resource {
                    draft = draft.beside("resource", Value::str(resource), owner);
                }
                let arguments = self.recorded(&request.arguments, call);
                draft = draft.beside("arguments", arguments, owner).beside(
                    "request",
                    Value::bytes(&digest),
                    owner,
                );
            }
            Err(_) if crate::request::ToolName::parse(call.tool).is_ok() => {
                draft = draft.with("tool", Value::str(call.tool));
            }
            Err(_) => {
                draft = draft.with("tool", Value::str("")).beside(
                    "tool",
                    Value::str(cut(call.tool, MAX_TEXT)),
                    owner,
                );
            }
        }
        if decision.effect != Effect::Allow {
            draft = draft.beside("detail", detail(&decision.reasons), owner);
        }
        if !Slot::fits(&draft) {
            // The bounds above leave room; should they ever not, the entry itself must stand.
            draft.beside.retain(|beside| beside.field == "request");
        }
        draft
    }

    fn request_digest(
        &self,
        bound: Option<&Bound>,
        request: &Request,
        resource: Option<&str>,
    ) -> Digest {
        let grant = bound.map_or([0; 32], |bound| bound.chain.leaf().digest);
        let mut arguments = Vec::with_capacity(128);
        for (name, value) in request.arguments.iter() {
            Value::str(name).encode_into(&mut arguments);
            value.encode_into(&mut arguments);
        }
        self.ring.request_digest(&[
            &grant,
            request.tool.as_str().as_bytes(),
            resource.unwrap_or_default().as_bytes(),
            &arguments,
        ])
    }

    /// Arguments as they are recorded: `[how, …]` by name.
    fn recorded(&self, arguments: &Map, call: &Call<'_>) -> Value {
        let mut recorded = Map::new();
        let mut room = 3 * MAX_RECORDED;
        let mut left_out = 0;
        for (name, value) in arguments.iter() {
            // Room is counted as it is taken up in a block.
            let around = size_of_text(cut(name, 256)) + 128;
            if around > room {
                left_out += 1;
                continue;
            }
            room -= around;
            let word = Value::str(value.type_word());
            let item = match call.masking.how(name) {
                Recorded::Mask => vec![Value::str("mask"), word],
                Recorded::Digest => {
                    let digest = self.ring.request_digest(&[name.as_bytes(), &value.encode()]);
                    vec![Value::str("digest"), word, Value::bytes(&digest)]
                }
                Recorded::Keep => {
                    let value = call.masking.veil(name, value);
                    let spent = size_of(&value);
                    if spent > MAX_RECORDED.min(room) {
                        let bytes = value.encode();
                        let digest = self.ring.request_digest(&[name.as_bytes(), &bytes]);
                        let size = Value::int(i64::try_from(bytes.len()).unwrap_or(i64::MAX));
                        vec![Value::str("large"), word, size, Value::bytes(&digest)]
                    } else {
                        room -= spent;
                        vec![Value::str("keep"), value.into_owned()]
                    }
                }
            };
            recorded.insert(cut(name, 256), Value::List(item));
        }
        for (name, word) in call.by_type {
            let around = size_of_text(cut(name, 256)) + size_of_text(cut(word, 256)) + 128;
            if around > room {
                left_out += 1;
                continue;
            }
            room -= around;
            let item = vec![Value::str("type"), Value::str(cut(word, 256))];
            recorded.insert(cut(name, 256), Value::List(item));
        }
        if left_out > 0 {
            // The request's digest covers them all the same.
            recorded.insert("", Value::List(vec![Value::str("left_out"), Value::int(left_out)]));
        }
        Value::Map(recorded)
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
        let standing = Standing::of(&under.chain, &*self.state.read());
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
        draft = match outcome {
            Outcome::Returned(result) => {
                let (item, word) = match result {
                    Ok(value) => {
                        if size_of(value) > MAX_RECORDED {
                            let size = i64::try_from(value.encode().len()).unwrap_or(i64::MAX);
                            let size = Value::int(size);
                            (vec![Value::str("large"), size], value.type_word())
                        } else {
                            (vec![Value::str("keep"), value.clone()], value.type_word())
                        }
                    }
                    Err(word) => (vec![Value::str("type")], cut(word, 256)),
                };
                draft.with("status", Part::Word("returned")).with("type", Value::str(word)).beside(
                    "result",
                    Value::List(item),
                    owner,
                )
            }
            Outcome::Raised(word, text) => draft
                .with("status", Part::Word("raised"))
                .with("type", Value::str(cut(word, 256)))
                .beside("error", Value::str(cut(text, MAX_TEXT)), owner),
        };
        let ((), ticket) = self.recorder.sequence(|slot: &mut Slot<'_>| {
            slot.push(draft, Vec::new());
            Ok::<(), StoreError>(())
        })?;
        Ok(ticket.upto)
    }
}

/// The reason for the limit that was used up.
fn used_up(
    reached: Option<&MeterId>,
    draws: &[crate::authorizer::Draw],
    call: &Call<'_>,
) -> Reason {
    let found = call.bound.zip(reached).and_then(|(bound, id)| {
        let draw = draws.iter().find(|draw| {
            let hop = bound.chain.hops().get(draw.hop);
            hop.is_some_and(|hop| hop.digest == id.grant)
                && draw.limit == usize::from(id.limit)
                && draw.capability.map_or(u16::MAX, |place| place as u16) == id.capability
        })?;
        Some(limit_reason(draw, limit_of(&bound.chain, draw)?))
    });
    found.unwrap_or_else(|| Reason::new(code::LIMIT_REACHED, "a limit is used up"))
}

/// What an allowed call needs of each limit; a deny where a limit cannot be counted.
fn needs(call: &Call<'_>, judgement: Judgement) -> (Judgement, Vec<(MeterId, Need)>) {
    let mut needs = Vec::with_capacity(judgement.draws.len());
    let (Some(bound), Ok(request)) = (call.bound, &call.request) else {
        return (judgement, needs);
    };
    for draw in &judgement.draws {
        let of = bound.chain.hops().get(draw.hop).zip(limit_of(&bound.chain, draw));
        let Some((hop, limit)) = of else {
            // A limit that is not found must never be passed over.
            return (Judgement::deny(uncountable(draw.hop, "it is not there")), Vec::new());
        };
        let need = match limit {
            Limit::Calls(max) => Need::Call { max: max.get() },
            Limit::Rate { calls, per_us } => Need::Rate {
                max: calls.get(),
                per: i64::try_from(per_us.get()).unwrap_or(i64::MAX),
            },
            Limit::Total(total) => {
                let name = total.argument();
                match (argument_at(&request.arguments, name), draw.capability) {
                    (Some(amount), _) => {
                        let zero = Value::int(0);
                        if !compare_numbers(amount, &zero).is_some_and(std::cmp::Ordering::is_ge) {
                            let why = format!("`{name}` is no number from zero up");
                            return (Judgement::deny(uncountable(draw.hop, &why)), Vec::new());
                        }
                        Need::Amount { amount: amount.clone(), max: total.max().clone() }
                    }
                    // Over a whole grant, a tool without the argument adds nothing to the total.
                    (None, None) => continue,
                    (None, Some(_)) => {
                        let why = format!("`{name}` is missing");
                        return (Judgement::deny(uncountable(draw.hop, &why)), Vec::new());
                    }
                }
            }
        };
        let place = |place: usize| u16::try_from(place).unwrap_or(u16::MAX);
        let capability = draw.capability.map_or(u16::MAX, place);
        let id = MeterId { grant: hop.digest, capability, limit: place(draw.limit) };
        needs.push((id, need));
    }
    (judgement, needs)
}

fn uncountable(hop: usize, why: &str) -> Reason {
    Reason::new(code::LIMIT_UNCOUNTABLE, format!("a limit of hop {hop} cannot be counted: {why}"))
        .at(hop)
        .fix("pass the argument that the limit adds up, as a number from zero up")
}

/// An argument, or with dots a field of one.
fn argument_at<'a>(arguments: &'a Map, name: &str) -> Option<&'a Value> {
    if let Some(value) = arguments.get(name) {
        return Some(value);
    }
    let mut parts = name.split('.');
    let mut value = arguments.get(parts.next()?)?;
    for part in parts {
        value = match value {
            Value::Map(map) => map.get(part)?,
            Value::Record(record) => record.fields.get(part)?,
            _ => return None,
        };
    }
    Some(value)
}

fn unrecorded(error: &StoreError) -> Judged {
    let (code, message): (&'static str, Cow<'static, str>) = match error {
        StoreError::Closed | StoreError::Forked => (code::ENGINE_CLOSED, error.to_string().into()),
        other => (code::STORE_UNAVAILABLE, other.to_string().into()),
    };
    Judged {
        decision: Decision::deny(vec![Reason::new(code, message)]),
        entry: None,
        upto: 0,
        must_wait: false,
        cause: Some(error.clone()),
        owner: None,
        under: None,
    }
}

fn no_authority() -> Reason {
    Reason::new(code::NO_AUTHORITY, "no grant is in force here, so no human would answer for it")
        .fix("call it inside `with engine.acting(grant):`")
}

/// A denial's reasons as a value: what the entry tells later.
fn detail(reasons: &[Reason]) -> Value {
    let mut room = MAX_DETAIL;
    let items = reasons.iter().take(16).map(|reason| {
        let mut map = Map::new();
        map.insert("code", Value::str(&reason.code));
        map.insert("message", Value::str(cut(&reason.message, MAX_TEXT / 4)));
        if let Some(hop) = reason.hop {
            map.insert("hop", Value::int(i64::try_from(hop).unwrap_or(i64::MAX)));
        }
        if let Some(allowed) = &reason.allowed {
            map.insert("allowed", Value::str(cut(allowed, MAX_TEXT / 4)));
        }
        if let Some(fix) = &reason.fix {
            map.insert("fix", Value::str(cut(fix, MAX_TEXT / 4)));
        }
        Value::Map(map)
    });
    // The first reason decides, and always fits.
    let items = items.take_while(|item| {
        let spent = size_of(item);
        let fits = spent <= room || room == MAX_DETAIL;
        room = room.saturating_sub(spent);
        fits
    });
    Value::List(items.collect())
}

/// The start of a text, at most so many bytes.
fn cut(text: &str, most: usize) -> &str {
    let mut end = text.len().min(most);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    text.get(..end).unwrap_or_default()
}
