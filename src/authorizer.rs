//! The authorizer: pure judgement. Chain, state as it bears on the chain, request and time in;
//! decision and the limits to draw on out. It reads nothing and changes nothing.

mod facts;
mod policies;
mod standing;

pub use facts::{AgentFacts, Facts, HumanFacts, Veil};
pub(crate) use policies::masks;
pub use policies::{Fit, Governed, Governing, Rules, Say, answered_wrongly, unreadable};
pub use standing::Standing;

use crate::chain::Chain;
use crate::decision::{Decision, Effect, Reason, code};
use crate::request::Request;
use crate::scope::{Limit, Refusal, RefusalCode};

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
            // The first from the root that does not cover the request narrowed it away.
            Err(refusal) => reasons.push(reason_of(&refusal, hop, chain, standing, veil)),
        }
    }
    match (&standing.governed, say) {
        (Governed::Free, _) => {}
        (Governed::By(_), Some(say)) => reasons.extend(say.reasons(&|name| veil.hides(name))),
        // INVARIANT: policies in force that were not asked never allow.
        (Governed::By(_), None) => reasons.push(unreadable("they were not asked")),
        (Governed::Unreadable(_, why), _) => reasons.push(unreadable(why)),
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
