//! Requests: one call to be judged, with its tool, resource and arguments.

mod declared;
mod resource;
mod template;
mod text;
mod url;

#[cfg(test)]
mod tests;

pub use declared::{ArgumentType, Declared, DeclaredTool, Literal, ToolDeclaration};
pub use resource::{MAX_RESOURCE_BYTES, MAX_SEGMENTS, Resource, ResourceKind};
pub(crate) use resource::{canonical_authority, check_size};
pub use template::ResourceTemplate;
pub(crate) use text::{is_hidden, shorten, shown};
pub(crate) use url::{host, host_of, is_scheme};

use std::fmt;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::canonical::Map;

/// The longest tool name or tool pattern, in bytes.
pub const MAX_TOOL_BYTES: usize = 256;

/// Why a call cannot be stated.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum RequestError {
    /// Not a tool name.
    #[error("`{text}` is not a tool name: {why}")]
    ToolName {
        /// What was given, shortened and escaped.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a canonical resource.
    #[error("`{text}` is not a resource: {why}")]
    Resource {
        /// What was given, shortened and escaped.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// Not a resource template.
    #[error("`{text}` is not a resource template: {why}")]
    Template {
        /// What was given, shortened and escaped.
        text: String,
        /// What is wrong with it.
        why: &'static str,
    },
    /// The template uses an argument that the call does not have.
    #[error("the argument `{argument}` is missing, and the resource is named by it")]
    TemplateArgumentMissing {
        /// The argument's name.
        argument: String,
    },
    /// The template uses an argument of a type that names nothing.
    #[error("the argument `{argument}` is {found}: only str, int and UUID can name a resource")]
    TemplateArgumentType {
        /// The argument's name.
        argument: String,
        /// The word for the type it has.
        found: &'static str,
    },
    /// The value of a template argument cannot stand in a resource.
    #[error("the argument `{argument}` cannot name a resource: {why}")]
    TemplateArgumentValue {
        /// The argument's name.
        argument: String,
        /// What is wrong with its value.
        why: &'static str,
    },
}

impl RequestError {
    /// The stable slug that programs branch on.
    #[must_use]
    pub fn code(&self) -> &'static str {
        match self {
            Self::ToolName { .. } => "tool_name_malformed",
            Self::Resource { .. } => "resource_malformed",
            Self::Template { .. } => "template_malformed",
            Self::TemplateArgumentMissing { .. } => "template_argument_missing",
            Self::TemplateArgumentType { .. } => "template_argument_type",
            Self::TemplateArgumentValue { .. } => "template_argument_value",
        }
    }
}

/// The name of a tool: dot segments of `[A-Za-z0-9_-]`, case kept, at most 256 bytes.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct ToolName(Arc<str>);

impl ToolName {
    /// Reads a name.
    ///
    /// # Errors
    /// `tool_name_malformed`, with what is wrong.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let wrong = |why| RequestError::ToolName { text: shown(text), why };
        if text.len() > MAX_TOOL_BYTES {
            return Err(wrong("it is longer than 256 bytes"));
        }
        for segment in text.split('.') {
            if segment.is_empty() {
                return Err(wrong("an empty segment"));
            }
            if !segment.bytes().all(is_tool_byte) {
                return Err(wrong("expected letters, digits, `_` and `-`, divided by dots"));
            }
        }
        Ok(Self(text.into()))
    }

    /// The text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The text, to be kept by many.
    #[must_use]
    pub fn shared(&self) -> Arc<str> {
        self.0.clone()
    }
}

/// Whether a byte may stand in a segment of a tool name.
pub(crate) fn is_tool_byte(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-'
}

impl fmt::Display for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for ToolName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Serialize for ToolName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for ToolName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

/// One call to be judged. Defaults are filled in already.
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    /// The tool.
    pub tool: ToolName,
    /// What it reaches, if the tool names a resource.
    pub resource: Option<Resource>,
    /// The arguments by name.
    pub arguments: Map,
    /// The names of the arguments that the resource template uses.
    pub template: Vec<Box<str>>,
    /// The names of the arguments that the caller left at the tool's own default.
    pub defaulted: Vec<Box<str>>,
    /// The application's own attributes of the call: what its authority was put in force with.
    pub own: Option<Arc<Map>>,
}

/// The most that an application's own attributes of a call take up, in canonical bytes.
pub const MAX_OWN: usize = 4 * 1024;

impl Request {
    /// A call that names no resource and leaves nothing at its default.
    #[must_use]
    pub fn new(tool: ToolName, arguments: Map) -> Self {
        let (template, defaulted) = (Vec::new(), Vec::new());
        Self { tool, resource: None, arguments, template, defaulted, own: None }
    }
}
