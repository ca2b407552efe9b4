//! Limits: bounds over many calls. Here they are stated and compared; the registry draws on them.

use std::fmt;
use std::num::NonZeroU64;

use serde::de::{self, Error as _, MapAccess, Visitor};
use serde::ser::SerializeMap;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::caveat::{MAX_COUNT, order};
use super::error::ScopeError;
use super::name::check_name;
use crate::canonical::Value;
use crate::request::shown;

/// A bound over the calls that a capability covers.
///
/// JSON: `{"calls":10}`, `{"rate":{"calls":5,"per_us":60000000}}`,
/// `{"total":{"argument":"amount","max":2000}}`.
#[derive(Debug, Clone, PartialEq)]
pub enum Limit {
    /// So many calls.
    Calls(NonZeroU64),
    /// So many calls in any window of so many microseconds.
    Rate {
        /// How many calls.
        calls: NonZeroU64,
        /// The window, in microseconds.
        per_us: NonZeroU64,
    },
    /// The sum of a numeric argument over all calls.
    Total(Total),
}

/// What a `total` limit adds up, and how far.
#[derive(Debug, Clone, PartialEq)]
pub struct Total {
    argument: Box<str>,
    max: Value,
}

impl Total {
    /// The argument, or with dots the field, that is added up.
    #[must_use]
    pub fn argument(&self) -> &str {
        &self.argument
    }

    /// The most that it may come to: an int, float or Decimal, meant exactly.
    #[must_use]
    pub fn max(&self) -> &Value {
        &self.max
    }
}

impl Limit {
    /// At most so many calls.
    ///
    /// # Errors
    /// Not from 1 to 2^53 - 1.
    pub fn calls(calls: u64) -> Result<Self, ScopeError> {
        Ok(Self::Calls(count("calls", calls)?))
    }

    /// At most so many calls in any window of `per_us` microseconds.
    ///
    /// # Errors
    /// Either number not from 1 to 2^53 - 1.
    pub fn rate(calls: u64, per_us: u64) -> Result<Self, ScopeError> {
        Ok(Self::Rate { calls: count("rate", calls)?, per_us: count("rate", per_us)? })
    }

    /// At most `max` in all over a numeric argument.
    ///
    /// # Errors
    /// Not a name, or a `max` that is no number or below zero.
    pub fn total(argument: &str, max: Value) -> Result<Self, ScopeError> {
        let wrong = |why| Err(ScopeError::Limit { limit: "total", why });
        check_name(argument)?;
        match order(&max, &Value::int(0)) {
            None => return wrong("its maximum is no int, float or Decimal"),
            Some(sign) if sign.is_lt() => return wrong("its maximum is below zero"),
            Some(_) => {}
        }
        Ok(Self::Total(Total { argument: argument.into(), max }))
    }

    /// Whether both bound the same thing, so that one can be above the other.
    #[must_use]
    pub fn same_meter(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Calls(_), Self::Calls(_)) => true,
            (Self::Rate { per_us: a, .. }, Self::Rate { per_us: b, .. }) => a == b,
            (Self::Total(a), Self::Total(b)) => a.argument == b.argument,
            _ => false,
        }
    }

    /// Whether this is not above `parent`; two that bound different things are never so.
    #[must_use]
    pub fn within(&self, parent: &Self) -> bool {
        self.same_meter(parent)
            && match (self, parent) {
                (Self::Calls(own), Self::Calls(most))
                | (Self::Rate { calls: own, .. }, Self::Rate { calls: most, .. }) => own <= most,
                (Self::Total(own), Self::Total(most)) => {
                    order(&own.max, &most.max).is_some_and(std::cmp::Ordering::is_le)
                }
                _ => false,
            }
    }
}

fn count(limit: &'static str, number: u64) -> Result<NonZeroU64, ScopeError> {
    let number = NonZeroU64::new(number).filter(|n| n.get() <= MAX_COUNT);
    number.ok_or(ScopeError::Limit { limit, why: "its numbers are from 1 to 2^53 - 1" })
}

impl Serialize for Limit {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        struct Inner<'a, A, B>(&'a str, A, &'a str, B);
        impl<A: Serialize, B: Serialize> Serialize for Inner<'_, A, B> {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                let mut out = serializer.serialize_map(Some(2))?;
                out.serialize_entry(self.0, &self.1)?;
                out.serialize_entry(self.2, &self.3)?;
                out.end()
            }
        }
        let mut out = serializer.serialize_map(Some(1))?;
        match self {
            Self::Calls(calls) => out.serialize_entry("calls", calls)?,
            Self::Rate { calls, per_us } => {
                out.serialize_entry("rate", &Inner("calls", calls, "per_us", per_us))?;
            }
            Self::Total(total) => {
                let inner = Inner("argument", &total.argument, "max", &total.max);
                out.serialize_entry("total", &inner)?;
            }
        }
        out.end()
    }
}

impl<'de> Deserialize<'de> for Limit {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(OneKey)
    }
}

struct OneKey;

impl<'de> Visitor<'de> for OneKey {
    type Value = Limit;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a limit: an object with one key")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Limit, A::Error> {
        let word: String =
            map.next_key()?.ok_or_else(|| A::Error::custom("a limit has one key, not none"))?;
        let built = match &*word {
            "calls" => Limit::calls(map.next_value()?),
            "rate" => {
                let Pair(calls, per_us) = map.next_value_seed(PairSeed::new("calls", "per_us"))?;
                Limit::rate(calls, per_us)
            }
            "total" => {
                let pair = map.next_value_seed(PairSeed::new("argument", "max"))?;
                let Pair(argument, max): Pair<String, Value> = pair;
                Limit::total(&argument, max)
            }
            _ => {
                return Err(A::Error::custom(format_args!("`{}` is not a limit", shown(&word))));
            }
        };
        if map.next_key::<String>()?.is_some() {
            return Err(A::Error::custom("a limit has one key, not more"));
        }
        built.map_err(A::Error::custom)
    }
}

/// An object with exactly two keys, in any order.
struct Pair<A, B>(A, B);

struct PairSeed<A, B> {
    first: &'static str,
    second: &'static str,
    types: std::marker::PhantomData<(A, B)>,
}

impl<A, B> PairSeed<A, B> {
    fn new(first: &'static str, second: &'static str) -> Self {
        Self { first, second, types: std::marker::PhantomData }
    }
}

impl<'de, A: Deserialize<'de>, B: Deserialize<'de>> de::DeserializeSeed<'de> for PairSeed<A, B> {
    type Value = Pair<A, B>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Pair<A, B>, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, A: Deserialize<'de>, B: Deserialize<'de>> Visitor<'de> for PairSeed<A, B> {
    type Value = Pair<A, B>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an object with the keys `{}` and `{}`", self.first, self.second)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Pair<A, B>, M::Error> {
        let (mut first, mut second) = (None, None);
        while let Some(key) = map.next_key::<String>()? {
            if *key == *self.first && first.is_none() {
                first = Some(map.next_value()?);
            } else if *key == *self.second && second.is_none() {
                second = Some(map.next_value()?);
            } else {
                let key = shown(&key);
                return Err(M::Error::custom(format_args!("`{key}` is not expected here")));
            }
        }
        match (first, second) {
            (Some(first), Some(second)) => Ok(Pair(first, second)),
            _ => Err(M::Error::custom(format_args!(
                "expected the keys `{}` and `{}`",
                self.first, self.second
            ))),
        }
    }
}
