//! Policies of one scope, sieved by what their conditions ask: where many ask the same of a
//! request, it is asked once; where many compare one value, each with a constant of its own, the
//! constant is looked up.
//!
//! What is passed over is certainly false, and certainly does not fail: a part of a condition
//! decides only once all parts before it are known to hold, or at least not to fail. Where what is
//! asked fails, or is of a kind that it is not asked for, each policy is judged from its start.

mod build;

pub(super) use build::{Builder, Item};

use super::datum::Datum;
use super::evaluate::Machine;
use super::index::{Found, above};
use super::names::{Ent, FastMap};
use super::value::Val;
use super::verdict::Policies;

/// Policies of one scope.
#[derive(Debug, Default)]
pub(super) struct Sieve {
    plain: Box<[Found]>,
    tests: Box<[Test]>,
}

/// What several policies ask first, or next.
#[derive(Debug)]
struct Test {
    /// The code of what they ask.
    asks: (u32, u32),
    then: Then,
    /// The policies, in the order of their bounds if they have such.
    all: Box<[Found]>,
}

/// Which of the policies are left, by what it came to.
#[derive(Debug)]
enum Then {
    /// It must be true, for all of them.
    Holds(Sieve),
    /// It is of this kind, or all of them fail. More is not asked of it here.
    Is(Kind, Sieve),
    /// It must be the constant, or one of the constants.
    Equal(Table),
    /// It must be a set that has the constant.
    Contains(Table),
    /// It must be the entity or lie below it.
    In(FastMap<Ent, Sieve>),
    /// It must be a text that starts so; and how long the starts are.
    Starts(Box<[usize]>, FastMap<Box<str>, Sieve>),
    /// It must stand in this order to the bound; bounds ascend.
    Bound(Kind, Order, Box<[i64]>),
}

/// What has an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Kind {
    Long,
    Decimal,
    Datetime,
    Duration,
}

/// How a value stands to a bound.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Order {
    Below,
    AtMost,
    Above,
    AtLeast,
}

/// By a constant that lies in one piece.
#[derive(Debug, Default)]
struct Table {
    numbers: FastMap<(u8, i64), Sieve>,
    texts: FastMap<Box<str>, Sieve>,
}

impl Sieve {
    /// All policies, each once.
    pub(super) fn all(&self) -> impl Iterator<Item = &Found> {
        self.plain.iter().chain(self.tests.iter().flat_map(|test| &test.all))
    }

    /// Calls `visit` with each policy that can hold or fail: with `false` where all parts before
    /// [`Found::from`] are known to hold, with `true` where it must be judged from its start.
    pub(super) fn sift<'a, 'e, V>(&self, machine: &mut Machine<'a, 'e>, visit: &mut V)
    where
        V: FnMut(&mut Machine<'a, 'e>, &Found, bool),
    {
        for found in &self.plain {
            visit(machine, found, false);
        }
        for test in &self.tests {
            let is_sifted = match machine.value(test.asks) {
                Ok(value) => test.sift(value, machine, visit),
                // Each of them finds it again, and says it in its own words.
                Err(_) => false,
            };
            if !is_sifted {
                for found in &test.all {
                    visit(machine, found, true);
                }
            }
        }
    }
}

impl Test {
    /// Whether the value tells which policies are left.
    fn sift<'a, 'e, V>(&self, value: Val<'a>, machine: &mut Machine<'a, 'e>, visit: &mut V) -> bool
    where
        V: FnMut(&mut Machine<'a, 'e>, &Found, bool),
    {
        match (&self.then, value) {
            (Then::Holds(sieve), Val::Bool(true)) => sieve.sift(machine, visit),
            (Then::Holds(_), Val::Bool(false)) => {}
            (Then::Is(kind, sieve), value) if kind.number(value).is_some() => {
                sieve.sift(machine, visit);
            }
            (Then::Equal(table), value) if is_scalar(value) => {
                if let Some(sieve) = table.get(value) {
                    sieve.sift(machine, visit);
                }
            }
            // A large set is searched for few constants, not walked.
            (Then::Contains(table), Val::Set(items)) if items.len() <= self.all.len() => {
                for sieve in items.iter().filter_map(|item| table.get(Val::of(item))) {
                    sieve.sift(machine, visit);
                }
            }
            (Then::In(by), Val::Entity(entity)) => {
                let mut all = Policies::default();
                all.push(entity);
                above(machine.env(), entity, &mut all);
                for sieve in all.iter().filter_map(|above| by.get(&above.0)) {
                    sieve.sift(machine, visit);
                }
            }
            (Then::Starts(lengths, by), Val::Str(text)) => {
                let starts = lengths.iter().filter_map(|length| text.get(..*length));
                for sieve in starts.filter_map(|start| by.get(start)) {
                    sieve.sift(machine, visit);
                }
            }
            (Then::Bound(kind, order, bounds), value) => {
                let Some(number) = kind.number(value) else { return false };
                let (from, to) = order.range(number, bounds);
                for found in self.all.get(from..to).unwrap_or_default() {
                    visit(machine, found, false);
                }
            }
            _ => return false,
        }
        true
    }
}

impl Kind {
    fn number(self, value: Val<'_>) -> Option<i64> {
        match (self, value) {
            (Self::Long, Val::Long(number))
            | (Self::Decimal, Val::Decimal(number))
            | (Self::Datetime, Val::Datetime(number))
            | (Self::Duration, Val::Duration(number)) => Some(number),
            _ => None,
        }
    }

    fn of(datum: &Datum) -> Option<(Self, i64)> {
        Some(match datum {
            Datum::Long(number) => (Self::Long, *number),
            Datum::Decimal(number) => (Self::Decimal, *number),
            Datum::Datetime(number) => (Self::Datetime, *number),
            Datum::Duration(number) => (Self::Duration, *number),
            _ => return None,
        })
    }
}

impl Order {
    /// Which bounds a number stands in this order to.
    fn range(self, number: i64, bounds: &[i64]) -> (usize, usize) {
        let all = bounds.len();
        match self {
            Self::Below => (bounds.partition_point(|bound| *bound <= number), all),
            Self::AtMost => (bounds.partition_point(|bound| *bound < number), all),
            Self::Above => (0, bounds.partition_point(|bound| *bound < number)),
            Self::AtLeast => (0, bounds.partition_point(|bound| *bound <= number)),
        }
    }

    /// The order that holds where this one does not.
    fn not(self) -> Self {
        match self {
            Self::Below => Self::AtLeast,
            Self::AtMost => Self::Above,
            Self::Above => Self::AtMost,
            Self::AtLeast => Self::Below,
        }
    }
}

impl Table {
    fn get(&self, value: Val<'_>) -> Option<&Sieve> {
        match value {
            Val::Str(text) => self.texts.get(text),
            value => self.numbers.get(&number(value)?),
        }
    }
}

/// Whether a value lies in one piece: such a one can be compared with anything, and equals only
/// what [`Table`] finds.
fn is_scalar(value: Val<'_>) -> bool {
    matches!(value, Val::Str(_)) || number(value).is_some()
}

fn number(value: Val<'_>) -> Option<(u8, i64)> {
    Some(match value {
        Val::Bool(truth) => (0, i64::from(truth)),
        Val::Long(number) => (1, number),
        Val::Decimal(number) => (2, number),
        Val::Datetime(number) => (3, number),
        Val::Duration(number) => (4, number),
        Val::Entity(entity) => (5, i64::from(entity)),
        _ => return None,
    })
}
