//! What one decision is taken in: the request's entities and context, over the world and the layer.

mod whole;

use std::cell::Cell;
use std::sync::Arc;

pub(super) use whole::Known;

use super::Inner;
use super::convert::Spell;
use super::datum::Fields;
use super::facts::Call;
use super::names::{Ent, NONE, Symbol, TypeId};
use super::read::{self, Unfit};
use super::schema::Argument;
use super::subject::Chained;
use super::value::{Keeper, Val};
use super::verdict::Policies;
use super::world::{Data, Layer, World, contains, kind, symbol};
use crate::request::ResourceKind;

/// A call's resource, where no policy and no entity file names it.
pub(super) const CALL_RESOURCE: Ent = NONE - 1;
/// A call's action, where its tool is not registered.
pub(super) const CALL_ACTION: Ent = NONE - 2;
/// The same tool as an entity.
pub(super) const CALL_TOOL: Ent = NONE - 3;

/// A tool as calls meet it.
#[derive(Debug, Clone)]
pub(super) struct Tool {
    pub(super) action: Ent,
    pub(super) entity: Ent,
    pub(super) dangerous: bool,
    /// Its arguments as it declares them.
    pub(super) kinds: Vec<(Symbol, Argument)>,
}

/// A call of a governed tool, its names looked up.
#[derive(Debug)]
pub(super) struct Governed<'a> {
    pub(super) call: &'a Call<'a>,
    pub(super) chain: &'a Chained,
    tool: Option<&'a Tool>,
    tool_entity: Ent,
    /// The entities that lie above the resource by its text, or above the action by its name.
    resource_above: Policies,
    action_above: Policies,
}

/// Where the context comes from.
#[derive(Debug)]
pub(super) enum Request<'a> {
    Governed(Governed<'a>),
    Plain(&'a Fields),
}

/// What a condition is evaluated in.
#[derive(Debug)]
pub(super) struct Env<'a> {
    pub(super) set: &'a Inner,
    pub(super) world: &'a World,
    pub(super) layer: &'a Layer,
    pub(super) principal: Ent,
    pub(super) action: Ent,
    pub(super) resource: Ent,
    pub(super) request: Request<'a>,
    pub(super) keeper: Keeper<'a>,
    /// The arguments read last: policies read the same few again and again.
    seen: [Cell<(Symbol, Seen<'a>)>; SEEN],
}

const SEEN: usize = 8;

/// What reading an argument came to.
type Seen<'a> = Result<Val<'a>, Missing>;

/// What a call's context holds.
const CONTEXT: [Symbol; 10] = [
    symbol::ARGUMENTS,
    symbol::CHAIN,
    symbol::HUMAN,
    symbol::TASK,
    symbol::TOOL,
    symbol::TIME,
    symbol::WEEKDAY,
    symbol::HOST,
    symbol::APPROVED,
    symbol::OWN,
];

/// Why an attribute cannot be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Missing {
    Attribute,
    Entity,
    /// An argument that has no counterpart.
    Unfit(Unfit),
    /// Neither a record nor an entity.
    Type,
}

impl<'a> Env<'a> {
    pub(super) fn plain(
        set: &'a Inner,
        layer: &'a Layer,
        [principal, action, resource]: [Ent; 3],
        context: &'a Fields,
        keeper: Keeper<'a>,
    ) -> Self {
        let request = Request::Plain(context);
        let world = &set.world;
        Self { set, world, layer, principal, action, resource, request, keeper, seen: nothing() }
    }

    pub(super) fn governed(
        set: &'a Inner,
        layer: &'a Layer,
        chain: &'a Chained,
        call: &'a Call<'a>,
        keeper: Keeper<'a>,
    ) -> Self {
        let world = &set.world;
        let tool = set.tools.get(call.tool.as_str());
        let mut action_above = Policies::default();
        let (action, tool_entity) = match tool {
            Some(tool) => (tool.action, tool.entity),
            None => {
                above_action(world, call.tool.as_str(), &mut action_above);
                let known = |kind| world.uids.get(kind, call.tool.as_str());
                (known(kind::ACTION).unwrap_or(CALL_ACTION), known(kind::TOOL).unwrap_or(CALL_TOOL))
            }
        };
        let text = call.resource.map_or("", |resource| resource.as_str());
        let resource = world
            .uids
            .get(kind::RESOURCE, text)
            .or_else(|| layer.uids.get(kind::RESOURCE, text))
            .unwrap_or(CALL_RESOURCE);
        let mut resource_above = Policies::default();
        for (at, _) in text.match_indices('/') {
            let prefix = text.get(..at).unwrap_or_default();
            // What ends so is no resource: a type, a scheme.
            if prefix.ends_with([':', '/']) || prefix.is_empty() {
                continue;
            }
            if let Some(above) = world.uids.get(kind::RESOURCE, prefix) {
                resource_above.push(above);
            }
        }
        let governed = Governed { call, chain, tool, tool_entity, resource_above, action_above };
        Self {
            set,
            world,
            layer,
            principal: chain.agent,
            action,
            resource,
            request: Request::Governed(governed),
            keeper,
            seen: nothing(),
        }
    }

    /// An entity's data at rest.
    pub(super) fn data(&self, entity: Ent) -> Option<&'a Data> {
        self.layer.data(entity).or_else(|| self.world.data(entity))
    }

    /// Whether one entity is the other, or lies below it.
    pub(super) fn is_in(&self, entity: Ent, above: Ent) -> bool {
        entity == above || self.lies_below(entity, above)
    }

    fn lies_below(&self, entity: Ent, above: Ent) -> bool {
        if self.data(entity).is_some_and(|data| contains(&data.ancestors, above)) {
            return true;
        }
        self.by_text(entity).any(|by_text| by_text == above || self.world.is_below(by_text, above))
    }

    /// What lies directly above an entity by the call's own text.
    pub(super) fn by_text(&self, entity: Ent) -> impl Iterator<Item = Ent> + '_ {
        let found = match &self.request {
            Request::Governed(governed) if entity == self.resource => {
                Some(&governed.resource_above)
            }
            Request::Governed(governed) if entity == self.action => Some(&governed.action_above),
            _ => None,
        };
        found.into_iter().flat_map(Policies::iter).map(|found| found.0)
    }

    pub(super) fn type_of(&self, entity: Ent) -> TypeId {
        match entity {
            CALL_RESOURCE => kind::RESOURCE,
            CALL_ACTION => kind::ACTION,
            CALL_TOOL => kind::TOOL,
            entity => self
                .world
                .uids
                .uid(entity)
                .or_else(|| self.layer.uids.uid(entity))
                .map_or(NONE, |(kind, _)| kind),
        }
    }

    /// The entity of a name, if it is known at all.
    pub(super) fn find(&self, kind: &str, id: &str) -> Option<Ent> {
        let kind = self.world.types.get(kind).or_else(|| self.layer.types.get(kind))?;
        self.world.uids.get(kind, id).or_else(|| self.layer.uids.get(kind, id))
    }

    /// The context as a value.
    pub(super) fn context(&self) -> Val<'a> {
        match &self.request {
            Request::Governed(_) => Val::Context,
            Request::Plain(fields) => Val::Record(fields),
        }
    }

    /// An attribute of a record or an entity.
    pub(super) fn attribute(&self, of: Val<'a>, name: Symbol) -> Result<Val<'a>, Missing> {
        match of {
            Val::Record(fields) => fields.get(name).map(Val::of).ok_or(Missing::Attribute),
            Val::Entity(entity) => {
                if let Some(value) = self.computed(entity, name) {
                    return Ok(value);
                }
                match self.data(entity) {
                    Some(data) => data.attributes.get(name).map(Val::of).ok_or(Missing::Attribute),
                    None if self.is_computed(entity) => Err(Missing::Attribute),
                    None => Err(Missing::Entity),
                }
            }
            Val::Arguments => self.argument(name),
            Val::Context | Val::Chain => self.fact(of, name).ok_or(Missing::Attribute),
            Val::Map(map) => {
                let text = self.world.symbols.text(name).map_or("", |text| &**text);
                let value = map.get(text).ok_or(Missing::Attribute)?;
                match read::part(value, None, self.world, &self.keeper) {
                    Ok(Some(value)) => Ok(value),
                    Ok(None) => Err(Missing::Attribute),
                    Err(unfit) => Err(Missing::Unfit(unfit)),
                }
            }
            _ => Err(Missing::Type),
        }
    }

    /// Whether a record or an entity has an attribute.
    pub(super) fn has(&self, of: Val<'a>, name: Symbol) -> Result<bool, Missing> {
        match self.attribute(of, name) {
            Ok(_) | Err(Missing::Unfit(_)) => Ok(true),
            Err(Missing::Attribute | Missing::Entity) => Ok(false),
            Err(Missing::Type) => Err(Missing::Type),
        }
    }

    fn argument(&self, name: Symbol) -> Result<Val<'a>, Missing> {
        let Request::Governed(governed) = &self.request else { return Err(Missing::Type) };
        let seen = self.seen.get(name as usize % SEEN);
        if let Some((own, read)) = seen.map(Cell::get)
            && own == name
        {
            return read;
        }
        let text = self.world.symbols.text(name).map_or("", |text| &**text);
        let value = governed.call.arguments.get(text).ok_or(Missing::Attribute)?;
        let declared = governed.declared(name);
        let kind = declared.map(|argument| &argument.kind);
        let read = read::given(value, declared)
            .and_then(|()| read::read(value, kind, self.world, &self.keeper));
        let read = match read {
            Ok(value) => value.ok_or(Missing::Attribute),
            Err(unfit) => Err(Missing::Unfit(unfit)),
        };
        if let Some(seen) = seen {
            seen.set((name, read));
        }
        read
    }

    /// What the context and the chain of a governed call say.
    fn fact(&self, of: Val<'a>, name: Symbol) -> Option<Val<'a>> {
        let Request::Governed(Governed { call, chain, tool_entity, .. }) = &self.request else {
            return None;
        };
        let now = call.now.div_euclid(1000);
        Some(match (of, name) {
            (Val::Context, symbol::ARGUMENTS) => Val::Arguments,
            (Val::Context, symbol::CHAIN) => Val::Chain,
            (Val::Context, symbol::HUMAN) => Val::Entity(chain.human),
            (Val::Context, symbol::TASK) => Val::Entity(chain.task),
            (Val::Context, symbol::TOOL) => Val::Entity(*tool_entity),
            (Val::Context, symbol::TIME) => Val::Datetime(now),
            // 1970-01-01 was a Thursday.
            (Val::Context, symbol::WEEKDAY) => {
                Val::Long((call.now.div_euclid(86_400_000_000) + 3).rem_euclid(7) + 1)
            }
            (Val::Context, symbol::HOST) => Val::Str(call.host),
            (Val::Context, symbol::APPROVED) => Val::Bool(call.approved),
            (Val::Context, symbol::OWN) => Val::Map(call.own?),
            (Val::Chain, symbol::DEPTH) => Val::Long(chain.depth),
            (Val::Chain, symbol::AGENTS) => Val::of(&chain.agents),
            (Val::Chain, symbol::ISSUED) => Val::Datetime(chain.issued),
            (Val::Chain, symbol::AGE) => Val::Duration(now.saturating_sub(chain.issued)),
            (Val::Chain, symbol::LATEST) => Val::Duration(now.saturating_sub(chain.latest)),
            _ => return None,
        })
    }

    /// Attributes that follow from the call: of its resource, and of its tool.
    fn computed(&self, entity: Ent, name: Symbol) -> Option<Val<'a>> {
        let Request::Governed(governed) = &self.request else { return None };
        if entity == self.resource {
            return match name {
                symbol::NAME => {
                    Some(Val::Str(governed.call.resource.map_or("", |resource| resource.as_str())))
                }
                symbol::KIND => Some(Val::Str(match governed.call.resource.map(|r| r.kind()) {
                    None => "none",
                    Some(ResourceKind::Plain) => "plain",
                    Some(ResourceKind::Path) => "path",
                    Some(ResourceKind::Url) => "url",
                    Some(ResourceKind::Id) => "id",
                })),
                _ => None,
            };
        }
        if entity == governed.tool_entity {
            return match name {
                symbol::NAME => Some(Val::Str(governed.call.tool.as_str())),
                symbol::DANGEROUS => {
                    Some(Val::Bool(governed.tool.is_some_and(|tool| tool.dangerous)))
                }
                _ => None,
            };
        }
        None
    }

    /// Whether the call itself makes the entity known.
    fn is_computed(&self, entity: Ent) -> bool {
        match &self.request {
            Request::Governed(governed) => {
                entity == self.resource || entity == governed.tool_entity || entity == self.action
            }
            Request::Plain(_) => false,
        }
    }

    /// Whether it is a call of a governed tool that is judged.
    pub(super) fn is_governed(&self) -> bool {
        matches!(self.request, Request::Governed(_))
    }
}

impl Governed<'_> {
    fn declared(&self, name: Symbol) -> Option<&Argument> {
        let kinds = &self.tool?.kinds;
        kinds.iter().find(|(own, _)| *own == name).map(|(_, argument)| argument)
    }
}

impl Spell for Env<'_> {
    fn type_text(&self, kind: TypeId) -> Option<Arc<str>> {
        self.world.types.text(kind).or_else(|| self.layer.types.text(kind)).cloned()
    }

    fn uid_text(&self, entity: Ent) -> Option<(TypeId, Arc<str>)> {
        let Request::Governed(governed) = &self.request else {
            let (kind, id) = self.world.uids.uid(entity).or_else(|| self.layer.uids.uid(entity))?;
            return Some((kind, id.into()));
        };
        let text = match entity {
            CALL_RESOURCE => governed.call.resource.map_or("", |resource| resource.as_str()),
            CALL_ACTION | CALL_TOOL => governed.call.tool.as_str(),
            entity => {
                let uid = self.world.uids.uid(entity).or_else(|| self.layer.uids.uid(entity))?;
                return Some((uid.0, uid.1.into()));
            }
        };
        Some((self.type_of(entity), text.into()))
    }
}

fn nothing<'a>() -> [Cell<(Symbol, Seen<'a>)>; SEEN] {
    std::array::from_fn(|_| Cell::new((NONE, Err(Missing::Attribute))))
}

/// The groups that a tool is in by its name, as far as policies know them.
fn above_action(world: &World, tool: &str, found: &mut Policies) {
    for group in super::schema::groups(tool) {
        if let Some(group) = world.uids.get(kind::ACTION, &group) {
            found.push(group);
        }
    }
}
