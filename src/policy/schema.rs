//! The schema: what every deployment has, and a typed record of arguments for each tool.

use std::fmt::Write as _;

use cedar_policy_core::extensions::Extensions;
use cedar_policy_core::validator::json_schema::Fragment;
use cedar_policy_core::validator::{RawName, ValidatorSchema, ValidatorSchemaFragment};

use super::fault::{LoadFault, faults_of};
use super::scan::scan_schema;
use super::{Bundle, Source};
use crate::scope::ToolPattern;

/// The shipped part. `?` after an attribute's name stands where `{optional}` does, for the entity
/// files: what the engine itself knows of an entity need not be written there.
const BASE: &str = r#"
entity Group in [Group];
entity Human in [Group] = {
    "id"{optional}: String, "account"{optional}: String, "issuer"{optional}: String,
    "assurance"{optional}: String, "own"?: HumanAttributes
};
entity Agent in [Group] = {
    "id"{optional}: String, "name"{optional}: String, "purpose"{optional}: String,
    "owner"{optional}: Human, "own"?: AgentAttributes
};
entity Tool = { "name"{optional}: String, "dangerous"{optional}: Bool };
entity Resource in [Resource, Group] = {
    "name"{optional}: String, "kind"{optional}: String, "own"?: ResourceAttributes
};
entity Task = { "purpose"{optional}: String };
entity Opaque;
type Chain = {
    "depth": Long, "agents": Set<Agent>, "issued": datetime, "age": duration, "latest": duration
};
"#;

/// What every call's context holds beside its arguments.
const CONTEXT: &str = r#""human": Human, "task": Task, "tool": Tool, "chain": Chain,
    "time": datetime, "weekday": Long, "host": String, "approved": Bool, "own"?: ContextAttributes"#;

/// Types that a deployment may define; empty where it does not.
const OWN: [&str; 4] =
    ["HumanAttributes", "AgentAttributes", "ResourceAttributes", "ContextAttributes"];

/// The type of an argument.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum ArgumentType {
    /// `True` or `False`.
    Bool,
    /// A whole number; beyond 64 bits it cannot be read by a policy.
    Long,
    /// Text, or a member of an enumeration of texts.
    String,
    /// A UUID, in policies its text: 36 characters, in lower case.
    Uuid,
    /// One of these values: a `Literal`, or the values of an enumeration. They are of one type, and
    /// that is what policies see.
    OneOf(Vec<Member>),
    /// A number with at most four digits after the point; one with more cannot be read by a policy.
    Decimal,
    /// An instant, in milliseconds; a finer one cannot be read by a policy.
    Datetime,
    /// A list, tuple or set of one type: order and repetition are not seen.
    Set(Box<ArgumentType>),
    /// Named fields.
    Record(Vec<Argument>),
    /// What policies have no type for: of an argument they can only ask whether it was given, and a
    /// field of a record they do not see.
    Opaque,
}

/// One of the values that an argument may have.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Member {
    /// A truth.
    Bool(bool),
    /// A whole number.
    Long(i64),
    /// A text.
    String(String),
}

/// One argument of a tool, or field of a record.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Argument {
    /// Its name.
    pub name: String,
    /// Its type.
    pub kind: ArgumentType,
    /// Whether it is always there, and not `None`.
    pub required: bool,
    /// Whether `None` may stand in its place, and then counts as absent.
    pub nullable: bool,
}

/// A tool: what its calls look like.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct ToolType {
    /// Its name.
    pub name: String,
    /// Its arguments.
    pub arguments: Vec<Argument>,
    /// Whether it takes arguments by names that are not declared.
    pub open: bool,
    /// Whether it is marked dangerous.
    pub dangerous: bool,
}

impl ArgumentType {
    /// Whether a value must be read with this type at hand: a whole number given for a decimal, a
    /// record with fields that are not seen.
    pub(super) fn coerces(&self) -> bool {
        match self {
            Self::Decimal => true,
            Self::Set(item) => item.coerces(),
            Self::Record(fields) => {
                fields.iter().any(|field| field.kind.coerces() || field.kind == Self::Opaque)
            }
            _ => false,
        }
    }

    /// The same type with members and fields in an order in which they are searched.
    pub(super) fn sorted(&self) -> Self {
        match self {
            Self::OneOf(members) => {
                let mut members = members.clone();
                members.sort_unstable();
                Self::OneOf(members)
            }
            Self::Set(item) => Self::Set(Box::new(item.sorted())),
            Self::Record(fields) => {
                let mut fields: Vec<Argument> = fields
                    .iter()
                    .map(|field| Argument { kind: field.kind.sorted(), ..field.clone() })
                    .collect();
                fields.sort_by(|a, b| a.name.cmp(&b.name));
                Self::Record(fields)
            }
            plain => plain.clone(),
        }
    }

    /// Writes it in the schema's language; `exact` also what that has no words for.
    fn write(&self, exact: bool, out: &mut String) {
        match self {
            Self::Uuid if exact => out.push_str("Uuid"),
            Self::OneOf(members) if exact => {
                for member in members {
                    let _ = match member {
                        Member::Bool(truth) => write!(out, "{truth}|"),
                        Member::Long(number) => write!(out, "{number}|"),
                        Member::String(text) => write!(out, "{}|", quoted(text)),
                    };
                }
            }
            Self::Bool => out.push_str("Bool"),
            Self::Long => out.push_str("Long"),
            Self::String | Self::Uuid => out.push_str("String"),
            Self::OneOf(members) => out.push_str(match members.first() {
                Some(Member::Bool(_)) => "Bool",
                Some(Member::Long(_)) => "Long",
                Some(Member::String(_)) => "String",
                None => "Opaque",
            }),
            Self::Decimal => out.push_str("decimal"),
            Self::Datetime => out.push_str("datetime"),
            Self::Set(item) => {
                out.push_str("Set<");
                item.write(exact, out);
                out.push('>');
            }
            Self::Record(fields) => {
                let seen = |field: &&Argument| exact || field.kind != Self::Opaque;
                write_record(fields.iter().filter(seen), exact, out);
            }
            Self::Opaque => out.push_str("Opaque"),
        }
    }
}

fn write_record<'a>(fields: impl Iterator<Item = &'a Argument>, exact: bool, out: &mut String) {
    out.push_str("{ ");
    for field in fields {
        let mark = if field.required { "" } else { "?" };
        let _ = write!(out, "{}{mark}: ", quoted(&field.name));
        field.kind.write(exact, out);
        out.push_str(", ");
    }
    out.push('}');
}

/// Text between quotes, as Cedar reads it.
pub(super) fn quoted(text: &str) -> String {
    let mut out = String::from("\"");
    for c in text.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            c if c.is_control() => {
                let _ = write!(out, "\\u{{{:x}}}", c as u32);
            }
            c => out.push(c),
        }
    }
    out.push('"');
    out
}

/// The groups of actions that a tool is in, as patterns over tools are written: `pay.*`, `pay.**`.
pub(super) fn groups(tool: &str) -> Vec<String> {
    let mut groups = vec!["**".to_owned()];
    for (at, _) in tool.match_indices('.') {
        let prefix = tool.get(..at).unwrap_or_default();
        groups.push(format!("{prefix}.**"));
    }
    groups.push(match tool.rsplit_once('.') {
        Some((prefix, _)) => format!("{prefix}.*"),
        None => "*".to_owned(),
    });
    debug_assert!(groups.iter().all(|group| ToolPattern::parse(group).is_ok()));
    groups
}

/// The text of the schema for the tools given.
fn text(tools: &[ToolType], taken: &[&str], optional: &str) -> String {
    let mut out = BASE.replace("{optional}", optional);
    for name in OWN {
        if !taken.contains(&name) {
            let _ = writeln!(out, "type {name} = {{}};");
        }
    }
    let mut all: Vec<String> = tools.iter().flat_map(|tool| groups(&tool.name)).collect();
    all.push("**".to_owned());
    all.sort();
    all.dedup();
    for group in &all {
        let _ = writeln!(out, "action {};", quoted(group));
    }
    for tool in tools {
        let above: Vec<String> = groups(&tool.name).iter().map(|group| quoted(group)).collect();
        let _ = write!(
            out,
            "action {} in [{}] appliesTo {{ principal: [Agent], resource: [Resource], context: {{ \"arguments\": ",
            quoted(&tool.name),
            above.join(", ")
        );
        write_record(tool.arguments.iter(), false, &mut out);
        let _ = writeln!(out, ", {CONTEXT} }} }};");
    }
    out
}

/// The schema of a bundle, in the form policies are checked against and the one that entity files
/// are; and its canonical text, which the version covers.
pub(super) struct Schema {
    pub(super) policies: ValidatorSchema,
    pub(super) entities: ValidatorSchema,
    pub(super) canonical: String,
    /// The canonical text of all but the tools.
    pub(super) own: String,
}

pub(super) fn build(bundle: &Bundle) -> Result<Schema, Vec<LoadFault>> {
    let mut own = Vec::new();
    let mut faults = Vec::new();
    for source in &bundle.schemas {
        match fragment(source) {
            Ok(fragment) => own.push(fragment),
            Err(found) => faults.extend(found),
        }
    }
    let mut names: Vec<&str> = bundle.tools.iter().map(|tool| tool.name.as_str()).collect();
    names.sort_unstable();
    for pair in names.windows(2) {
        if let [a, b] = pair
            && a == b
        {
            faults.push(LoadFault::whole("tools", format!("the tool `{a}` is described twice")));
        }
    }
    if !faults.is_empty() {
        return Err(faults);
    }
    let taken: Vec<&str> = OWN
        .into_iter()
        .filter(|name| {
            own.iter()
                .filter_map(|fragment| fragment.0.get(&None))
                .any(|space| space.common_types.keys().any(|own| own.to_string() == *name))
        })
        .collect();
    let base = text(&bundle.tools, &taken, "");
    let policies = join(&own, &base)?;
    let entities = join(&own, &text(&bundle.tools, &taken, "?"))?;
    let mut rest = text(&[], &taken, "");
    let mut canonical = base;
    // What the schema's language does not say of the tools decides all the same.
    for tool in &bundle.tools {
        canonical.push_str(&quoted(&tool.name));
        ArgumentType::Record(tool.arguments.clone()).sorted().write(true, &mut canonical);
    }
    for fragment in &own {
        let fragment = serde_json::to_string(fragment).unwrap_or_default();
        canonical.push_str(&fragment);
        rest.push_str(&fragment);
    }
    Ok(Schema { policies, entities, canonical, own: rest })
}

fn fragment(source: &Source) -> Result<Fragment<RawName>, Vec<LoadFault>> {
    scan_schema(source).map_err(|fault| vec![fault])?;
    match Fragment::from_cedarschema_str(&source.text, Extensions::all_available()) {
        Ok((fragment, _)) => Ok(fragment),
        Err(error) => Err(faults_of(&error, source)),
    }
}

fn join(own: &[Fragment<RawName>], base: &str) -> Result<ValidatorSchema, Vec<LoadFault>> {
    let source = Source { name: "schema".to_owned(), text: base.to_owned() };
    let base = fragment(&source)?;
    let mut parts = Vec::new();
    for fragment in own.iter().cloned().chain([base]) {
        match ValidatorSchemaFragment::from_schema_fragment(fragment) {
            Ok(part) => parts.push(part),
            Err(error) => return Err(faults_of(&error, &source)),
        }
    }
    match ValidatorSchema::from_schema_fragments(parts, Extensions::all_available()) {
        Ok(schema) => Ok(schema),
        Err(error) => Err(faults_of(&error, &source)),
    }
}
