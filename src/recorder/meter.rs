//! Meters: what limits have counted so far. They are drawn on under the sequencing lock, before the
//! call runs, all of them or none, and lie in the store in the same atomic write as the decision.

use std::cmp::Ordering as Order;
use std::collections::VecDeque;

use super::keyspace;
use crate::canonical::{Decimal, Digest, Value, add_numbers, compare_numbers, decode};
use crate::store::StoreError;

/// How many times of calls a rate remembers one by one; beyond it counts by slices of the window.
const EXACT_TIMES: u64 = 256;
/// Into how many slices the window of a larger rate is cut.
const SLICES: i64 = 256;

/// Which limit: the grant, the capability and the limit's place.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct MeterId {
    /// The grant's digest.
    pub grant: Digest,
    /// The capability's place in the scope; `u16::MAX` for the grant as a whole.
    pub capability: u16,
    /// The limit's place in its list.
    pub limit: u16,
}

impl MeterId {
    /// Where it stands, as a leaf names it behind the hop.
    #[must_use]
    pub fn place(&self) -> [u8; 4] {
        let ([a, b], [c, d]) = (self.capability.to_be_bytes(), self.limit.to_be_bytes());
        [a, b, c, d]
    }

    /// The meter's key in the store.
    #[must_use]
    pub fn key(&self) -> Vec<u8> {
        let mut key = keyspace::COUNTER.to_vec();
        key.extend_from_slice(&self.grant);
        key.extend_from_slice(&self.capability.to_be_bytes());
        key.extend_from_slice(&self.limit.to_be_bytes());
        key
    }
}

/// The decisions that the trail says drew on a limit before the store was opened.
#[derive(Debug, Clone, Default)]
pub struct Drawn {
    /// Their places, ascending.
    pub places: Vec<u64>,
    /// When they were made, where that matters: for a rate.
    pub times: Vec<i64>,
    /// How many entries there were then.
    pub size: u64,
}

/// Makes the keyed digest that a total is written with.
pub(super) type Tagger<'a> = &'a dyn Fn(&[&[u8]]) -> Digest;

/// How many bytes follow a total's value: the place of the entry that drew last, and the digest.
const STAMP: usize = 8 + 32;

/// What one call needs of one limit.
#[derive(Debug, Clone, PartialEq)]
pub enum Need {
    /// One of so many calls.
    Call {
        /// How many there are in all.
        max: u64,
    },
    /// One of so many calls in any window.
    Rate {
        /// How many in a window.
        max: u64,
        /// The window, in microseconds.
        per: i64,
    },
    /// An amount of a total.
    Amount {
        /// The amount: a number not below zero.
        amount: Value,
        /// How much there is in all.
        max: Value,
    },
}

/// What was counted, as it lies in the store.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Meter {
    /// Calls so far, and how far they may grow without another write.
    Calls { used: u64, reserved: u64 },
    /// Slices of time, oldest first: their start and how many calls.
    Times(VecDeque<(i64, u64)>),
    /// The exact sum.
    Sum(Decimal),
}

impl Meter {
    /// A meter from what the store has of it, held to what the trail says of it: a record that is
    /// gone, or an older one, is damage.
    pub(super) fn open(
        id: &MeterId,
        need: &Need,
        stored: Option<Vec<u8>>,
        drawn: &Drawn,
        (now, tagger): (i64, Tagger<'_>),
    ) -> Result<Self, StoreError> {
        let differs = |what: &str| {
            let grant = data_encoding::HEXLOWER.encode(&id.grant);
            let newest = drawn.places.last().map(|place| format!("; entry {place} drew last"));
            let newest = newest.unwrap_or_default();
            let what = format!(
                "what was counted of a limit of the grant {grant} is not what the trail says: {what}{newest}"
            );
            StoreError::Corrupt { what }
        };
        let mut last = None;
        let stored = match (need, stored) {
            // Before places were kept with totals there was the value alone.
            (Need::Amount { .. }, Some(bytes)) if decode(&bytes).is_err() => {
                let place = stamped(id, &bytes, tagger);
                let (value, place) = place.ok_or_else(|| differs("it was not written here"))?;
                last = Some(place);
                Some(value.to_vec())
            }
            (_, stored) => stored,
        };
        let meter = Self::load(need, stored)?;
        let agrees = match (&meter, need) {
            (Self::Calls { used, .. }, _) => *used >= drawn.places.len() as u64,
            (Self::Times(slices), Need::Rate { max, per }) => {
                let (since, width) = (now.saturating_sub(*per), slice_width(*max, *per));
                let inside = drawn.times.iter().rev().take_while(|at| **at > since);
                (1..).zip(inside).all(|(count, at)| {
                    // A slice counts for as long as its end does.
                    let ends = slices.iter().filter(|(start, _)| start + (width - 1) >= *at);
                    ends.map(|(_, calls)| *calls).sum::<u64>() >= count
                })
            }
            (Self::Sum(_), _) => match last {
                Some(place) if place >= drawn.size => true,
                last => last == drawn.places.last().copied(),
            },
            _ => false,
        };
        if agrees { Ok(meter) } else { Err(differs("it counts less, or is gone")) }
    }

    /// What is written of a meter that a decision at this place drew on.
    pub(super) fn stamp(id: &MeterId, value: Vec<u8>, place: u64, tagger: Tagger<'_>) -> Vec<u8> {
        let place = place.to_be_bytes();
        let tag = tagger(&[&id.key(), &value, &place]);
        [value.as_slice(), &place, &tag].concat()
    }

    /// A meter from what the store has of it.
    pub(super) fn load(need: &Need, stored: Option<Vec<u8>>) -> Result<Self, StoreError> {
        let corrupt = || StoreError::Corrupt { what: "the meter of a limit".to_owned() };
        match need {
            Need::Call { .. } => {
                let used = match stored {
                    Some(bytes) => u64::from_be_bytes(bytes.try_into().map_err(|_| corrupt())?),
                    None => 0,
                };
                Ok(Self::Calls { used, reserved: used })
            }
            Need::Rate { .. } => {
                let Some(bytes) = stored else { return Ok(Self::Times(VecDeque::new())) };
                let value = decode(&bytes).map_err(|_| corrupt())?;
                let slices = value.as_list().ok_or_else(corrupt)?.iter().map(|slice| {
                    let (at, count) = match slice.as_list()? {
                        [Value::Datetime(at), count] => (*at, count.as_i64()?),
                        _ => return None,
                    };
                    Some((at, u64::try_from(count).ok()?))
                });
                let slices: Option<VecDeque<_>> = slices.collect();
                slices.map(Self::Times).ok_or_else(corrupt)
            }
            Need::Amount { .. } => {
                let Some(bytes) = stored else {
                    return Ok(Self::Sum(Decimal::new(false, "0", 0).map_err(|_| corrupt())?));
                };
                match decode(&bytes) {
                    Ok(Value::Decimal(sum)) => Ok(Self::Sum(sum)),
                    _ => Err(corrupt()),
                }
            }
        }
    }

    /// Whether there is enough left at a time.
    pub(super) fn has(&self, need: &Need, at: i64) -> bool {
        match (self, need) {
            (Self::Calls { used, .. }, Need::Call { max }) => used < max,
            (Self::Times(slices), Need::Rate { max, per }) => {
                // A slice counts until all of it is out of the window: never one call too many.
                let since = at.saturating_sub(*per);
                let width = slice_width(*max, *per);
                let inside =
                    slices.iter().filter(|(start, _)| start.saturating_add(width - 1) > since);
                inside.map(|(_, count)| *count).sum::<u64>() < *max
            }
            (Self::Sum(sum), Need::Amount { amount, max }) => {
                let next = add_numbers(&Value::Decimal(sum.clone()), amount);
                next.is_some_and(|next| {
                    compare_numbers(&Value::Decimal(next), max).is_some_and(Order::is_le)
                })
            }
            _ => false,
        }
    }

    /// How many calls were used, where more were reserved.
    pub(super) fn unspent(&self) -> Option<u64> {
        match self {
            Self::Calls { used, reserved } if used < reserved => Some(*used),
            _ => None,
        }
    }

    /// Draws what [`Meter::has`]; answers what must be written for it, if anything.
    pub(super) fn draw(&mut self, need: &Need, at: i64, portion: u64) -> Option<Vec<u8>> {
        match (self, need) {
            (Self::Calls { used, reserved }, Need::Call { max }) => {
                *used += 1;
                if *used <= *reserved {
                    return None;
                }
                *reserved = used.saturating_add(portion - 1).min(*max);
                Some(reserved.to_be_bytes().to_vec())
            }
            (Self::Times(slices), Need::Rate { max, per }) => {
                let width = slice_width(*max, *per);
                let since = at.saturating_sub(*per);
                while slices
                    .front()
                    .is_some_and(|(start, _)| start.saturating_add(width - 1) <= since)
                {
                    slices.pop_front();
                }
                match slices.back_mut() {
                    Some((start, count)) if at < start.saturating_add(width) => *count += 1,
                    _ => slices.push_back((at, 1)),
                }
                let slices = slices.iter().map(|(start, count)| {
                    let count = i64::try_from(*count).unwrap_or(i64::MAX);
                    Value::List(vec![Value::Datetime(*start), Value::int(count)])
                });
                Some(Value::List(slices.collect()).encode())
            }
            (Self::Sum(sum), Need::Amount { amount, .. }) => {
                *sum = add_numbers(&Value::Decimal(sum.clone()), amount)?;
                Some(Value::Decimal(sum.clone()).encode())
            }
            _ => None,
        }
    }
}

/// A total and the place of the entry that drew last, if this is what was written of it.
fn stamped<'a>(id: &MeterId, bytes: &'a [u8], tagger: Tagger<'_>) -> Option<(&'a [u8], u64)> {
    let (value, rest) = bytes.split_at_checked(bytes.len().checked_sub(STAMP)?)?;
    let (place, tag) = rest.split_first_chunk::<8>()?;
    let told = tagger(&[&id.key(), value, place]);
    (told.as_slice() == tag).then_some((value, u64::from_be_bytes(*place)))
}

/// How long a slice of a rate's window is, in microseconds.
fn slice_width(max: u64, per: i64) -> i64 {
    if max <= EXACT_TIMES { 1 } else { (per / SLICES).max(1) }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, clippy::expect_used)]

    use proptest::prelude::*;

    use super::*;

    fn amount(text: &str) -> Need {
        Need::Amount { amount: Value::Decimal(Decimal::parse(text).unwrap()), max: Value::int(10) }
    }

    fn through_the_store(meter: &Meter, need: &Need, stored: Option<Vec<u8>>) -> Meter {
        let loaded = Meter::load(need, stored).unwrap();
        if !matches!(meter, Meter::Calls { .. }) {
            assert_eq!(&loaded, meter);
        }
        loaded
    }

    #[test]
    fn a_total_is_exact_and_never_passed() {
        let mut meter = Meter::load(&amount("1"), None).unwrap();
        for _ in 0..99 {
            let need = amount("0.1");
            assert!(meter.has(&need, 0));
            let stored = meter.draw(&need, 0, 1);
            meter = through_the_store(&meter, &need, stored);
        }
        assert!(!meter.has(&amount("0.10000000000000000001"), 0));
        assert!(meter.has(&amount("0.1"), 0));
        meter.draw(&amount("0.1"), 0, 1);
        assert!(meter.has(&amount("0"), 0));
        assert!(!meter.has(&amount("0.000001"), 0));
    }

    #[test]
    fn calls_are_reserved_in_portions() {
        let need = Need::Call { max: 20 };
        let mut meter = Meter::load(&need, None).unwrap();
        let writes = (0..20).filter(|_| {
            assert!(meter.has(&need, 0));
            meter.draw(&need, 0, 16).is_some()
        });
        assert_eq!(writes.count(), 2);
        assert!(!meter.has(&need, 0));
        // What was reserved and not used is lost by a crash, never granted twice.
        assert!(!Meter::load(&need, Some(20u64.to_be_bytes().to_vec())).unwrap().has(&need, 0));
    }

    proptest! {
        #[test]
        fn no_window_holds_more_than_a_rate_allows(
            max in prop_oneof![1u64..6, 250u64..300],
            per in 1i64..2_000,
            gaps in proptest::collection::vec(0i64..60, 1..700),
        ) {
            let need = Need::Rate { max, per };
            let mut meter = Meter::load(&need, None).unwrap();
            let mut at = 1_000_000;
            let mut allowed: Vec<i64> = Vec::new();
            for gap in gaps {
                at += gap;
                let room = allowed.iter().filter(|then| **then > at - per).count() as u64;
                if meter.has(&need, at) {
                    prop_assert!(room < max, "{room} calls in the window already");
                    let stored = meter.draw(&need, at, 1);
                    meter = through_the_store(&meter, &need, stored);
                    allowed.push(at);
                } else if max <= EXACT_TIMES {
                    prop_assert_eq!(room, max, "refused with room left");
                }
            }
        }
    }
}
