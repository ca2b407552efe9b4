//! Which policies can matter to a request: by action, principal and resource, exactly. A scope test
//! cannot fail, and a policy whose scope does not admit the request neither decides nor errs.

use cedar_policy_core::ast::{
    self, ActionConstraint, EntityReference, EntityUID, PrincipalOrResourceConstraint as Constraint,
};

use super::Policy;
use super::code::{Code, Condition};
use super::convert::{from_uid, to_uid};
use super::env::Env;
use super::explain::ScopeMiss;
use super::names::{Ent, FastMap, NONE, TypeId};
use super::verdict::{Effect, Policies};
use super::world::World;

/// What a scope asks of one entity, but for its type.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
enum Key {
    Any,
    Is(TypeId),
    Equal(Ent),
    In(Ent),
}

/// A policy that was found, what is left to ask, and all that judging by it needs: the policy
/// itself lies elsewhere, and is looked at only where something is wrong with it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Found {
    pub(super) policy: u32,
    /// [`NONE`] where any type will do.
    principal_type: TypeId,
    resource_type: TypeId,
    /// A place in [`Index::lists`], or [`NONE`].
    actions: u32,
    /// The number of its condition, where others have the very same one; else [`NONE`].
    pub(super) shared: u32,
    pub(super) condition: Check,
    pub(super) effect: Effect,
}

/// A condition as it is judged by.
#[derive(Debug, Clone, Copy)]
pub(super) enum Check {
    Always,
    /// Where its code starts and ends.
    Code(u32, u32),
    Cedar,
}

/// Policies by what they ask of the resource.
#[derive(Debug, Default)]
struct ByResource {
    any: Vec<Found>,
    keys: FastMap<Key, Vec<Found>>,
}

/// Policies by what they ask of the principal.
#[derive(Debug, Default)]
struct ByPrincipal {
    any: ByResource,
    keys: FastMap<Key, ByResource>,
}

/// The index of a set.
#[derive(Debug, Default)]
pub(super) struct Index {
    any: ByPrincipal,
    by_action: FastMap<Ent, ByPrincipal>,
    /// Lists of actions of which one must hold: where a policy names several.
    lists: Vec<Box<[Ent]>>,
}

/// A table this small is walked; a larger one is looked up in.
const FEW: usize = 8;

impl Index {
    pub(super) fn build(policies: &[Policy], code: &Code, world: &mut World) -> Self {
        let mut index = Self::default();
        for (place, policy) in policies.iter().enumerate() {
            let condition = match code.conditions.get(place) {
                Some(Condition::Always) => Check::Always,
                Some(Condition::Code(start, end)) => Check::Code(*start, *end),
                // Also where there is none, which never is: Cedar knows the policy.
                Some(Condition::Cedar(_)) | None => Check::Cedar,
            };
            let core = &policy.core;
            let (principal, principal_type) = key(core.principal_constraint().as_inner(), world);
            let (resource, resource_type) = key(core.resource_constraint().as_inner(), world);
            let mut found = Found {
                policy: place as u32,
                principal_type,
                resource_type,
                actions: NONE,
                shared: code.shared.get(place).copied().unwrap_or(NONE),
                condition,
                effect: policy.effect,
            };
            let table = match core.action_constraint() {
                ActionConstraint::Any => &mut index.any,
                ActionConstraint::Eq(uid) => {
                    // Only the very action, not what lies below it.
                    found.actions = index.lists.len() as u32;
                    let action = from_uid(uid, world);
                    index.lists.push([action].into());
                    index.by_action.entry(action).or_default()
                }
                ActionConstraint::In(uids) => match uids.as_slice() {
                    [uid] => index.by_action.entry(from_uid(uid, world)).or_default(),
                    uids => {
                        found.actions = index.lists.len() as u32;
                        let actions = uids.iter().map(|uid| from_uid(uid, world)).collect();
                        index.lists.push(actions);
                        &mut index.any
                    }
                },
            };
            let table = match principal {
                Key::Any => &mut table.any,
                key => table.keys.entry(key).or_default(),
            };
            match resource {
                Key::Any => table.any.push(found),
                key => table.keys.entry(key).or_default().push(found),
            }
        }
        index
    }

    /// Calls `visit` with each policy whose scope admits the request, once.
    pub(super) fn candidates(&self, env: &Env<'_>, mut visit: impl FnMut(&Found)) {
        let mut visit = Visit {
            index: self,
            env,
            principal_type: env.type_of(env.principal),
            resource_type: env.type_of(env.resource),
            resource_above: None,
            visit: &mut visit,
        };
        visit.by_principal(&self.any);
        if self.by_action.is_empty() {
            return;
        }
        let mut actions = Policies::default();
        actions.push(env.action);
        above(env, env.action, &mut actions);
        for action in actions.iter() {
            if let Some(table) = self.by_action.get(&action.0) {
                visit.by_principal(table);
            }
        }
    }
}

/// All that lies above an entity, each once.
fn above(env: &Env<'_>, entity: Ent, found: &mut Policies) {
    for above in env.data(entity).iter().flat_map(|data| data.ancestors.iter()) {
        found.push(*above);
    }
    for by_text in env.by_text(entity) {
        let all = env.world.data(by_text).into_iter().flat_map(|data| data.ancestors.iter());
        for above in std::iter::once(&by_text).chain(all) {
            if !found.iter().any(|own| own.0 == *above) {
                found.push(*above);
            }
        }
    }
}

struct Visit<'v, 'a, F> {
    index: &'v Index,
    env: &'v Env<'a>,
    principal_type: TypeId,
    resource_type: TypeId,
    /// Gathered when it is first asked for.
    resource_above: Option<Policies>,
    visit: &'v mut F,
}

impl<F: FnMut(&Found)> Visit<'_, '_, F> {
    fn by_principal(&mut self, table: &ByPrincipal) {
        self.by_resource(&table.any);
        if table.keys.is_empty() {
            return;
        }
        let (env, principal) = (self.env, self.env.principal);
        if table.keys.len() <= FEW {
            for (key, table) in &table.keys {
                if holds(env, *key, principal, self.principal_type) {
                    self.by_resource(table);
                }
            }
            return;
        }
        for key in [Key::Is(self.principal_type), Key::Equal(principal), Key::In(principal)] {
            if let Some(table) = table.keys.get(&key) {
                self.by_resource(table);
            }
        }
        // No text puts a principal below another.
        for above in env.data(principal).iter().flat_map(|data| data.ancestors.iter()) {
            if let Some(table) = table.keys.get(&Key::In(*above)) {
                self.by_resource(table);
            }
        }
    }

    fn by_resource(&mut self, table: &ByResource) {
        self.found(&table.any);
        if table.keys.is_empty() {
            return;
        }
        let (env, resource) = (self.env, self.env.resource);
        if table.keys.len() <= FEW {
            for (key, found) in &table.keys {
                if holds(env, *key, resource, self.resource_type) {
                    self.found(found);
                }
            }
            return;
        }
        for key in [Key::Is(self.resource_type), Key::Equal(resource), Key::In(resource)] {
            if let Some(found) = table.keys.get(&key) {
                self.found(found);
            }
        }
        let all = match self.resource_above.take() {
            Some(all) => all,
            None => {
                let mut all = Policies::default();
                above(env, resource, &mut all);
                all
            }
        };
        for above in all.iter() {
            if let Some(found) = table.keys.get(&Key::In(above.0)) {
                self.found(found);
            }
        }
        self.resource_above = Some(all);
    }

    fn found(&mut self, found: &[Found]) {
        for found in found {
            let types = (found.principal_type == NONE
                || found.principal_type == self.principal_type)
                && (found.resource_type == NONE || found.resource_type == self.resource_type);
            if types && self.is_action(found.actions) {
                (self.visit)(found);
            }
        }
    }

    fn is_action(&self, list: u32) -> bool {
        match self.index.lists.get(list as usize) {
            None => list == NONE,
            Some(actions) => match &**actions {
                // `==` is one action only; `in` one of several or what lies below.
                [only] => *only == self.env.action,
                actions => actions.iter().any(|action| self.env.is_in(self.env.action, *action)),
            },
        }
    }
}

fn holds(env: &Env<'_>, key: Key, entity: Ent, kind: TypeId) -> bool {
    match key {
        Key::Any => true,
        Key::Is(of) => of == kind,
        Key::Equal(only) => only == entity,
        Key::In(above) => env.is_in(entity, above),
    }
}

fn key(constraint: &Constraint, world: &mut World) -> (Key, TypeId) {
    let of = |reference: &EntityReference, world: &mut World| match reference {
        EntityReference::EUID(uid) => from_uid(uid as &EntityUID, world),
        // A policy has no open slots: its constraints are given with them filled.
        EntityReference::Slot(_) => NONE,
    };
    match constraint {
        Constraint::Any => (Key::Any, NONE),
        Constraint::Eq(reference) => (Key::Equal(of(reference, world)), NONE),
        Constraint::In(reference) => (Key::In(of(reference, world)), NONE),
        Constraint::Is(kind) => (Key::Is(world.types.intern(&kind.to_string())), NONE),
        Constraint::IsIn(kind, reference) => {
            (Key::In(of(reference, world)), world.types.intern(&kind.to_string()))
        }
    }
}

/// Which parts of a policy's scope admit the request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Closeness {
    principal: bool,
    action: bool,
    resource: bool,
}

/// How near a policy's scope is to the request.
pub(super) fn closeness(env: &Env<'_>, policy: &Policy) -> Closeness {
    let core = &policy.core;
    let admits = |constraint: &Constraint, entity: Ent| {
        let of = |reference: &EntityReference| match reference {
            EntityReference::EUID(uid) => {
                env.find(&uid.entity_type().to_string(), uid.eid().as_ref())
            }
            EntityReference::Slot(_) => None,
        };
        let is = |kind: &str| env.world.types.get(kind) == Some(env.type_of(entity));
        match constraint {
            Constraint::Any => true,
            Constraint::Eq(reference) => of(reference) == Some(entity),
            Constraint::In(reference) => {
                of(reference).is_some_and(|above| env.is_in(entity, above))
            }
            Constraint::Is(kind) => is(&kind.to_string()),
            Constraint::IsIn(kind, reference) => {
                is(&kind.to_string()) && of(reference).is_some_and(|above| env.is_in(entity, above))
            }
        }
    };
    let find = |uid: &EntityUID| env.find(&uid.entity_type().to_string(), uid.eid().as_ref());
    let action = match core.action_constraint() {
        ActionConstraint::Any => true,
        ActionConstraint::Eq(uid) => find(uid) == Some(env.action),
        ActionConstraint::In(uids) => {
            uids.iter().any(|uid| find(uid).is_some_and(|above| env.is_in(env.action, above)))
        }
    };
    Closeness {
        principal: admits(core.principal_constraint().as_inner(), env.principal),
        action,
        resource: admits(core.resource_constraint().as_inner(), env.resource),
    }
}

impl Closeness {
    /// A policy on another tool has nothing to say of this one.
    pub(super) fn can_be_near(self) -> bool {
        self.action
    }

    pub(super) fn misses(self) -> usize {
        usize::from(!self.principal) + usize::from(!self.resource)
    }

    /// What does not fit, in words.
    pub(super) fn into_misses(self, env: &Env<'_>, core: &ast::Policy) -> Vec<ScopeMiss> {
        let has = |entity| to_uid(entity, env).map(|uid| uid.to_string()).unwrap_or_default();
        let mut misses = Vec::new();
        if !self.principal {
            let asks = asked(core.principal_constraint().as_inner());
            misses.push(ScopeMiss { part: "principal", asks, has: has(env.principal) });
        }
        if !self.resource {
            let asks = asked(core.resource_constraint().as_inner());
            misses.push(ScopeMiss { part: "resource", asks, has: has(env.resource) });
        }
        misses
    }
}

/// What a scope asks, in words that follow the part.
fn asked(constraint: &Constraint) -> String {
    let of = |reference: &EntityReference| match reference {
        EntityReference::EUID(uid) => uid.to_string(),
        EntityReference::Slot(_) => "an open slot".to_owned(),
    };
    match constraint {
        Constraint::Any => "any".to_owned(),
        Constraint::Eq(reference) => of(reference),
        Constraint::In(reference) => format!("in {}", of(reference)),
        Constraint::Is(kind) => format!("of the type {kind}"),
        Constraint::IsIn(kind, reference) => format!("a {kind} in {}", of(reference)),
    }
}
