//! From texts to a checked set: all or nothing.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use cedar_policy_core::ast::{self, AnyId, EntityUID, PolicyID, SlotId, StaticPolicy, Template};
use cedar_policy_core::entities::{EntityJsonParser, TCComputation};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::parser::parse_policyset;
use cedar_policy_core::validator::CoreSchema;

use super::convert::{from_entity, from_uid};
use super::datum::Datum;
use super::fault::{LoadFault, Places, faults_of};
use super::index::Index;
use super::names::{Ent, FastMap};
use super::scan::scan;
use super::schema::{self, Argument, Schema};
use super::verdict::Effect;
use super::world::{Data, World, kind};
use super::{Bundle, Inner, Policy, PolicySet, Source, Tool, compile, validate};
use crate::canonical::{Digest, digest, put_varint};

/// The version of the language, which the version of a set covers.
const LANGUAGE: &str = "cedar 4.14";
/// The stack that parsing and checking get: both recurse as deep as a condition is.
const STACK: usize = 256 * 1024 * 1024;

pub(super) fn load(
    bundle: &Bundle,
    before: Option<&PolicySet>,
) -> Result<PolicySet, Vec<LoadFault>> {
    on_a_large_stack(|| load_here(bundle, before))
}

/// Runs what recurses as deep as a condition is.
pub(super) fn on_a_large_stack<T: Send>(
    run: impl FnOnce() -> Result<T, Vec<LoadFault>> + Send,
) -> Result<T, Vec<LoadFault>> {
    let failed = |message: String| {
        let advice = "load them again; if it goes on, divide them among several files";
        Err(vec![LoadFault::whole("policies", message).fix(advice)])
    };
    let result = std::thread::scope(|scope| {
        let worker = std::thread::Builder::new()
            .name("answerable-policies".to_owned())
            .stack_size(STACK)
            .spawn_scoped(scope, run);
        match worker.map(std::thread::ScopedJoinHandle::join) {
            Ok(Ok(result)) => result,
            Ok(Err(_)) => failed("the loader failed".to_owned()),
            Err(error) => failed(format!("no thread to load them on: {error}")),
        }
    });
    result.map_err(|faults| faults.into_iter().map(LoadFault::advised).collect())
}

fn load_here(bundle: &Bundle, before: Option<&PolicySet>) -> Result<PolicySet, Vec<LoadFault>> {
    let schema = schema::build(bundle)?;
    let policies = parse(bundle)?;
    let checked =
        validate::validate(bundle, &schema, &policies, before.map(|before| &before.inner.checked))?;
    let mut world = World::new();
    let tools = tools(bundle, &mut world);
    let mut code = compile::compile(&policies, &mut world);
    let index = Index::build(&policies, &mut code, &mut world);
    let entities = entities(bundle, &schema, &mut world)?;
    let version = version(&policies, &known(&world, &entities), &schema);
    Ok(PolicySet {
        inner: Arc::new(Inner {
            world,
            policies,
            code,
            index,
            tools,
            tool_types: bundle.tools.clone(),
            version,
            checked,
        }),
    })
}

/// Reads all policies, templates and links; each has an id of its own.
fn parse(bundle: &Bundle) -> Result<Vec<Policy>, Vec<LoadFault>> {
    let mut faults = Vec::new();
    let mut policies = Vec::new();
    let mut templates = HashMap::new();
    let mut taken: HashMap<String, String> = HashMap::new();
    for (number, source) in bundle.policies.iter().enumerate() {
        if let Err(fault) = scan(source) {
            faults.push(fault);
            continue;
        }
        let set = match parse_policyset(&source.text) {
            Ok(set) => set,
            Err(error) => {
                faults.extend(faults_of(&error, source));
                continue;
            }
        };
        let places = Places::of(&source.text);
        let mut found: Vec<&Template> = set.all_templates().collect();
        found.sort_by_key(|template| template.loc().map_or(0, |loc| loc.start()));
        for template in found {
            let start = template.loc().map_or(0, |loc| loc.start());
            let Some(id) = annotation(template, "id").filter(|id| !id.is_empty()) else {
                faults.push(LoadFault::at(source, start, "a policy without an id".to_owned()).fix(
                    "put `@id(\"…\")` before it: decisions and the trail cite policies by it",
                ));
                continue;
            };
            let place = places.at(start);
            if let Some(first) = taken.insert(id.clone(), format!("{}:{}", source.name, place.0)) {
                faults.push(
                    LoadFault::at(source, start, format!("the id `{id}` is taken by {first}"))
                        .fix("ids are unique over all files"),
                );
                continue;
            }
            let template = Arc::new(template.new_id(PolicyID::from_string(&id)));
            match StaticPolicy::try_from(template.as_ref().clone()) {
                Ok(policy) => {
                    let policy = ast::Policy::from(policy);
                    policies.push(describe(&id, policy, source, number, place));
                }
                Err(_) => {
                    templates.insert(id, (template, number, place));
                }
            }
        }
    }
    link(bundle, &templates, &mut taken, &mut policies, &mut faults);
    if faults.is_empty() { Ok(policies) } else { Err(faults) }
}

/// A template, the number of its source, and its line and column there.
type Held = (Arc<Template>, usize, (usize, usize));

fn link(
    bundle: &Bundle,
    templates: &HashMap<String, Held>,
    taken: &mut HashMap<String, String>,
    policies: &mut Vec<Policy>,
    faults: &mut Vec<LoadFault>,
) {
    for link in &bundle.links {
        let mut wrong = |message: String| faults.push(LoadFault::whole("links", message));
        let Some((template, number, place)) = templates.get(&link.template) else {
            wrong(format!(
                "`{}` links the template `{}`, which is not there",
                link.id, link.template
            ));
            continue;
        };
        if taken.insert(link.id.clone(), "a link".to_owned()).is_some() || link.id.is_empty() {
            wrong(format!("the id `{}` of a link is empty or taken", link.id));
            continue;
        }
        let mut values: HashMap<SlotId, EntityUID> = HashMap::new();
        for (slot, text) in
            [(SlotId::principal(), &link.principal), (SlotId::resource(), &link.resource)]
        {
            let Some(text) = text else { continue };
            match text.parse::<EntityUID>() {
                Ok(uid) => {
                    values.insert(slot, uid);
                }
                Err(error) => wrong(format!("`{text}` in the link `{}`: {error}", link.id)),
            }
        }
        let id = PolicyID::from_string(&link.id);
        match (Template::link(Arc::clone(template), id, values), bundle.policies.get(*number)) {
            (Ok(policy), Some(source)) => {
                policies.push(describe(&link.id, policy, source, *number, *place));
            }
            (Err(error), _) => faults.push(LoadFault::whole("links", error.to_string())),
            (_, None) => {}
        }
    }
}

fn annotation(template: &Template, name: &str) -> Option<String> {
    let key: AnyId = name.parse().ok()?;
    template.annotation(&key).map(|annotation| annotation.val.to_string())
}

pub(super) fn describe(
    id: &str,
    core: ast::Policy,
    source: &Source,
    number: usize,
    (line, column): (usize, usize),
) -> Policy {
    let loc = core.template().loc();
    let mut annotations: Vec<(String, String)> = core
        .annotations()
        .map(|(key, annotation)| (key.to_string(), annotation.val.to_string()))
        .collect();
    annotations.sort();
    let slots: BTreeMap<String, String> =
        core.env().iter().map(|(slot, uid)| (slot.to_string(), uid.to_string())).collect();
    let canonical = digest(
        "answerable/v1/policy",
        &[id.as_bytes(), core.template().to_string().as_bytes(), format!("{slots:?}").as_bytes()],
    );
    Policy {
        id: id.into(),
        effect: match core.effect() {
            ast::Effect::Permit => Effect::Permit,
            ast::Effect::Forbid => Effect::Forbid,
        },
        source: source.name.clone(),
        source_number: number,
        line,
        column,
        text: loc.and_then(|loc| loc.snippet()).unwrap_or_default().to_owned(),
        annotations,
        digest: canonical,
        core,
    }
}

fn tools(bundle: &Bundle, world: &mut World) -> FastMap<Box<str>, Tool> {
    let mut tools = FastMap::default();
    for tool in &bundle.tools {
        let action = world.uids.intern(kind::ACTION, &tool.name);
        let entity = world.uids.intern(kind::TOOL, &tool.name);
        for group in schema::groups(&tool.name) {
            world.uids.intern(kind::ACTION, &group);
        }
        let kinds = tool
            .arguments
            .iter()
            .map(|argument| {
                // INVARIANT: every argument's name is a symbol, so that its type is found.
                let kind = argument.kind.sorted();
                (world.symbols.intern(&argument.name), Argument { kind, ..argument.clone() })
            })
            .collect();
        let facts = Tool { action, entity, dangerous: tool.dangerous, kinds };
        tools.insert(tool.name.as_str().into(), facts);
    }
    tools
}

/// Reads the entity files into the world, with the actions of the schema.
fn entities(
    bundle: &Bundle,
    schema: &Schema,
    world: &mut World,
) -> Result<Vec<Ent>, Vec<LoadFault>> {
    let mut faults = Vec::new();
    let mut parents: Vec<(Ent, Vec<Ent>)> = Vec::new();
    let mut seen: HashMap<Ent, &str> = HashMap::new();
    let core = CoreSchema::new(&schema.entities);
    let parser = EntityJsonParser::new(
        Some(&core),
        Extensions::all_available(),
        TCComputation::AssumeAlreadyComputed,
    );
    for source in &bundle.entities {
        let found = match parser.from_json_str(&source.text) {
            Ok(found) => found,
            Err(error) => {
                faults.extend(faults_of(&error, source));
                continue;
            }
        };
        for entity in found.iter().filter(|entity| !entity.uid().is_action()) {
            let Some((own, data, above)) = from_entity(entity, world) else {
                faults.push(LoadFault::whole(
                    &source.name,
                    format!("`{}` holds a value that is not known yet", entity.uid()),
                ));
                continue;
            };
            if let Some(first) = seen.insert(own, &source.name) {
                faults.push(LoadFault::whole(
                    &source.name,
                    format!("`{}` stands in {first} already", entity.uid()),
                ));
            }
            world.put(own, data);
            parents.push((own, above));
        }
    }
    match schema.policies.action_entities() {
        Ok(actions) => {
            for action in actions.iter() {
                let own = from_uid(action.uid(), world);
                let above = action.ancestors().map(|uid| from_uid(uid, world)).collect();
                world.put(own, Data::default());
                parents.push((own, above));
            }
        }
        Err(error) => faults.push(LoadFault::whole("schema", error.to_string())),
    }
    if let Err(entity) = world.close(&parents) {
        let name = world.uids.uid(entity).map(|(_, id)| id.to_owned()).unwrap_or_default();
        faults.push(LoadFault::whole("entities", format!("`{name}` lies in itself")));
    }
    if faults.is_empty() {
        Ok(parents.into_iter().map(|(entity, _)| entity).collect())
    } else {
        Err(faults)
    }
}

/// The digest of all that a verdict depends on, whatever files it was spread over and in whatever
/// order.
fn version(policies: &[Policy], entities: &[(Vec<u8>, Vec<u8>)], schema: &Schema) -> Digest {
    let mut digests: Vec<&Digest> = policies.iter().map(|policy| &policy.digest).collect();
    digests.sort_unstable();
    let policies: Vec<u8> = digests.into_iter().flatten().copied().collect();
    let mut known = Vec::new();
    for (name, data) in entities {
        put_bytes(&mut known, name);
        put_bytes(&mut known, data);
    }
    digest(
        "answerable/v1/policies",
        &[LANGUAGE.as_bytes(), &policies, &known, schema.canonical.as_bytes()],
    )
}

/// Names and data of the entities, in the order of their names.
fn known(world: &World, entities: &[Ent]) -> Vec<(Vec<u8>, Vec<u8>)> {
    let mut all: Vec<(Vec<u8>, Vec<u8>)> = entities
        .iter()
        .map(|entity| {
            let (mut name, mut data) = (Vec::new(), Vec::new());
            put_datum(world, &Datum::Entity(*entity), &mut name);
            if let Some(known) = world.data(*entity) {
                put_datum(world, &Datum::Record(known.attributes.clone()), &mut data);
                put_datum(world, &Datum::Record(known.tags.clone()), &mut data);
                let mut above: Vec<Vec<u8>> = Vec::new();
                for entity in &known.ancestors {
                    let mut name = Vec::new();
                    put_datum(world, &Datum::Entity(*entity), &mut name);
                    above.push(name);
                }
                above.sort();
                above.iter().for_each(|name| put_bytes(&mut data, name));
            }
            (name, data)
        })
        .collect();
    all.sort();
    all
}

/// Bytes of a value in which no two values agree: a tag, then what it holds, lengths first.
fn put_datum(world: &World, datum: &Datum, out: &mut Vec<u8>) {
    match datum {
        Datum::Bool(truth) => out.extend([1, u8::from(*truth)]),
        Datum::Long(number) => put_number(2, *number, out),
        Datum::Decimal(number) => put_number(3, *number, out),
        Datum::Datetime(millis) => put_number(4, *millis, out),
        Datum::Duration(millis) => put_number(5, *millis, out),
        Datum::Ip(ip) => {
            out.push(6);
            put_bytes(out, format!("{}/{}", ip.address, ip.prefix).as_bytes());
        }
        Datum::Str(text) => {
            out.push(7);
            put_bytes(out, text.as_bytes());
        }
        Datum::Entity(entity) => {
            out.push(8);
            let (kind, id) = world.uids.uid(*entity).unwrap_or((u32::MAX, ""));
            put_bytes(out, world.types.text(kind).map_or("", |text| &**text).as_bytes());
            put_bytes(out, id.as_bytes());
        }
        Datum::Set(items) => {
            // Entities within are sorted by number, which depends on the order of loading.
            let mut all: Vec<Vec<u8>> = Vec::with_capacity(items.len());
            for item in items {
                let mut bytes = Vec::new();
                put_datum(world, item, &mut bytes);
                all.push(bytes);
            }
            all.sort();
            out.push(9);
            put_varint(out, all.len() as u64);
            all.iter().for_each(|bytes| put_bytes(out, bytes));
        }
        Datum::Record(fields) => {
            out.push(10);
            put_varint(out, fields.len() as u64);
            for (name, datum) in fields.iter() {
                put_bytes(out, name.as_bytes());
                put_datum(world, datum, out);
            }
        }
    }
}

fn put_number(tag: u8, number: i64, out: &mut Vec<u8>) {
    out.push(tag);
    out.extend_from_slice(&number.to_be_bytes());
}

fn put_bytes(out: &mut Vec<u8>, bytes: &[u8]) {
    put_varint(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}
