//! What a tool declares of itself: its arguments with their types, what its resource is named by.
//!
//! Policies are held to this: one that names an argument which the tool does not have, or compares
//! it with a value of another type, is refused before it is in force.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::ToolName;
use crate::canonical::{Digest, digest};

/// How deep the types of arguments may nest.
const MAX_DEPTH: usize = 16;
/// How many values an argument of few values may have, and how many bytes of text they may take.
const MAX_LITERALS: usize = 1_000;
const MAX_LITERAL_BYTES: usize = 16 * 1024;
/// How many arguments, and how many fields of one record, a tool may declare.
const MAX_NAMES: usize = 256;

/// A tool as it declares itself.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ToolDeclaration {
    /// Its name.
    pub name: ToolName,
    /// Its arguments, in the order of their names.
    pub arguments: BTreeMap<String, Declared>,
    /// Whether it takes arguments of any other name too (`**kwargs`).
    #[serde(default, skip_serializing_if = "is_false")]
    pub open: bool,
    /// The arguments that name its resource.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub template: Vec<String>,
    /// Whether whoever wrote it calls it dangerous.
    #[serde(default, skip_serializing_if = "is_false")]
    pub dangerous: bool,
    /// The names of the credentials that its calls are lent.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub credentials: Vec<String>,
    /// Whether secrets are taken out of what it returns and raises.
    #[serde(default, skip_serializing_if = "is_false")]
    pub redacts: bool,
}

/// A tool's declaration, with the digest that tells it from its next one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeclaredTool {
    /// What it declares.
    pub declaration: ToolDeclaration,
    /// A digest of that.
    pub fingerprint: Digest,
}

impl DeclaredTool {
    /// Of a declaration.
    #[must_use]
    pub fn new(declaration: ToolDeclaration) -> Self {
        Self { fingerprint: declaration.fingerprint(), declaration }
    }
}

/// One argument, or one field of a record.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Declared {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: ArgumentType,
    /// Whether every call has it, and it is not `None`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub required: bool,
    /// Whether, where it is there, it is not `None`: a field that may be left out, of a type that
    /// has no `None`.
    #[serde(default, skip_serializing_if = "is_false")]
    pub not_none: bool,
}

/// The type of an argument, as far as policies can speak of it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum ArgumentType {
    /// Text.
    Str,
    /// A whole number.
    Int,
    /// A number with a fraction: binary or decimal, given as either or as a whole number.
    Float,
    /// True or false.
    Bool,
    /// An instant.
    Datetime,
    /// A UUID, in policies its text.
    Uuid,
    /// One of these values, all of one type: a `Literal`, or the values of an enumeration.
    Literal(Vec<Literal>),
    /// A list or tuple of one type, in policies a set.
    List(Box<ArgumentType>),
    /// Fields of their own types.
    Record(BTreeMap<String, Declared>),
    /// A type that policies have no form for; why, in words.
    Other(String),
}

/// One of the values that an argument may have.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Literal {
    /// True or false.
    Bool(bool),
    /// A whole number.
    Int(i64),
    /// Text.
    Str(String),
}

#[allow(clippy::trivially_copy_pass_by_ref)] // What serde calls it with.
fn is_false(flag: &bool) -> bool {
    !flag
}

impl ToolDeclaration {
    /// A digest of all that it declares, to tell one signature of a tool from the next.
    #[must_use]
    pub fn fingerprint(&self) -> Digest {
        let text = serde_json::to_string(self).unwrap_or_default();
        digest("answerable/v1/tool", &[text.as_bytes()])
    }

    /// Refuses what is too wide or too deep to be compiled.
    ///
    /// # Errors
    /// What is too much, in words.
    pub fn check(&self) -> Result<(), String> {
        check_names(&self.arguments, 0)
    }
}

fn check_names(names: &BTreeMap<String, Declared>, depth: usize) -> Result<(), String> {
    if names.len() > MAX_NAMES {
        return Err(format!("{} names are declared; at most {MAX_NAMES} are", names.len()));
    }
    names.values().try_for_each(|declared| check_type(&declared.kind, depth + 1))
}

fn check_type(kind: &ArgumentType, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err(format!("types nest deeper than {MAX_DEPTH}"));
    }
    match kind {
        ArgumentType::List(inner) => check_type(inner, depth + 1),
        ArgumentType::Record(fields) => check_names(fields, depth + 1),
        ArgumentType::Literal(values) => check_literals(values),
        _ => Ok(()),
    }
}

fn check_literals(values: &[Literal]) -> Result<(), String> {
    let bytes: usize = values.iter().map(Literal::bytes).sum();
    if values.len() > MAX_LITERALS || bytes > MAX_LITERAL_BYTES {
        return Err(format!(
            "{} values of {bytes} bytes are listed; at most {MAX_LITERALS} of {MAX_LITERAL_BYTES} are",
            values.len()
        ));
    }
    let Some(first) = values.first() else { return Err("no value is listed".to_owned()) };
    match values.iter().all(|value| value.word() == first.word()) {
        true => Ok(()),
        false => Err("the values listed are of several types".to_owned()),
    }
}

impl Literal {
    fn bytes(&self) -> usize {
        if let Self::Str(text) = self { text.len() } else { 8 }
    }

    fn word(&self) -> &'static str {
        match self {
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Str(_) => "str",
        }
    }
}

impl std::fmt::Display for ArgumentType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Str => f.write_str("str"),
            Self::Int => f.write_str("int"),
            Self::Float => f.write_str("float"),
            Self::Bool => f.write_str("bool"),
            Self::Datetime => f.write_str("datetime"),
            Self::Uuid => f.write_str("UUID"),
            Self::Literal(values) => {
                write!(
                    f,
                    "one of {} {} values",
                    values.len(),
                    values.first().map_or("", Literal::word)
                )
            }
            Self::List(inner) => write!(f, "list of {inner}"),
            Self::Record(_) => f.write_str("record"),
            Self::Other(_) => f.write_str("of a type without a form in policies"),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_declaration_is_read_strictly() {
        let text = r#"{"name":"pay.transfer","arguments":{"account":{"type":"str","required":true},
            "lines":{"type":{"list":{"record":{"net":{"type":"float","required":true}}}}}}}"#;
        let read: ToolDeclaration = serde_json::from_str(text).unwrap();
        let lines = &read.arguments.get("lines").unwrap();
        assert_eq!(lines.kind.to_string(), "list of record");
        assert!(!lines.required && !read.open);
        let again: ToolDeclaration =
            serde_json::from_str(&serde_json::to_string(&read).unwrap()).unwrap();
        assert_eq!(again, read);
        for wrong in [
            r#"{"name":"pay transfer","arguments":{}}"#,
            r#"{"name":"pay","arguments":{},"argument":{}}"#,
            r#"{"name":"pay","arguments":{"a":{"type":"string"}}}"#,
            r#"{"name":"pay","arguments":{"a":{"type":{"literal":[1.5]}}}}"#,
            r#"{"name":"pay","arguments":{"a":{"type":{"literal":[9223372036854775808]}}}}"#,
        ] {
            assert!(serde_json::from_str::<ToolDeclaration>(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn listed_values_are_of_one_type_and_few() {
        let text = |number: usize| Literal::Str(format!("v{number}"));
        for (values, sound) in [
            (vec![text(1), text(2)], true),
            (vec![Literal::Bool(true)], true),
            ((0..MAX_LITERALS).map(text).collect(), true),
            ((0..=MAX_LITERALS).map(text).collect(), false),
            (vec![Literal::Str("x".repeat(MAX_LITERAL_BYTES + 1))], false),
            (vec![Literal::Int(1), Literal::Bool(true)], false),
            (vec![], false),
        ] {
            let count = values.len();
            assert_eq!(check_type(&ArgumentType::Literal(values), 0).is_ok(), sound, "{count}");
        }
        let text = r#"{"literal":["EUR",true,-3]}"#;
        let read: ArgumentType = serde_json::from_str(text).unwrap();
        let all = vec![Literal::Str("EUR".to_owned()), Literal::Bool(true), Literal::Int(-3)];
        assert_eq!(read, ArgumentType::Literal(all));
        assert_eq!(serde_json::to_string(&read).unwrap(), text);
    }

    #[test]
    fn what_nests_too_deep_is_refused() {
        let mut kind = ArgumentType::Int;
        for _ in 0..MAX_DEPTH {
            kind = ArgumentType::List(Box::new(kind));
        }
        let arguments =
            BTreeMap::from([("a".to_owned(), Declared { kind, required: true, not_none: false })]);
        let mut tool = ToolDeclaration {
            name: ToolName::parse("a").unwrap(),
            arguments,
            open: false,
            template: Vec::new(),
            dangerous: false,
            credentials: Vec::new(),
            redacts: false,
        };
        assert!(tool.check().is_err());
        tool.arguments.clear();
        assert_eq!(tool.check(), Ok(()));
    }
}
