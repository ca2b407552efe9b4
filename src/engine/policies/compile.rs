//! From texts to rules: compiled, and held to what the engine itself asks of policies.

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;

use super::folder::Folder;
use crate::authorizer::{Rules, masks};
use crate::policy::{
    Argument, ArgumentType as Kind, Bundle, Effect, LoadFault, Member, Policy, PolicySet, Source,
    ToolType,
};
use crate::registry::Texts;
use crate::request::{ArgumentType, Declared, Literal, ToolDeclaration};

/// The annotations that mean something here; others begin with `x_`.
const ANNOTATIONS: [&str; 5] = ["id", "reason", "advice", "mask", "severity"];
/// What `@severity` may say.
const SEVERITIES: [&str; 4] = ["info", "low", "medium", "high"];
/// The longest `@id`, in bytes.
const MAX_ID: usize = 100;

/// Groups of humans by issuer and account.
pub(super) type Groups = HashMap<(String, String), Vec<String>>;

/// Compiles texts. `before` are the policies in force: what they have in common is not validated
/// again. `version` names them where they were kept under a name.
///
/// # Errors
/// Every fault that was found.
pub(super) fn compile(
    texts: &Texts,
    before: Option<&PolicySet>,
    version: Option<&str>,
) -> Result<(Rules, Groups), Vec<LoadFault>> {
    let groups = account_groups(&texts.entities)?;
    let sources = |all: &[(String, String)]| {
        let source =
            |(name, text): &(String, String)| Source { name: name.clone(), text: text.clone() };
        all.iter().map(source).collect()
    };
    let bundle = Bundle {
        policies: sources(&texts.policies),
        entities: sources(&texts.entities),
        schemas: sources(&texts.schemas),
        links: Vec::new(),
        tools: texts.tools.iter().map(tool_type).collect(),
    };
    let set = PolicySet::load(&bundle, before).map_err(|faults| told(faults, texts))?;
    if set.policies().is_empty() {
        let source = texts.policies.first().map(|(name, _)| name.clone()).unwrap_or_default();
        let message = "there is no policy in it, so nothing would be permitted".to_owned();
        let suggestion =
            Some("write a permit; to permit nothing, write a forbid of everything".to_owned());
        return Err(vec![LoadFault { source, line: 0, column: 0, message, suggestion }]);
    }
    let faults: Vec<LoadFault> =
        set.policies().iter().flat_map(|policy| annotation_faults(policy, &texts.tools)).collect();
    if !faults.is_empty() {
        return Err(faults);
    }
    let version = version.map_or_else(|| HEXLOWER.encode(set.version()), str::to_owned);
    let tools = texts.tools.iter().map(|tool| (tool.name.clone(), tool.fingerprint())).collect();
    Ok((Rules::new(set, version.into(), texts.digest(), tools), groups))
}

/// The texts of a folder, held to these tools.
pub(super) fn texts_of(folder: Folder, mut tools: Vec<ToolDeclaration>) -> Texts {
    tools.sort_by(|a, b| a.name.cmp(&b.name));
    let Folder { policies, entities, schemas } = folder;
    Texts { policies, entities, schemas, tools }
}

fn tool_type(tool: &ToolDeclaration) -> ToolType {
    ToolType {
        name: tool.name.as_str().to_owned(),
        arguments: arguments(&tool.arguments),
        open: tool.open,
        dangerous: tool.dangerous,
    }
}

fn arguments(declared: &std::collections::BTreeMap<String, Declared>) -> Vec<Argument> {
    let argument = |(name, one): (&String, &Declared)| Argument {
        name: name.clone(),
        kind: kind(&one.kind),
        required: one.required,
        nullable: !(one.required || one.not_none),
    };
    declared.iter().map(argument).collect()
}

fn kind(declared: &ArgumentType) -> Kind {
    match declared {
        ArgumentType::Str => Kind::String,
        ArgumentType::Uuid => Kind::Uuid,
        ArgumentType::Literal(values) => Kind::OneOf(values.iter().map(member).collect()),
        ArgumentType::Int => Kind::Long,
        ArgumentType::Float => Kind::Decimal,
        ArgumentType::Bool => Kind::Bool,
        ArgumentType::Datetime => Kind::Datetime,
        ArgumentType::List(inner) => Kind::Set(Box::new(kind(inner))),
        ArgumentType::Record(fields) => Kind::Record(arguments(fields)),
        ArgumentType::Other(_) => Kind::Opaque,
    }
}

fn member(literal: &Literal) -> Member {
    match literal {
        Literal::Bool(truth) => Member::Bool(*truth),
        Literal::Int(number) => Member::Long(*number),
        Literal::Str(text) => Member::String(text.clone()),
    }
}

/// Faults, with why an argument has no type where that is what is wrong.
fn told(mut faults: Vec<LoadFault>, texts: &Texts) -> Vec<LoadFault> {
    for fault in &mut faults {
        let source = texts.policies.iter().find(|(name, _)| *name == fault.source);
        let line = source.and_then(|(_, text)| text.lines().nth(fault.line.checked_sub(1)?));
        let Some(line) = line else { continue };
        for (tool, name, one) in texts
            .tools
            .iter()
            .flat_map(|tool| tool.arguments.iter().map(move |(name, one)| (tool, name, one)))
        {
            if let ArgumentType::Other(why) = &one.kind
                && names_argument(line, name)
            {
                fault.suggestion = Some(format!(
                    "policies cannot look into the argument `{name}` of `{}`: {why}; give it a \
                     type that they have",
                    tool.name
                ));
            }
        }
    }
    faults
}

/// Whether a line of a policy reads an argument.
fn names_argument(line: &str, name: &str) -> bool {
    line.match_indices(&format!("arguments.{name}")).any(|(at, found)| {
        let after = line.get(at + found.len()..).and_then(|rest| rest.chars().next());
        !after.is_some_and(|c| c.is_alphanumeric() || c == '_')
    })
}

fn annotation_faults(policy: &Policy, tools: &[ToolDeclaration]) -> Vec<LoadFault> {
    let mut found = Vec::new();
    let mut wrong = |message: String, suggestion: &str| {
        found.push(LoadFault {
            source: policy.source.to_string(),
            line: policy.line,
            column: policy.column,
            message,
            suggestion: Some(suggestion.to_owned()),
        });
    };
    let slug = |c: char| c.is_ascii_alphanumeric() || "-_.:/".contains(c);
    if policy.id.is_empty() || policy.id.len() > MAX_ID || !policy.id.chars().all(slug) {
        let message = format!("`{}` cannot be the id of a policy: entries name it", policy.id);
        wrong(message, "write up to 100 letters, digits and `-_.:/`");
    }
    for (name, _) in &policy.annotations {
        if !ANNOTATIONS.contains(&name.as_str()) && !name.starts_with("x_") {
            let message = format!("the annotation `@{name}` means nothing here");
            wrong(
                message,
                "write @id, @reason, @advice, @mask or @severity; your own begin with `x_`",
            );
        }
    }
    match (policy.annotation("advice"), policy.effect) {
        (None, _) | (Some("ask"), Effect::Permit) => {}
        (Some("ask"), Effect::Forbid) => {
            wrong("a forbid cannot be asked away".to_owned(), "put @advice(\"ask\") on a permit");
        }
        (Some(other), _) => {
            wrong(format!("there is no advice `{other}`"), "write @advice(\"ask\")")
        }
    }
    if let Some(severity) = policy.annotation("severity")
        && !SEVERITIES.contains(&severity)
    {
        wrong(format!("there is no severity `{severity}`"), "write info, low, medium or high");
    }
    if let Some(mask) = policy.annotation("mask") {
        let names = masks(Some(mask));
        if names.is_empty() {
            wrong("the mask names no argument".to_owned(), "write @mask(\"memo\")");
        }
        let closed = !tools.is_empty() && tools.iter().all(|tool| !tool.open);
        for name in &names {
            let first = name.split('.').next().unwrap_or(name);
            let with: Vec<&ToolDeclaration> =
                tools.iter().filter(|tool| tool.arguments.contains_key(first)).collect();
            if with.is_empty() && closed {
                let message = format!("the mask names `{name}`, which is no argument of any tool");
                wrong(message, "write the name as the tool's signature has it");
            }
            let in_template = |tool: &&ToolDeclaration| tool.template.iter().any(|f| f == first);
            if !with.is_empty() && with.iter().all(in_template) {
                let message = format!(
                    "the mask names `{name}`, which names the resource, and that is recorded"
                );
                wrong(message, "leave it out of the mask, or out of the tool's template");
            }
        }
    }
    found
}

/// The groups of the humans whom entity files name by account: `"alice@example.com"` for an account
/// that an operator registered, `"https://issuer alice@example.com"` for one of an identity provider.
fn account_groups(files: &[(String, String)]) -> Result<Groups, Vec<LoadFault>> {
    let mut groups = Groups::new();
    let mut faults = Vec::new();
    for (source, text) in files {
        // What is no JSON, or not of the form, the compiler says with its place.
        let Ok(serde_json::Value::Array(entities)) = serde_json::from_str(text) else { continue };
        for entity in &entities {
            let Some(("Human", id)) = uid(entity.get("uid")) else { continue };
            if id.starts_with("hum_") {
                continue;
            }
            let mut wrong = |message: String| {
                let suggestion = Some("name the human by id: `hum_…`".to_owned());
                let source = source.clone();
                faults.push(LoadFault { source, line: 0, column: 0, message, suggestion });
            };
            let empty = |value: &serde_json::Value| {
                value.as_object().is_some_and(serde_json::Map::is_empty)
            };
            if ["attrs", "tags"].iter().any(|key| entity.get(key).is_some_and(|v| !empty(v))) {
                wrong(format!("`{id}` is named by account, and by account only groups are given"));
                continue;
            }
            let (issuer, account) = id.rsplit_once(' ').unwrap_or(("local", id));
            let of = groups.entry((issuer.to_owned(), account.to_owned())).or_default();
            let parents = entity.get("parents").and_then(serde_json::Value::as_array);
            for parent in parents.into_iter().flatten() {
                match uid(Some(parent)) {
                    Some(("Group", group)) => of.push(group.to_owned()),
                    _ => wrong(format!("`{id}` has a parent that is no Group")),
                }
            }
        }
    }
    if faults.is_empty() { Ok(groups) } else { Err(faults) }
}

/// The type and id of an entity, in either of Cedar's two forms.
pub(super) fn uid(value: Option<&serde_json::Value>) -> Option<(&str, &str)> {
    let value = value?;
    let value = value.get("__entity").unwrap_or(value);
    Some((value.get("type")?.as_str()?, value.get("id")?.as_str()?))
}

/// The machine's name.
pub(super) fn host() -> Arc<str> {
    rustix::system::uname().nodename().to_string_lossy().into()
}
