//! Patterns over tools and resources.
//!
//! `*` is one whole segment; a `*` at the end of a segment makes it a prefix (which may be the
//! whole: `travel-*` matches `travel-`); `**` in the last place is any rest of at least one
//! segment, so `a.**` does not match `a`. Nothing is folded or normalised: `é` in two code points
//! is not `é` in one, and a Cyrillic `а` is not a Latin `a`.

use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::error::ScopeError;
use crate::request::{
    MAX_TOOL_BYTES, Resource, ResourceKind, ToolName, canonical_authority, check_size, is_scheme,
    is_tool_byte, shown,
};

#[derive(Debug, Clone, PartialEq, Eq, Hash)]
enum Segment {
    Literal(Box<str>),
    Prefix(Box<str>),
    Any,
}

impl Segment {
    fn matches(&self, text: &str) -> bool {
        match self {
            Self::Literal(literal) => **literal == *text,
            Self::Prefix(prefix) => text.starts_with(&**prefix),
            // An empty segment is only the root of an absolute path.
            Self::Any => !text.is_empty(),
        }
    }

    fn within(&self, parent: &Self) -> bool {
        match (self, parent) {
            (Self::Literal(literal), parent) => parent.matches(literal),
            (_, Self::Any) => true,
            (Self::Prefix(child), Self::Prefix(parent)) => child.starts_with(&**parent),
            _ => false,
        }
    }
}

/// Segments, and whether any rest may follow them.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Segments {
    first: Box<[Segment]>,
    rest: bool,
}

impl Segments {
    fn matches<'a>(&self, mut texts: impl Iterator<Item = &'a str>) -> bool {
        for segment in &self.first {
            if !texts.next().is_some_and(|text| segment.matches(text)) {
                return false;
            }
        }
        texts.next().is_some() == self.rest
    }

    fn within(&self, parent: &Self) -> bool {
        let mut child = self.first.iter();
        for segment in &parent.first {
            if !child.next().is_some_and(|own| own.within(segment)) {
                return false;
            }
        }
        let more = child.next().is_some() || self.rest;
        more == parent.rest
    }
}

/// Reads a segment that is not `**`; `check` sees the literal part and whether it is a prefix.
fn segment(
    text: &str,
    check: impl Fn(&str, bool) -> Result<(), &'static str>,
) -> Result<Segment, &'static str> {
    if text == "*" {
        return Ok(Segment::Any);
    }
    let (literal, prefix) = match text.strip_suffix('*') {
        Some(literal) => (literal, true),
        None => (text, false),
    };
    if literal.contains('*') {
        return Err("`*` is a whole segment or ends one, and `**` is the last segment");
    }
    check(literal, prefix)?;
    Ok(if prefix { Segment::Prefix(literal.into()) } else { Segment::Literal(literal.into()) })
}

/// Tools by dot segments, such as `pay.transfer`, `pay.*`, `pay.get_*`, `pay.**`, `**`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ToolPattern {
    text: Box<str>,
    segments: Segments,
}

impl ToolPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// `tool_pattern_malformed`, with what is wrong.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let wrong = |why| ScopeError::ToolPattern { text: shown(text), why };
        if text.len() > MAX_TOOL_BYTES {
            return Err(wrong("it is longer than 256 bytes"));
        }
        let (first, rest) = match text.strip_suffix("**") {
            Some("") => (None, true),
            Some(first) => match first.strip_suffix('.') {
                Some(first) => (Some(first), true),
                None => return Err(wrong("`**` is a segment of its own")),
            },
            None => (Some(text), false),
        };
        let check = |literal: &str, _| {
            if literal.is_empty() {
                return Err("an empty segment");
            }
            if !literal.bytes().all(is_tool_byte) {
                return Err("expected letters, digits, `_`, `-` and `*`, divided by dots");
            }
            Ok(())
        };
        let first = first.into_iter().flat_map(|first| first.split('.'));
        let first: Result<_, _> = first.map(|text| segment(text, check)).collect();
        Ok(Self { text: text.into(), segments: Segments { first: first.map_err(wrong)?, rest } })
    }

    /// Whether a tool is one of those meant.
    #[must_use]
    pub fn matches(&self, tool: &ToolName) -> bool {
        self.segments.matches(tool.as_str().split('.'))
    }

    /// Whether each tool that this matches is matched by `parent`.
    #[must_use]
    pub fn within(&self, parent: &Self) -> bool {
        self.segments.within(&parent.segments)
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Resources by slash segments, such as `account/travel-*`, `path:/data/**`,
/// `url:https://api.example.com/v1/*`, `**`.
///
/// `**` alone matches everything: any resource of any type, and a call that names none. Every
/// other pattern matches resources of its own type only (`path:**` is any path). In a URL the
/// scheme is literal; host and port are one segment, literal or `*`, since a prefix such as
/// `https://api.example.com*` would match `api.example.com.evil.com`.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct ResourcePattern {
    text: Box<str>,
    kind: ResourceKind,
    /// `**` alone.
    all: bool,
    segments: Segments,
}

impl ResourcePattern {
    /// Reads a pattern; the host of a URL becomes lower case.
    ///
    /// # Errors
    /// `resource_pattern_malformed`, with what is wrong.
    pub fn parse(text: &str) -> Result<Self, ScopeError> {
        let wrong = |why| ScopeError::ResourcePattern { text: shown(text), why };
        let (kind, body) = ResourceKind::split(text);
        check_size(kind, text, body).map_err(wrong)?;
        let body = match kind {
            ResourceKind::Url => canonical_url(body).map_err(wrong)?,
            _ => body.into(),
        };
        let mut texts: Vec<&str> = kind.segments(&body).collect();
        let rest = texts.last() == Some(&"**");
        if rest {
            texts.pop();
        }
        let mut first = Vec::with_capacity(texts.len());
        for (at, text) in texts.into_iter().enumerate() {
            let root = at == 0 && kind == ResourceKind::Path && body.starts_with('/');
            // Scheme and host were checked with the URL.
            let checked = root || (at < 2 && kind == ResourceKind::Url);
            let read = segment(text, |literal, prefix| match (checked, prefix) {
                (true, _) => Ok(()),
                (false, true) => kind.check_characters(literal),
                (false, false) => kind.check_segment(literal),
            });
            first.push(read.map_err(wrong)?);
        }
        Ok(Self {
            text: format!("{}{body}", kind.prefix()).into(),
            kind,
            all: kind == ResourceKind::Plain && rest && first.is_empty(),
            segments: Segments { first: first.into(), rest },
        })
    }

    /// Whether a resource, or the absence of one, is meant.
    #[must_use]
    pub fn matches(&self, resource: Option<&Resource>) -> bool {
        if self.all {
            return true;
        }
        resource.is_some_and(|resource| {
            resource.kind() == self.kind && self.segments.matches(resource.segments())
        })
    }

    /// Whether everything that this matches is matched by `parent`.
    #[must_use]
    pub fn within(&self, parent: &Self) -> bool {
        parent.all
            || (!self.all && self.kind == parent.kind && self.segments.within(&parent.segments))
    }

    /// Whether it is `**` alone.
    #[must_use]
    pub fn is_all(&self) -> bool {
        self.all
    }

    /// The canonical text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

/// Checks scheme and host of a pattern's body; the host in lower case.
fn canonical_url(body: &str) -> Result<String, &'static str> {
    if body == "**" {
        return Ok(body.to_owned());
    }
    let (scheme, rest) = body.split_once("://").ok_or("expected `url:scheme://host/…`")?;
    if !is_scheme(scheme) {
        return Err("the scheme is not in lower-case letters, digits, `+`, `-` and `.`");
    }
    let (host, path) = match rest.split_once('/') {
        Some((host, path)) => (host, Some(path)),
        None => (rest, None),
    };
    let host = match (host, path) {
        ("**", None) | ("*", _) => host.to_owned(),
        (host, _) if host.contains('*') => return Err("a host is literal, or `*` for any"),
        (host, _) => canonical_authority(scheme, host)?,
    };
    Ok(match path {
        Some(path) => format!("{scheme}://{host}/{path}"),
        None => format!("{scheme}://{host}"),
    })
}

macro_rules! texts {
    ($($name:ident)*) => {$(
        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        }

        impl fmt::Debug for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str(&self.text)
            }
        }

        impl Serialize for $name {
            fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(&self.text)
            }
        }

        /// Strict: the text must be the canonical one.
        impl<'de> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let text = String::deserialize(deserializer)?;
                let pattern = Self::parse(&text).map_err(de::Error::custom)?;
                if *pattern.text != *text {
                    return Err(de::Error::custom("the host of a pattern is in lower case"));
                }
                Ok(pattern)
            }
        }
    )*};
}

texts! { ToolPattern ResourcePattern }
