//! Cedar's own evaluator on the same request: for conditions that are not compiled, for the shadow
//! check, and for explanations. It is given the entities that a condition can reach, no others.

use std::collections::BTreeSet;
use std::sync::Arc;

use cedar_policy_core::ast::{
    Context, EntityUIDEntry, Expr, ExprKind, Literal, Policy as Core, Request as Asked, Value,
    ValueKind, Var,
};
use cedar_policy_core::entities::{Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::evaluator::Evaluator;
use cedar_policy_core::extensions::Extensions;

use super::convert::{to_entity, to_uid, to_value};
use super::datum::{Datum, Fields};
use super::env::Env;
use super::names::Ent;
use super::verdict::{Effect, PolicyError, PolicyRef, Verdict};

/// All policies, one after the other, each whole.
pub(super) fn judge(env: &Env<'_>) -> Verdict {
    let set = env.set;
    let mut verdict = Verdict::default();
    let stock = Stock::new(env, set.policies.iter().map(|policy| &policy.core));
    for (place, policy) in set.policies.iter().enumerate() {
        let place = place as u32;
        match stock.holds(&policy.core.condition(), &policy.core) {
            Ok(true) if policy.effect == Effect::Permit => verdict.permits.push(place),
            Ok(true) => verdict.forbids.push(place),
            Ok(false) => {}
            Err(message) => verdict.errors.push(PolicyError {
                policy: PolicyRef(place),
                effect: policy.effect,
                message,
            }),
        }
    }
    verdict
}

/// A request in Cedar's form.
pub(super) struct Stock {
    request: Result<Asked, String>,
    entities: Entities,
    /// What of the call has no value in Cedar.
    unfit: Vec<(Box<str>, &'static str)>,
}

impl Stock {
    /// With the entities that the policies given can reach.
    pub(super) fn new<'p>(env: &Env<'_>, policies: impl Iterator<Item = &'p Core>) -> Self {
        let mut roots: BTreeSet<Ent> = [env.principal, env.action, env.resource].into();
        let mut hops = 0;
        for policy in policies {
            let condition = policy.non_scope_constraints();
            for part in condition.iter().flat_map(|condition| condition.subexpressions()) {
                if let ExprKind::Lit(Literal::EntityUID(uid)) = part.expr_kind() {
                    roots.extend(env.find(&uid.entity_type().to_string(), uid.eid().as_ref()));
                }
            }
            hops = hops.max(condition.map_or(0, dereferences));
        }
        let (context, unfit) = env.gather_known();
        mentioned(&context, &mut roots);
        Self { request: request(env, &context), entities: reached(env, roots, hops), unfit }
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// Cedar's words for what went wrong.
    pub(super) fn holds(&self, condition: &Expr, policy: &Core) -> Result<bool, String> {
        match self.value(condition, policy)?.value_kind() {
            ValueKind::Lit(Literal::Bool(truth)) => Ok(*truth),
            _ => Err("type error: expected bool".to_owned()),
        }
    }

    /// The value of an expression of a policy.
    ///
    /// # Errors
    /// Cedar's words for what went wrong.
    pub(super) fn value(&self, expression: &Expr, policy: &Core) -> Result<Value, String> {
        // Fails closed: what has no value in Cedar is not taken for absent.
        for (name, why) in &self.unfit {
            if names(expression, name) {
                return Err(format!("`{name}` {why}"));
            }
        }
        let request = self.request.clone()?;
        Evaluator::new(request, &self.entities, Extensions::all_available())
            .interpret(expression, policy.env())
            .map_err(|error| error.to_string())
    }
}

/// Whether an expression can see a field of that name: it names it, or takes a record as a whole.
fn names(expression: &Expr, name: &str) -> bool {
    let mut whole = 0usize;
    let mut read = 0usize;
    for part in expression.subexpressions() {
        match part.expr_kind() {
            ExprKind::GetAttr { attr, .. } | ExprKind::HasAttr { attr, .. } if attr == name => {
                return true;
            }
            ExprKind::ExtHasAttr { attrs, .. } if attrs.iter().any(|attr| attr == name) => {
                return true;
            }
            _ => {}
        }
        match part.expr_kind() {
            ExprKind::Var(Var::Context) => whole += 1,
            ExprKind::GetAttr { expr, .. } | ExprKind::HasAttr { expr, .. } if is_context(expr) => {
                read += 1;
            }
            ExprKind::ExtHasAttr { expr, .. } if is_context(expr) => read += 1,
            _ => {}
        }
        if let ExprKind::GetAttr { expr, attr } = part.expr_kind()
            && is_context(expr)
            && attr == "arguments"
        {
            // The arguments are read field by field, or they are taken whole.
            whole += 1;
        }
        if let ExprKind::GetAttr { expr, .. }
        | ExprKind::HasAttr { expr, .. }
        | ExprKind::ExtHasAttr { expr, .. } = part.expr_kind()
            && let ExprKind::GetAttr { expr, attr } = expr.expr_kind()
            && is_context(expr)
            && attr == "arguments"
        {
            read += 1;
        }
    }
    whole > read
}

fn is_context(expression: &Expr) -> bool {
    matches!(expression.expr_kind(), ExprKind::Var(Var::Context))
}

fn request(env: &Env<'_>, context: &Fields) -> Result<Asked, String> {
    let lost = || "the request cannot be put in Cedar's form".to_owned();
    let entry =
        |entity| to_uid(entity, env).map(|uid| EntityUIDEntry::known(uid, None)).ok_or_else(lost);
    let context = context
        .iter()
        .map(|(name, datum)| Some((name.into(), to_value(datum, env)?)))
        .collect::<Option<_>>()
        .ok_or_else(lost)?;
    Ok(Asked::new_unchecked(
        entry(env.principal)?,
        entry(env.action)?,
        entry(env.resource)?,
        Some(Context::Value(Arc::new(context))),
    ))
}

/// How many attributes and tags a condition reads: it reaches no entity further away.
fn dereferences(condition: &Expr) -> usize {
    condition
        .subexpressions()
        .filter(|part| {
            matches!(
                part.expr_kind(),
                ExprKind::GetAttr { .. } | ExprKind::ExtHasAttr { .. } | ExprKind::BinaryApp { .. }
            )
        })
        .count()
}

fn mentioned(fields: &Fields, found: &mut BTreeSet<Ent>) {
    fn within(datum: &Datum, found: &mut BTreeSet<Ent>) {
        match datum {
            Datum::Entity(entity) => {
                found.insert(*entity);
            }
            Datum::Set(items) => items.iter().for_each(|item| within(item, found)),
            Datum::Record(fields) => mentioned(fields, found),
            _ => {}
        }
    }
    fields.iter().for_each(|(_, datum)| within(datum, found));
}

fn reached(env: &Env<'_>, roots: BTreeSet<Ent>, hops: usize) -> Entities {
    let mut entities = Vec::new();
    let mut done = BTreeSet::new();
    let mut next = roots;
    for _ in 0..=hops {
        let mut beyond = BTreeSet::new();
        for entity in std::mem::take(&mut next) {
            if !done.insert(entity) {
                continue;
            }
            let Some(data) = env.whole(entity) else { continue };
            mentioned(&data.attributes, &mut beyond);
            mentioned(&data.tags, &mut beyond);
            entities.extend(to_entity(entity, &data, env));
        }
        next = beyond.difference(&done).copied().collect();
        if next.is_empty() {
            break;
        }
    }
    Entities::from_entities(
        entities,
        None::<&NoEntitiesSchema>,
        TCComputation::AssumeAlreadyComputed,
        Extensions::all_available(),
    )
    .unwrap_or_default()
}
