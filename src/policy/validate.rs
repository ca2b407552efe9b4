//! Strict validation: each policy in each kind of request that its scope admits, and only where it
//! or the kind of request is new.

use std::collections::HashMap;

use cedar_policy_core::ast::{ActionConstraint, EntityUID, Expr, ExprKind, Template, Var};
use cedar_policy_core::validator::typecheck::{PolicyCheck, Typechecker};
use cedar_policy_core::validator::types::RequestEnv;
use cedar_policy_core::validator::{ValidationMode, Validator, ValidatorSchema};

use super::fault::{LoadFault, fault_of};
use super::schema::{Schema, ToolType, groups};
use super::{Bundle, Policy};
use crate::canonical::{Digest, digest};

/// The checks that were passed: a policy in a kind of request, and whether it can apply there.
pub(super) type Checked = HashMap<Digest, bool>;

pub(super) fn validate(
    bundle: &Bundle,
    schema: &Schema,
    policies: &[Policy],
    before: Option<&Checked>,
) -> Result<Checked, Vec<LoadFault>> {
    let kinds = Kinds::new(bundle, schema);
    let checker = Typechecker::new(&schema.policies, ValidationMode::Strict);
    let mut checked = Checked::new();
    let mut faults = Vec::new();
    for policy in policies {
        let Some(source) = bundle.policies.get(policy.source_number) else { continue };
        let template = policy.core.template();
        let mut wrong: Vec<LoadFault> = Vec::new();
        let names = digest("answerable/v1/policy-names", &[&policy.digest, &kinds.base]);
        if !before.is_some_and(|before| before.contains_key(&names)) {
            wrong.extend(
                Validator::validate_entity_types_and_literals(&schema.policies, template)
                    .map(|error| better(fault_of(&error, source), &bundle.tools)),
            );
            wrong.extend(slots(&schema.policies, policy));
        }
        checked.insert(names, true);
        for (action, kind) in kinds.admitted(&schema.policies, template) {
            let key = digest("answerable/v1/policy-check", &[&policy.digest, kind]);
            if let Some(applies) = before.and_then(|before| before.get(&key)) {
                checked.insert(key, *applies);
                continue;
            }
            let mut applies = false;
            for env in kinds.envs(action) {
                let env = env.clone().link_slot_env(policy.core.env());
                match checker.typecheck_by_single_request_env(template, &env) {
                    PolicyCheck::Success(_) => applies = true,
                    PolicyCheck::Irrelevant(errors, _) => {
                        wrong.extend(errors.iter().map(|error| fault_of(error, source)));
                    }
                    PolicyCheck::Fail(errors) => {
                        applies = true;
                        wrong.extend(errors.iter().map(|error| fault_of(error, source)));
                    }
                }
            }
            checked.insert(key, applies);
        }
        // The same fault is found in each kind of request.
        wrong.sort_by(|a, b| (a.line, a.column, &a.message).cmp(&(b.line, b.column, &b.message)));
        wrong.dedup();
        faults.extend(wrong);
    }
    if faults.is_empty() { Ok(checked) } else { Err(faults) }
}

fn slots<'a>(
    schema: &'a ValidatorSchema,
    policy: &'a Policy,
) -> impl Iterator<Item = LoadFault> + 'a {
    policy
        .core
        .env()
        .values()
        .filter(|uid| !uid.is_action() && schema.get_entity_type(uid.entity_type()).is_none())
        .map(|uid| {
            LoadFault::whole(
                "links",
                format!("`{}` has a type that the schema does not know: `{uid}`", policy.id),
            )
        })
}

/// The kinds of request: one or more for each action.
pub(super) struct Kinds<'a> {
    /// Digest of all of the schema but the actions.
    base: Digest,
    envs: HashMap<&'a EntityUID, Vec<RequestEnv<'a>>>,
    /// Actions in order, each with a digest of all that its requests look like, and whether it is
    /// a tool's: the others are the deployment's own.
    actions: Vec<(&'a EntityUID, Digest, bool)>,
}

impl<'a> Kinds<'a> {
    pub(super) fn new(bundle: &Bundle, schema: &'a Schema) -> Self {
        let mut envs: HashMap<&EntityUID, Vec<RequestEnv<'_>>> = HashMap::new();
        for env in schema.policies.unlinked_request_envs(ValidationMode::Strict) {
            if let RequestEnv::DeclaredAction { action, .. } = &env {
                envs.entry(*action).or_default().push(env);
            }
        }
        let base = digest("answerable/v1/policy-schema", &[schema.own.as_bytes()]);
        let tools: HashMap<&str, &ToolType> =
            bundle.tools.iter().map(|tool| (tool.name.as_str(), tool)).collect();
        let mut actions: Vec<(&EntityUID, Digest, bool)> = envs
            .keys()
            .map(|action| {
                let tool = format!("{:?}", tools.get(action.eid().as_ref() as &str));
                let name = action.to_string();
                let parts: [&[u8]; 3] = [&base, name.as_bytes(), tool.as_bytes()];
                let is_tool = tools.contains_key(action.eid().as_ref() as &str);
                (*action, digest("answerable/v1/policy-request", &parts), is_tool)
            })
            .collect();
        actions.sort();
        Self { base, envs, actions }
    }

    fn envs(&self, action: &EntityUID) -> &[RequestEnv<'a>] {
        self.envs.get(action).map_or(&[], Vec::as_slice)
    }

    /// The actions that a policy's scope admits; one for all, where nothing that it reads differs
    /// between them.
    fn admitted(
        &self,
        schema: &ValidatorSchema,
        template: &Template,
    ) -> Vec<(&'a EntityUID, &Digest)> {
        let admitted =
            self.actions.iter().filter(|(action, ..)| match template.action_constraint() {
                ActionConstraint::Any => true,
                ActionConstraint::Eq(only) => only.as_ref() == *action,
                ActionConstraint::In(above) => above.iter().any(|above| {
                    above.as_ref() == *action
                        || schema
                            .get_action_id(above)
                            .is_some_and(|group| group.descendants().any(|own| own == *action))
                }),
            });
        // All tools are alike but for their names and arguments.
        let one_for_all = template.non_scope_constraints().is_none_or(is_alike);
        let mut met = false;
        admitted
            .filter(|(.., is_tool)| !(one_for_all && *is_tool && std::mem::replace(&mut met, true)))
            .map(|(action, digest, _)| (*action, digest))
            .collect()
    }
}

/// Whether a condition reads nothing that differs between tools: neither the action nor the
/// arguments, nor the context as a whole.
fn is_alike(condition: &Expr) -> bool {
    let mut contexts = 0usize;
    let mut parts = 0usize;
    for part in condition.subexpressions() {
        match part.expr_kind() {
            ExprKind::Var(Var::Action) => return false,
            ExprKind::Var(Var::Context) => contexts += 1,
            ExprKind::GetAttr { expr, attr } | ExprKind::HasAttr { expr, attr }
                if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) =>
            {
                if attr == "arguments" {
                    return false;
                }
                parts += 1;
            }
            ExprKind::ExtHasAttr { expr, attrs }
                if matches!(expr.expr_kind(), ExprKind::Var(Var::Context)) =>
            {
                if attrs.first() == "arguments" {
                    return false;
                }
                parts += 1;
            }
            _ => {}
        }
    }
    contexts == parts
}

/// Cedar's suggestion for an unknown action leans to the shortest; ours is the nearest tool or group.
fn better(mut fault: LoadFault, tools: &[ToolType]) -> LoadFault {
    let Some(wrong) = fault
        .message
        .strip_prefix("unrecognized action `Action::\"")
        .and_then(|rest| rest.split_once("\"`"))
        .map(|(wrong, _)| wrong.to_owned())
    else {
        return fault;
    };
    let near = tools
        .iter()
        .flat_map(|tool| groups(&tool.name).into_iter().chain([tool.name.clone()]))
        .map(|name| (distance(&wrong, &name), name))
        .min()
        .filter(|(distance, _)| *distance <= wrong.chars().count() / 3 + 1);
    fault.suggestion = Some(match near {
        Some((_, name)) => format!("did you mean `Action::\"{name}\"`?"),
        None => {
            "no tool of that name is registered, and none lies in a group of that name".to_owned()
        }
    });
    fault
}

/// The number of characters to insert, drop or replace.
pub(crate) fn distance(a: &str, b: &str) -> usize {
    let mut row: Vec<usize> = (0..=b.chars().count()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = i;
        let mut left = i + 1;
        let mut next = vec![left];
        for (y, above) in b.chars().zip(row.iter().skip(1)) {
            left = (diagonal + usize::from(x != y)).min(left + 1).min(above + 1);
            diagonal = *above;
            next.push(left);
        }
        row = next;
    }
    row.last().copied().unwrap_or_default()
}
