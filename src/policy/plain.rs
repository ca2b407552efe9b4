//! Plain Cedar through the compiled path: for comparison with other suites. Any schema or none, ids
//! by place, errors skip.

use std::collections::HashMap;

use cedar_policy_core::ast::{
    self, Context, EntityType, EntityUID, PolicyID, Request as Asked, SlotId,
};
use cedar_policy_core::entities::{
    ContextJsonParser, EntityJsonParser, NoEntitiesSchema, TCComputation,
};
use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::parser::parse_policyset;
use cedar_policy_core::validator::{CoreSchema, ValidatorSchema, context_schema_for_action};

use super::convert::{fields, from_entity, from_uid};
use super::env::Env;
use super::fault::{LoadFault, Places, faults_of};
use super::index::Index;
use super::judge::judge;
use super::load::{describe, on_a_large_stack};
use super::names::FastMap;
use super::scan::{scan, scan_schema};
use super::value::{Keeper, Scratch};
use super::verdict::Verdict;
use super::world::{Above, Layer, World};
use super::{Coverage, Inner, Link, Policy, PolicyRef, Source, compile, coverage, oracle};

/// What a plain set is loaded from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PlainBundle {
    /// Policies and templates, in Cedar.
    pub policies: String,
    /// Templates of those with their slots filled; a template's id is `policy0`, `policy1`, … by
    /// its place in the text.
    pub links: Vec<Link>,
    /// Entities, in Cedar's JSON.
    pub entities: String,
    /// A schema, in Cedar's schema language or its JSON. Entities and contexts are read by it;
    /// policies are not checked against it.
    pub schema: Option<String>,
}

/// A set of plain Cedar policies with their entities.
#[derive(Debug)]
pub struct PlainSet {
    inner: Inner,
    schema: Option<ValidatorSchema>,
}

/// A plain request: each entity as type and id, the context in Cedar's JSON.
#[derive(Debug, Clone, Copy)]
pub struct PlainRequest<'a> {
    /// The principal.
    pub principal: (&'a str, &'a str),
    /// The action.
    pub action: (&'a str, &'a str),
    /// The resource.
    pub resource: (&'a str, &'a str),
    /// The context.
    pub context: &'a str,
    /// Whether the request must fit the schema.
    pub validate: bool,
}

impl PlainSet {
    /// Loads a set.
    ///
    /// # Errors
    /// What is wrong with it, with places in the sources `policies`, `links`, `entities`, `schema`.
    pub fn load(bundle: &PlainBundle) -> Result<Self, Vec<LoadFault>> {
        on_a_large_stack(|| load(bundle))
    }

    /// The policies: links last, templates left out. The id is the place in the text, `policy0`,
    /// `policy1`, …, or the link's own.
    #[must_use]
    pub fn policies(&self) -> &[Policy] {
        &self.inner.policies
    }

    /// One policy.
    #[must_use]
    pub fn policy(&self, policy: PolicyRef) -> Option<&Policy> {
        self.inner.policies.get(policy.place())
    }

    /// How much of it is compiled.
    #[must_use]
    pub fn coverage(&self) -> Coverage {
        coverage(&self.inner)
    }

    /// What the policies say of a request. Cedar's own effect is [`Verdict::plain_effect`].
    ///
    /// # Errors
    /// What is wrong with the request.
    pub fn judge(&self, request: &PlainRequest<'_>) -> Result<Verdict, LoadFault> {
        self.within(request, judge).map_err(LoadFault::advised)
    }

    /// The same by Cedar's own evaluator, on entities put back into Cedar's form.
    ///
    /// # Errors
    /// What is wrong with the request.
    pub fn oracle(&self, request: &PlainRequest<'_>) -> Result<Verdict, LoadFault> {
        // INVARIANT: a plain request has no argument of ours.
        self.within(request, |env| oracle::judge(env).unwrap_or_default())
            .map_err(LoadFault::advised)
    }

    fn within(
        &self,
        request: &PlainRequest<'_>,
        run: impl for<'a> FnOnce(&Env<'a>) -> Verdict,
    ) -> Result<Verdict, LoadFault> {
        let wrong = |message: String| LoadFault::whole("request", message);
        let uids = [request.principal, request.action, request.resource]
            .map(|(kind, id)| uid(kind, id).map_err(wrong));
        let [principal, action, resource] = uids;
        let (principal, action, resource) = (principal?, action?, resource?);
        let extensions = Extensions::all_available();
        let schema = self.schema.as_ref();
        let typed = schema.and_then(|schema| context_schema_for_action(schema, &action));
        let read = match &typed {
            Some(schema) => {
                ContextJsonParser::new(Some(schema), extensions).from_json_str(request.context)
            }
            None => ContextJsonParser::<cedar_policy_core::entities::json::NullContextSchema>::new(
                None, extensions,
            )
            .from_json_str(request.context),
        };
        let context = read.map_err(|error| first(&error, "context"))?;
        if let Some(schema) = schema.filter(|_| request.validate) {
            Asked::new(
                (principal.clone(), None),
                (action.clone(), None),
                (resource.clone(), None),
                context.clone(),
                Some(schema),
                extensions,
            )
            .map_err(|error| wrong(error.to_string()))?;
        }
        let Context::Value(context) = context else {
            return Err(wrong("the context holds a value that is not known yet".to_owned()));
        };
        let world = &self.inner.world;
        let mut layer = Layer::above(world);
        let mut names = Above { world, layer: &mut layer };
        let entities = [&principal, &action, &resource].map(|uid| from_uid(uid, &mut names));
        let context =
            fields(context.iter().map(|(name, value)| (name.as_str(), value)), &mut names)
                .ok_or_else(|| wrong("the context holds a value of an unknown kind".to_owned()))?;
        let scratch = Scratch::default();
        let env = Env::plain(&self.inner, &layer, entities, &context, Keeper::new(&scratch));
        Ok(run(&env))
    }
}

fn load(bundle: &PlainBundle) -> Result<PlainSet, Vec<LoadFault>> {
    let source = Source { name: "policies".to_owned(), text: bundle.policies.clone() };
    scan(&source).map_err(|fault| vec![fault])?;
    let mut parsed = parse_policyset(&source.text).map_err(|error| faults_of(&error, &source))?;
    for link in &bundle.links {
        let values = slots(link).map_err(|fault| vec![fault])?;
        let (template, id) =
            (PolicyID::from_string(&link.template), PolicyID::from_string(&link.id));
        parsed
            .link(template, id, values)
            .map_err(|error| vec![LoadFault::whole("links", error.to_string())])?;
    }
    let mut found: Vec<&ast::Policy> = parsed.policies().collect();
    let start = |policy: &ast::Policy| policy.loc().map_or(0, |loc| loc.start());
    found.sort_by_key(|policy| (!policy.is_static(), start(policy), policy.id().to_string()));
    let places = Places::of(&source.text);
    let policies: Vec<Policy> = found
        .into_iter()
        .map(|policy| {
            let place = places.at(start(policy));
            describe(policy.id().as_ref(), policy.clone(), &source, 0, place)
        })
        .collect();
    let schema = bundle.schema.as_deref().map(schema).transpose()?;
    let mut world = World::new();
    let mut code = compile::compile(&policies, &mut world);
    let index = Index::build(&policies, &mut code, &mut world);
    entities(&bundle.entities, schema.as_ref(), &mut world)?;
    let inner = Inner {
        world,
        policies,
        code,
        index,
        tools: FastMap::default(),
        tool_types: Vec::new(),
        version: [0; 32],
        checked: HashMap::new(),
    };
    Ok(PlainSet { inner, schema })
}

fn slots(link: &Link) -> Result<HashMap<SlotId, EntityUID>, LoadFault> {
    let mut values = HashMap::new();
    for (slot, text) in
        [(SlotId::principal(), &link.principal), (SlotId::resource(), &link.resource)]
    {
        if let Some(text) = text {
            let uid = text
                .parse::<EntityUID>()
                .map_err(|error| LoadFault::whole("links", format!("`{text}`: {error}")))?;
            values.insert(slot, uid);
        }
    }
    Ok(values)
}

fn schema(text: &str) -> Result<ValidatorSchema, Vec<LoadFault>> {
    let source = Source { name: "schema".to_owned(), text: text.to_owned() };
    let extensions = Extensions::all_available();
    if text.trim_start().starts_with('{') {
        return ValidatorSchema::from_json_str(text, extensions)
            .map_err(|error| faults_of(&error, &source));
    }
    scan_schema(&source).map_err(|fault| vec![fault])?;
    match ValidatorSchema::from_cedarschema_str(text, extensions) {
        Ok((schema, _)) => Ok(schema),
        Err(error) => Err(faults_of(&error, &source)),
    }
}

fn entities(
    text: &str,
    schema: Option<&ValidatorSchema>,
    world: &mut World,
) -> Result<(), Vec<LoadFault>> {
    let extensions = Extensions::all_available();
    let source = Source { name: "entities".to_owned(), text: text.to_owned() };
    let read = match schema {
        Some(schema) => {
            let core = CoreSchema::new(schema);
            EntityJsonParser::new(Some(&core), extensions, TCComputation::ComputeNow)
                .from_json_str(text)
        }
        None => {
            let none = None::<&NoEntitiesSchema>;
            EntityJsonParser::new(none, extensions, TCComputation::ComputeNow).from_json_str(text)
        }
    };
    let read = read.map_err(|error| faults_of(&error, &source))?;
    for entity in read.iter() {
        let Some((own, mut data, mut above)) = from_entity(entity, world) else {
            let message = format!("`{}` holds a value that is not known yet", entity.uid());
            return Err(vec![LoadFault::whole("entities", message)]);
        };
        above.sort_unstable();
        above.dedup();
        data.ancestors = above.into();
        world.put(own, data);
    }
    Ok(())
}

fn uid(kind: &str, id: &str) -> Result<EntityUID, String> {
    let kind: EntityType =
        kind.parse().map_err(|error| format!("`{kind}` is no entity type: {error}"))?;
    Ok(EntityUID::from_components(kind, ast::Eid::new(id), None))
}

fn first(error: &dyn miette::Diagnostic, source: &str) -> LoadFault {
    let source = Source { name: source.to_owned(), text: String::new() };
    let mut faults = faults_of(error, &source);
    faults.truncate(1);
    faults.pop().unwrap_or_else(|| LoadFault::whole("request", error.to_string()))
}
