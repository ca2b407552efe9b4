//! Capabilities: one tool pattern on resource patterns, with caveats and limits.

use super::caveat::Caveat;
use super::error::{ScopeError, at_most};
use super::limit::Limit;
use super::name::{below, check_name, field, object};
use super::pattern::{ResourcePattern, ToolPattern};
use crate::canonical::{Map, Value};
use crate::request::{Request, ToolName, shown};

/// The most resource patterns of a capability.
pub const MAX_RESOURCES: usize = 64;
/// The most names in `where`.
pub const MAX_WHERE: usize = 64;
/// The most limits of a capability.
pub const MAX_LIMITS: usize = 16;

/// Calls of some tools, on some resources, with some arguments, so often.
///
/// JSON: `{"tool":"pay.transfer","resource":["account/travel-*"],
/// "where":{"amount":{"at_most":500}},"limits":[{"calls":10}]}`; a key that is absent was not
/// stated, and an empty `limits` is left out.
#[derive(Debug, Clone, PartialEq)]
pub struct Capability {
    pub(super) tool: ToolPattern,
    pub(super) resource: Option<Box<[ResourcePattern]>>,
    pub(super) where_: Option<Where>,
    pub(super) limits: Box<[Limit]>,
}

/// Names and their caveats, sorted by name.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Where {
    pub(super) entries: Box<[(Box<str>, Caveat)]>,
    /// Whether any name has a dot.
    dotted: bool,
}

impl Capability {
    /// Builds a capability. `resource`: `None` was not stated and means `**`, an empty list means
    /// nothing. `where_`: `None` means any arguments, a list is a closed world.
    ///
    /// # Errors
    /// Too many parts, a name that is none or occurs twice, two limits that bound the same thing.
    pub fn new(
        tool: ToolPattern,
        resource: Option<Vec<ResourcePattern>>,
        where_: Option<Vec<(Box<str>, Caveat)>>,
        limits: Vec<Limit>,
    ) -> Result<Self, ScopeError> {
        if let Some(patterns) = &resource {
            at_most("resource patterns", patterns.len(), MAX_RESOURCES)?;
        }
        at_most("limits", limits.len(), MAX_LIMITS)?;
        for (at, limit) in limits.iter().enumerate() {
            if limits.iter().take(at).any(|earlier| earlier.same_meter(limit)) {
                let limit = match limit {
                    Limit::Calls(_) => "calls",
                    Limit::Rate { .. } => "rate",
                    Limit::Total(_) => "total",
                };
                return Err(ScopeError::Limit { limit, why: "two of them bound the same thing" });
            }
        }
        Ok(Self {
            tool,
            resource: resource.map(Into::into),
            where_: where_.map(Where::new).transpose()?,
            limits: limits.into(),
        })
    }

    /// The tools.
    #[must_use]
    pub fn tool(&self) -> &ToolPattern {
        &self.tool
    }

    /// The resources; `None` was not stated and means `**`.
    #[must_use]
    pub fn resource(&self) -> Option<&[ResourcePattern]> {
        self.resource.as_deref()
    }

    /// The caveats by name, sorted; `None` means any arguments.
    #[must_use]
    pub fn where_(&self) -> Option<&[(Box<str>, Caveat)]> {
        self.where_.as_ref().map(|w| &*w.entries)
    }

    /// The limits.
    #[must_use]
    pub fn limits(&self) -> &[Limit] {
        &self.limits
    }

    /// The part of it that is about one tool, without limits: those are drawn on where they stand.
    #[must_use]
    pub fn only(&self, tool: &ToolName) -> Option<Self> {
        let exact = ToolPattern::parse(tool.as_str()).ok().filter(|_| self.tool.matches(tool))?;
        Some(Self { tool: exact, limits: Box::default(), ..self.clone() })
    }

    /// Whether it covers a call, or what it misses.
    pub(super) fn check<'a>(&'a self, request: &'a Request) -> Result<(), Miss<'a>> {
        if !self.tool.matches(&request.tool) {
            return Err(Miss::Tool);
        }
        if let Some(patterns) = &self.resource
            && !patterns.iter().any(|pattern| pattern.matches(request.resource.as_ref()))
        {
            return Err(Miss::Resource);
        }
        match &self.where_ {
            None => Ok(()),
            Some(w) => w.check(request, self.resource.is_some()),
        }
    }
}

/// What a capability misses in a call.
#[derive(Debug, Clone, Copy)]
pub(super) enum Miss<'a> {
    Tool,
    Resource,
    /// A key with a dot, where dotted names are used, and the object that holds it.
    Dotted(&'a str, &'a str),
    /// A key, and the object that holds it (empty for the arguments themselves).
    NotNamed(&'a str, &'a str),
    /// A name below which fields are named, and what it holds instead of fields.
    NotObject(&'a str, &'a Value),
    Missing(&'a str, &'a Caveat),
    Failed(&'a str, &'a Caveat, &'a Value),
}

impl Miss<'_> {
    /// How far the call got.
    pub(super) fn rank(&self) -> u8 {
        match self {
            Self::Tool => 0,
            Self::Resource => 1,
            Self::Dotted(..) | Self::NotNamed(..) | Self::NotObject(..) => 2,
            Self::Missing(..) => 3,
            Self::Failed(..) => 4,
        }
    }
}

impl Where {
    fn new(mut entries: Vec<(Box<str>, Caveat)>) -> Result<Self, ScopeError> {
        at_most("names in `where`", entries.len(), MAX_WHERE)?;
        for (name, _) in &entries {
            check_name(name)?;
        }
        entries.sort_by(|a, b| a.0.cmp(&b.0));
        for pair in entries.windows(2) {
            if let [(a, _), (b, _)] = pair
                && a == b
            {
                return Err(ScopeError::Twice { text: shown(a) });
            }
        }
        let dotted = entries.iter().any(|(name, _)| name.contains('.'));
        Ok(Self { entries: entries.into(), dotted })
    }

    pub(super) fn get(&self, name: &str) -> Option<&Caveat> {
        self.entries.iter().find(|(own, _)| **own == *name).map(|(_, caveat)| caveat)
    }

    /// Whether a name below this one is named: then the object of that name is closed.
    pub(super) fn closes(&self, name: &str) -> bool {
        self.entries.iter().any(|(own, _)| below(own, name).is_some())
    }

    /// Whether the name, or one below it, is named.
    pub(super) fn names(&self, name: &str) -> bool {
        self.entries.iter().any(|(own, _)| **own == *name) || self.closes(name)
    }

    fn check<'a>(&'a self, request: &'a Request, template: bool) -> Result<(), Miss<'a>> {
        // A dotted name means a field, so a key with a dot cannot be named: no exemption reaches
        // it, or a child without dotted names could take one that its parent denies.
        let exempt = |name: &str| {
            if name.contains('.') {
                return false;
            }
            request.defaulted.iter().any(|own| **own == *name)
                || (template && request.template.iter().any(|own| **own == *name))
        };
        if self.dotted {
            self.check_object("", &request.arguments, &exempt)?;
        } else {
            for (name, _) in request.arguments.iter() {
                if self.get(name).is_none() && !exempt(name) {
                    return Err(Miss::NotNamed(name, ""));
                }
            }
        }
        for (name, caveat) in &self.entries {
            let value = field(&request.arguments, name);
            if !caveat.allows(value, &request.arguments) {
                return Err(match value {
                    None => Miss::Missing(name, caveat),
                    Some(value) => Miss::Failed(name, caveat, value),
                });
            }
        }
        Ok(())
    }

    /// Whether each key of a closed object is named, and so on below.
    fn check_object<'a>(
        &'a self,
        prefix: &'a str,
        map: &'a Map,
        exempt: &dyn Fn(&str) -> bool,
    ) -> Result<(), Miss<'a>> {
        for (key, value) in map.iter() {
            if key.contains('.') {
                return Err(Miss::Dotted(key, prefix));
            }
            let mut named = false;
            let mut closed = None;
            for (name, _) in &self.entries {
                let Some(rest) = below(name, prefix) else { continue };
                let (first, deeper) = match rest.split_once('.') {
                    Some((first, deeper)) => (first, Some(deeper)),
                    None => (rest, None),
                };
                if first != key {
                    continue;
                }
                named = true;
                if let Some(deeper) = deeper {
                    closed = name.get(..name.len() - deeper.len() - 1);
                }
            }
            if !named && !exempt(key) {
                return Err(Miss::NotNamed(key, prefix));
            }
            if let Some(inner) = closed {
                let fields = object(value).ok_or(Miss::NotObject(inner, value))?;
                // Defaults and template arguments are whole arguments, never fields.
                self.check_object(inner, fields, &|_| false)?;
            }
        }
        Ok(())
    }
}
