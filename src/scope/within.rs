//! The relation that makes a delegation legal: capability inside capability.

use std::fmt;

use super::Scope;
use super::capability::{Capability, Where};
use super::caveat::Caveat;
use super::limit::Limit;
use super::name::containers;
use super::words::{list, words};
use crate::request::shown;

/// In which way a capability is beyond its parent.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum NotWithinCode {
    /// The tools.
    ToolBeyond,
    /// The resources.
    ResourceBeyond,
    /// The parent has a `where`, the child has none.
    WhereLeftOut,
    /// The child states `resource=` beside `where=`, which exempts template arguments, and the
    /// parent does not.
    TemplateExemption,
    /// An argument that the parent constrains and the child does not name.
    ArgumentLeftOut,
    /// An object that the parent closes and the child leaves open.
    ObjectLeftOpen,
    /// An argument that the parent does not name.
    ArgumentBeyond,
    /// A caveat that is not within the parent's.
    CaveatBeyond,
    /// A limit above the parent's.
    LimitAbove,
    /// A limit that a ceiling states and the scope does not.
    LimitLeftOut,
}

impl NotWithinCode {
    /// The stable slug that programs branch on.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToolBeyond => "tool_beyond",
            Self::ResourceBeyond => "resource_beyond",
            Self::WhereLeftOut => "where_left_out",
            Self::TemplateExemption => "template_exemption",
            Self::ArgumentLeftOut => "argument_left_out",
            Self::ObjectLeftOpen => "object_left_open",
            Self::ArgumentBeyond => "argument_beyond",
            Self::CaveatBeyond => "caveat_beyond",
            Self::LimitAbove => "limit_above",
            Self::LimitLeftOut => "limit_left_out",
        }
    }
}

/// Why a scope is not within its parent, told for the parent's capability that came closest.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NotWithin {
    /// In which way.
    pub code: NotWithinCode,
    /// The child's capability, by its place.
    pub capability: usize,
    /// The parent's capability that came closest, by its place; `None` if no tool matched.
    pub parent: Option<usize>,
    /// The argument, or with dots the field.
    pub argument: Option<Box<str>>,
    /// What the child asks for, in words.
    pub asked: Box<str>,
    /// What the parent allows there, in words.
    pub allowed: Box<str>,
    /// The smallest change that makes it legal, in words.
    pub fix: Box<str>,
}

impl fmt::Display for NotWithin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "capability {} asks for ", self.capability)?;
        if let Some(name) = &self.argument {
            write!(f, "the argument `{name}` as ")?;
        }
        write!(f, "{}; the parent allows {}", self.asked, self.allowed)
    }
}

impl std::error::Error for NotWithin {}

/// What keeps a child out of one parent, without its words.
#[derive(Clone, Copy)]
struct Gap<'a> {
    code: NotWithinCode,
    name: &'a str,
    limits: Option<(&'a Limit, &'a Limit)>,
}

/// With `ceiling`, a limit that the parent states must be stated: nothing draws on a ceiling.
pub(super) fn scope_within(child: &Scope, parent: &Scope, ceiling: bool) -> Result<(), NotWithin> {
    for (at, own) in child.capabilities().iter().enumerate() {
        let mut closest: Option<(usize, &Capability, Gap<'_>)> = None;
        let mut fits = false;
        for (place, outer) in parent.capabilities().iter().enumerate() {
            match gap(own, outer).or_else(|| if ceiling { unlimited(own, outer) } else { None }) {
                None => {
                    fits = true;
                    break;
                }
                Some(gap) => {
                    let rank = gap.code as u8;
                    if closest.as_ref().is_none_or(|(_, _, last)| rank > last.code as u8) {
                        closest = Some((place, outer, gap));
                    }
                }
            }
        }
        if !fits {
            return Err(explain(at, own, closest, parent));
        }
    }
    Ok(())
}

/// What keeps `child` out of `parent`, the first in order; `None` if it fits.
fn gap<'a>(child: &'a Capability, parent: &'a Capability) -> Option<Gap<'a>> {
    use NotWithinCode as Code;
    let gap = |code| Some(Gap { code, name: "", limits: None });
    if !child.tool.within(&parent.tool) {
        return gap(Code::ToolBeyond);
    }
    if let Some(outer) = &parent.resource {
        let fits = match &child.resource {
            Some(own) => own.iter().all(|own| outer.iter().any(|outer| own.within(outer))),
            None => outer.iter().any(super::ResourcePattern::is_all),
        };
        if !fits {
            return gap(Code::ResourceBeyond);
        }
    }
    match (&child.where_, &parent.where_) {
        (_, None) => {}
        (None, Some(_)) => return gap(Code::WhereLeftOut),
        (Some(own), Some(outer)) => {
            if child.resource.is_some() && parent.resource.is_none() {
                return gap(Code::TemplateExemption);
            }
            if let Some((code, name)) = where_gap(own, outer) {
                return Some(Gap { code, name, limits: None });
            }
        }
    }
    for own in &child.limits {
        let outer = parent.limits.iter().find(|outer| own.same_meter(outer));
        if let Some(outer) = outer
            && !own.within(outer)
        {
            return Some(Gap { code: Code::LimitAbove, name: "", limits: Some((own, outer)) });
        }
    }
    None
}

/// The first limit that `parent` states and `child` does not.
fn unlimited<'a>(child: &'a Capability, parent: &'a Capability) -> Option<Gap<'a>> {
    let stated = |outer: &Limit| child.limits.iter().any(|own| own.same_meter(outer));
    let missing = parent.limits.iter().find(|outer| !stated(outer))?;
    let limits = Some((missing, missing));
    Some(Gap { code: NotWithinCode::LimitLeftOut, name: "", limits })
}

/// What keeps the arguments that `child` covers out of those that `parent` covers.
fn where_gap<'a>(child: &'a Where, parent: &'a Where) -> Option<(NotWithinCode, &'a str)> {
    use NotWithinCode as Code;
    let (any, absent) = (Caveat::any(), Caveat::absent());
    // The name, or an object that holds it, never has a value.
    let dead = |name: &str| child.get(name).is_some_and(|caveat| caveat.within(&absent));
    for (name, caveat) in &parent.entries {
        match child.get(name) {
            Some(own) if own.within(caveat) => {}
            Some(_) => return Some((Code::CaveatBeyond, name)),
            None if any.within(caveat) => {}
            None => return Some((Code::ArgumentLeftOut, name)),
        }
        // Open, it could hold fields that the parent does not name: a default may fill it.
        for object in containers(name) {
            if !child.closes(object) && !dead(object) {
                return Some((Code::ObjectLeftOpen, object));
            }
        }
    }
    for (name, _) in &child.entries {
        if parent.get(name).is_some() {
            continue;
        }
        let known = |object: Option<&str>| object.is_none_or(|object| parent.names(object));
        let never = std::iter::once(&**name)
            .chain(containers(name))
            .any(|own| dead(own) && known(containers(own).next()));
        // A field below an argument that the parent names and leaves open.
        let open = || {
            let held = containers(name).find(|object| parent.names(object));
            held.is_some_and(|object| !parent.closes(object))
        };
        if !never && !open() {
            return Some((Code::ArgumentBeyond, name));
        }
    }
    None
}

fn explain(
    at: usize,
    child: &Capability,
    closest: Option<(usize, &Capability, Gap<'_>)>,
    parent: &Scope,
) -> NotWithin {
    use NotWithinCode as Code;
    let tick = |text: &str| format!("`{}`", shown(text));
    let Some((place, outer, gap)) = closest.filter(|(_, _, gap)| gap.code != Code::ToolBeyond)
    else {
        let tools = list(parent.capabilities(), |c| tick(c.tool.as_str()));
        return NotWithin {
            code: Code::ToolBeyond,
            capability: at,
            parent: None,
            argument: None,
            asked: format!("the tools {}", tick(child.tool.as_str())).into(),
            allowed: tools.into(),
            fix: "narrow `tool`, or ask for a wider parent".into(),
        };
    };
    let name = shown(gap.name);
    let caveat = |c: &Capability| {
        c.where_.as_ref().and_then(|w| w.get(gap.name)).map_or("nothing".to_owned(), words)
    };
    let resources = |c: &Capability| {
        c.resource().map_or("`**`".to_owned(), |all| list(all, |p| tick(p.as_str())))
    };
    let names = |c: &Capability| match c.where_() {
        None => "any arguments".to_owned(),
        Some(entries) => format!("the arguments {}", list(entries, |(name, _)| tick(name))),
    };
    let (asked, allowed, fix) = match gap.code {
        Code::ToolBeyond => (String::new(), String::new(), String::new()),
        Code::ResourceBeyond => (
            format!("the resources {}", resources(child)),
            resources(outer),
            "narrow `resource` to what the parent allows".to_owned(),
        ),
        Code::WhereLeftOut => (
            names(child),
            names(outer),
            "add `where` with a caveat for each argument that the parent constrains".to_owned(),
        ),
        Code::TemplateExemption => (
            "template arguments without naming them, since it states `resource`".to_owned(),
            "only the arguments that it names, since it states none".to_owned(),
            "leave `resource` out, or state it in the parent too (`**` counts)".to_owned(),
        ),
        Code::ArgumentLeftOut => (
            "not named".to_owned(),
            caveat(outer),
            format!("add `{name}` to `where`: {}", caveat(outer)),
        ),
        Code::ObjectLeftOpen => (
            "open".to_owned(),
            "only the fields that it names".to_owned(),
            format!("name the fields of `{name}` in `where`, or make it `absent`"),
        ),
        Code::ArgumentBeyond => (
            caveat(child),
            names(outer),
            format!("leave `{name}` out of `where`, or make it `absent`"),
        ),
        Code::CaveatBeyond => {
            (caveat(child), caveat(outer), format!("narrow `{name}` to {}", caveat(outer)))
        }
        Code::LimitLeftOut => match gap.limits {
            Some((_, outer)) => {
                ("no such limit".to_owned(), outer.to_string(), format!("state a limit of {outer}"))
            }
            None => (String::new(), String::new(), String::new()),
        },
        Code::LimitAbove => match gap.limits {
            Some((own, outer)) => {
                (own.to_string(), outer.to_string(), format!("lower the limit to {outer}"))
            }
            None => (String::new(), String::new(), String::new()),
        },
    };
    NotWithin {
        code: gap.code,
        capability: at,
        parent: Some(place),
        argument: (!gap.name.is_empty()).then(|| name.into()),
        asked: asked.into(),
        allowed: allowed.into(),
        fix: fix.into(),
    }
}
