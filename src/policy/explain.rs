//! Why, and what would have to be otherwise. Off the hot path: Cedar's evaluator is asked for the
//! value of each part of a condition.

use std::collections::BTreeSet;
use std::fmt;

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, UnaryOp, Value, ValueKind, Var};

use super::Policy;
use super::env::Env;
use super::index::Closeness;
use super::oracle::Stock;
use super::verdict::{Effect, PolicyRef, Verdict};

/// How many policies that nearly decided are told of.
const NEAR: usize = 5;
/// How long a value is shown.
const SHOWN: usize = 120;

/// Why a verdict is what it is.
#[derive(Debug, Clone)]
pub struct Explanation {
    /// The verdict.
    pub verdict: Verdict,
    /// The policies that hold or failed, each with its condition taken apart.
    pub decided: Vec<Explained>,
    /// The permits that nearly held, the nearest first: at most five. Empty where one holds.
    pub near: Vec<Explained>,
    /// The smallest changes that would have allowed the call, one for each thing that must change;
    /// empty where it is allowed or nothing is known that would do.
    pub changes: Vec<Change>,
}

/// One policy, taken apart.
#[derive(Debug, Clone)]
pub struct Explained {
    /// The policy.
    pub policy: PolicyRef,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// What of its scope does not admit the call; empty where it does.
    pub scope: Vec<ScopeMiss>,
    /// The parts of its condition, in order: all must hold. Those after a failing one are not
    /// looked at.
    pub conjuncts: Vec<Conjunct>,
}

/// A part of a scope that does not admit the call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ScopeMiss {
    /// `principal`, `action` or `resource`.
    pub part: &'static str,
    /// What the policy asks, as it is written.
    pub asks: String,
    /// What the call has.
    pub has: String,
}

/// What became of a part of a condition.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome {
    /// It holds.
    Holds,
    /// It does not hold.
    Fails,
    /// It could not be evaluated: Cedar's words.
    Errs(String),
}

/// One part of a condition.
#[derive(Debug, Clone)]
pub struct Conjunct {
    /// Its text in the policy; with `unless` before it, that must not hold.
    pub text: String,
    /// Line and column of its start in the source, from 1.
    pub line: usize,
    /// The column, in characters.
    pub column: usize,
    /// What became of it.
    pub outcome: Outcome,
    /// The values that it read, by path.
    pub values: Vec<Read>,
    /// The smallest change to what it read that would turn it, where that is plain.
    pub change: Option<Change>,
}

/// A value that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Read {
    /// Where from: `context.arguments.amount`, `principal.name`, `resource`.
    pub path: String,
    /// The value as Cedar writes it, shortened; `None` where there is none.
    pub value: Option<String>,
}

impl Read {
    /// The name of the argument, if it is one.
    #[must_use]
    pub fn argument(&self) -> Option<&str> {
        let rest = self.path.strip_prefix("context.arguments.")?;
        Some(rest.split_once('.').map_or(rest, |(first, _)| first))
    }
}

/// A change to one thing that a condition reads.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Change {
    /// What would have to be otherwise: a path.
    pub path: String,
    /// What it would have to be, in words that follow the path: `at most 500`, `"eu"`.
    pub to: String,
}

impl Change {
    /// What is easier to change comes first.
    fn effort(&self) -> u8 {
        match self.path.as_str() {
            path if path.starts_with("context.arguments") => 0,
            path if path.starts_with("resource") => 1,
            path if path.starts_with("context") => 2,
            _ => 3,
        }
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "`{}` would have to be {}", self.path, self.to)
    }
}

/// Takes apart what decided and what nearly did.
pub(super) fn explain(env: &Env<'_>, verdict: Verdict) -> Explanation {
    let set = env.set;
    let reads = Taker { env };
    let failed: BTreeSet<PolicyRef> = verdict.errors.iter().map(|error| error.policy).collect();
    let decided: BTreeSet<PolicyRef> = verdict
        .permits
        .iter()
        .chain(verdict.forbids.iter())
        .chain(failed.iter().copied())
        .collect();
    let decided: Vec<Explained> =
        decided.into_iter().filter_map(|policy| reads.policy(policy, Vec::new())).collect();
    let mut near = Vec::new();
    if verdict.permits.is_empty() {
        let mut all: Vec<(Closeness, PolicyRef)> = set
            .policies
            .iter()
            .enumerate()
            .filter(|(_, policy)| policy.effect == Effect::Permit)
            .map(|(place, policy)| (super::index::closeness(env, policy), PolicyRef(place as u32)))
            .filter(|(closeness, policy)| closeness.can_be_near() && !failed.contains(policy))
            .collect();
        all.sort_by_key(|(closeness, policy)| (closeness.misses(), *policy));
        // Conditions cost more than scopes: only the nearest by scope are taken apart.
        near = all
            .into_iter()
            .take(NEAR * 4)
            .filter_map(|(closeness, policy)| {
                let core = &set.policies.get(policy.place())?.core;
                reads.policy(policy, closeness.into_misses(env, core))
            })
            .collect();
        near.sort_by_key(|explained| (explained.scope.len(), explained.unmet(), explained.policy));
        near.truncate(NEAR);
    }
    let changes = changes(&verdict, &decided, &near);
    Explanation { verdict, decided, near, changes }
}

/// What would have to change: each forbid that holds must be turned, and, where no permit holds,
/// the nearest one be met.
fn changes(verdict: &Verdict, decided: &[Explained], near: &[Explained]) -> Vec<Change> {
    if verdict.effect() == Effect::Permit {
        return Vec::new();
    }
    let mut changes = Vec::new();
    for forbid in decided.iter().filter(|explained| explained.effect == Effect::Forbid) {
        // One part of a forbid turned is enough: rather what the caller gives than who they are.
        let found = forbid.conjuncts.iter().filter_map(|conjunct| conjunct.change.as_ref());
        let Some(change) = found.min_by_key(|change| change.effort()) else {
            return Vec::new();
        };
        changes.push(change.clone());
    }
    if verdict.permits.is_empty() {
        let Some(permit) = near.first() else { return Vec::new() };
        for miss in &permit.scope {
            changes.push(Change { path: miss.part.to_owned(), to: miss.asks.clone() });
        }
        for conjunct in &permit.conjuncts {
            match (&conjunct.outcome, &conjunct.change) {
                (Outcome::Holds, _) => {}
                (_, Some(change)) => changes.push(change.clone()),
                (_, None) => return Vec::new(),
            }
        }
    }
    changes.dedup();
    changes
}

impl Explained {
    /// How many parts of the condition do not hold, as far as they were looked at.
    fn unmet(&self) -> usize {
        self.conjuncts.iter().filter(|conjunct| conjunct.outcome != Outcome::Holds).count()
    }
}

struct Taker<'e, 'a> {
    env: &'e Env<'a>,
}

/// A part of a condition, and whether it must hold or must not.
struct Part<'p> {
    expression: &'p Expr,
    negated: bool,
}

impl Taker<'_, '_> {
    fn policy(&self, place: PolicyRef, scope: Vec<ScopeMiss>) -> Option<Explained> {
        let policy = self.env.set.policies.get(place.place())?;
        let stock = Stock::new(self.env, std::iter::once(&policy.core));
        let mut conjuncts = Vec::new();
        for part in parts(policy.core.non_scope_constraints()) {
            let conjunct = self.conjunct(&stock, policy, &part);
            // What follows may rest on this one: `has` before an attribute.
            let goes_on = conjunct.outcome == Outcome::Holds;
            conjuncts.push(conjunct);
            if !goes_on {
                break;
            }
        }
        Some(Explained { policy: place, effect: policy.effect, scope, conjuncts })
    }

    fn conjunct(&self, stock: &Stock, policy: &Policy, part: &Part<'_>) -> Conjunct {
        let outcome = match stock.holds(part.expression, &policy.core) {
            Ok(truth) if truth != part.negated => Outcome::Holds,
            Ok(_) => Outcome::Fails,
            Err(failure) => Outcome::Errs(failure.message),
        };
        let (text, line, column) = written(part.expression);
        let text = if part.negated { format!("unless {text}") } else { text };
        let mut paths: Vec<(String, &Expr)> = Vec::new();
        gather(part.expression, &mut paths);
        let values = paths
            .iter()
            .map(|(path, expression)| Read {
                path: path.clone(),
                value: stock.value(expression, &policy.core).ok().map(|value| shown(&value)),
            })
            .collect();
        // To turn what holds (of a forbid), or what does not (of a permit).
        let wanted = match policy.effect {
            Effect::Permit => !part.negated,
            Effect::Forbid => part.negated,
        };
        let change = change(part.expression, wanted, &|expression| {
            stock.value(expression, &policy.core).ok()
        });
        Conjunct { text, line, column, outcome, values, change }
    }
}

/// The parts that must all hold, `when` and `unless` alike.
fn parts(condition: Option<&Expr>) -> Vec<Part<'_>> {
    let mut parts = Vec::new();
    let mut open: Vec<(&Expr, bool)> = condition.map(|whole| (whole, false)).into_iter().collect();
    while let Some((expression, negated)) = open.pop() {
        match expression.expr_kind() {
            ExprKind::And { left, right } if !negated => {
                open.push((right, false));
                open.push((left, false));
            }
            ExprKind::Or { left, right } if negated => {
                open.push((right, true));
                open.push((left, true));
            }
            ExprKind::UnaryApp { op: UnaryOp::Not, arg } => open.push((arg, !negated)),
            _ => parts.push(Part { expression, negated }),
        }
    }
    parts
}

fn written(expression: &Expr) -> (String, usize, usize) {
    match expression.source_loc() {
        Some(loc) => {
            let (line, column) = super::fault::place(&loc.src, loc.start());
            (loc.snippet().unwrap_or_default().to_owned(), line, column)
        }
        None => (expression.to_string(), 0, 0),
    }
}

/// The paths that an expression reads: the longest of each.
fn gather<'p>(expression: &'p Expr, found: &mut Vec<(String, &'p Expr)>) {
    let mut open = vec![expression];
    while let Some(expression) = open.pop() {
        if let Some(path) = path(expression) {
            if !found.iter().any(|(own, _)| *own == path) {
                found.push((path, expression));
            }
            continue;
        }
        match expression.expr_kind() {
            // What is only asked for is read too: by the path it asks for.
            ExprKind::HasAttr { expr, attr } => {
                if let Some(base) = path(expr) {
                    let full = format!("{base}.{attr}");
                    if !found.iter().any(|(own, _)| *own == full) {
                        found.push((full, expression));
                    }
                    continue;
                }
                open.push(expr);
            }
            ExprKind::ExtHasAttr { expr, .. }
            | ExprKind::Like { expr, .. }
            | ExprKind::Is { expr, .. }
            | ExprKind::GetAttr { expr, .. } => open.push(expr),
            ExprKind::If { test_expr, then_expr, else_expr } => {
                open.extend([else_expr.as_ref(), then_expr.as_ref(), test_expr.as_ref()]);
            }
            ExprKind::And { left, right } | ExprKind::Or { left, right } => {
                open.extend([right.as_ref(), left.as_ref()]);
            }
            ExprKind::UnaryApp { arg, .. } => open.push(arg),
            ExprKind::BinaryApp { arg1, arg2, .. } => {
                open.extend([arg2.as_ref(), arg1.as_ref()]);
            }
            ExprKind::ExtensionFunctionApp { args, .. } => open.extend(args.iter().rev()),
            ExprKind::Set(items) => open.extend(items.iter().rev()),
            ExprKind::Record(fields) => open.extend(fields.values()),
            ExprKind::Lit(_) | ExprKind::Var(_) | ExprKind::Slot(_) | ExprKind::Unknown(_) => {}
        }
    }
}

/// `context.arguments.amount` and the like; `None` for what is no path.
fn path(expression: &Expr) -> Option<String> {
    match expression.expr_kind() {
        ExprKind::Var(Var::Context) => Some("context".to_owned()),
        ExprKind::Var(variable) => Some(variable.to_string()),
        ExprKind::GetAttr { expr, attr } => Some(format!("{}.{attr}", path(expr)?)),
        _ => None,
    }
}

fn shown(value: &Value) -> String {
    let text = value.to_string();
    match text.char_indices().nth(SHOWN) {
        Some((at, _)) => format!("{}…", text.get(..at).unwrap_or_default()),
        None => text,
    }
}

/// The smallest change to one path that gives an expression the truth wanted.
fn change(
    expression: &Expr,
    wanted: bool,
    value: &dyn Fn(&Expr) -> Option<Value>,
) -> Option<Change> {
    let to = |path: String, to: String| Some(Change { path, to });
    match expression.expr_kind() {
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => change(arg, !wanted, value),
        // A truth that is read as it is.
        ExprKind::Var(_) | ExprKind::GetAttr { .. } => to(path(expression)?, wanted.to_string()),
        ExprKind::BinaryApp { op, arg1, arg2 } => {
            let (path, other, is_left) = match (path(arg1), path(arg2)) {
                (Some(path), _) => (path, arg2, true),
                (None, Some(path)) => (path, arg1, false),
                (None, None) => return None,
            };
            let other_text = shown(&value(other)?);
            let words = match (op, wanted, is_left) {
                (BinaryOp::Eq, true, _) => other_text,
                (BinaryOp::Eq, false, _) => format!("other than {other_text}"),
                (BinaryOp::Less, true, true) | (BinaryOp::LessEq, false, false) => {
                    format!("less than {other_text}")
                }
                (BinaryOp::LessEq, true, true) | (BinaryOp::Less, false, false) => {
                    format!("at most {other_text}")
                }
                (BinaryOp::Less, true, false) | (BinaryOp::LessEq, false, true) => {
                    format!("more than {other_text}")
                }
                (BinaryOp::LessEq, true, false) | (BinaryOp::Less, false, true) => {
                    format!("at least {other_text}")
                }
                (BinaryOp::In, true, true) => format!("in {other_text}"),
                (BinaryOp::In, false, true) => format!("not in {other_text}"),
                (BinaryOp::Contains, true, true) => format!("a set with {other_text}"),
                (BinaryOp::Contains, false, true) => format!("a set without {other_text}"),
                (BinaryOp::Contains, true, false) => format!("one of {other_text}"),
                (BinaryOp::Contains, false, false) => format!("none of {other_text}"),
                (BinaryOp::ContainsAll, true, false) => format!("within {other_text}"),
                _ => return None,
            };
            to(path, words)
        }
        ExprKind::ExtensionFunctionApp { fn_name, args } => {
            let [left, right] = args.as_slice() else { return None };
            let (path, other, is_left) = match (path(left), path(right)) {
                (Some(path), _) => (path, right, true),
                (None, Some(path)) => (path, left, false),
                (None, None) => return None,
            };
            let words = match (fn_name.to_string().as_str(), wanted, is_left) {
                ("lessThan", true, true)
                | ("lessThanOrEqual", false, false)
                | ("greaterThan", true, false)
                | ("greaterThanOrEqual", false, true) => "less than",
                ("lessThanOrEqual", true, true)
                | ("lessThan", false, false)
                | ("greaterThanOrEqual", true, false)
                | ("greaterThan", false, true) => "at most",
                ("greaterThan", true, true)
                | ("greaterThanOrEqual", false, false)
                | ("lessThan", true, false)
                | ("lessThanOrEqual", false, true) => "more than",
                ("greaterThanOrEqual", true, true)
                | ("greaterThan", false, false)
                | ("lessThanOrEqual", true, false)
                | ("lessThan", false, true) => "at least",
                ("isInRange", true, true) => "in",
                ("isInRange", false, true) => "outside",
                _ => return None,
            };
            to(path, format!("{words} {}", plain(&value(other)?)))
        }
        ExprKind::HasAttr { expr, attr } => {
            let path = format!("{}.{attr}", path(expr)?);
            to(path, if wanted { "given" } else { "left out" }.to_owned())
        }
        ExprKind::Like { expr, pattern } => {
            let not = if wanted { "" } else { "not " };
            to(path(expr)?, format!("{not}like \"{pattern}\""))
        }
        ExprKind::Is { expr, entity_type } => {
            let not = if wanted { "" } else { "not " };
            to(path(expr)?, format!("{not}of the type {entity_type}"))
        }
        // Either side turned gives an `||` that holds and an `&&` that does not.
        ExprKind::Or { left, right } if wanted => {
            change(left, true, value).or_else(|| change(right, true, value))
        }
        ExprKind::And { left, right } if !wanted => {
            change(left, false, value).or_else(|| change(right, false, value))
        }
        _ => None,
    }
}

/// A decimal without its constructor; any other value as it is.
fn plain(value: &Value) -> String {
    if let ValueKind::Lit(Literal::String(text)) = value.value_kind() {
        return text.to_string();
    }
    let text = shown(value);
    text.strip_prefix("decimal(\"")
        .or_else(|| text.strip_prefix("ip(\""))
        .and_then(|rest| rest.strip_suffix("\")"))
        .map_or(text.clone(), str::to_owned)
}
