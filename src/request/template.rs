//! Resource templates: how the arguments of a call name its resource.

use std::fmt;

use data_encoding::HEXLOWER;

use super::RequestError;
use super::resource::{MAX_RESOURCE_BYTES, Resource, ResourceKind};
use super::text::{is_hidden, shown};
use crate::canonical::{Map, Value};

/// A resource with fields for arguments, such as `account/{account}` or `path:{file}`.
///
/// The type comes from the template, never from a value. In an untyped or `id:` template a field
/// fills one segment or a part of one: a value that is empty or holds `/`, `..`, `%`, `*`, `:`,
/// `\` or a control or invisible character is refused. In a `path:` or `url:` template a field may
/// fill many segments, and the whole must come out canonical. Text, integers and UUIDs can fill a
/// field (`bool` is no integer); nothing else can.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResourceTemplate {
    text: Box<str>,
    kind: ResourceKind,
    pieces: Box<[Piece]>,
    fields: Box<[Box<str>]>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Piece {
    Literal(Box<str>),
    Field(Box<str>),
}

impl ResourceTemplate {
    /// Reads a template.
    ///
    /// # Errors
    /// `template_malformed`, with what is wrong.
    pub fn parse(text: &str) -> Result<Self, RequestError> {
        let wrong = |why| RequestError::Template { text: shown(text), why };
        if text.len() > MAX_RESOURCE_BYTES {
            return Err(wrong("it is longer than 4096 bytes"));
        }
        let (kind, body) = ResourceKind::split(text);
        let pieces = pieces(body).map_err(wrong)?;
        let mut fields: Vec<Box<str>> = Vec::new();
        for piece in &pieces {
            if let Piece::Field(name) = piece
                && !fields.contains(name)
            {
                fields.push(name.clone());
            }
        }
        let template =
            Self { text: text.into(), kind, pieces: pieces.into(), fields: fields.into() };
        // The literal parts are sound if some value makes the whole a resource.
        let trial = |value: &str| {
            let mut out = String::from(kind.prefix());
            for piece in &template.pieces {
                out.push_str(match piece {
                    Piece::Literal(literal) => literal,
                    Piece::Field(_) => value,
                });
            }
            Resource::parse(&out)
        };
        match trial("x").or_else(|_| trial("8")).or_else(|_| trial("https://x")) {
            Ok(_) => Ok(template),
            Err(_) => match trial("x") {
                Err(RequestError::Resource { why, .. }) => Err(wrong(why)),
                _ => Err(wrong("no value makes it a resource")),
            },
        }
    }

    /// The names of the arguments it uses, each once, in order.
    #[must_use]
    pub fn fields(&self) -> &[Box<str>] {
        &self.fields
    }

    /// The text it was read from.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// The resource that a call with these arguments reaches. Its errors never show a value, since
    /// the argument may be masked.
    ///
    /// # Errors
    /// `template_argument_missing`, `template_argument_type`, `template_argument_value`.
    pub fn fill(&self, arguments: &Map) -> Result<Resource, RequestError> {
        let mut out = String::with_capacity(64);
        out.push_str(self.kind.prefix());
        let mut last: &str = "";
        for piece in &self.pieces {
            match piece {
                Piece::Literal(literal) => out.push_str(literal),
                Piece::Field(name) => {
                    last = name;
                    self.put(&mut out, name, arguments)?;
                }
            }
        }
        Resource::parse(&out).map_err(|error| match error {
            RequestError::Resource { why, .. } => value_error(last, why),
            other => other,
        })
    }

    fn put(&self, out: &mut String, name: &str, arguments: &Map) -> Result<(), RequestError> {
        let value = arguments
            .get(name)
            .ok_or_else(|| RequestError::TemplateArgumentMissing { argument: shown(name) })?;
        match value {
            Value::Str(text) => {
                self.check(text).map_err(|why| value_error(name, why))?;
                out.push_str(text);
            }
            Value::Int(number) => out.push_str(&number.to_string()),
            Value::Uuid(bytes) => out.push_str(&uuid_text(bytes)),
            other => {
                return Err(RequestError::TemplateArgumentType {
                    argument: shown(name),
                    found: other.type_word(),
                });
            }
        }
        Ok(())
    }

    fn check(&self, text: &str) -> Result<(), &'static str> {
        if text.is_empty() {
            return Err("it is empty");
        }
        if text.len() > MAX_RESOURCE_BYTES {
            return Err("it is longer than 4096 bytes");
        }
        if matches!(self.kind, ResourceKind::Path | ResourceKind::Url) {
            return Ok(());
        }
        if text.contains("..") {
            return Err("it holds `..`");
        }
        for c in text.chars() {
            match c {
                '/' => return Err("it holds `/`, and the field is one segment"),
                '%' => return Err("it holds `%`"),
                '*' => return Err("it holds `*`"),
                ':' => return Err("it holds `:`, and a value never brings a type"),
                '\\' => return Err("it holds `\\`"),
                c if is_hidden(c) => return Err("it holds a control or invisible character"),
                _ => {}
            }
        }
        Ok(())
    }
}

fn value_error(argument: &str, why: &'static str) -> RequestError {
    RequestError::TemplateArgumentValue { argument: shown(argument), why }
}

fn pieces(body: &str) -> Result<Vec<Piece>, &'static str> {
    let mut pieces = Vec::new();
    let mut rest = body;
    while let Some((literal, after)) = rest.split_once('{') {
        let (name, next) = after.split_once('}').ok_or("a `{` is not closed")?;
        let mut chars = name.chars();
        let named = chars.next().is_some_and(|c| c.is_alphabetic() || c == '_')
            && chars.all(|c| c.is_alphanumeric() || c == '_');
        if !named {
            return Err("a field is the name of an argument between `{` and `}`");
        }
        if literal.is_empty() && matches!(pieces.last(), Some(Piece::Field(_))) {
            return Err("two fields touch: put a literal between them");
        }
        if !literal.is_empty() {
            pieces.push(literal_piece(literal)?);
        }
        pieces.push(Piece::Field(name.into()));
        rest = next;
    }
    if !rest.is_empty() {
        pieces.push(literal_piece(rest)?);
    }
    Ok(pieces)
}

fn literal_piece(text: &str) -> Result<Piece, &'static str> {
    if text.contains('}') {
        return Err("a `}` without its `{`");
    }
    Ok(Piece::Literal(text.into()))
}

/// Five groups of lower-case hexadecimal, as Python's `str(uuid)`.
fn uuid_text(bytes: &[u8; 16]) -> String {
    let hex = HEXLOWER.encode(bytes);
    let mut out = String::with_capacity(36);
    for (at, c) in hex.chars().enumerate() {
        if matches!(at, 8 | 12 | 16 | 20) {
            out.push('-');
        }
        out.push(c);
    }
    out
}

impl fmt::Display for ResourceTemplate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}
