//! What a call draws: of which limits, how much, and what is said where one is used up.

use super::Call;
use crate::authorizer::{Judgement, limit_of, limit_reason};
use crate::canonical::{Map, Value, compare_numbers};
use crate::decision::{Reason, code};
use crate::recorder::{MeterId, Need};
use crate::scope::Limit;

/// The reason for the limit that was used up.
pub(super) fn used_up(
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
pub(super) fn needs(call: &Call<'_>, judgement: Judgement) -> (Judgement, Vec<(MeterId, Need)>) {
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
