//! From Cedar's conditions to flat code.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast::{
    BinaryOp, BorrowedRestrictedExpr, Expr, ExprKind, Literal, Pattern, PatternElem, SlotEnv,
    UnaryOp, Var,
};
use cedar_policy_core::evaluator::RestrictedEvaluator;
use cedar_policy_core::extensions::Extensions;

use super::Policy;
use super::code::{Code, Condition, Function, Glob, Op, STACK};
use super::convert::{from_uid, from_value};
use super::datum::Datum;
use super::names::{Ent, NONE, Symbol};
use super::world::{Intern, World};

pub(super) fn compile(policies: &[Policy], world: &mut World) -> Code {
    let mut code = Code { shared: shared(policies), ..Code::default() };
    for policy in policies {
        // All that policies name is known before any entity is read.
        let core = &policy.core;
        for uid in core.env().values() {
            from_uid(uid, world);
        }
        let mut parts = Vec::new();
        let condition = match core.non_scope_constraints() {
            None => Condition::Always,
            Some(condition) => {
                let start = code.ops.len();
                let mut compiler = Compiler { code: &mut code, world, slots: core.env(), depth: 0 };
                match compiler.condition(condition) {
                    Ok(starts) => {
                        parts = starts;
                        Condition::Code(start as u32, code.ops.len() as u32)
                    }
                    Err(why) => {
                        code.ops.truncate(start);
                        code.spans.truncate(start);
                        Condition::Cedar(why)
                    }
                }
            }
        };
        code.conditions.push(condition);
        code.parts.push(parts);
    }
    code
}

/// Adds the code of one expression on its own: where it starts and ends. `None` for one that is
/// not compiled.
pub(super) fn alone(expression: &Expr, code: &mut Code, world: &mut World) -> Option<(u32, u32)> {
    let start = code.ops.len();
    let slots = SlotEnv::new();
    let mut compiler = Compiler { code, world, slots: &slots, depth: 0 };
    let done = compiler.expression(expression);
    if done.is_err() {
        code.ops.truncate(start);
        code.spans.truncate(start);
        return None;
    }
    Some((start as u32, code.ops.len() as u32))
}

/// The parts of a condition that `&&` joins, in their order.
pub(super) fn parts(condition: &Expr) -> Vec<&Expr> {
    let mut parts = Vec::new();
    let mut first = condition;
    while let ExprKind::And { left, right } = first.expr_kind() {
        parts.push(&**right);
        first = left;
    }
    parts.push(first);
    parts.reverse();
    parts
}

/// The number of each policy's condition, where others have the very same one: it holds for all of
/// them or for none.
fn shared(policies: &[Policy]) -> Vec<u32> {
    // By what they are, wherever they are written.
    let mut numbers: HashMap<&Expr, (u32, usize)> = HashMap::new();
    let mut all = Vec::with_capacity(policies.len());
    for policy in policies {
        // What fills a slot is a part of the condition: each of those is on its own.
        let own = policy.core.non_scope_constraints().filter(|_| policy.core.env().is_empty());
        all.push(own.map(|condition| {
            let next = numbers.len() as u32;
            let known = numbers.entry(condition).or_insert((next, 0));
            known.1 += 1;
            known.0
        }));
    }
    let often: HashSet<u32> =
        numbers.into_values().filter(|(_, count)| *count > 1).map(|(number, _)| number).collect();
    all.into_iter().map(|number| number.filter(|own| often.contains(own)).unwrap_or(NONE)).collect()
}

struct Compiler<'a> {
    code: &'a mut Code,
    world: &'a mut World,
    slots: &'a SlotEnv,
    /// How many values lie on the stack here.
    depth: usize,
}

/// Why a condition is left to Cedar.
type Left = &'static str;

/// Attributes in policies become symbols.
struct Naming<'a>(&'a mut World);

impl Intern for Naming<'_> {
    fn entity(&mut self, kind: &str, id: &str) -> Ent {
        self.0.entity(kind, id)
    }

    fn symbol(&mut self, name: &str) -> Option<Symbol> {
        Some(self.0.symbols.intern(name))
    }
}

impl Compiler<'_> {
    /// A whole condition: where each of its [`parts`] starts. Before each of them nothing lies on
    /// the stack, so that the code can be entered there once all parts before it are known to hold.
    fn condition(&mut self, condition: &Expr) -> Result<Vec<u32>, Left> {
        if matches!(condition.expr_kind(), ExprKind::And { .. }) {
            return self.chain(condition, true);
        }
        let start = self.place() as u32;
        self.expression(condition).map(|()| vec![start])
    }

    fn expression(&mut self, expression: &Expr) -> Result<(), Left> {
        if let Some(constant) = self.constant(expression) {
            return match constant {
                Some(Datum::Bool(true)) => self.put(Op::True, expression, 0),
                Some(Datum::Bool(false)) => self.put(Op::False, expression, 0),
                Some(datum) => {
                    let constant = self.keep(datum);
                    self.put(Op::Const(constant), expression, 0)
                }
                None => self.put(Op::Fail, expression, 0),
            };
        }
        match expression.expr_kind() {
            ExprKind::Lit(_) => Err("a literal of a kind that is not known"),
            ExprKind::Unknown(_) => Err("a value that is not known yet"),
            ExprKind::Var(variable) => {
                let op = match variable {
                    Var::Principal => Op::Principal,
                    Var::Action => Op::Action,
                    Var::Resource => Op::Resource,
                    Var::Context => Op::Context,
                };
                self.put(op, expression, 0)
            }
            ExprKind::Slot(slot) => match self.slots.get(slot) {
                Some(uid) => {
                    let entity = from_uid(uid, self.world);
                    let constant = self.keep(Datum::Entity(entity));
                    self.put(Op::Const(constant), expression, 0)
                }
                None => Err("a slot that is not filled"),
            },
            ExprKind::If { test_expr, then_expr, else_expr } => {
                self.expression(test_expr)?;
                let unless = self.place();
                self.put(Op::Unless(0), test_expr, 1)?;
                // Either branch leaves one value; the stack is the same after both.
                self.depth -= 1;
                self.expression(then_expr)?;
                let jump = self.place();
                self.put(Op::Jump(0), expression, 1)?;
                self.depth -= 1;
                self.patch(unless, Op::Unless(self.place() as u32));
                self.expression(else_expr)?;
                self.patch(jump, Op::Jump(self.place() as u32));
                Ok(())
            }
            ExprKind::And { .. } => self.chain(expression, true).map(|_| ()),
            ExprKind::Or { .. } => self.chain(expression, false).map(|_| ()),
            ExprKind::UnaryApp { op, arg } => {
                self.expression(arg)?;
                let op = match op {
                    UnaryOp::Not => Op::Not,
                    UnaryOp::Neg => Op::Negate,
                    UnaryOp::IsEmpty => Op::IsEmpty,
                };
                self.put(op, expression, 1)
            }
            ExprKind::BinaryApp { op, arg1, arg2 } => self.binary(*op, arg1, arg2, expression),
            ExprKind::ExtensionFunctionApp { fn_name, args } => {
                let Some(function) = Function::find(&fn_name.to_string(), args.len()) else {
                    return Err("a function that is not known");
                };
                for argument in args.iter() {
                    self.expression(argument)?;
                }
                self.put(Op::Call(function), expression, function.arguments())
            }
            ExprKind::GetAttr { expr, attr } => {
                let name = self.symbol(attr);
                if is_context(expr) {
                    return self.put(Op::Fact(name), expression, 0);
                }
                if let ExprKind::GetAttr { expr: inner, attr: outer } = expr.expr_kind()
                    && is_context(inner)
                {
                    let outer = self.symbol(outer);
                    return self.put(Op::FactOf(outer, name), expression, 0);
                }
                self.expression(expr)?;
                self.put(Op::Attribute(name), expression, 1)
            }
            ExprKind::HasAttr { expr, attr } => {
                let name = self.symbol(attr);
                if let ExprKind::GetAttr { expr: inner, attr: outer } = expr.expr_kind()
                    && is_context(inner)
                {
                    let outer = self.symbol(outer);
                    return self.put(Op::HasOf(outer, name), expression, 0);
                }
                self.expression(expr)?;
                self.put(Op::Has(name), expression, 1)
            }
            ExprKind::ExtHasAttr { expr, attrs } => {
                self.expression(expr)?;
                let names: Box<[Symbol]> = attrs.iter().map(|attr| self.symbol(attr)).collect();
                self.code.names.push(names);
                self.put(Op::HasAll(self.code.names.len() as u32 - 1), expression, 1)
            }
            ExprKind::Like { expr, pattern } => {
                self.expression(expr)?;
                self.code.globs.push(glob(pattern));
                self.put(Op::Like(self.code.globs.len() as u32 - 1), expression, 1)
            }
            ExprKind::Is { expr, entity_type } => {
                self.expression(expr)?;
                let kind = self.world.types.intern(&entity_type.to_string());
                self.put(Op::Is(kind), expression, 1)
            }
            ExprKind::Set(items) => {
                for item in items.iter() {
                    self.expression(item)?;
                }
                self.put(Op::Set(items.len() as u32), expression, items.len())
            }
            ExprKind::Record(fields) => {
                let mut names = Vec::with_capacity(fields.len());
                for (name, value) in fields.iter() {
                    self.expression(value)?;
                    names.push(self.symbol(name));
                }
                self.code.names.push(names.into());
                self.put(Op::Record(self.code.names.len() as u32 - 1), expression, fields.len())
            }
        }
    }

    /// `a && b && c` or `a || b || c`, however they are bracketed on the left, without recursion
    /// along the chain. Where each link starts.
    fn chain(&mut self, expression: &Expr, is_and: bool) -> Result<Vec<u32>, Left> {
        let mut links: Vec<(&Arc<Expr>, &Expr)> = Vec::new();
        let mut first = expression;
        loop {
            match first.expr_kind() {
                ExprKind::And { left, right } if is_and => {
                    links.push((right, first));
                    first = left;
                }
                ExprKind::Or { left, right } if !is_and => {
                    links.push((right, first));
                    first = left;
                }
                _ => break,
            }
        }
        let mut starts = vec![self.place() as u32];
        self.expression(first)?;
        // A link that ends early ends all that follow: a false `&&` is false on their left too.
        let mut jumps = Vec::new();
        let mut left = first;
        for (right, whole) in links.iter().rev() {
            jumps.push(self.place());
            self.put(if is_and { Op::And(0) } else { Op::Or(0) }, left, 1)?;
            self.depth -= 1;
            starts.push(self.place() as u32);
            self.expression(right)?;
            if !is_truth(right) {
                self.put(Op::Truth, right, 1)?;
            }
            left = whole;
        }
        let end = self.place() as u32;
        for jump in jumps {
            self.patch(jump, if is_and { Op::And(end) } else { Op::Or(end) });
        }
        Ok(starts)
    }

    fn binary(
        &mut self,
        op: BinaryOp,
        left: &Expr,
        right: &Expr,
        whole: &Expr,
    ) -> Result<(), Left> {
        if op == BinaryOp::Eq {
            for (constant, other) in [(right, left), (left, right)] {
                // INVARIANT: a constant cannot fail, so the order of evaluation is not seen.
                if let Some(Some(datum)) = self.constant(constant) {
                    self.expression(other)?;
                    let constant = self.keep(datum);
                    return self.put(Op::EqualConst(constant), whole, 1);
                }
            }
        }
        // INVARIANT: as above.
        if let (BinaryOp::Less, ExprKind::Lit(Literal::Long(number))) = (op, right.expr_kind()) {
            self.expression(left)?;
            return self.put(Op::LessThan(*number), whole, 1);
        }
        if let (BinaryOp::LessEq, ExprKind::Lit(Literal::Long(number))) = (op, right.expr_kind()) {
            self.expression(left)?;
            return self.put(Op::AtMost(*number), whole, 1);
        }
        if let (BinaryOp::Less, ExprKind::Lit(Literal::Long(number))) = (op, left.expr_kind()) {
            self.expression(right)?;
            return self.put(Op::MoreThan(*number), whole, 1);
        }
        if let (BinaryOp::LessEq, ExprKind::Lit(Literal::Long(number))) = (op, left.expr_kind()) {
            self.expression(right)?;
            return self.put(Op::AtLeast(*number), whole, 1);
        }
        self.expression(left)?;
        if op == BinaryOp::In
            && let Some(Some(Datum::Entity(above))) = self.constant(right)
        {
            return self.put(Op::InConst(above), whole, 1);
        }
        self.expression(right)?;
        let op = match op {
            BinaryOp::Eq => Op::Equal,
            BinaryOp::Less => Op::Less,
            BinaryOp::LessEq => Op::LessOrEqual,
            BinaryOp::Add => Op::Add,
            BinaryOp::Sub => Op::Subtract,
            BinaryOp::Mul => Op::Multiply,
            BinaryOp::In => Op::In,
            BinaryOp::Contains => Op::Contains,
            BinaryOp::ContainsAll => Op::ContainsAll,
            BinaryOp::ContainsAny => Op::ContainsAny,
            BinaryOp::GetTag => Op::Tag,
            BinaryOp::HasTag => Op::HasTag,
        };
        self.put(op, whole, 2)
    }

    fn constant(&mut self, expression: &Expr) -> Option<Option<Datum>> {
        constant(expression, self.world)
    }

    fn symbol(&mut self, name: &str) -> Symbol {
        self.world.symbols.intern(name)
    }

    fn keep(&mut self, datum: Datum) -> u32 {
        self.code.constants.push(datum);
        self.code.constants.len() as u32 - 1
    }

    fn place(&self) -> usize {
        self.code.ops.len()
    }

    fn patch(&mut self, place: usize, op: Op) {
        if let Some(old) = self.code.ops.get_mut(place) {
            *old = op;
        }
    }

    /// Adds a step that takes some values and leaves one.
    fn put(&mut self, op: Op, from: &Expr, takes: usize) -> Result<(), Left> {
        self.depth = self.depth + 1 - takes;
        if self.depth > STACK {
            return Err("too many values at once");
        }
        let span = from.source_loc().map_or((0, 0), |loc| (loc.start() as u32, loc.end() as u32));
        self.code.ops.push(op);
        self.code.spans.push(span);
        Ok(())
    }
}

/// The value of an expression that has one whatever the request; `Some(None)` for one that always
/// fails.
pub(super) fn constant(expression: &Expr, world: &mut World) -> Option<Option<Datum>> {
    match expression.expr_kind() {
        ExprKind::Lit(Literal::Bool(truth)) => Some(Some(Datum::Bool(*truth))),
        ExprKind::Lit(_)
        | ExprKind::Set(_)
        | ExprKind::Record(_)
        | ExprKind::ExtensionFunctionApp { .. } => {
            let restricted = BorrowedRestrictedExpr::new(expression).ok()?;
            let evaluator = RestrictedEvaluator::new(Extensions::all_available());
            match evaluator.interpret(restricted) {
                Ok(value) => from_value(&value, &mut Naming(world)).map(Some),
                Err(_) => Some(None),
            }
        }
        _ => None,
    }
}

/// Whether an expression that does not fail is true or false, whatever it reads.
fn is_truth(expression: &Expr) -> bool {
    match expression.expr_kind() {
        ExprKind::Lit(Literal::Bool(_))
        | ExprKind::And { .. }
        | ExprKind::Or { .. }
        | ExprKind::HasAttr { .. }
        | ExprKind::ExtHasAttr { .. }
        | ExprKind::Like { .. }
        | ExprKind::Is { .. } => true,
        ExprKind::UnaryApp { op, .. } => matches!(op, UnaryOp::Not | UnaryOp::IsEmpty),
        ExprKind::BinaryApp { op, .. } => {
            !matches!(op, BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul | BinaryOp::GetTag)
        }
        _ => false,
    }
}

fn is_context(expression: &Expr) -> bool {
    matches!(expression.expr_kind(), ExprKind::Var(Var::Context))
}

pub(super) fn glob(pattern: &Pattern) -> Glob {
    let mut parts = vec![String::new()];
    for element in pattern.iter() {
        match (element, parts.last_mut()) {
            (PatternElem::Char(c), Some(part)) => part.push(*c),
            _ => parts.push(String::new()),
        }
    }
    let first = parts.remove(0).into();
    let last = parts.pop().map(String::into);
    let middle = parts.into_iter().filter(|part| !part.is_empty()).map(String::into).collect();
    Glob { first, middle, last }
}
