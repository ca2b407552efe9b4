//! Parts of conditions: what is constant, what excludes what, what a pattern looks like.

use cedar_policy_core::ast::{BinaryOp, Expr, ExprKind, Literal, Pattern, UnaryOp};

/// The truth of an expression that reads nothing.
pub(super) fn constant(expr: &Expr) -> Option<bool> {
    match expr.expr_kind() {
        ExprKind::Lit(Literal::Bool(truth)) => Some(*truth),
        ExprKind::UnaryApp { op: UnaryOp::Not, arg } => constant(arg).map(|truth| !truth),
        ExprKind::And { left, right } => match (constant(left), constant(right)) {
            (Some(false), _) | (_, Some(false)) => Some(false),
            (Some(true), other) => other,
            _ => None,
        },
        ExprKind::Or { left, right } => match (constant(left), constant(right)) {
            (Some(true), _) => Some(true),
            (Some(false), other) => other,
            _ => None,
        },
        ExprKind::BinaryApp { op: BinaryOp::Eq, arg1, arg2 } => {
            match (arg1.expr_kind(), arg2.expr_kind()) {
                (ExprKind::Lit(a), ExprKind::Lit(b)) => Some(a == b),
                _ => None,
            }
        }
        _ => None,
    }
}

/// Two conjuncts that no request can meet together: one place equal to two texts or numbers, or
/// bounds on it that leave nothing between them.
pub(super) fn contradiction(expr: &Expr) -> Option<String> {
    let mut parts = Vec::new();
    conjuncts(expr, &mut parts);
    let bounds: Vec<(String, Bound)> = parts.iter().filter_map(|part| bound(part)).collect();
    for (at, (place, one)) in bounds.iter().enumerate() {
        for (other_place, other) in bounds.iter().skip(at + 1) {
            if place == other_place && one.excludes(other) {
                return Some(format!("`{place}` cannot be both {one} and {other}"));
            }
        }
    }
    None
}

fn conjuncts<'a>(expr: &'a Expr, parts: &mut Vec<&'a Expr>) {
    match expr.expr_kind() {
        ExprKind::And { left, right } => {
            conjuncts(left, parts);
            conjuncts(right, parts);
        }
        _ => parts.push(expr),
    }
}

enum Bound {
    Is(Literal),
    /// From this number up.
    From(i64),
    /// Up to this number.
    To(i64),
}

impl Bound {
    fn excludes(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Is(a), Self::Is(b)) => a != b,
            (Self::From(low), Self::To(high)) | (Self::To(high), Self::From(low)) => low > high,
            (Self::Is(Literal::Long(number)), Self::From(low))
            | (Self::From(low), Self::Is(Literal::Long(number))) => number < low,
            (Self::Is(Literal::Long(number)), Self::To(high))
            | (Self::To(high), Self::Is(Literal::Long(number))) => number > high,
            _ => false,
        }
    }
}

impl std::fmt::Display for Bound {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Is(literal) => write!(f, "{literal}"),
            Self::From(low) => write!(f, "at least {low}"),
            Self::To(high) => write!(f, "at most {high}"),
        }
    }
}

/// A comparison of a place with a constant.
fn bound(expr: &Expr) -> Option<(String, Bound)> {
    // `a > b` is read as `!(a <= b)`.
    if let ExprKind::UnaryApp { op: UnaryOp::Not, arg } = expr.expr_kind() {
        let (place, bound) = bound(arg)?;
        return match bound {
            Bound::To(high) => Some((place, Bound::From(high.checked_add(1)?))),
            Bound::From(low) => Some((place, Bound::To(low.checked_sub(1)?))),
            Bound::Is(_) => None,
        };
    }
    let ExprKind::BinaryApp { op, arg1, arg2 } = expr.expr_kind() else { return None };
    let literal = |expr: &Expr| match expr.expr_kind() {
        ExprKind::Lit(literal) => Some(literal.clone()),
        _ => None,
    };
    let (place, constant, swapped) = match (place(arg1), literal(arg2)) {
        (Some(place), Some(constant)) => (place, constant, false),
        _ => (self::place(arg2)?, literal(arg1)?, true),
    };
    match (op, &constant, swapped) {
        (BinaryOp::Eq, _, _) => Some((place, Bound::Is(constant))),
        (BinaryOp::LessEq, Literal::Long(number), false) => Some((place, Bound::To(*number))),
        (BinaryOp::Less, Literal::Long(number), false) => {
            Some((place, Bound::To(number.checked_sub(1)?)))
        }
        (BinaryOp::LessEq, Literal::Long(number), true) => Some((place, Bound::From(*number))),
        (BinaryOp::Less, Literal::Long(number), true) => {
            Some((place, Bound::From(number.checked_add(1)?)))
        }
        _ => None,
    }
}

/// A variable or a field of one, such as `context.arguments.amount`.
fn place(expr: &Expr) -> Option<String> {
    match expr.expr_kind() {
        ExprKind::Var(var) => Some(var.to_string()),
        ExprKind::GetAttr { expr, attr } => Some(format!("{}.{attr}", place(expr)?)),
        _ => None,
    }
}

/// The argument that an expression reads, by its dotted name; empty for the arguments as a whole.
pub(super) fn argument_of(expr: &Expr) -> Option<String> {
    let text = place(expr)?;
    let rest = text.strip_prefix("context.arguments")?;
    Some(rest.trim_start_matches('.').to_owned())
}

pub(super) fn is_literal(expr: &Expr) -> bool {
    match expr.expr_kind() {
        ExprKind::Lit(_) => true,
        ExprKind::UnaryApp { op: UnaryOp::Neg, arg } => is_literal(arg),
        _ => false,
    }
}

/// The caveat that says what a pattern is used for.
pub(super) fn caveat_for(pattern: &Pattern) -> Option<&'static str> {
    let text = pattern.to_string();
    if text.contains("://") {
        Some("ans.host_in(…)")
    } else if text.contains('@') {
        Some("ans.email_at(…)")
    } else if text.starts_with('/') || text.starts_with("./") || text.contains("/*") {
        Some("ans.under(…)")
    } else if text.starts_with("*.") && text.matches('.').count() > 1 {
        Some("ans.host_in(…)")
    } else {
        None
    }
}
