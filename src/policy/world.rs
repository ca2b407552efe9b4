//! What a policy set knows: names, entities and how they lie in one another. Entities are kept in
//! our own graph, because a decision reads a few of them and Cedar's store must be copied to change.

use std::collections::BTreeSet;

use super::datum::Fields;
use super::names::{Ent, Names, Symbol, TypeId, Uids};

/// Names that the evaluator itself knows: their numbers are fixed, because they are interned first.
macro_rules! known {
    ($all:ident: $($name:ident = $text:literal),* $(,)?) => {
        #[allow(clippy::upper_case_acronyms)]
        enum Place { $($name),* }
        $(pub(in crate::policy) const $name: u32 = Place::$name as u32;)*
        pub(in crate::policy) const $all: &[&str] = &[$($text),*];
    };
}

/// Attributes.
pub(super) mod symbol {
    known!(ALL:
        ARGUMENTS = "arguments", CHAIN = "chain", HUMAN = "human", TASK = "task", TOOL = "tool",
        TIME = "time", WEEKDAY = "weekday", HOST = "host", APPROVED = "approved", OWN = "own",
        DEPTH = "depth", AGENTS = "agents", ISSUED = "issued", AGE = "age", LATEST = "latest",
        NAME = "name", KIND = "kind", DANGEROUS = "dangerous",
    );
}

/// Entity types.
pub(super) mod kind {
    known!(ALL:
        ACTION = "Action", AGENT = "Agent", HUMAN = "Human", TASK = "Task", TOOL = "Tool",
        RESOURCE = "Resource", GROUP = "Group",
    );
}

/// An entity's data.
#[derive(Debug, Clone, Default)]
pub(super) struct Data {
    pub(super) attributes: Fields,
    pub(super) tags: Fields,
    /// All entities above it, sorted.
    pub(super) ancestors: Box<[Ent]>,
}

/// Names and entities of a policy set: fixed once it is loaded.
#[derive(Debug, Clone)]
pub(super) struct World {
    pub(super) symbols: Names,
    pub(super) types: Names,
    pub(super) uids: Uids,
    data: Vec<Option<Box<Data>>>,
}

impl World {
    pub(super) fn new() -> Self {
        let mut world = Self {
            symbols: Names::default(),
            types: Names::default(),
            uids: Uids::default(),
            data: Vec::new(),
        };
        for name in symbol::ALL {
            world.symbols.intern(name);
        }
        for name in kind::ALL {
            world.types.intern(name);
        }
        world
    }

    pub(super) fn data(&self, entity: Ent) -> Option<&Data> {
        self.data.get(entity as usize)?.as_deref()
    }

    pub(super) fn put(&mut self, entity: Ent, data: Data) {
        while self.data.len() <= entity as usize {
            self.data.push(None);
        }
        if let Some(place) = self.data.get_mut(entity as usize) {
            *place = Some(Box::new(data));
        }
    }

    pub(super) fn is_below(&self, entity: Ent, above: Ent) -> bool {
        self.data(entity).is_some_and(|data| contains(&data.ancestors, above))
    }

    /// Replaces the parents of the entities given by all that lies above them.
    ///
    /// # Errors
    /// An entity that lies above itself.
    pub(super) fn close(&mut self, parents: &[(Ent, Vec<Ent>)]) -> Result<(), Ent> {
        let direct: super::names::FastMap<Ent, &[Ent]> =
            parents.iter().map(|(entity, above)| (*entity, &above[..])).collect();
        // INVARIANT: an entity is done before any that lies below it is finished; no recursion, so
        // that a long line of groups costs no stack.
        let mut done: super::names::FastMap<Ent, Box<[Ent]>> = super::names::FastMap::default();
        let mut open: BTreeSet<Ent> = BTreeSet::new();
        for (start, _) in parents {
            let mut stack = vec![(*start, false)];
            while let Some((entity, ready)) = stack.pop() {
                if done.contains_key(&entity) {
                    continue;
                }
                let above = direct.get(&entity).copied().unwrap_or(&[]);
                if ready {
                    let mut all: Vec<Ent> = above.to_vec();
                    for parent in above {
                        all.extend(done.get(parent).iter().flat_map(|above| above.iter()));
                    }
                    all.sort_unstable();
                    all.dedup();
                    open.remove(&entity);
                    done.insert(entity, all.into());
                    continue;
                }
                if !open.insert(entity) {
                    return Err(entity);
                }
                stack.push((entity, true));
                for parent in above {
                    if open.contains(parent) {
                        return Err(*parent);
                    }
                    if !done.contains_key(parent) {
                        stack.push((*parent, false));
                    }
                }
            }
        }
        for (entity, _) in parents {
            let all = done.remove(entity).unwrap_or_default();
            if let Some(Some(data)) = self.data.get_mut(*entity as usize) {
                data.ancestors = all;
            }
        }
        Ok(())
    }
}

/// Names and entities that one chain, or one request, adds to a world.
#[derive(Debug, Clone)]
pub(super) struct Layer {
    pub(super) types: Names,
    pub(super) uids: Uids,
    /// Few: what stands here hides what the world says of the same entity.
    data: Vec<(Ent, Data)>,
}

impl Layer {
    pub(super) fn above(world: &World) -> Self {
        Self {
            types: Names::above(world.types.end()),
            uids: Uids::above(world.uids.end()),
            data: Vec::new(),
        }
    }

    pub(super) fn put(&mut self, entity: Ent, data: Data) {
        self.data.push((entity, data));
    }

    pub(super) fn data(&self, entity: Ent) -> Option<&Data> {
        self.data.iter().find(|(own, _)| *own == entity).map(|(_, data)| data)
    }
}

/// Turns the names of a value into numbers.
pub(super) trait Intern {
    fn entity(&mut self, kind: &str, id: &str) -> Ent;
    fn symbol(&mut self, name: &str) -> Option<Symbol>;
}

/// Interns entities; knows attributes but adds none, because only policies can ask for one.
impl Intern for World {
    fn entity(&mut self, kind: &str, id: &str) -> Ent {
        let kind = self.types.intern(kind);
        self.uids.intern(kind, id)
    }

    fn symbol(&mut self, name: &str) -> Option<Symbol> {
        self.symbols.get(name)
    }
}

/// A layer over its world.
pub(super) struct Above<'a> {
    pub(super) world: &'a World,
    pub(super) layer: &'a mut Layer,
}

impl Above<'_> {
    pub(super) fn typed(&mut self, kind: TypeId, id: &str) -> Ent {
        self.world.uids.get(kind, id).unwrap_or_else(|| self.layer.uids.intern(kind, id))
    }
}

impl Intern for Above<'_> {
    fn entity(&mut self, kind: &str, id: &str) -> Ent {
        let kind = self.world.types.get(kind).unwrap_or_else(|| self.layer.types.intern(kind));
        self.typed(kind, id)
    }

    fn symbol(&mut self, name: &str) -> Option<Symbol> {
        self.world.symbols.get(name)
    }
}

pub(super) fn contains(sorted: &[Ent], entity: Ent) -> bool {
    if sorted.len() <= 16 {
        return sorted.contains(&entity);
    }
    sorted.binary_search(&entity).is_ok()
}
