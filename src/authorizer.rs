//! The authorizer: pure judgement. Chain, state as it bears on the chain, request and time in;
//! decision and the limits to draw on out. It reads nothing and changes nothing.

mod policies;

use std::sync::Arc;

pub(crate) use policies::masks;
pub use policies::{Fit, Governed, Governing, Rules, Say, answered_wrongly, unreadable};

use crate::canonical::Digest;
use crate::chain::Chain;
use crate::clock::render_seconds;
use crate::decision::{Decision, Effect, Reason, code};
use crate::keys::PublicKey;
use crate::principal::{AgentId, HumanId, Overlap, Status, TaskId};
use crate::request::{Request, ToolName, shorten};
use crate::scope::{Limit, Refusal, RefusalCode, Scope, ToolPattern};

/// How far a grant's start may lie ahead of the clock, in microseconds.
const SKEW: i64 = 30 * crate::clock::MICROS;

/// What the authorizer asks of the registry.
pub trait Facts {
    /// An agent, if it is known.
    fn agent(&self, id: &AgentId) -> Option<AgentFacts<'_>>;
    /// A human, if they are known.
    fn human(&self, id: &HumanId) -> Option<HumanFacts<'_>>;
    /// Whether a grant was revoked.
    fn is_revoked(&self, digest: &Digest) -> bool;
    /// Whether a task has ended.
    fn is_ended(&self, task: &TaskId) -> bool;
    /// Until when root grants by a key of the authority hold, by the key's id; `None` if it is none.
    fn root_key_until(&self, id: &str) -> Option<i64>;
    /// Whether everything is halted.
    fn all_halted(&self) -> bool;
    /// Whether whatever a human owns, and is done for them, is halted.
    fn owner_halted(&self, human: &HumanId) -> bool;
    /// The patterns of the tools that are halted.
    fn halted_tools(&self) -> Arc<[ToolPattern]>;
    /// What governs the calls under a chain beside its scopes; with the task's sentence, where it is
    /// known.
    fn governed(&self, chain: &Chain, sentence: Option<&str>) -> Governed;
}

/// What matters of an agent.
#[derive(Debug, Clone, Copy)]
pub struct AgentFacts<'a> {
    /// Its name.
    pub name: &'a str,
    /// The state of its life.
    pub status: Status,
    /// When its term ends, in microseconds.
    pub expires_at: i64,
    /// The key registered for it.
    pub key: PublicKey,
    /// The place of the entry with which this engine made that key, if it did.
    pub key_made: Option<u64>,
    /// The keys before it that are still honoured, and until when.
    pub overlaps: &'a [Overlap],
    /// All that it held up to this place of the trail was revoked.
    pub cut: Option<u64>,
    /// Whether its owner has left.
    pub owner_left: bool,
    /// Whether it is halted.
    pub halted: bool,
    /// Whether its owner's agents are halted.
    pub owner_halted: bool,
    /// The widest scope it may be granted.
    pub ceiling: &'a Scope,
}

/// What matters of a human.
#[derive(Debug, Clone, Copy)]
pub struct HumanFacts<'a> {
    /// What people call them.
    pub name: &'a str,
    /// Whether they have left.
    pub offboarded: bool,
    /// All that was granted for them up to this place of the trail was revoked.
    pub cut: Option<u64>,
}

/// What a denial must not show of a call.
pub trait Veil {
    /// Whether the value of an argument, with dots of a field, must not be shown.
    fn hides(&self, name: &str) -> bool;
    /// Whether the keys of an argument, with dots of a field, must not be shown either.
    fn hides_keys(&self, holder: &str) -> bool;
}

/// One answer for values and keys.
impl<F: Fn(&str) -> bool> Veil for F {
    fn hides(&self, name: &str) -> bool {
        self(name)
    }

    fn hides_keys(&self, holder: &str) -> bool {
        self(holder)
    }
}

/// The state as it bears on one chain: good for every call until the state changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Standing {
    /// What speaks against the chain whatever is asked.
    faults: Vec<Reason>,
    /// From when all its grants hold, in microseconds.
    from: i64,
    /// Until when all its grants and agents hold, in microseconds.
    until: i64,
    /// What each hop's agent is called, for the reasons; its id where it is not known.
    names: Vec<String>,
    /// When each known agent ends, by hop.
    terms: Vec<(usize, i64)>,
    /// When each replaced key that is still honoured ends, by hop.
    overlaps: Vec<(usize, i64)>,
    /// Until when root grants by the key that signed this chain's hold.
    root_until: i64,
    /// The tools that are halted.
    halted: Arc<[ToolPattern]>,
    /// What governs its calls beside its scopes.
    governed: Governed,
}

/// A limit that an allowed call draws on: hop, capability (`None`: the grant as a whole), limit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Draw {
    /// The hop, 0 at the root.
    pub hop: usize,
    /// The capability's place in the hop's scope.
    pub capability: Option<usize>,
    /// The limit's place in its list.
    pub limit: usize,
}

/// A decision, and what it draws on if it allows.
#[derive(Debug, Clone, PartialEq)]
pub struct Judgement {
    /// The decision.
    pub decision: Decision,
    /// The limits, of every hop. Reserved by the recorder, under the sequencing lock.
    pub draws: Vec<Draw>,
}

impl Standing {
    /// What governs the chain's calls beside its scopes.
    #[must_use]
    pub fn governed(&self) -> &Governed {
        &self.governed
    }

    /// What the state says of a chain; with its task's sentence, where it is known.
    #[must_use]
    pub fn of(chain: &Chain, facts: &dyn Facts, sentence: Option<&str>) -> Self {
        let root = &chain.root().payload;
        let mut faults = Vec::new();
        let root_until = facts.root_key_until(chain.root_key_id());
        if root_until.is_none() {
            faults.push(
                Reason::new(
                    code::UNKNOWN_AUTHORITY,
                    "the root grant was not signed by a key of this engine's authority",
                )
                .fix("ask this engine's authority for a grant"),
            );
        }
        if facts.all_halted() {
            faults.push(halted("everything is halted"));
        }
        if facts.owner_halted(&root.human) {
            faults.push(halted("whatever is done for this human is halted"));
        }
        match facts.human(&root.human) {
            None => faults.push(
                Reason::new(code::UNKNOWN_HUMAN, "the human of the chain is not registered here")
                    .fix("register the human and grant anew"),
            ),
            Some(human) if human.offboarded => faults.push(
                Reason::new(code::HUMAN_OFFBOARDED, format!("{} has left", human.name))
                    .fix("ask a human who is here for a grant"),
            ),
            Some(human) if ended(human.cut, chain.made(0)) => faults.push(
                Reason::new(
                    code::REVOKED,
                    format!("whatever had been granted for {} was revoked", human.name),
                )
                .fix("ask for a new grant"),
            ),
            Some(_) => {}
        }
        if facts.is_ended(&root.task.id) {
            faults.push(
                Reason::new(code::TASK_ENDED, "the task of the chain has ended")
                    .fix("ask for a grant for a new task"),
            );
        }
        let mut standing = Self {
            faults,
            from: i64::MIN,
            until: root_until.unwrap_or(i64::MAX),
            names: Vec::new(),
            terms: Vec::new(),
            overlaps: Vec::new(),
            root_until: root_until.unwrap_or(i64::MAX),
            halted: facts.halted_tools(),
            governed: facts.governed(chain, sentence),
        };
        for (hop, grant) in chain.hops().iter().enumerate() {
            standing.from = standing.from.max(grant.payload.iat);
            standing.until = standing.until.min(grant.payload.exp);
            let agent = facts.agent(&grant.payload.holder.agent);
            let id = || grant.payload.holder.agent.to_string();
            standing.names.push(agent.map_or_else(id, |agent| shorten(agent.name, 60)));
            if facts.is_revoked(&grant.digest) {
                let message = format!("the grant of `{}` was revoked", standing.name(hop));
                standing
                    .faults
                    .push(Reason::new(code::REVOKED, message).at(hop).fix("ask for a new grant"));
            }
            standing.add_agent(hop, grant, chain.made(hop), agent);
        }
        standing
    }

    /// What a hop's agent is called.
    fn name(&self, hop: usize) -> &str {
        self.names.get(hop).map_or("", String::as_str)
    }

    fn add_agent(
        &mut self,
        hop: usize,
        grant: &crate::grant::Grant,
        made: Option<u64>,
        agent: Option<AgentFacts<'_>>,
    ) {
        let holder = &grant.payload.holder;
        let Some(agent) = agent else {
            self.faults.push(
                Reason::new(
                    code::UNKNOWN_AGENT,
                    format!("the agent {} is not registered here", holder.agent),
                )
                .at(hop)
                .fix("issue the agent with engine.agents.issue and grant to it"),
            );
            return;
        };
        self.until = self.until.min(agent.expires_at);
        self.terms.push((hop, agent.expires_at));
        let name = self.name(hop).to_owned();
        if agent.halted {
            self.faults.push(halted(&format!("the agent `{name}` is halted")).at(hop));
        }
        if agent.owner_halted {
            let text = format!("the agents of the owner of `{name}` are halted");
            self.faults.push(halted(&text).at(hop));
        }
        // Before its status: nobody can resume what belongs to nobody.
        if agent.owner_left {
            self.faults.push(
                Reason::new(
                    code::OWNER_OFFBOARDED,
                    format!("the owner of the agent `{name}` has left"),
                )
                .at(hop)
                .fix("transfer the agent to an owner who is here"),
            );
        }
        match agent.status {
            Status::Active => {}
            Status::Suspended => self.faults.push(
                Reason::new(code::AGENT_SUSPENDED, format!("the agent `{name}` is suspended"))
                    .at(hop)
                    .fix("resume the agent"),
            ),
            Status::Retired => self.faults.push(
                Reason::new(code::AGENT_RETIRED, format!("the agent `{name}` is retired"))
                    .at(hop)
                    .fix("issue another agent and grant to it"),
            ),
        }
        let overlap = agent.overlaps.iter().find(|overlap| overlap.key == holder.key);
        // A grant cannot be older than the key that it names.
        let key_made = match overlap {
            Some(overlap) => overlap.made,
            None => agent.key_made.filter(|_| agent.key == holder.key),
        };
        if ended(agent.cut, made.max(key_made)) {
            self.faults.push(
                Reason::new(
                    code::REVOKED,
                    format!(
                        "whatever the agent `{name}` had been granted was revoked, and nothing shows that this grant is newer"
                    ),
                )
                .at(hop)
                .fix("ask for a new grant, made or delegated by this engine"),
            );
        }
        if let Some(overlap) = overlap {
            self.until = self.until.min(overlap.until);
            self.overlaps.push((hop, overlap.until));
        } else if agent.key != holder.key {
            self.faults.push(
                Reason::new(
                    code::HOLDER_KEY_UNKNOWN,
                    format!("the grant of `{name}` names a key that is not the agent's"),
                )
                .at(hop)
                .fix("grant anew, to the agent's present key"),
            );
        }
        if let Err(beyond) = grant.payload.scope.within_ceiling(agent.ceiling) {
            self.faults.push(
                Reason::new(
                    code::BEYOND_CEILING,
                    format!("the grant of `{name}` reaches beyond its ceiling: {beyond}"),
                )
                .at(hop)
                .fix("grant within the agent's ceiling"),
            );
        }
    }

    /// What speaks against the chain at a time, whatever is asked.
    #[must_use]
    pub fn faults(&self, chain: &Chain, now: i64) -> Vec<Reason> {
        let mut faults = self.faults.clone();
        if now >= self.from.saturating_sub(SKEW) && now < self.until {
            return faults;
        }
        // Before the grants, which end with it: to an agent whose term is over none can be made.
        for &(hop, expires_at) in &self.terms {
            if now >= expires_at {
                let until = render_seconds(expires_at).unwrap_or_default();
                let name = self.name(hop);
                faults.push(
                    Reason::new(
                        code::AGENT_EXPIRED,
                        format!("the term of the agent `{name}` ended at {until}"),
                    )
                    .at(hop)
                    .fix("issue another agent and grant to it"),
                );
            }
        }
        for (hop, grant) in chain.hops().iter().enumerate() {
            let payload = &grant.payload;
            let shown = |micros| render_seconds(micros).unwrap_or_default();
            if now < payload.iat.saturating_sub(SKEW) {
                let from = shown(payload.iat);
                faults.push(
                    Reason::new(
                        code::NOT_YET_VALID,
                        format!("the grant of `{}` starts at {from}", self.name(hop)),
                    )
                    .at(hop)
                    .fix("wait until then, or set the clock right"),
                );
            }
            if now >= payload.exp {
                let until = shown(payload.exp);
                faults.push(
                    Reason::new(
                        code::EXPIRED,
                        format!("the grant of `{}` expired at {until}", self.name(hop)),
                    )
                    .at(hop)
                    .fix("ask for a new grant"),
                );
            }
        }
        if now >= self.root_until {
            let until = render_seconds(self.root_until).unwrap_or_default();
            faults.push(
                Reason::new(
                    code::UNKNOWN_AUTHORITY,
                    format!(
                        "the authority's key that signed the root grant was replaced, and honoured until {until}"
                    ),
                )
                .fix("ask for a new grant"),
            );
        }
        for &(hop, until) in &self.overlaps {
            if now >= until {
                let until = render_seconds(until).unwrap_or_default();
                let name = self.name(hop);
                faults.push(
                    Reason::new(
                        code::HOLDER_KEY_UNKNOWN,
                        format!(
                            "the grant of `{name}` names a key that was replaced, and honoured until {until}"
                        ),
                    )
                    .at(hop)
                    .fix("grant anew, to the agent's present key"),
                );
            }
        }
        faults
    }

    /// What speaks against a tool by its name alone.
    fn tool_halted(&self, tool: &ToolName) -> Option<Reason> {
        let pattern = self.halted.iter().find(|pattern| pattern.matches(tool))?;
        Some(halted(&format!("the tools `{}` are halted", pattern.as_str())))
    }

    /// What speaks against a call that was allowed, now.
    #[must_use]
    pub fn against(&self, chain: &Chain, tool: &ToolName, now: i64) -> Option<Reason> {
        let ended =
            if self.is_good(now) { None } else { self.faults(chain, now).into_iter().next() };
        ended.or_else(|| self.tool_halted(tool))
    }

    fn is_good(&self, now: i64) -> bool {
        self.faults.is_empty() && now >= self.from.saturating_sub(SKEW) && now < self.until
    }
}

/// Judges a request under a chain: chain live, everybody on it active, scope covers, policies. All
/// reasons are listed, the first decides. `say` is what the policies say of the request, asked
/// beforehand because they have a say in what is masked.
#[must_use]
pub fn authorize(
    chain: &Chain,
    standing: &Standing,
    request: &Request,
    say: Option<&Say<'_>>,
    veil: &dyn Veil,
    now: i64,
) -> Judgement {
    let mut reasons = if standing.is_good(now) { Vec::new() } else { standing.faults(chain, now) };
    if !standing.halted.is_empty()
        && let Some(reason) = standing.tool_halted(&request.tool)
    {
        reasons.insert(0, reason);
    }
    let mut draws = Vec::new();
    for (hop, grant) in chain.hops().iter().enumerate() {
        let payload = &grant.payload;
        match payload.scope.covers(request) {
            Ok(place) => {
                let capability = payload.scope.capabilities().get(place);
                let limits = capability.map_or(&[][..], |capability| capability.limits());
                draws.extend((0..limits.len()).map(|limit| Draw {
                    hop,
                    capability: Some(place),
                    limit,
                }));
                draws.extend((0..payload.limits.len()).map(|limit| Draw {
                    hop,
                    capability: None,
                    limit,
                }));
            }
            Err(refusal) => reasons.push(reason_of(&refusal, hop, chain, standing, veil)),
        }
    }
    // The hop that narrowed it away is the first from the root that does not cover the request.
    match (&standing.governed, say) {
        (Governed::Free, _) => {}
        (Governed::By(_), Some(say)) => reasons.extend(say.reasons(&|name| veil.hides(name))),
        // INVARIANT: policies in force that were not asked never allow.
        (Governed::By(_), None) => reasons.push(policies::unreadable("they were not asked")),
        (Governed::Unreadable(_, why), _) => reasons.push(policies::unreadable(why)),
    }
    let mut judgement = if !reasons.is_empty() {
        Judgement { decision: Decision::deny(reasons), draws: Vec::new() }
    } else if let Some(question) = say.and_then(Say::asks) {
        // Everything else allows: a human's yes is all that is missing.
        Judgement { decision: Decision::ask(vec![question]), draws }
    } else {
        Judgement { decision: Decision::allow(), draws }
    };
    let decision = &mut judgement.decision;
    if let Some(version) = standing.governed.version() {
        decision.policy_version = version.to_string().into();
    }
    if let Some(say) = say {
        (decision.policies, decision.policy_errors) = (say.deciding(), say.erring());
    }
    judgement
}

/// Whether something that is known to have been made at a place, or not known when, is ended by a
/// revocation of all that was made up to another. What a grant says of its own start counts for
/// nothing here: its signer may state any.
fn ended(cut: Option<u64>, made: Option<u64>) -> bool {
    cut.is_some_and(|cut| made.is_none_or(|made| made <= cut))
}

fn halted(what: &str) -> Reason {
    Reason::new(code::HALTED, what).fix("ask an operator to lift the halt with engine.unhalt")
}

fn reason_of(
    refusal: &Refusal,
    hop: usize,
    chain: &Chain,
    standing: &Standing,
    veil: &dyn Veil,
) -> Reason {
    let mut refusal = refusal.clone();
    let shows_values =
        !matches!(refusal.code, RefusalCode::ArgumentNotNamed | RefusalCode::DottedKey);
    if let Some(name) = refusal.argument.clone()
        && shows_values
        && veil.hides(&name)
    {
        // What is allowed for a secret may be the secret itself.
        refusal = refusal.masked();
        refusal.allowed = "(masked)".into();
        refusal.fix = format!("give `{name}` as the grant says").into();
    }
    if let Some(holder) = refusal.holder.clone()
        && veil.hides_keys(&holder)
    {
        refusal = refusal.without_key();
    }
    let text = format!("{refusal} (grant of `{}`)", standing.name(hop));
    let reason =
        Reason::new(refusal.code.as_str(), text).at(hop).allowing(refusal.allowed.to_string());
    let fix = &refusal.fix;
    let fix = match hop {
        _ if hop + 1 == chain.hops().len() => fix.to_string(),
        0 => format!("{fix}; only the human can grant more"),
        _ => format!("{fix}; only `{}` can delegate more", standing.name(hop - 1)),
    };
    reason.fix(fix)
}

/// The limit that a draw names.
#[must_use]
pub fn limit_of<'a>(chain: &'a Chain, draw: &Draw) -> Option<&'a Limit> {
    let payload = &chain.hops().get(draw.hop)?.payload;
    match draw.capability {
        Some(place) => payload.scope.capabilities().get(place)?.limits().get(draw.limit),
        None => payload.limits.get(draw.limit),
    }
}

/// The reason for a limit that is used up.
#[must_use]
pub fn limit_reason(draw: &Draw, limit: &Limit) -> Reason {
    let hop = draw.hop;
    Reason::new(code::LIMIT_REACHED, format!("the limit of {limit} is used up"))
        .at(hop)
        .allowing(limit.to_string())
        .fix("ask for a grant with a higher limit")
}

impl Judgement {
    /// A deny for one reason.
    #[must_use]
    pub fn deny(reason: Reason) -> Self {
        Self { decision: Decision::deny(vec![reason]), draws: Vec::new() }
    }

    /// An allow that a human has to confirm first, with what it draws; a deny stays one.
    #[must_use]
    pub fn asking(self, reason: Reason) -> Self {
        if self.decision.effect == Effect::Deny {
            return self;
        }
        let version = self.decision.policy_version.clone();
        let decision = Decision { policy_version: version, ..Decision::ask(vec![reason]) };
        Self { decision, draws: self.draws }
    }

    /// Whether it allows.
    #[must_use]
    pub fn is_allow(&self) -> bool {
        self.decision.effect == Effect::Allow
    }
}
