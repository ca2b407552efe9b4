//! What the heads of policies reach, as far as they themselves tell.

use std::sync::Arc;

use cedar_policy_core::ast::{
    self, ActionConstraint, EntityReference, EntityUID, PrincipalOrResourceConstraint as Constraint,
};

use super::super::schema::groups;

pub(super) fn is_any(constraint: &Constraint, kind: &str) -> bool {
    match constraint {
        Constraint::Any => true,
        Constraint::Is(of) => of.to_string() == kind,
        _ => false,
    }
}

pub(super) fn any_action(constraint: &ActionConstraint) -> bool {
    let all = |uid: &Arc<EntityUID>| AsRef::<str>::as_ref(uid.eid()) == "**";
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::In(uids) => uids.iter().any(all),
        ActionConstraint::Eq(_) => false,
    }
}

/// Whether a policy's head can reach a tool.
pub(super) fn covers_tool(constraint: &ActionConstraint, tool: &str) -> bool {
    let reaches = |uid: &Arc<EntityUID>| {
        let id: &str = uid.eid().as_ref();
        id == tool || groups(tool).iter().any(|group| group == id)
    };
    match constraint {
        ActionConstraint::Any => true,
        ActionConstraint::In(uids) => uids.iter().any(reaches),
        ActionConstraint::Eq(uid) => AsRef::<str>::as_ref(uid.eid()) == tool,
    }
}

/// Whether one head reaches all that another does, as far as the heads themselves tell.
pub(super) fn covers(wide: &ast::Policy, narrow: &ast::Policy) -> bool {
    let principal = reaches(
        wide.principal_constraint().as_inner(),
        narrow.principal_constraint().as_inner(),
        "Agent",
    );
    let resource = reaches(
        wide.resource_constraint().as_inner(),
        narrow.resource_constraint().as_inner(),
        "Resource",
    );
    principal && resource && reaches_actions(wide.action_constraint(), narrow.action_constraint())
}

pub(super) fn reaches(wide: &Constraint, narrow: &Constraint, kind: &str) -> bool {
    let uid = |reference: &EntityReference| match reference {
        EntityReference::EUID(uid) => Some(uid.clone()),
        EntityReference::Slot(_) => None,
    };
    if is_any(wide, kind) {
        return true;
    }
    match (wide, narrow) {
        (Constraint::Eq(a), Constraint::Eq(b)) => uid(a).is_some() && uid(a) == uid(b),
        // What equals an entity is in it.
        (Constraint::In(a), Constraint::Eq(b) | Constraint::In(b) | Constraint::IsIn(_, b)) => {
            uid(a).is_some() && uid(a) == uid(b)
        }
        _ => false,
    }
}

pub(super) fn reaches_actions(wide: &ActionConstraint, narrow: &ActionConstraint) -> bool {
    let of = |constraint: &ActionConstraint| -> Option<Vec<String>> {
        let id = |uid: &Arc<EntityUID>| AsRef::<str>::as_ref(uid.eid()).to_owned();
        match constraint {
            ActionConstraint::Any => None,
            ActionConstraint::In(uids) => Some(uids.iter().map(id).collect()),
            ActionConstraint::Eq(uid) => Some(vec![id(uid)]),
        }
    };
    match (of(wide), of(narrow)) {
        (None, _) => true,
        (Some(wide), _) if wide.iter().any(|id| id == "**") => true,
        (Some(_), None) => false,
        (Some(wide), Some(narrow)) => {
            narrow.iter().all(|id| wide.iter().any(|wide| reaches_action(wide, id)))
        }
    }
}

/// Whether a tool or group of tools lies in another.
pub(super) fn reaches_action(wide: &str, narrow: &str) -> bool {
    if wide == narrow {
        return true;
    }
    match (wide.strip_suffix(".**"), narrow.strip_suffix('*')) {
        (_, None) => groups(narrow).iter().any(|group| group == wide),
        // `pay.eu.*` and `pay.eu.**` lie in `pay.**`; `pay.*` lies in it too.
        (Some(above), Some(prefix)) => prefix
            .trim_end_matches('*')
            .strip_prefix(above)
            .is_some_and(|rest| rest.starts_with('.')),
        (None, Some(_)) => false,
    }
}
