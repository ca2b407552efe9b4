//! Whether the scopes of a chain cover what was recorded of a call: its tool always, its resource
//! where that is shown, and all of it where all of it was recorded.

use super::follow::{Cited, Leaf};
use super::{Disclosed, bytes};
use crate::canonical::{Map, decode};
use crate::request::{Request, Resource, ToolName};
use crate::scope::Capability;

/// The hop whose scope does not cover the call, or what else makes it beyond all of them.
pub(super) fn beyond(leaf: &Leaf<'_>, values: &[Disclosed<'_>], hops: &[&Cited]) -> Option<String> {
    let Some(tool) = leaf.text("tool").and_then(|tool| ToolName::parse(tool).ok()) else {
        return Some("the call was allowed, and `tool` is no tool's name".to_owned());
    };
    let resource = resource_of(leaf, values);
    let may = |capability: &Capability| {
        let reaches = |resource: Option<&Resource>| {
            let patterns = capability.resource();
            patterns.is_none_or(|patterns| patterns.iter().any(|one| one.matches(resource)))
        };
        capability.tool().matches(&tool)
            && resource.as_ref().is_none_or(|shown| reaches(shown.as_ref()))
    };
    let without = |(hop, cited): (usize, &&Cited)| {
        let scope = &cited.payload.as_ref()?.scope;
        let none = !scope.capabilities().iter().any(may);
        none.then(|| format!("hop {hop}: its scope has no such tool, or not on that resource"))
    };
    hops.iter().enumerate().find_map(without).or_else(|| {
        let request = request_of(leaf, values, tool.clone(), resource.clone()?)?;
        hops.iter().enumerate().find_map(|(hop, cited)| {
            let refusal = cited.payload.as_ref()?.scope.covers(&request).err()?;
            Some(format!("hop {hop}: its scope does not cover the call: {refusal}"))
        })
    })
}

/// The call's resource, or that it has none; `None` where that is not shown.
fn resource_of(leaf: &Leaf<'_>, values: &[Disclosed<'_>]) -> Option<Option<Resource>> {
    if let Some(value) = values.iter().find(|value| value.field == "resource") {
        return Some(Some(Resource::parse(decode(value.value).ok()?.as_str()?).ok()?));
    }
    let committed = match leaf.raw("commitments") {
        Some(held) => bytes::map(held).ok()?,
        None => Vec::new(),
    };
    (!committed.iter().any(|(field, _)| *field == "resource")).then_some(None)
}

/// The call, where all of it was recorded. Which arguments filled the template or stood at their
/// default is not recorded: it is judged as if all did.
fn request_of(
    leaf: &Leaf<'_>,
    values: &[Disclosed<'_>],
    tool: ToolName,
    resource: Option<Resource>,
) -> Option<Request> {
    leaf.raw("commitments")?;
    let mut arguments = Map::new();
    // The bytes were compared with the leaf; what they mean is for the scope to say.
    let shown = values.iter().find(|value| value.field == "arguments")?;
    let recorded = decode(shown.value).ok()?;
    for (name, item) in recorded.as_map()?.iter() {
        match item.as_list()? {
            [kept, value] if kept.as_str() == Some("keep") => arguments.insert(name, value.clone()),
            _ => return None,
        };
    }
    let names: Vec<Box<str>> = arguments.iter().map(|(name, _)| name.into()).collect();
    let mut request = Request::new(tool, arguments);
    request.resource = resource;
    request.template.clone_from(&names);
    request.defaulted = names;
    Some(request)
}
