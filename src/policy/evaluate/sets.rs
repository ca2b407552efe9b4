//! What conditions ask of sets: of those that policies state, and of lists that lie in the call.

use std::cmp::Ordering;

use super::{Machine, TrapKind};
use crate::canonical::{Int, Value};
use crate::policy::datum::Datum;
use crate::policy::value::Val;

impl<'a> Machine<'a, '_> {
    pub(super) fn sets(&mut self) -> Result<(Val<'a>, Val<'a>), TrapKind> {
        let right = self.pop()?;
        let left = self.pop()?;
        is_set(left)?;
        is_set(right)?;
        Ok((left, right))
    }

    pub(super) fn contains(&self, set: Val<'a>, item: Val<'a>) -> Result<bool, TrapKind> {
        match set {
            Val::Set(items) => match place_of(item) {
                Some(_) => Ok(items.binary_search_by(|own| order_of(own, &item)).is_ok()),
                None => {
                    let item = self.rest(item)?;
                    Ok(items.binary_search(&item).is_ok())
                }
            },
            Val::List(items) => {
                for own in items {
                    let same = match (own, item) {
                        (Value::Bool(a), Val::Bool(b)) => *a == b,
                        (Value::Str(a), Val::Str(b)) => **a == *b,
                        (Value::Int(Int::Small(a)), Val::Long(b)) => *a == b,
                        _ => false,
                    };
                    if same {
                        return Ok(true);
                    }
                }
                if place_of(item).is_none() {
                    self.rest(item)?;
                }
                Ok(false)
            }
            other => Err(TrapKind::Type("set", other.word())),
        }
    }

    pub(super) fn contains_all(&self, set: Val<'a>, items: Val<'a>) -> Result<bool, TrapKind> {
        let set = self.sorted(set, items)?;
        self.any(items, |item| Ok(!self.contains(set, item)?)).map(|missing| !missing)
    }

    pub(super) fn contains_any(&self, left: Val<'a>, right: Val<'a>) -> Result<bool, TrapKind> {
        // The list is walked, the set is searched.
        let (set, items) = match (left, right) {
            (Val::List(_), Val::Set(_)) => (right, left),
            _ => (self.sorted(left, right)?, right),
        };
        self.any(items, |item| self.contains(set, item))
    }

    /// A list in which many are to be looked for is sorted first: the work stays bounded.
    fn sorted(&self, set: Val<'a>, items: Val<'a>) -> Result<Val<'a>, TrapKind> {
        let count = match items {
            Val::Set(items) => items.len(),
            Val::List(items) => items.len(),
            _ => 0,
        };
        match set {
            Val::List(own) if own.len() > 8 && count > 8 => {
                Ok(Val::of(self.env.keeper.keep(self.rest(set)?)))
            }
            _ => Ok(set),
        }
    }

    fn any(
        &self,
        items: Val<'a>,
        mut found: impl FnMut(Val<'a>) -> Result<bool, TrapKind>,
    ) -> Result<bool, TrapKind> {
        match items {
            Val::Set(items) => {
                for item in items {
                    if found(Val::of(item))? {
                        return Ok(true);
                    }
                }
            }
            Val::List(items) => {
                for item in items {
                    let item = match item {
                        Value::Bool(truth) => Val::Bool(*truth),
                        Value::Str(text) => Val::Str(text),
                        Value::Int(Int::Small(number)) => Val::Long(*number),
                        _ => return Err(TrapKind::Broken),
                    };
                    if found(item)? {
                        return Ok(true);
                    }
                }
            }
            _ => return Err(TrapKind::Broken),
        }
        Ok(false)
    }
}

pub(super) fn is_set(value: Val<'_>) -> Result<(), TrapKind> {
    match value {
        Val::Set(_) | Val::List(_) => Ok(()),
        other => Err(TrapKind::Type("set", other.word())),
    }
}

/// Where values of a kind stand in the order of [`Datum`]; `None` for what lies in parts.
fn place_of(value: Val<'_>) -> Option<u8> {
    Some(match value {
        Val::Bool(_) => 0,
        Val::Long(_) => 1,
        Val::Decimal(_) => 2,
        Val::Datetime(_) => 3,
        Val::Duration(_) => 4,
        Val::Ip(_) => 5,
        Val::Str(_) => 6,
        Val::Entity(_) => 7,
        _ => return None,
    })
}

/// The order of [`Datum`], without making one.
fn order_of(datum: &Datum, value: &Val<'_>) -> Ordering {
    match (datum, value) {
        (Datum::Bool(a), Val::Bool(b)) => a.cmp(b),
        (Datum::Long(a), Val::Long(b))
        | (Datum::Decimal(a), Val::Decimal(b))
        | (Datum::Datetime(a), Val::Datetime(b))
        | (Datum::Duration(a), Val::Duration(b)) => a.cmp(b),
        (Datum::Ip(a), Val::Ip(b)) => a.cmp(b),
        (Datum::Str(a), Val::Str(b)) => (**a).cmp(*b),
        (Datum::Entity(a), Val::Entity(b)) => a.cmp(b),
        (datum, value) => place_of(Val::of(datum)).unwrap_or(8).cmp(&place_of(*value).unwrap_or(8)),
    }
}
