//! Why a set of policies was refused.

use std::fmt;

use miette::Diagnostic;

use super::Source;

/// One reason why a bundle was refused, with its place.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LoadFault {
    /// The name of the source.
    pub source: String,
    /// The line, from 1; 0 where the fault has no place.
    pub line: usize,
    /// The column in characters, from 1; 0 where the fault has no place.
    pub column: usize,
    /// What is wrong.
    pub message: String,
    /// What to do about it.
    pub suggestion: Option<String>,
}

impl LoadFault {
    pub(super) fn whole(source: &str, message: String) -> Self {
        Self { source: source.to_owned(), line: 0, column: 0, message, suggestion: None }
    }

    pub(super) fn at(source: &Source, offset: usize, message: String) -> Self {
        let (line, column) = place(&source.text, offset);
        Self { source: source.name.clone(), line, column, message, suggestion: None }
    }

    /// The same, with something to do about it.
    pub(super) fn advised(mut self) -> Self {
        if self.suggestion.as_ref().is_none_or(|own| own.trim().is_empty()) {
            self.suggestion = Some(advice(&self).to_owned());
        }
        self
    }

    pub(super) fn fix(mut self, suggestion: &str) -> Self {
        self.suggestion = Some(suggestion.to_owned());
        self
    }
}

/// What to do about a fault where Cedar does not say it: by its words, else by what it is in.
fn advice(fault: &LoadFault) -> &'static str {
    const BY_WORDS: &[(&str, &str)] = &[
        (
            "unexpected type",
            "compare values of one type: a whole number with an `int`, `decimal(\"1.0\")` with a \
             `float`, text in quotes with a `str`",
        ),
        ("have compatible types", "compare values of one type"),
        (
            "attribute",
            "name what the tool's signature declares, and ask `has` first where it may be absent",
        ),
        ("unexpected token", "correct it at that place; a policy ends with `;`"),
        ("unexpected end of input", "end each policy with `;`, and close what was opened"),
        ("not a function", "call one of Cedar's functions, such as `decimal(\"1.0\")`"),
        ("extension function", "write it as Cedar does: `decimal(\"1.0\")`, `ip(\"10.0.0.0/8\")`"),
        ("empty set", "give the set an element: what it would hold cannot be told"),
        ("entity type", "use Agent, Human, Group, Tool, Resource or Task, or declare the type"),
    ];
    match fault.source.as_str() {
        "links" => return "link a template that is there, with an entity for each of its slots",
        "context" | "request" => return "write the request as the schema, or Cedar's JSON, has it",
        "tools" => return "give each tool a name of its own",
        "schema" => return SCHEMA,
        name if name.ends_with(".cedarschema") => return SCHEMA,
        "entities" => return entities_advice(fault),
        name if name.ends_with(".json") => return entities_advice(fault),
        _ => {}
    }
    let words = BY_WORDS.iter().find(|(words, _)| fault.message.contains(words));
    words.map_or("correct it at its line and column", |(_, advice)| advice)
}

fn entities_advice(fault: &LoadFault) -> &'static str {
    if fault.message.contains("lies in itself") {
        return "remove one of its parents";
    }
    if fault.message.contains("schema") {
        return "declare types and attributes of your own in a `*.cedarschema` file beside it";
    }
    ENTITIES
}

const ENTITIES: &str = "write a list of entities in Cedar's JSON: \
    `[{\"uid\": {\"type\": \"Group\", \"id\": \"finance\"}, \"attrs\": {}, \"parents\": []}]`";
const SCHEMA: &str = "write types in Cedar's schema language: \
    `type AgentAttributes = { \"team\": String };`";

impl fmt::Display for LoadFault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.source)?;
        if self.line > 0 {
            write!(f, ":{}:{}", self.line, self.column)?;
        }
        write!(f, ": {}", self.message)?;
        if let Some(suggestion) = &self.suggestion {
            write!(f, " ({suggestion})")?;
        }
        Ok(())
    }
}

/// Line and column of a byte, both from 1.
pub(super) fn place(text: &str, offset: usize) -> (usize, usize) {
    Places::of(text.get(..offset).unwrap_or(text)).at(offset)
}

/// Where the lines of a text start: for many places in one text.
pub(super) struct Places<'t> {
    text: &'t str,
    starts: Vec<usize>,
}

impl<'t> Places<'t> {
    pub(super) fn of(text: &'t str) -> Self {
        let after = text.match_indices('\n').map(|(at, _)| at + 1);
        Self { text, starts: std::iter::once(0).chain(after).collect() }
    }

    /// Line and column of a byte, both from 1.
    pub(super) fn at(&self, offset: usize) -> (usize, usize) {
        let line = self.starts.partition_point(|start| *start <= offset);
        let start = self.starts.get(line.saturating_sub(1)).copied().unwrap_or(0);
        let before = self.text.get(start..offset).or_else(|| self.text.get(start..));
        (line, before.unwrap_or_default().chars().count() + 1)
    }
}

/// The faults that an error of Cedar's stands for.
pub(super) fn faults_of(error: &dyn Diagnostic, source: &Source) -> Vec<LoadFault> {
    let mut faults = vec![fault_of(error, source)];
    for more in error.related().into_iter().flatten() {
        faults.push(fault_of(more, source));
    }
    faults
}

pub(super) fn fault_of(error: &dyn Diagnostic, source: &Source) -> LoadFault {
    let offset = error.labels().and_then(|mut labels| labels.next()).map(|label| label.offset());
    let mut message = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(inner) = cause {
        message = format!("{message}: {inner}");
        cause = inner.source();
    }
    // The policy is named by the place already.
    if let Some(rest) = message.strip_prefix("for policy `")
        && let Some((_, rest)) = rest.split_once("`, ")
    {
        message = rest.to_owned();
    }
    let mut fault = match offset {
        Some(offset) => LoadFault::at(source, offset, message),
        None => LoadFault::whole(&source.name, message),
    };
    fault.suggestion = error.help().map(|help| help.to_string());
    fault
}
