//! Refusals: what a scope misses in a call, as data, and in words.

use std::fmt;

use super::capability::{Capability, Miss};
use super::caveat::{Caveat, Kind};
use super::words::{list, render, words};
use crate::canonical::Value;
use crate::request::{Request, shown};

/// What a scope misses in a call.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RefusalCode {
    /// No capability names the tool.
    ToolNotCovered,
    /// The tool is covered, the resource is not.
    ResourceNotCovered,
    /// The tool is covered on some resources, and the call names none.
    ResourceMissing,
    /// An argument or field that a closed world does not name.
    ArgumentNotNamed,
    /// A key holds a dot where dotted names are used.
    DottedKey,
    /// Fields are named below an argument that has none.
    NotAnObject,
    /// An argument that a caveat needs.
    ArgumentMissing,
    /// An argument that a caveat does not allow.
    CaveatFailed,
}

impl RefusalCode {
    /// The stable slug that programs branch on.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::ToolNotCovered => "tool_not_covered",
            Self::ResourceNotCovered => "resource_not_covered",
            Self::ResourceMissing => "resource_missing",
            Self::ArgumentNotNamed => "argument_not_named",
            Self::DottedKey => "dotted_key",
            Self::NotAnObject => "not_an_object",
            Self::ArgumentMissing => "argument_missing",
            Self::CaveatFailed => "caveat_failed",
        }
    }
}

/// Why no capability covers a call, told for the one that came closest.
///
/// Only `asked` holds what the call brought; the rest is safe to show where an argument is masked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Refusal {
    /// What was missed.
    pub code: RefusalCode,
    /// The capability that came closest, by its place in the scope; `None` if no tool matched.
    pub capability: Option<usize>,
    /// The argument, or with dots the field.
    pub argument: Option<Box<str>>,
    /// For a key that is not named or holds a dot: the object that holds it, in the grant's words;
    /// `None` for the arguments themselves.
    pub holder: Option<Box<str>>,
    /// The tool, resource or value that was asked for, shortened and escaped; `None` if there was
    /// none, or if it is masked.
    pub asked: Option<Box<str>>,
    /// The word for the type of the value that was asked for.
    pub asked_type: Option<&'static str>,
    /// What is allowed there, in words.
    pub allowed: Box<str>,
    /// The smallest change that makes the call legal, in words.
    pub fix: Box<str>,
}

impl Refusal {
    /// The same without the value or resource that the call brought; a tool's name stays.
    #[must_use]
    pub fn masked(mut self) -> Self {
        if self.code != RefusalCode::ToolNotCovered {
            self.asked = None;
        }
        self
    }

    /// The same without the key that the call brought, where it is one within an object: only the
    /// object is told.
    #[must_use]
    pub fn without_key(mut self) -> Self {
        let Some(holder) = self.holder.clone() else { return self };
        self.fix = match self.code {
            RefusalCode::DottedKey => format!("rename the keys of `{holder}` that hold a dot"),
            _ => format!("leave out of `{holder}` what the grant does not name"),
        }
        .into();
        self.argument = None;
        self
    }

    /// No capability names the tool.
    pub(super) fn tool(request: &Request, capabilities: &[Capability]) -> Self {
        let allowed = list(capabilities, |c| format!("`{}`", shown(c.tool().as_str())));
        Self {
            code: RefusalCode::ToolNotCovered,
            capability: None,
            argument: None,
            holder: None,
            asked: Some(shown(request.tool.as_str()).into()),
            asked_type: None,
            allowed: allowed.into(),
            fix: format!("ask for a grant with the tool `{}`", shown(request.tool.as_str())).into(),
        }
    }

    /// What one capability misses.
    pub(super) fn miss(
        at: usize,
        capability: &Capability,
        miss: &Miss<'_>,
        request: &Request,
    ) -> Self {
        let mut out = Self::tool(request, std::slice::from_ref(capability));
        out.capability = Some(at);
        match miss {
            Miss::Tool => out.capability = None,
            Miss::Resource => {
                let patterns = capability.resource().unwrap_or_default();
                out.asked = request.resource.as_ref().map(|r| shown(r.as_str()).into());
                out.code = match out.asked {
                    Some(_) => RefusalCode::ResourceNotCovered,
                    None => RefusalCode::ResourceMissing,
                };
                out.allowed = list(patterns, |p| format!("`{}`", shown(p.as_str()))).into();
                out.fix = match (patterns.is_empty(), &out.asked) {
                    (true, _) => "ask for a grant with a resource: this one has none".into(),
                    (_, Some(_)) => "stay within these resources, or ask for a wider grant".into(),
                    (_, None) => "name the resource in the tool's declaration, or ask for a grant \
                                  with the resource `**`"
                        .into(),
                };
            }
            Miss::Dotted(key, prefix) => {
                out.holder = held_by(prefix);
                let key = shown(key);
                out.code = RefusalCode::DottedKey;
                out.asked = None;
                out.allowed = "keys without a dot, since the grant names nested fields".into();
                out.fix = format!("rename the key `{key}`").into();
                out.argument = Some(key.into());
            }
            Miss::NotNamed(key, prefix) => {
                out.holder = held_by(prefix);
                let dot = if prefix.is_empty() { "" } else { "." };
                let name = shown(&format!("{prefix}{dot}{key}"));
                let entries = capability.where_().unwrap_or_default();
                out.code = RefusalCode::ArgumentNotNamed;
                out.asked = None;
                out.allowed = list(entries, |(own, _)| format!("`{}`", shown(own))).into();
                // A tool may need it: whoever only left it out would meet the tool's own error.
                out.fix = format!(
                    "ask for a grant that names `{name}`, such as with `ans.any_()`; or leave it \
                     out, where the tool does without"
                )
                .into();
                out.argument = Some(name.into());
            }
            Miss::NotObject(name, value) => {
                let name = shown(name);
                out.code = RefusalCode::NotAnObject;
                out.asked = Some(render(value).into());
                out.asked_type = Some(value.type_word());
                out.allowed = "a dict or record, since the grant names its fields".into();
                out.fix = format!("give `{name}` as a dict, or leave it out").into();
                out.argument = Some(name.into());
            }
            Miss::Missing(name, caveat) => {
                let name = shown(name);
                out.code = RefusalCode::ArgumentMissing;
                out.asked = None;
                out.allowed = words(caveat).into();
                out.fix = format!("give `{name}`: {}", out.allowed).into();
                out.argument = Some(name.into());
            }
            Miss::Failed(name, caveat, value) => {
                let name = shown(name);
                out.code = RefusalCode::CaveatFailed;
                out.asked = Some(render(value).into());
                out.asked_type = Some(value.type_word());
                out.allowed = words(caveat).into();
                if let Some(needed) = compared(caveat).filter(|kind| !kind.is(value)) {
                    // `"5"` is not at most 5, and looks as if it were.
                    let given = match value.type_word() {
                        "str" => "text",
                        word => word,
                    };
                    out.asked = Some(format!("the {given} {}", render(value)).into());
                    out.allowed = format!("a {needed}, {}", out.allowed).into();
                }
                out.fix = match caveat.word() {
                    "absent" => format!("leave `{name}` out").into(),
                    _ => format!("give `{name}`: {}", out.allowed).into(),
                };
                out.argument = Some(name.into());
            }
        }
        out
    }
}

/// The kind of value that a caveat compares in order, if it does.
fn compared(caveat: &Caveat) -> Option<Ordered> {
    match &caveat.kind {
        Kind::AtLeast(bound) | Kind::AtMost(bound) | Kind::Between(bound, _) => {
            [Ordered::Number, Ordered::Datetime].into_iter().find(|kind| kind.is(bound))
        }
        Kind::AllOf(caveats) => caveats.iter().find_map(compared),
        _ => None,
    }
}

/// A kind of values that have an order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Ordered {
    Number,
    Datetime,
}

impl Ordered {
    /// Whether a value is of it.
    fn is(self, value: &Value) -> bool {
        match self {
            Self::Number => matches!(value, Value::Int(_) | Value::Float(_) | Value::Decimal(_)),
            Self::Datetime => matches!(value, Value::Datetime(_)),
        }
    }
}

impl fmt::Display for Ordered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Number => "number",
            Self::Datetime => "datetime",
        })
    }
}

fn held_by(prefix: &str) -> Option<Box<str>> {
    (!prefix.is_empty()).then(|| shown(prefix).into())
}

/// One sentence: what was asked, what is allowed; the fix stands apart.
impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.argument.as_deref().unwrap_or_default();
        let asked = |f: &mut fmt::Formatter<'_>| match (&self.asked, self.asked_type) {
            (Some(asked), Some(_)) => write!(f, "{asked}"),
            (Some(asked), None) => write!(f, " `{asked}`"),
            (None, Some(word)) => write!(f, "{word} (masked)"),
            (None, None) => Ok(()),
        };
        match self.code {
            RefusalCode::ArgumentNotNamed | RefusalCode::DottedKey if self.argument.is_none() => {
                let what = match self.code {
                    RefusalCode::DottedKey => "holds a dot",
                    _ => "is not named",
                };
                let holder = self.holder.as_deref().unwrap_or_default();
                write!(f, "a key (masked) of the argument `{holder}` {what}")?;
            }
            RefusalCode::ToolNotCovered => {
                f.write_str("the tool is not covered")?;
            }
            RefusalCode::ResourceNotCovered => {
                f.write_str("the resource")?;
                asked(f)?;
                f.write_str(" is not covered")?;
            }
            RefusalCode::ResourceMissing => f.write_str("the call names no resource")?,
            RefusalCode::ArgumentNotNamed => write!(f, "the argument `{name}` is not named")?,
            RefusalCode::DottedKey => write!(f, "the key `{name}` holds a dot")?,
            RefusalCode::ArgumentMissing => write!(f, "the argument `{name}` is missing")?,
            RefusalCode::NotAnObject | RefusalCode::CaveatFailed => {
                write!(f, "the argument `{name}` is ")?;
                asked(f)?;
            }
        }
        write!(f, "; allowed is {}", self.allowed)
    }
}

impl std::error::Error for Refusal {}
