//! Runs the code. Nothing is allocated, but where a condition makes a set or a record, or compares
//! an argument as a whole.

mod functions;
mod sets;

use std::cmp::Ordering;

use super::code::{Code, Op, STACK};
use super::datum::{Datum, Fields};
use super::env::{Env, Missing};
use super::names::Symbol;
use super::value::Val;
use super::world::symbol;
use sets::is_set;

/// What has attributes.
const RECORD: &str = "record or entity";

/// Why a condition failed, and at which step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Trap {
    pub(super) kind: TrapKind,
    pub(super) at: usize,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum TrapKind {
    /// What was expected, what was there.
    Type(&'static str, &'static str),
    Attribute(Symbol),
    Entity,
    Unfit(Symbol, &'static str),
    /// An argument that has no counterpart, taken as part of a whole.
    UnfitPart(&'static str),
    Overflow,
    Tag,
    /// A text that is no decimal, address, instant or duration.
    Malformed(&'static str),
    /// The code itself is at odds: never by what a policy or a request says.
    Broken,
}

/// A stack for values.
pub(super) struct Machine<'a, 'e> {
    env: &'e Env<'a>,
    code: &'a Code,
    stack: [Val<'a>; STACK],
    top: usize,
}

impl<'a, 'e> Machine<'a, 'e> {
    pub(super) fn new(env: &'e Env<'a>, code: &'a Code) -> Self {
        Self { env, code, stack: [Val::Bool(false); STACK], top: 0 }
    }

    pub(super) fn env(&self) -> &'e Env<'a> {
        self.env
    }

    /// Whether a condition holds, or what is left of one: what is empty does.
    pub(super) fn holds(&mut self, start: u32, end: u32) -> Result<bool, Trap> {
        if start == end {
            return Ok(true);
        }
        self.run(start, end)?;
        self.truth().map_err(|kind| Trap { kind, at: (end as usize).saturating_sub(1) })
    }

    /// The value of an expression.
    pub(super) fn value(&mut self, (start, end): (u32, u32)) -> Result<Val<'a>, Trap> {
        self.run(start, end)?;
        self.pop().map_err(|kind| Trap { kind, at: (end as usize).saturating_sub(1) })
    }

    fn run(&mut self, start: u32, end: u32) -> Result<(), Trap> {
        self.top = 0;
        let (mut at, end) = (start as usize, end as usize);
        while at < end {
            let op = self.code.ops.get(at).copied().ok_or(Trap { kind: TrapKind::Broken, at })?;
            match self.step(op) {
                Ok(None) => at += 1,
                Ok(Some(to)) => at = to as usize,
                Err(kind) => return Err(Trap { kind, at }),
            }
        }
        Ok(())
    }

    fn step(&mut self, op: Op) -> Result<Option<u32>, TrapKind> {
        let env = self.env;
        let value = match op {
            Op::Const(place) => self.constant(place)?,
            Op::True => Val::Bool(true),
            Op::False => Val::Bool(false),
            Op::Principal => Val::Entity(env.principal),
            Op::Action => Val::Entity(env.action),
            Op::Resource => Val::Entity(env.resource),
            Op::Context => env.context(),
            Op::Fact(name) => self.attribute(env.context(), name)?,
            Op::FactOf(outer, name) => {
                let outer = self.outer(outer)?;
                self.attribute(outer, name)?
            }
            Op::Attribute(name) => {
                let of = self.pop()?;
                self.attribute(of, name)?
            }
            Op::Has(name) => {
                let of = self.pop()?;
                Val::Bool(env.has(of, name).map_err(|_| TrapKind::Type(RECORD, of.word()))?)
            }
            Op::HasOf(outer, name) => {
                let of = self.outer(outer)?;
                Val::Bool(env.has(of, name).map_err(|_| TrapKind::Type(RECORD, of.word()))?)
            }
            Op::HasAll(place) => {
                let of = self.pop()?;
                Val::Bool(self.has_all(of, place)?)
            }
            Op::Not => Val::Bool(!self.truth()?),
            Op::Negate => Val::Long(self.long()?.checked_neg().ok_or(TrapKind::Overflow)?),
            Op::IsEmpty => match self.pop()? {
                Val::Set(items) => Val::Bool(items.is_empty()),
                Val::List(items) => Val::Bool(items.is_empty()),
                other => return Err(TrapKind::Type("set", other.word())),
            },
            Op::Equal => {
                let right = self.pop()?;
                let left = self.pop()?;
                Val::Bool(self.equal(left, right)?)
            }
            Op::EqualConst(place) => {
                let right = self.constant(place)?;
                let left = self.pop()?;
                Val::Bool(self.equal(left, right)?)
            }
            Op::LessThan(number) => Val::Bool(self.beside()? < number),
            Op::AtMost(number) => Val::Bool(self.beside()? <= number),
            Op::MoreThan(number) => Val::Bool(self.beside()? > number),
            Op::AtLeast(number) => Val::Bool(self.beside()? >= number),
            Op::Less => Val::Bool(self.order()? == Ordering::Less),
            Op::LessOrEqual => Val::Bool(self.order()? != Ordering::Greater),
            Op::Add => {
                let (left, right) = self.longs()?;
                Val::Long(left.checked_add(right).ok_or(TrapKind::Overflow)?)
            }
            Op::Subtract => {
                let (left, right) = self.longs()?;
                Val::Long(left.checked_sub(right).ok_or(TrapKind::Overflow)?)
            }
            Op::Multiply => {
                let (left, right) = self.longs()?;
                Val::Long(left.checked_mul(right).ok_or(TrapKind::Overflow)?)
            }
            Op::In => Val::Bool(self.lies_in()?),
            Op::InConst(above) => match self.pop()? {
                Val::Entity(entity) => Val::Bool(env.is_in(entity, above)),
                other => return Err(TrapKind::Type("entity", other.word())),
            },
            Op::Contains => {
                let item = self.pop()?;
                let set = self.pop()?;
                is_set(set)?;
                Val::Bool(self.contains(set, item)?)
            }
            Op::ContainsAll => {
                let (set, items) = self.sets()?;
                Val::Bool(self.contains_all(set, items)?)
            }
            Op::ContainsAny => {
                let (left, right) = self.sets()?;
                Val::Bool(self.contains_any(left, right)?)
            }
            Op::Tag | Op::HasTag => self.tag(op == Op::HasTag)?,
            Op::And(end) => {
                if !self.truth()? {
                    self.push(Val::Bool(false))?;
                    return Ok(Some(end));
                }
                return Ok(None);
            }
            Op::Or(end) => {
                if self.truth()? {
                    self.push(Val::Bool(true))?;
                    return Ok(Some(end));
                }
                return Ok(None);
            }
            Op::Truth => Val::Bool(self.truth()?),
            Op::Unless(other) => return Ok(if self.truth()? { None } else { Some(other) }),
            Op::Jump(to) => return Ok(Some(to)),
            Op::Like(place) => match self.pop()? {
                Val::Str(text) => {
                    let glob = self.code.globs.get(place as usize).ok_or(TrapKind::Broken)?;
                    Val::Bool(glob.matches(text))
                }
                other => return Err(TrapKind::Type("string", other.word())),
            },
            Op::Is(kind) => match self.pop()? {
                Val::Entity(entity) => Val::Bool(env.type_of(entity) == kind),
                other => return Err(TrapKind::Type("entity", other.word())),
            },
            Op::Set(count) => {
                let mut items = Vec::with_capacity(count as usize);
                for _ in 0..count {
                    let item = self.pop()?;
                    items.push(self.rest(item)?);
                }
                Val::of(env.keeper.keep(Datum::set(items)))
            }
            Op::Record(place) => self.record(place)?,
            Op::Call(function) => self.call(function)?,
            Op::Fail => return Err(TrapKind::Malformed("constant")),
        };
        self.push(value)?;
        Ok(None)
    }

    fn push(&mut self, value: Val<'a>) -> Result<(), TrapKind> {
        *self.stack.get_mut(self.top).ok_or(TrapKind::Broken)? = value;
        self.top += 1;
        Ok(())
    }

    fn pop(&mut self) -> Result<Val<'a>, TrapKind> {
        self.top = self.top.checked_sub(1).ok_or(TrapKind::Broken)?;
        self.stack.get(self.top).copied().ok_or(TrapKind::Broken)
    }

    fn truth(&mut self) -> Result<bool, TrapKind> {
        match self.pop()? {
            Val::Bool(truth) => Ok(truth),
            other => Err(TrapKind::Type("bool", other.word())),
        }
    }

    fn long(&mut self) -> Result<i64, TrapKind> {
        match self.pop()? {
            Val::Long(number) => Ok(number),
            other => Err(TrapKind::Type("long", other.word())),
        }
    }

    /// A whole number that is compared with a constant one.
    fn beside(&mut self) -> Result<i64, TrapKind> {
        match self.pop()? {
            Val::Long(number) => Ok(number),
            // As where both are computed: what can be compared at all is named first.
            other @ (Val::Datetime(_) | Val::Duration(_)) => {
                Err(TrapKind::Type(other.word(), "long"))
            }
            other => Err(TrapKind::Type("long", other.word())),
        }
    }

    /// A record of the context, or an entity there.
    fn outer(&self, name: Symbol) -> Result<Val<'a>, TrapKind> {
        if name == symbol::ARGUMENTS && self.env.is_governed() {
            return Ok(Val::Arguments);
        }
        self.attribute(self.env.context(), name)
    }

    fn longs(&mut self) -> Result<(i64, i64), TrapKind> {
        let right = self.long()?;
        let left = self.long()?;
        Ok((left, right))
    }

    fn constant(&self, place: u32) -> Result<Val<'a>, TrapKind> {
        self.code.constants.get(place as usize).map(Val::of).ok_or(TrapKind::Broken)
    }

    fn attribute(&self, of: Val<'a>, name: Symbol) -> Result<Val<'a>, TrapKind> {
        self.env.attribute(of, name).map_err(|missing| match missing {
            Missing::Attribute => TrapKind::Attribute(name),
            Missing::Entity => TrapKind::Entity,
            Missing::Unfit(why) => TrapKind::Unfit(name, why),
            Missing::Type => TrapKind::Type(RECORD, of.word()),
        })
    }

    fn has_all(&self, mut of: Val<'a>, place: u32) -> Result<bool, TrapKind> {
        let names = self.code.names.get(place as usize).ok_or(TrapKind::Broken)?;
        for (at, name) in names.iter().enumerate() {
            match self.env.attribute(of, *name) {
                Ok(value) => of = value,
                Err(Missing::Attribute | Missing::Entity) => return Ok(false),
                Err(Missing::Unfit(_)) if at + 1 == names.len() => {}
                Err(Missing::Unfit(why)) => return Err(TrapKind::Unfit(*name, why)),
                Err(Missing::Type) => return Err(TrapKind::Type(RECORD, of.word())),
            }
        }
        Ok(true)
    }

    fn rest(&self, value: Val<'a>) -> Result<Datum, TrapKind> {
        self.env.rest(value).map_err(TrapKind::UnfitPart)
    }

    fn equal(&self, left: Val<'a>, right: Val<'a>) -> Result<bool, TrapKind> {
        Ok(match (left, right) {
            (Val::Bool(a), Val::Bool(b)) => a == b,
            (Val::Long(a), Val::Long(b))
            | (Val::Decimal(a), Val::Decimal(b))
            | (Val::Datetime(a), Val::Datetime(b))
            | (Val::Duration(a), Val::Duration(b)) => a == b,
            (Val::Ip(a), Val::Ip(b)) => a == b,
            (Val::Str(a), Val::Str(b)) => a == b,
            (Val::Entity(a), Val::Entity(b)) => a == b,
            (Val::Set(a), Val::Set(b)) => a == b,
            (Val::Record(a), Val::Record(b)) => a == b,
            // As a whole, where one of them lies in the call.
            (a, b) if a.word() == b.word() => self.rest(a)? == self.rest(b)?,
            // What has no counterpart as a whole is an error, whatever it is compared with.
            (a @ (Val::Map(_) | Val::Context | Val::Arguments), _)
            | (_, a @ (Val::Map(_) | Val::Context | Val::Arguments)) => {
                self.rest(a)?;
                false
            }
            _ => false,
        })
    }

    fn order(&mut self) -> Result<Ordering, TrapKind> {
        let right = self.pop()?;
        let left = self.pop()?;
        match (left, right) {
            (Val::Long(a), Val::Long(b))
            | (Val::Datetime(a), Val::Datetime(b))
            | (Val::Duration(a), Val::Duration(b)) => Ok(a.cmp(&b)),
            (Val::Long(_) | Val::Datetime(_) | Val::Duration(_), other) => {
                Err(TrapKind::Type(left.word(), other.word()))
            }
            (other, Val::Long(_) | Val::Datetime(_) | Val::Duration(_)) => {
                Err(TrapKind::Type(right.word(), other.word()))
            }
            (other, _) => Err(TrapKind::Type("long, datetime or duration", other.word())),
        }
    }

    fn lies_in(&mut self) -> Result<bool, TrapKind> {
        let right = self.pop()?;
        let entity = match self.pop()? {
            Val::Entity(entity) => entity,
            other => return Err(TrapKind::Type("entity", other.word())),
        };
        match right {
            Val::Entity(above) => Ok(self.env.is_in(entity, above)),
            Val::Set(items) => {
                // One element that is no entity fails it, whatever the others say.
                if let Some(other) = items.iter().find(|item| !matches!(item, Datum::Entity(_))) {
                    return Err(TrapKind::Type("set of entities", Val::of(other).word()));
                }
                Ok(items.iter().any(
                    |item| matches!(item, Datum::Entity(above) if self.env.is_in(entity, *above)),
                ))
            }
            Val::List([]) => Ok(false),
            other => Err(TrapKind::Type("entity or set of entities", other.word())),
        }
    }

    fn tag(&mut self, asks: bool) -> Result<Val<'a>, TrapKind> {
        let name = self.pop()?;
        let entity = match self.pop()? {
            Val::Entity(entity) => entity,
            other => return Err(TrapKind::Type("entity", other.word())),
        };
        let Val::Str(name) = name else { return Err(TrapKind::Type("string", name.word())) };
        let tag = self.env.data(entity).map(|data| data.tags.named(name));
        if asks {
            return Ok(Val::Bool(tag.flatten().is_some()));
        }
        tag.ok_or(TrapKind::Entity)?.map(Val::of).ok_or(TrapKind::Tag)
    }

    fn record(&mut self, place: u32) -> Result<Val<'a>, TrapKind> {
        let names = self.code.names.get(place as usize).ok_or(TrapKind::Broken)?;
        let mut fields = Vec::with_capacity(names.len());
        for name in names.iter().rev() {
            let value = self.pop()?;
            let text = self.env.world.symbols.text(*name).ok_or(TrapKind::Broken)?;
            fields.push((text.as_ref().into(), self.rest(value)?));
        }
        let fields = Fields::new(fields, |name| self.env.world.symbols.get(name));
        Ok(Val::of(self.env.keeper.keep(Datum::Record(fields))))
    }
}
