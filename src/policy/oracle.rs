//! Cedar's own evaluator on the same request: for conditions that are not compiled, for the shadow
//! check, and for explanations. It is given the entities that a condition can reach, no others.

use std::collections::{BTreeSet, HashSet};
use std::sync::Arc;

use cedar_policy_core::ast::{
    Context, Eid, Entity, EntityType, EntityUID, EntityUIDEntry, Expr, ExprKind, Literal, Name,
    PartialValue, Policy as Core, Request as Asked, Unknown, Value, ValueKind, Var,
};
use cedar_policy_core::entities::{Entities, NoEntitiesSchema, TCComputation};
use cedar_policy_core::evaluator::{EvaluationError, Evaluator};
use cedar_policy_core::extensions::Extensions;

use super::convert::{to_entity, to_uid, to_value};
use super::datum::{Datum, Fields};
use super::env::{Env, Known};
use super::names::Ent;
use super::verdict::{Cause, Effect, Failure, PolicyError, PolicyRef, Verdict};

/// All policies, one after the other, each whole. `None` where the call holds an argument that
/// Cedar has no value for, and a policy takes the arguments as one.
pub(super) fn judge(env: &Env<'_>) -> Option<Verdict> {
    let set = env.set;
    let mut verdict = Verdict::default();
    let stock = Stock::new(env, set.policies.iter().map(|policy| &policy.core));
    let whole = |core: &Core| core.non_scope_constraints().is_some_and(takes_whole);
    if !stock.unfit.is_empty() && set.policies.iter().any(|policy| whole(&policy.core)) {
        return None;
    }
    for (place, policy) in set.policies.iter().enumerate() {
        let place = place as u32;
        match stock.holds(&policy.core.condition(), &policy.core) {
            Ok(true) if policy.effect == Effect::Permit => verdict.permits.push(place),
            Ok(true) => verdict.forbids.push(place),
            Ok(false) => {}
            Err(Failure { cause, message }) => verdict.errors.push(PolicyError {
                policy: PolicyRef(place),
                effect: policy.effect,
                cause,
                message,
            }),
        }
    }
    Some(verdict)
}

/// A request in Cedar's form.
///
/// Where an argument has no value in Cedar, the arguments are an entity instead of a record: its
/// attributes can be unknown, so that asking for one says yes and reading it is an error.
pub(super) struct Stock {
    request: Result<Asked, Failure>,
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
        let known = env.gather_known();
        for fields in [&known.context, &known.arguments] {
            mentioned(fields, &mut roots);
        }
        let mut entities = reached(env, roots, hops);
        let request = match known.lost {
            Some(why) => Err(failed(&format!("`own` {why}"))),
            None => request(env, &known, &mut entities),
        };
        let entities = Entities::from_entities(
            entities,
            None::<&NoEntitiesSchema>,
            TCComputation::AssumeAlreadyComputed,
            Extensions::all_available(),
        );
        Self { request, entities: entities.unwrap_or_default(), unfit: known.unfit }
    }

    /// Whether a condition holds.
    ///
    /// # Errors
    /// Cedar's words for what went wrong.
    pub(super) fn holds(&self, condition: &Expr, policy: &Core) -> Result<bool, Failure> {
        match self.value(condition, policy)?.value_kind() {
            ValueKind::Lit(Literal::Bool(truth)) => Ok(*truth),
            _ => Err(failed("type error: expected bool")),
        }
    }

    /// The value of an expression of a policy.
    ///
    /// # Errors
    /// Cedar's words for what went wrong.
    pub(super) fn value(&self, expression: &Expr, policy: &Core) -> Result<Value, Failure> {
        if !self.unfit.is_empty() && takes_whole(expression) {
            return Err(self.unfit_in(expression));
        }
        let request = self.request.clone()?;
        Evaluator::new(request, &self.entities, Extensions::all_available())
            .interpret(expression, policy.env())
            .map_err(|error| match Cause::of(&error) {
                Some(cause) => Failure { cause, message: error.to_string() },
                None => self.unfit_in(expression),
            })
    }

    /// The failure of an expression that reads an argument which has no value.
    fn unfit_in(&self, expression: &Expr) -> Failure {
        let named = self.unfit.iter().find(|(name, _)| names(expression, name));
        match named.or(self.unfit.first()) {
            Some((name, why)) => Failure {
                cause: Cause::Unfit(named.map(|_| name.as_ref().into()), why),
                message: format!("`{name}` {why}"),
            },
            None => failed("the value is not known"),
        }
    }
}

impl Cause {
    /// `None` where a value is not known.
    fn of(error: &EvaluationError) -> Option<Self> {
        Some(match error {
            EvaluationError::NonValue(_) => return None,
            EvaluationError::EntityDoesNotExist(_)
            | EvaluationError::EntityAttrDoesNotExist(_)
            | EvaluationError::RecordAttrDoesNotExist(_) => Self::Absent(None),
            EvaluationError::IntegerOverflow(_) => Self::Overflow,
            EvaluationError::FailedExtensionFunctionExecution(_) => Self::Malformed,
            _ => Self::Kind,
        })
    }
}

fn failed(message: &str) -> Failure {
    Failure { cause: Cause::Kind, message: message.to_owned() }
}

/// Whether an expression names a field.
fn names(expression: &Expr, name: &str) -> bool {
    expression.subexpressions().any(|part| match part.expr_kind() {
        ExprKind::GetAttr { attr, .. } | ExprKind::HasAttr { attr, .. } => attr == name,
        ExprKind::ExtHasAttr { attrs, .. } => attrs.iter().any(|attr| attr == name),
        _ => false,
    })
}

/// Whether an expression takes the context or the arguments as one: otherwise than to read, or to
/// ask for, a field of theirs.
fn takes_whole(expression: &Expr) -> bool {
    let mut whole = 0usize;
    let mut read = 0usize;
    for part in expression.subexpressions() {
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

fn request(env: &Env<'_>, known: &Known, entities: &mut Vec<Entity>) -> Result<Asked, Failure> {
    let lost = || failed("the request cannot be put in Cedar's form");
    let entry =
        |entity| to_uid(entity, env).map(|uid| EntityUIDEntry::known(uid, None)).ok_or_else(lost);
    let mut context = Vec::new();
    for (name, datum) in known.context.iter() {
        context.push((name.into(), to_value(datum, env).ok_or_else(lost)?));
    }
    if env.is_governed() {
        let mut arguments = Vec::new();
        for (name, datum) in known.arguments.iter() {
            arguments.push((name, to_value(datum, env).ok_or_else(lost)?));
        }
        let arguments = if known.unfit.is_empty() {
            Value::record(arguments, None)
        } else {
            let entity = arguments_as_entity(arguments, &known.unfit).ok_or_else(lost)?;
            let uid = entity.uid().clone();
            entities.push(entity);
            Value::from(uid)
        };
        context.push(("arguments".into(), arguments));
    }
    Ok(Asked::new_unchecked(
        entry(env.principal)?,
        entry(env.action)?,
        entry(env.resource)?,
        Some(Context::Value(Arc::new(context.into_iter().collect()))),
    ))
}

/// An entity that policies cannot name.
fn arguments_as_entity(
    known: Vec<(&str, Value)>,
    unfit: &[(Box<str>, &'static str)],
) -> Option<Entity> {
    let kind = EntityType::from("Arguments::Unfit".parse::<Name>().ok()?);
    let known = known.into_iter().map(|(name, value)| (name.into(), PartialValue::Value(value)));
    let unknown = unfit.iter().map(|(name, _)| {
        let unknown = Unknown::new_untyped(name.as_ref());
        (name.as_ref().into(), PartialValue::unknown(unknown))
    });
    Some(Entity::new_with_attr_partial_value(
        EntityUID::from_components(kind, Eid::new(""), None),
        known.chain(unknown),
        HashSet::new(),
        HashSet::new(),
        [],
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

fn reached(env: &Env<'_>, roots: BTreeSet<Ent>, hops: usize) -> Vec<Entity> {
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
    entities
}
