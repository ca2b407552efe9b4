//! Which policies can matter to a request: by action, principal and resource, exactly. A scope test
//! cannot fail, and a policy whose scope does not admit the request neither decides nor errs.

use cedar_policy_core::ast::{
    self, ActionConstraint, EntityReference, EntityUID, PrincipalOrResourceConstraint as Constraint,
};

use super::code::{Code, Condition};
use super::convert::{from_uid, to_uid};
use super::env::Env;
use super::evaluate::Machine;
use super::explain::ScopeMiss;
use super::names::{Ent, FastMap, NONE, TypeId};
use super::sieve::{Builder, Item, Sieve};
use super::verdict::{Effect, Policies};
use super::world::World;
use super::{Policy, compile};

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
    /// Where the code of its condition starts and ends: nowhere, if it has none.
    pub(super) start: u32,
    pub(super) end: u32,
    /// Where the part of it starts that is still to be judged.
    pub(super) from: u32,
    /// Whether its condition is Cedar's to judge.
    pub(super) is_left: bool,
    pub(super) effect: Effect,
}

/// What is left to ask of the action.
#[derive(Debug)]
enum Actions {
    /// It must be this very one.
    Only(Ent),
    /// It must be one of these, or lie below one.
    In(Box<[Ent]>),
    /// It must be none of these, nor lie below one: the policy was found under them before.
    Before(Box<[Ent]>),
}

/// Policies by what they ask of the resource.
#[derive(Debug, Default)]
struct ByResource<T> {
    any: T,
    keys: FastMap<Key, T>,
}

/// Policies by what they ask of the principal.
#[derive(Debug, Default)]
struct ByPrincipal<T> {
    any: ByResource<T>,
    keys: FastMap<Key, ByResource<T>>,
}

/// The index of a set.
#[derive(Debug, Default)]
pub(super) struct Index {
    any: ByPrincipal<Sieve>,
    by_action: FastMap<Ent, ByPrincipal<Sieve>>,
    lists: Vec<Actions>,
}

/// A table this small is walked; a larger one is looked up in.
const FEW: usize = 8;
/// A policy that names more actions lies among those that name none.
const ACTIONS: usize = 16;

impl Index {
    pub(super) fn build<'p>(policies: &'p [Policy], code: &mut Code, world: &mut World) -> Self {
        let parts = std::mem::take(&mut code.parts);
        let mut lists = Vec::new();
        let mut any: ByPrincipal<Vec<Item<'p>>> = ByPrincipal::default();
        let mut by_action: FastMap<Ent, ByPrincipal<Vec<Item<'p>>>> = FastMap::default();
        for ((place, policy), starts) in policies.iter().enumerate().zip(parts) {
            let core = &policy.core;
            let (principal, principal_type) = key(core.principal_constraint().as_inner(), world);
            let (resource, resource_type) = key(core.resource_constraint().as_inner(), world);
            let (start, end, is_left) = match code.conditions.get(place) {
                Some(Condition::Always) => (0, 0, false),
                Some(Condition::Code(start, end)) => (*start, *end, false),
                // Also where there is none, which never is: Cedar knows the policy.
                Some(Condition::Cedar(_)) | None => (0, 0, true),
            };
            let found = Found {
                policy: place as u32,
                principal_type,
                resource_type,
                actions: NONE,
                shared: code.shared.get(place).copied().unwrap_or(NONE),
                start,
                end,
                from: start,
                is_left,
                effect: policy.effect,
            };
            // What fills a slot is no part of the condition's text: those are judged as a whole.
            let sifted = core
                .non_scope_constraints()
                .filter(|condition| !is_left && condition.slots().next().is_none());
            let mut put = |table: &mut ByPrincipal<Vec<Item<'p>>>, actions: Option<Actions>| {
                let mut found = found;
                if let Some(actions) = actions {
                    found.actions = lists.len() as u32;
                    lists.push(actions);
                }
                table.of(principal).of(resource).push(match sifted {
                    Some(condition) => Item::new(found, compile::parts(condition), starts.clone()),
                    None => Item::new(found, Vec::new(), Vec::new()),
                });
            };
            match core.action_constraint() {
                ActionConstraint::Any => put(&mut any, None),
                ActionConstraint::Eq(uid) => {
                    let action = from_uid(uid, world);
                    // Only the very action, not what lies below it.
                    put(by_action.entry(action).or_default(), Some(Actions::Only(action)));
                }
                ActionConstraint::In(uids) => {
                    let all: Vec<Ent> = uids.iter().map(|uid| from_uid(uid, world)).collect();
                    if all.is_empty() || all.len() > ACTIONS {
                        put(&mut any, Some(Actions::In(all.into())));
                        continue;
                    }
                    for (at, action) in all.iter().enumerate() {
                        let before = all.get(..at).filter(|before| !before.is_empty());
                        let before = before.map(|before| Actions::Before(before.into()));
                        put(by_action.entry(*action).or_default(), before);
                    }
                }
            }
        }
        let mut builder = Builder { code, world };
        let any = any.map(&mut |items| builder.build(items));
        let by_action = by_action
            .into_iter()
            .map(|(action, table)| (action, table.map(&mut |items| builder.build(items))))
            .collect();
        Self { any, by_action, lists }
    }

    /// Calls `visit` with each policy whose scope admits the request and whose condition can hold
    /// or fail, once; with `true` for one that must be judged from its start, else from
    /// [`Found::from`].
    pub(super) fn candidates<'a, 'e>(
        &self,
        machine: &mut Machine<'a, 'e>,
        mut visit: impl FnMut(&mut Machine<'a, 'e>, &Found, bool),
    ) {
        let env = machine.env();
        let kinds = Kinds::of(env);
        self.sieves(env, &kinds, &mut |sieve: &Sieve| {
            sieve.sift(machine, &mut |machine, found, whole| {
                if self.admits(env, &kinds, found) {
                    visit(machine, found, whole);
                }
            });
        });
    }

    /// Calls `visit` with each policy whose scope admits the request, once, whatever its condition.
    pub(super) fn heads(&self, env: &Env<'_>, mut visit: impl FnMut(&Found)) {
        let kinds = Kinds::of(env);
        self.sieves(env, &kinds, &mut |sieve: &Sieve| {
            for found in sieve.all().filter(|found| self.admits(env, &kinds, found)) {
                visit(found);
            }
        });
    }

    fn sieves(&self, env: &Env<'_>, kinds: &Kinds, visit: &mut impl FnMut(&Sieve)) {
        let mut visit = Visit { env, kinds, resource_above: None, visit };
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

    /// What the tables have not asked.
    fn admits(&self, env: &Env<'_>, kinds: &Kinds, found: &Found) -> bool {
        let fits = |kind: TypeId, own: TypeId| kind == NONE || kind == own;
        fits(found.principal_type, kinds.principal)
            && fits(found.resource_type, kinds.resource)
            && self.is_action(env, found.actions)
    }

    fn is_action(&self, env: &Env<'_>, list: u32) -> bool {
        let is_in = |action: &Ent| env.is_in(env.action, *action);
        match self.lists.get(list as usize) {
            None => list == NONE,
            Some(Actions::Only(only)) => *only == env.action,
            Some(Actions::In(actions)) => actions.iter().any(is_in),
            Some(Actions::Before(actions)) => !actions.iter().any(is_in),
        }
    }
}

/// The types of a request's entities.
struct Kinds {
    principal: TypeId,
    resource: TypeId,
}

impl Kinds {
    fn of(env: &Env<'_>) -> Self {
        Self { principal: env.type_of(env.principal), resource: env.type_of(env.resource) }
    }
}

impl<T: Default> ByPrincipal<T> {
    fn of(&mut self, key: Key) -> &mut ByResource<T> {
        match key {
            Key::Any => &mut self.any,
            key => self.keys.entry(key).or_default(),
        }
    }

    fn map<U>(self, with: &mut impl FnMut(T) -> U) -> ByPrincipal<U> {
        let any = self.any.map(with);
        let keys = self.keys.into_iter().map(|(key, table)| (key, table.map(with))).collect();
        ByPrincipal { any, keys }
    }
}

impl<T: Default> ByResource<T> {
    fn of(&mut self, key: Key) -> &mut T {
        match key {
            Key::Any => &mut self.any,
            key => self.keys.entry(key).or_default(),
        }
    }

    fn map<U>(self, with: &mut impl FnMut(T) -> U) -> ByResource<U> {
        let any = with(self.any);
        let keys = self.keys.into_iter().map(|(key, items)| (key, with(items))).collect();
        ByResource { any, keys }
    }
}

/// All that lies above an entity, each once.
pub(super) fn above(env: &Env<'_>, entity: Ent, found: &mut Policies) {
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
    env: &'v Env<'a>,
    kinds: &'v Kinds,
    /// Gathered when it is first asked for.
    resource_above: Option<Policies>,
    visit: &'v mut F,
}

impl<F: FnMut(&Sieve)> Visit<'_, '_, F> {
    fn by_principal(&mut self, table: &ByPrincipal<Sieve>) {
        self.by_resource(&table.any);
        if table.keys.is_empty() {
            return;
        }
        let (env, principal) = (self.env, self.env.principal);
        if table.keys.len() <= FEW {
            for (key, table) in &table.keys {
                if holds(env, *key, principal, self.kinds.principal) {
                    self.by_resource(table);
                }
            }
            return;
        }
        for key in [Key::Is(self.kinds.principal), Key::Equal(principal), Key::In(principal)] {
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

    fn by_resource(&mut self, table: &ByResource<Sieve>) {
        (self.visit)(&table.any);
        if table.keys.is_empty() {
            return;
        }
        let (env, resource) = (self.env, self.env.resource);
        if table.keys.len() <= FEW {
            for (key, found) in &table.keys {
                if holds(env, *key, resource, self.kinds.resource) {
                    (self.visit)(found);
                }
            }
            return;
        }
        for key in [Key::Is(self.kinds.resource), Key::Equal(resource), Key::In(resource)] {
            if let Some(found) = table.keys.get(&key) {
                (self.visit)(found);
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
                (self.visit)(found);
            }
        }
        self.resource_above = Some(all);
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
