//! Builds sieves: what each part of a condition asks, and which policies ask alike.

use std::hash::Hash;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, UnaryOp};

use super::{Kind, Order, Sieve, Table, Test, Then, is_scalar, number};
use crate::policy::code::{Code, Function};
use crate::policy::compile::{alone, constant, glob};
use crate::policy::datum::Datum;
use crate::policy::index::Found;
use crate::policy::names::{Ent, FastMap};
use crate::policy::value::Val;
use crate::policy::world::World;

/// Fewer are judged one by one.
const FEW: usize = 4;
/// How many parts of a condition are looked at.
const PARTS: u32 = 8;
/// A constant set with more is looked into by each policy for itself.
const ALTERNATIVES: usize = 64;

/// A policy on its way into a sieve.
#[derive(Debug)]
pub(in crate::policy) struct Item<'p> {
    pub(in crate::policy) found: Found,
    /// The parts of its condition; none where it must be judged as a whole.
    pub(in crate::policy) parts: Vec<&'p Expr>,
    /// Where each of them starts.
    pub(in crate::policy) starts: Vec<u32>,
    /// The part to look at next.
    at: usize,
}

/// What a part asks, but for its constant.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Shape<'p> {
    Same(&'p Expr),
    Equal(&'p Expr),
    Contains(&'p Expr),
    In(&'p Expr),
    Starts(&'p Expr),
    Bound(&'p Expr, Kind, Order),
}

impl Shape<'_> {
    /// Whether it leaves few policies of many.
    fn is_sharp(&self) -> bool {
        !matches!(self, Self::Same(_) | Self::Bound(..))
    }
}

impl<'p> Item<'p> {
    pub(in crate::policy) fn new(found: Found, parts: Vec<&'p Expr>, starts: Vec<u32>) -> Self {
        Self { found, parts, starts, at: 0 }
    }

    /// Past the part that was looked at: it holds, or is at least known not to fail.
    fn past(mut self, holds: bool) -> Self {
        self.at += 1;
        if holds {
            self.found.from = self.starts.get(self.at).copied().unwrap_or(self.found.end);
        }
        self
    }

    fn shape(&self, world: &mut World) -> Option<(Shape<'p>, Vec<Datum>)> {
        self.parts.get(self.at).map(|part| shape(part, world))
    }
}

/// Builds sieves.
pub(in crate::policy) struct Builder<'b> {
    pub(in crate::policy) code: &'b mut Code,
    pub(in crate::policy) world: &'b mut World,
}

impl Builder<'_> {
    pub(in crate::policy) fn build(&mut self, items: Vec<Item<'_>>) -> Sieve {
        self.sieve(items, PARTS, true)
    }

    /// `holds` is whether all parts before the one looked at are known to hold, not only not to
    /// fail.
    fn sieve<'p>(&mut self, items: Vec<Item<'p>>, parts: u32, holds: bool) -> Sieve {
        let mut plain = Vec::new();
        let mut tests = Vec::new();
        let mut groups: FastMap<Shape<'p>, Vec<(Item<'p>, Vec<Datum>)>> = FastMap::default();
        if items.len() < FEW || parts == 0 {
            plain = items;
        } else {
            for item in items {
                match item.shape(self.world) {
                    Some((shape, constants)) => {
                        groups.entry(shape).or_default().push((item, constants));
                    }
                    None => plain.push(item),
                }
            }
        }
        // In the order of the policies, so that the same set is always built alike.
        let mut groups: Vec<_> = groups.into_iter().collect();
        groups.sort_by_key(|(_, items)| items.first().map(|(item, _)| item.found.policy));
        for (shape, items) in groups {
            let left = self.group(shape, items, parts - 1, holds, &mut tests);
            plain.extend(left);
        }
        let plain = plain.into_iter().map(|item| item.found).collect();
        Sieve { plain, tests: tests.into() }
    }

    /// Adds the tests of policies that ask the same, but for constants; what is left of them.
    fn group<'p>(
        &mut self,
        shape: Shape<'p>,
        items: Vec<(Item<'p>, Vec<Datum>)>,
        parts: u32,
        holds: bool,
        tests: &mut Vec<Test>,
    ) -> Vec<Item<'p>> {
        let bare = |items: Vec<(Item<'p>, Vec<Datum>)>| items.into_iter().map(|(item, _)| item);
        if items.len() < FEW {
            return bare(items).collect();
        }
        let is_one = items.windows(2).all(|pair| match pair {
            [(_, a), (_, b)] => a == b,
            _ => true,
        });
        let asks = match (shape, items.first()) {
            // The same constant too: the part itself is what they share.
            (_, Some((item, _))) if is_one => item.parts.get(item.at).copied(),
            (
                Shape::Same(value)
                | Shape::Equal(value)
                | Shape::Contains(value)
                | Shape::In(value)
                | Shape::Starts(value)
                | Shape::Bound(value, ..),
                _,
            ) => Some(value),
        };
        let Some(asks) = asks.and_then(|asks| alone(asks, self.code, self.world)) else {
            return bare(items).collect();
        };
        let all: Box<[Found]> = items.iter().map(|(item, _)| item.found).collect();
        let then = match shape {
            shape if is_one || matches!(shape, Shape::Same(_)) => {
                let past = bare(items).map(|item| item.past(holds)).collect();
                Then::Holds(self.sieve(past, parts, holds))
            }
            Shape::Equal(_) => Then::Equal(self.table(items, parts, holds)),
            Shape::Contains(_) => Then::Contains(self.table(items, parts, holds)),
            Shape::In(_) => {
                let mut by: FastMap<Ent, Vec<Item<'p>>> = FastMap::default();
                for (item, constants) in items {
                    if let Some(Datum::Entity(above)) = constants.first() {
                        by.entry(*above).or_default().push(item.past(holds));
                    }
                }
                Then::In(self.sieves(by, parts, holds))
            }
            Shape::Starts(_) => {
                let mut by: FastMap<Box<str>, Vec<Item<'p>>> = FastMap::default();
                for (item, constants) in items {
                    if let Some(Datum::Str(start)) = constants.first() {
                        // It may start so and still not be alike.
                        by.entry(start.clone()).or_default().push(item.past(false));
                    }
                }
                let mut lengths: Vec<usize> = by.keys().map(|start| start.len()).collect();
                lengths.sort_unstable();
                lengths.dedup();
                Then::Starts(lengths.into(), self.sieves(by, parts, false))
            }
            Shape::Bound(_, kind, order) => {
                return self.bound((kind, order), items, (asks, parts, holds), tests);
            }
            Shape::Same(_) => return Vec::new(),
        };
        tests.push(Test { asks, then, all });
        Vec::new()
    }

    fn table<'p>(&mut self, items: Vec<(Item<'p>, Vec<Datum>)>, parts: u32, holds: bool) -> Table {
        let mut numbers: FastMap<(u8, i64), Vec<Item<'p>>> = FastMap::default();
        let mut texts: FastMap<Box<str>, Vec<Item<'p>>> = FastMap::default();
        for (item, constants) in items {
            let item = item.past(holds);
            for constant in constants {
                let again = Item {
                    found: item.found,
                    parts: item.parts.clone(),
                    starts: item.starts.clone(),
                    at: item.at,
                };
                match (&constant, number(Val::of(&constant))) {
                    (Datum::Str(text), _) => texts.entry(text.clone()).or_default().push(again),
                    (_, Some(number)) => numbers.entry(number).or_default().push(again),
                    _ => {}
                }
            }
        }
        Table {
            numbers: self.sieves(numbers, parts, holds),
            texts: self.sieves(texts, parts, holds),
        }
    }

    fn sieves<'p, K: Eq + Hash>(
        &mut self,
        by: FastMap<K, Vec<Item<'p>>>,
        parts: u32,
        holds: bool,
    ) -> FastMap<K, Sieve> {
        by.into_iter().map(|(key, items)| (key, self.sieve(items, parts, holds))).collect()
    }

    /// Policies with a bound each. Where their next part leaves fewer than the bound does, only the
    /// kind is asked here.
    fn bound<'p>(
        &mut self,
        (kind, order): (Kind, Order),
        items: Vec<(Item<'p>, Vec<Datum>)>,
        (asks, parts, holds): ((u32, u32), u32, bool),
        tests: &mut Vec<Test>,
    ) -> Vec<Item<'p>> {
        let (mut next, mut here) = (Vec::new(), Vec::new());
        for (item, constants) in items {
            let after = item.parts.get(item.at + 1).map(|part| shape(part, self.world));
            match after {
                Some((shape, _)) if shape.is_sharp() => next.push((item, constants)),
                _ => here.push((item, constants)),
            }
        }
        if next.len() < FEW {
            here.append(&mut next);
        } else {
            let all = next.iter().map(|(item, _)| item.found).collect();
            let past = next.into_iter().map(|(item, _)| item.past(false)).collect();
            tests.push(Test { asks, then: Then::Is(kind, self.sieve(past, parts, false)), all });
        }
        let mut ordered: Vec<(i64, Item<'p>)> = Vec::new();
        for (item, constants) in here {
            if let Some((_, bound)) = constants.first().and_then(Kind::of) {
                ordered.push((bound, item));
            }
        }
        if ordered.len() < FEW {
            return ordered.into_iter().map(|(_, item)| item).collect();
        }
        ordered.sort_by_key(|(bound, item)| (*bound, item.found.policy));
        let bounds = ordered.iter().map(|(bound, _)| *bound).collect();
        let all = ordered.into_iter().map(|(_, item)| item.past(holds).found).collect();
        tests.push(Test { asks, then: Then::Bound(kind, order, bounds), all });
        Vec::new()
    }
}

/// What a part asks, and the constants of which one must fit.
fn shape<'p>(part: &'p Expr, world: &mut World) -> (Shape<'p>, Vec<Datum>) {
    take_apart(part, world).unwrap_or((Shape::Same(part), Vec::new()))
}

fn take_apart<'p>(part: &'p Expr, world: &mut World) -> Option<(Shape<'p>, Vec<Datum>)> {
    let mut fixed = |expression: &Expr| constant(expression, world).flatten();
    match part.expr_kind() {
        ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } => {
            for (own, other) in [(arg2, arg1), (arg1, arg2)] {
                if let Some(datum) = fixed(own) {
                    return is_scalar(Val::of(&datum)).then(|| (Shape::Equal(other), vec![datum]));
                }
            }
            None
        }
        ExprKind::BinaryApp { op: BinaryOp::In, arg1, arg2 } => match fixed(arg2)? {
            above @ Datum::Entity(_) => Some((Shape::In(arg1), vec![above])),
            _ => None,
        },
        ExprKind::BinaryApp { op: BinaryOp::Contains, arg1, arg2 } => {
            if let Some(datum) = fixed(arg2) {
                return is_scalar(Val::of(&datum)).then(|| (Shape::Contains(arg1), vec![datum]));
            }
            match fixed(arg1)? {
                Datum::Set(items)
                    if items.len() <= ALTERNATIVES
                        && items.iter().all(|item| is_scalar(Val::of(item))) =>
                {
                    Some((Shape::Equal(arg2), items.into_vec()))
                }
                _ => None,
            }
        }
        ExprKind::BinaryApp { .. } | ExprKind::ExtensionFunctionApp { .. } => {
            let (value, order, bound) = bounded(part, &mut fixed)?;
            let (kind, _) = Kind::of(&bound)?;
            Some((Shape::Bound(value, kind, order), vec![bound]))
        }
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => {
            let (value, order, bound) = bounded(arg, &mut fixed)?;
            let (kind, _) = Kind::of(&bound)?;
            Some((Shape::Bound(value, kind, order.not()), vec![bound]))
        }
        ExprKind::Like { expr, pattern } => {
            let start = glob(pattern).first;
            (!start.is_empty()).then(|| (Shape::Starts(expr), vec![Datum::Str(start)]))
        }
        _ => None,
    }
}

/// A value in an order to a constant.
fn bounded<'p>(
    part: &'p Expr,
    fixed: &mut impl FnMut(&Expr) -> Option<Datum>,
) -> Option<(&'p Expr, Order, Datum)> {
    match part.expr_kind() {
        ExprKind::BinaryApp { op: op @ (BinaryOp::Less | BinaryOp::LessEq), arg1, arg2 } => {
            let is_less = *op == BinaryOp::Less;
            // Decimals have no such order: with one of them the part always fails.
            let ordered = |datum: &Datum| !matches!(datum, Datum::Decimal(_));
            if let Some(bound) = fixed(arg2).filter(ordered) {
                return Some((arg1, if is_less { Order::Below } else { Order::AtMost }, bound));
            }
            let bound = fixed(arg1).filter(ordered)?;
            Some((arg2, if is_less { Order::Above } else { Order::AtLeast }, bound))
        }
        ExprKind::ExtensionFunctionApp { fn_name, args } => {
            let [value, bound] = args.as_slice() else { return None };
            let order = match Function::find(&fn_name.to_string(), args.len())? {
                Function::LessThan => Order::Below,
                Function::LessThanOrEqual => Order::AtMost,
                Function::GreaterThan => Order::Above,
                Function::GreaterThanOrEqual => Order::AtLeast,
                _ => return None,
            };
            let bound = fixed(bound).filter(|bound| matches!(bound, Datum::Decimal(_)))?;
            Some((value, order, bound))
        }
        _ => None,
    }
}
