//! What a call draws: of which limits, how much, and what is said where one is used up.

use super::{Call, Engine, EngineError};
use crate::authorizer::{Judgement, limit_of, limit_reason};
use crate::canonical::{Map, Value, compare_numbers};
use crate::decision::{Reason, code};
use crate::recorder::{Drawn, MeterId, Need};
use crate::scope::Limit;
use crate::store::StoreError;
use crate::trail::index::{DRAW_BYTES, Term};

impl Engine {
    /// Reads what was counted of the limits that a call needs, those that are not counted in memory
    /// yet: each is held to the draws that stood in the trail when the store was opened. What was
    /// drawn since was written here.
    ///
    /// # Errors
    /// `Corrupt` where the record is not what the trail says, and the store's.
    pub(super) fn count(
        &self,
        call: &Call<'_>,
        draws: &[(MeterId, Need)],
    ) -> Result<(), StoreError> {
        for (id, need) in draws {
            if self.recorder.counts(id) {
                continue;
            }
            let hops = call.bound.map(|bound| bound.chain.hops()).unwrap_or_default();
            let hop = hops.iter().position(|hop| hop.digest == id.grant);
            let made = hop.and_then(|hop| call.bound?.chain.made(hop));
            let drawn = match made {
                // Made since: nothing was drawn on it before.
                Some(place) if place >= self.began => {
                    Drawn { size: self.began, ..Drawn::default() }
                }
                _ => self.drawn_before(id, need).map_err(|error| match error {
                    EngineError::Store(error) => error,
                    other => StoreError::Unavailable { what: other.to_string() },
                })?,
            };
            self.recorder.count(id, need, &drawn)?;
        }
        Ok(())
    }

    /// The decisions that drew on a limit before the store was opened, by the index.
    fn drawn_before(&self, id: &MeterId, need: &Need) -> Result<Drawn, EngineError> {
        let term = Term::drawn(&id.grant, &id.place());
        let timed = matches!(need, Need::Rate { .. });
        let mut drawn = Drawn { size: self.began, ..Drawn::default() };
        self.library.index_up_to(self.began)?;
        let mut next = 0;
        while next < self.began {
            let found = self.library.look(next, &mut |stretch| {
                let offsets = stretch.find(&term)?;
                let mut times = Vec::new();
                if timed && !offsets.is_empty() {
                    let all = stretch.times()?;
                    times.extend(offsets.iter().filter_map(|at| all.get(*at as usize).copied()));
                }
                Ok((stretch.first(), stretch.end(), offsets, times))
            })?;
            let Some((first, end, offsets, times)) = found else {
                let what = format!("entry {next} of the trail is not in its index");
                return Err(StoreError::Corrupt { what }.into());
            };
            let places = offsets.into_iter().map(|offset| first + u64::from(offset));
            drawn.places.extend(places);
            drawn.times.extend(times);
            next = end;
        }
        let before = drawn.places.partition_point(|place| *place < self.began);
        drawn.places.truncate(before);
        drawn.times.truncate(before);
        Ok(drawn)
    }
}

/// The limits that a call drew on, as its entry names them.
pub(super) fn drawn(draws: &[(MeterId, Need)], call: &Call<'_>) -> Value {
    let hops = call.bound.map(|bound| bound.chain.hops()).unwrap_or_default();
    let mut bytes = Vec::with_capacity(draws.len() * DRAW_BYTES);
    for (id, _) in draws {
        let hop = hops.iter().position(|hop| hop.digest == id.grant);
        if let Some(hop) = hop.and_then(|hop| u8::try_from(hop).ok()) {
            bytes.push(hop);
            bytes.extend(id.place());
        }
    }
    Value::bytes(&bytes)
}

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
