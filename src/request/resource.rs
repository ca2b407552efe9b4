//! Resources: what a call reaches, in one canonical text.

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::text::{is_hidden, shown};
use super::{RequestError, url};

/// The longest resource or pattern, in bytes.
pub const MAX_RESOURCE_BYTES: usize = 4096;
/// The most segments of a resource or pattern.
pub const MAX_SEGMENTS: usize = 64;

/// The type of a resource; part of its identity.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum ResourceKind {
    /// No type: `account/travel-1`.
    Plain,
    /// A file path, absolute or relative: `path:/data/x`, `path:data/x`.
    Path,
    /// Scheme, host and path: `url:https://example.com/a`.
    Url,
    /// An identifier whose segments may hold `:`: `id:urn:isbn/1`.
    Id,
}

impl ResourceKind {
    /// What the text starts with.
    #[must_use]
    pub fn prefix(self) -> &'static str {
        match self {
            Self::Plain => "",
            Self::Path => "path:",
            Self::Url => "url:",
            Self::Id => "id:",
        }
    }

    /// The type of a text, and what follows the type.
    pub(crate) fn split(text: &str) -> (Self, &str) {
        for kind in [Self::Path, Self::Url, Self::Id] {
            if let Some(body) = text.strip_prefix(kind.prefix()) {
                return (kind, body);
            }
        }
        (Self::Plain, text)
    }

    /// The segments of a body. An absolute path starts with an empty one; a URL with its scheme
    /// (`https:`), then host and port.
    pub(crate) fn segments(self, body: &str) -> impl Iterator<Item = &str> {
        let skip = if self == Self::Url { 1 } else { usize::MAX };
        body.split('/').enumerate().filter(move |(at, _)| *at != skip).map(|(_, segment)| segment)
    }

    /// Checks the characters of one segment, or of the literal start of one.
    pub(crate) fn check_characters(self, segment: &str) -> Result<(), &'static str> {
        for c in segment.chars() {
            match c {
                '%' => return Err("`%` can hide another character"),
                '*' => return Err("`*` belongs in patterns"),
                '\\' => return Err("`\\` separates segments on some systems"),
                ':' if self == Self::Plain => {
                    return Err("`:` follows a type, and the types are `path:`, `url:`, `id:`");
                }
                c if is_hidden(c) => return Err("a control or invisible character"),
                '?' | '#' if self == Self::Url => {
                    return Err("the query and fragment of a URL are no part of the resource");
                }
                c if self == Self::Url && !is_path_character(c) => {
                    return Err("a character that a URL's path does not hold as it is");
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// Checks one whole segment that is not a root, scheme or host.
    pub(crate) fn check_segment(self, segment: &str) -> Result<(), &'static str> {
        match segment {
            "" => Err("an empty segment"),
            "." | ".." => Err("`.` and `..` stand for other segments"),
            _ => self.check_characters(segment),
        }
    }
}

/// RFC 3986 `pchar`, without percent escapes.
fn is_path_character(c: char) -> bool {
    c.is_ascii_alphanumeric() || "-._~!$&'()+,;=:@".contains(c)
}

/// Checks length and number of segments.
pub(crate) fn check_size(kind: ResourceKind, text: &str, body: &str) -> Result<(), &'static str> {
    if text.len() > MAX_RESOURCE_BYTES {
        return Err("it is longer than 4096 bytes");
    }
    if kind.segments(body).count() > MAX_SEGMENTS {
        return Err("it has more than 64 segments");
    }
    Ok(())
}

/// What a call reaches, in canonical form: two resources are equal exactly when their texts are.
///
/// Segments are divided by `/`; none is empty, `.` or `..`, none holds `%`, `*`, `\` or a control
/// or invisible character. Nothing is repaired but the host of a URL, which becomes lower case.
/// Case and Unicode are compared as they are: no folding, no normalisation.
///
/// An absolute path and a relative one are different resources; `path:/` alone is refused.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Resource {
    kind: ResourceKind,
    text: Arc<str>,
}

impl Resource {
    /// Reads a resource.
    ///
    /// # Errors
    /// `resource_malformed`, with what is wrong.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let (kind, body) = ResourceKind::split(text);
        let wrong = |why| RequestError::Resource { text: shown(text), why };
        check_size(kind, text, body).map_err(wrong)?;
        if kind == ResourceKind::Url {
            let text = canonical_url(body).map_err(wrong)?;
            return Ok(Self { kind, text: text.into() });
        }
        for (at, segment) in kind.segments(body).enumerate() {
            let root = at == 0 && kind == ResourceKind::Path && body.starts_with('/');
            if !root {
                kind.check_segment(segment).map_err(wrong)?;
            }
        }
        Ok(Self { kind, text: text.into() })
    }

    /// The type.
    #[must_use]
    pub fn kind(&self) -> ResourceKind {
        self.kind
    }

    /// The canonical text, type included.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The segments that patterns compare.
    pub(crate) fn segments(&self) -> impl Iterator<Item = &str> {
        let body = self.text.get(self.kind.prefix().len()..).unwrap_or_default();
        self.kind.segments(body)
    }
}

fn canonical_url(body: &str) -> Result<String, &'static str> {
    let (scheme, rest) = body.split_once("://").ok_or("expected `url:scheme://host/…`")?;
    if !url::is_scheme(scheme) {
        return Err("the scheme is not in lower-case letters, digits, `+`, `-` and `.`");
    }
    let (authority, path) = match rest.split_once('/') {
        Some((authority, path)) => (authority, Some(path)),
        None => (rest, None),
    };
    let authority = canonical_authority(scheme, authority)?;
    for segment in path.into_iter().flat_map(|path| path.split('/')) {
        ResourceKind::Url.check_segment(segment)?;
    }
    Ok(match path {
        Some(path) => format!("url:{scheme}://{authority}/{path}"),
        None => format!("url:{scheme}://{authority}"),
    })
}

/// Host and port with the host in lower case.
pub(crate) fn canonical_authority(scheme: &str, text: &str) -> Result<String, &'static str> {
    let (_, port) = url::authority(text)?;
    if port.is_some_and(|port| url::is_default_port(scheme, port)) {
        return Err("the port is the scheme's own: leave it out");
    }
    Ok(text.to_ascii_lowercase())
}

impl fmt::Display for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl fmt::Debug for Resource {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for Resource {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

/// Strict: the text must be the canonical one.
impl<'de> Deserialize<'de> for Resource {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let resource = Self::parse(&text).map_err(de::Error::custom)?;
        if resource.as_str() != text {
            return Err(de::Error::custom("the host of a resource is in lower case"));
        }
        Ok(resource)
    }
}
