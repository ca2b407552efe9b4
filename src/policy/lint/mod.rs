//! What a policy set should not say, though it is valid: unreachable, too wide, able to err.
//!
//! Every rule reads the policies as they are written; none knows what requests will come. What is
//! found is a matter for somebody to look at, never a reason to refuse the set.

mod parts;
mod reach;

use std::collections::BTreeSet;

use cedar_policy_core::ast::{
    self, BinaryOp, EntityUID, Expr, ExprKind, Literal, PatternElem, UnaryOp,
};

use super::{Effect, Policy, PolicyRef, PolicySet};
use parts::{argument_of, caveat_for, constant, contradiction, is_literal};
use reach::{any_action, covers, covers_tool, is_any};

/// How much a finding matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Weight {
    /// Worth knowing.
    Info,
    /// Worth tidying up.
    Low,
    /// Worth a decision.
    Medium,
    /// Worth a decision today.
    High,
}

/// Something that somebody should look at.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lint {
    /// The stable slug.
    pub code: &'static str,
    /// How much it matters.
    pub weight: Weight,
    /// The policy; `None` where it is about no one policy.
    pub policy: Option<PolicyRef>,
    /// What it is.
    pub message: String,
    /// What would settle it.
    pub fix: String,
}

/// How many policies are compared pair by pair; beyond it only those with equal heads are.
const MAX_PAIRED: usize = 2_000;

/// Looks through a set.
#[must_use]
pub fn lint(set: &PolicySet) -> Vec<Lint> {
    let read: Vec<Read<'_>> = set
        .policies()
        .iter()
        .enumerate()
        .filter_map(|(at, policy)| {
            let at = PolicyRef(u32::try_from(at).ok()?);
            Some(Read { at, policy, core: set.core(at)? })
        })
        .collect();
    let mut found = Vec::new();
    for one in &read {
        one.unreachable(&mut found);
        one.wide(&mut found);
        one.dangerous(set, &mut found);
        one.patterns(&mut found);
        one.errors(&mut found);
        one.names(&mut found);
        one.words(&mut found);
    }
    shadows(&read, &mut found);
    uncovered(set, &read, &mut found);
    for (id, why) in &set.coverage().fallback {
        let policy = read.iter().find(|one| *one.policy.id == **id).map(|one| one.at);
        found.push(Lint {
            code: "not_compiled",
            weight: Weight::Info,
            policy,
            message: format!("`{id}` is evaluated the slow way: {why}"),
            fix: "nothing is wrong with its answer; say it in simpler terms if speed matters"
                .into(),
        });
    }
    found.sort_by(|a, b| b.weight.cmp(&a.weight).then(a.policy.cmp(&b.policy)));
    found
}

/// A policy with its parsed form.
struct Read<'a> {
    at: PolicyRef,
    policy: &'a Policy,
    core: &'a ast::Policy,
}

impl Read<'_> {
    fn found(&self, code: &'static str, weight: Weight, message: String, fix: &str) -> Lint {
        Lint { code, weight, policy: Some(self.at), message, fix: fix.to_owned() }
    }

    fn permits(&self) -> bool {
        self.policy.effect == Effect::Permit
    }

    fn condition(&self) -> Option<&Expr> {
        self.core.non_scope_constraints().filter(|expr| constant(expr) != Some(true))
    }

    fn each(&self, mut look: impl FnMut(&Expr)) {
        for expr in self.core.non_scope_constraints().into_iter().flat_map(Expr::subexpressions) {
            look(expr);
        }
    }

    /// A condition that is false whatever is asked.
    fn unreachable(&self, found: &mut Vec<Lint>) {
        let Some(expr) = self.core.non_scope_constraints() else { return };
        let why = if constant(expr) == Some(false) {
            "its condition is always false".to_owned()
        } else if let Some(why) = contradiction(expr) {
            why
        } else {
            return;
        };
        let what = if self.permits() { "permits" } else { "forbids" };
        found.push(self.found(
            "unreachable",
            Weight::High,
            format!("`{}` never {what} anything: {why}", self.policy.id),
            "correct the condition, or drop the policy",
        ));
    }

    /// A permit of everything, or of every tool.
    fn wide(&self, found: &mut Vec<Lint>) {
        if !self.permits() {
            return;
        }
        let principal = is_any(self.core.principal_constraint().as_inner(), "Agent");
        let resource = is_any(self.core.resource_constraint().as_inner(), "Resource");
        let action = any_action(self.core.action_constraint());
        if action && self.condition().is_none() {
            let whom = if principal { "every agent" } else { "its agents" };
            let where_ = if resource { "on anything" } else { "on its resources" };
            found.push(self.found(
                "wildcard_permit",
                if principal { Weight::High } else { Weight::Medium },
                format!("`{}` permits every tool to {whom} {where_}", self.policy.id),
                "name the tools: action in [Action::\"…\"]",
            ));
        } else if action && principal && resource {
            found.push(self.found(
                "wildcard_permit",
                Weight::Medium,
                format!("`{}` permits every tool where its condition holds", self.policy.id),
                "name the tools: action in [Action::\"…\"]",
            ));
        }
    }

    /// A permit of a dangerous tool that looks at none of its arguments.
    fn dangerous(&self, set: &PolicySet, found: &mut Vec<Lint>) {
        if !self.permits() || self.policy.annotation("advice") == Some("ask") {
            return;
        }
        let mut reads = false;
        self.each(|expr| reads |= argument_of(expr).is_some());
        if reads {
            return;
        }
        for tool in set.tools().iter().filter(|tool| tool.dangerous && !tool.arguments.is_empty()) {
            if covers_tool(self.core.action_constraint(), &tool.name) {
                found.push(self.found(
                    "dangerous_unconstrained",
                    Weight::High,
                    format!(
                        "`{}` permits the dangerous tool `{}` with any arguments",
                        self.policy.id, tool.name
                    ),
                    "constrain its arguments in a condition, or ask: @advice(\"ask\")",
                ));
            }
        }
    }

    /// Patterns that match more than they seem to.
    fn patterns(&self, found: &mut Vec<Lint>) {
        self.each(|expr| {
            let ExprKind::Like { expr: what, pattern } = expr.expr_kind() else { return };
            let text = pattern.to_string();
            if pattern.iter().all(|elem| *elem == PatternElem::Wildcard) && !pattern.is_empty() {
                found.push(self.found(
                    "pattern_of_anything",
                    if self.permits() { Weight::Medium } else { Weight::Low },
                    format!(
                        "`{}` compares with \"{text}\", which everything matches",
                        self.policy.id
                    ),
                    "drop the comparison, or say what is meant",
                ));
                return;
            }
            let starts = matches!(pattern.get_elems().first(), Some(PatternElem::Wildcard));
            if self.permits() && starts {
                found.push(self.found(
                    "pattern_open_at_start",
                    Weight::Medium,
                    format!(
                        "`{}` permits what ends with \"{text}\", and whoever fills the argument \
                         writes what stands before it",
                        self.policy.id
                    ),
                    "compare the whole value, or begin the pattern with what must stand there",
                ));
            }
            if let (Some(name), Some(caveat)) = (argument_of(what), caveat_for(pattern)) {
                found.push(self.found(
                    "like_for_a_caveat",
                    if self.permits() { Weight::Medium } else { Weight::Low },
                    format!(
                        "`{}` compares `{name}` with \"{text}\" letter by letter; `..`, `%2e` and \
                         `@` pass where they fit the pattern",
                        self.policy.id
                    ),
                    &format!(
                        "state it in the grant, which reads the value as what it is: {caveat}"
                    ),
                ));
            }
        });
    }

    /// Conditions that may fail to be evaluated.
    fn errors(&self, found: &mut Vec<Lint>) {
        let so = if self.permits() {
            "it then permits nothing"
        } else {
            "the call is then denied, whatever is permitted"
        };
        let weight = if self.permits() { Weight::Low } else { Weight::Medium };
        let (mut sums, mut calls) = (false, BTreeSet::new());
        self.each(|expr| match expr.expr_kind() {
            ExprKind::BinaryApp {
                op: BinaryOp::Add | BinaryOp::Sub | BinaryOp::Mul,
                arg1,
                arg2,
            } if !(is_literal(arg1) && is_literal(arg2)) => {
                sums = true;
            }
            ExprKind::UnaryApp { op: UnaryOp::Neg, arg } if !is_literal(arg) => sums = true,
            ExprKind::ExtensionFunctionApp { fn_name, args }
                if ["decimal", "ip", "datetime", "duration"]
                    .contains(&fn_name.to_string().as_str())
                    && args.iter().any(|arg| !is_literal(arg)) =>
            {
                calls.insert(fn_name.to_string());
            }
            _ => {}
        });
        if sums {
            found.push(self.found(
                "can_err",
                weight,
                format!(
                    "`{}` calculates, and a result beyond 64 bits is an error: {so}",
                    self.policy.id
                ),
                "compare each number with its own bound instead",
            ));
        }
        for call in calls {
            found.push(self.found(
                "can_err",
                weight,
                format!(
                    "`{}` reads text by {call}(), and text of another form is an error: {so}",
                    self.policy.id
                ),
                "declare the argument with its own type, or write the text in the policy",
            ));
        }
    }

    /// Names that nothing has.
    fn names(&self, found: &mut Vec<Lint>) {
        let mut seen = BTreeSet::new();
        let mut look = |uid: &EntityUID| {
            let id: &str = uid.eid().as_ref();
            if uid.entity_type().to_string() == "Human" && !id.starts_with("hum_") {
                seen.insert(id.to_owned());
            }
        };
        self.each(|expr| {
            if let ExprKind::Lit(Literal::EntityUID(uid)) = expr.expr_kind() {
                look(uid);
            }
        });
        for id in seen {
            found.push(self.found(
                "human_by_account",
                if self.permits() { Weight::Medium } else { Weight::High },
                format!("`{}` names Human::\"{id}\", and humans go by their ids", self.policy.id),
                "compare context.human.account and context.human.issuer, or write Human::\"hum_…\"",
            ));
        }
    }

    /// A forbid that leaves its caller without a sentence.
    fn words(&self, found: &mut Vec<Lint>) {
        if !self.permits() && self.policy.annotation("reason").is_none() {
            found.push(self.found(
                "no_reason",
                Weight::Info,
                format!("`{}` forbids without a sentence for whoever is refused", self.policy.id),
                "add @reason(\"…\"): what was wrong and what to do instead",
            ));
        }
    }
}

/// Permits that never decide, because a forbid or another permit covers all that they do.
fn shadows(read: &[Read<'_>], found: &mut Vec<Lint>) {
    let whole: Vec<&Read<'_>> = read.iter().filter(|one| one.condition().is_none()).collect();
    if whole.len().saturating_mul(read.len()) > MAX_PAIRED * MAX_PAIRED {
        return;
    }
    for permit in read.iter().filter(|one| one.permits()) {
        let covering =
            |other: &&&Read<'_>| other.at != permit.at && covers(other.core, permit.core);
        if let Some(forbid) = whole.iter().filter(|one| !one.permits()).find(covering) {
            found.push(permit.found(
                "shadowed_by_forbid",
                Weight::High,
                format!(
                    "`{}` permits nothing that `{}` does not forbid",
                    permit.policy.id, forbid.policy.id
                ),
                "narrow the forbid, or drop the permit",
            ));
            continue;
        }
        let asks = permit.policy.annotation("advice") == Some("ask");
        let masks = permit.policy.annotation("mask").is_some();
        // Two that cover each other: the later one is the one too many.
        let wider = whole.iter().filter(|one| one.permits()).filter(covering);
        let wider = wider.into_iter().find(|one| {
            !covers(permit.core, one.core) || permit.condition().is_some() || one.at < permit.at
        });
        if let Some(wider) = wider.filter(|_| !asks && !masks) {
            found.push(permit.found(
                "redundant",
                Weight::Low,
                format!(
                    "`{}` permits nothing that `{}` does not permit already",
                    permit.policy.id, wider.policy.id
                ),
                "drop it, or narrow the other: a condition in one permit does not restrict another",
            ));
        }
    }
}

/// Tools that no permit covers.
fn uncovered(set: &PolicySet, read: &[Read<'_>], found: &mut Vec<Lint>) {
    for tool in set.tools() {
        let permitted =
            |one: &Read<'_>| one.permits() && covers_tool(one.core.action_constraint(), &tool.name);
        if !read.iter().any(permitted) {
            found.push(Lint {
                code: "never_permitted",
                weight: Weight::Info,
                policy: None,
                message: format!("no policy permits `{}` to anybody", tool.name),
                fix: "write a permit for it, or take the tool away".into(),
            });
        }
    }
}
