//! The story of one decision: who, through which agents, did what and where, and why.

use std::fmt::Write as _;
use std::sync::Arc;

use super::words::{describe, narrowed, shown};
use super::{Engine, EngineError};
use crate::canonical::{Map, Value, to_json};
use crate::clock::render_instant;
use crate::decision::{Reason, code};
use crate::registry::answered_key;
use crate::request::{Request, Resource, ToolName};
use crate::scope::Scope;
use crate::trail::entry::{Entry, kind};

/// One agent on the chain of a call.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hop {
    /// The agent's id.
    pub agent: String,
    /// The agent's name.
    pub name: String,
    /// The grant's id.
    pub grant: String,
    /// Until when the grant lasted, RFC 3339.
    pub until: String,
    /// What the hop itself stated.
    pub statement: Option<String>,
    /// What the grant allows, a line a capability.
    pub scope: Vec<String>,
    /// The grant's own limits, over all its capabilities.
    pub limits: Vec<String>,
    /// What this hop narrowed away, a line a difference.
    pub narrowed: Vec<String>,
    /// For an allow, the capability that covered the call; several where the record, with masked
    /// or erased arguments, cannot tell which of them it was.
    pub allowed_by: Vec<String>,
    /// For a deny that this hop's scope is a reason for, the capability that came closest.
    pub closest: Option<String>,
}

/// The story of one decision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Story {
    /// The decision's entry.
    pub entry: String,
    /// Its place in the trail.
    pub index: u64,
    /// When, RFC 3339.
    pub at: String,
    /// The id of the human accountable; `none` if there was none.
    pub human: String,
    /// What people call them.
    pub human_name: String,
    /// The account and how sure we are of it, in words.
    pub assurance: String,
    /// The chain, from the root.
    pub via: Vec<Hop>,
    /// The task's sentence.
    pub task: Option<String>,
    /// The tool.
    pub tool: String,
    /// The resource.
    pub resource: Option<String>,
    /// The arguments as they were recorded, in the order of their names.
    pub arguments: Vec<(String, String)>,
    /// `allow`, `deny` or `ask`.
    pub effect: String,
    /// The reasons, with their codes.
    pub reasons: Vec<Reason>,
    /// The policies' version.
    pub policy: String,
    /// What a human was asked and answered, in words; absent where nobody was.
    pub approval: Option<String>,
    /// How it ended, in words; absent if it did not run or the process died in the middle.
    pub outcome: Option<String>,
    /// The entry of the call that this one was made in.
    pub parent: Option<String>,
    /// What was recorded and is erased: the fields' names.
    pub erased: Vec<String>,
}

impl Engine {
    /// Tells the story of a decision, by its entry's id or its outcome's.
    ///
    /// # Errors
    /// `Invalid` for an entry that is no decision or is not there, and as `Engine::each_entry`.
    pub fn story(&self, id: &str) -> Result<Story, EngineError> {
        let missing = || EngineError::Invalid(format!("there is no entry `{}`", shown(id, 60)));
        let mut entry = self.entry(id)?.ok_or_else(missing)?;
        if entry.kind() == kind::OUTCOME {
            entry = self.entry(entry.text("decision"))?.ok_or_else(missing)?;
        }
        if entry.kind() != kind::DECISION {
            return Err(EngineError::Invalid(format!(
                "the entry `{}` records no call but: {}",
                entry.id(),
                entry.kind()
            )));
        }
        let outcome = self.outcome_of(&entry)?;
        self.tell(&entry, outcome.as_ref())
    }

    fn tell(&self, entry: &Entry, outcome: Option<&Entry>) -> Result<Story, EngineError> {
        let human = self.find_human(entry.text("human")).ok();
        let task = entry.text("task").parse().ok();
        let assurance = human.as_ref().map(|human| {
            let whose = if human.account == human.display() { "" } else { &human.account };
            let comma = if whose.is_empty() { "" } else { ", " };
            format!("{whose}{comma}{}", human.assurance.word())
        });
        let tool = match entry.text("tool") {
            "" => entry.value_text("tool").unwrap_or("(invalid name)"),
            tool => tool,
        };
        Ok(Story {
            entry: entry.id().to_owned(),
            index: entry.index,
            at: render_instant(entry.at()).unwrap_or_default(),
            human: entry.text("human").to_owned(),
            human_name: human.as_ref().map_or("nobody", |human| human.display()).to_owned(),
            assurance: assurance.unwrap_or_default(),
            via: self.hops(entry)?,
            task: task.and_then(|id| self.task_sentence(&id).ok()),
            tool: tool.to_owned(),
            resource: entry.value_text("resource").map(str::to_owned),
            arguments: arguments(entry),
            effect: entry.text("effect").to_owned(),
            reasons: reasons(entry),
            policy: entry.text("policy").to_owned(),
            approval: self.approval_words(entry)?,
            outcome: outcome.map(outcome_words),
            parent: entry.fields.get("parent").and_then(Value::as_str).map(str::to_owned),
            erased: erased(entry).chain(outcome.into_iter().flat_map(erased)).collect(),
        })
    }

    fn approval_words(&self, entry: &Entry) -> Result<Option<String>, EngineError> {
        let Some(text) = entry.fields.get("approval").and_then(Value::as_str) else {
            return Ok(None);
        };
        let Ok(id) = text.parse() else { return Ok(Some(text.to_owned())) };
        // From the trail: what is kept beside it of an approval is dropped in time.
        let Some(answer) = self.entry_of(&answered_key(&id))? else {
            return match self.approval(&id) {
                Ok(told) => Ok(Some(format!("{text}: {}", told.stage.word()))),
                Err(EngineError::Registry(_)) => Ok(Some(text.to_owned())),
                Err(error) => Err(error),
            };
        };
        let (word, by) = (answer.text("action"), self.name_of(answer.text("by")));
        let (assurance, at) = (answer.text("assurance"), render_instant(answer.at()));
        let note = answer.value_text("note").map(|note| format!(": {note}")).unwrap_or_default();
        Ok(Some(format!(
            "{text}: {word} by {by} ({assurance}) at {}{note}",
            at.unwrap_or_default()
        )))
    }

    fn hops(&self, entry: &Entry) -> Result<Vec<Hop>, EngineError> {
        let digests = entry.digests("chain");
        let Some(leaf) = digests.last() else { return Ok(Vec::new()) };
        let chain = self.chain_of(leaf)?;
        let allowed = entry.text("effect") == "allow";
        let asked = Recorded::of(entry);
        let reasons = reasons(entry);
        let mut hops: Vec<Hop> = Vec::new();
        let mut above: Option<&Scope> = None;
        for (place, digest) in digests.iter().enumerate() {
            let Some(grant) = self.grant_entry(digest)? else { continue };
            let agent = grant.text("agent").to_owned();
            let payload = chain.as_ref().and_then(|c| Some(&c.hops().get(place)?.payload));
            let scope = payload.map(|payload| &payload.scope);
            let until = match grant.fields.get("until") {
                Some(Value::Datetime(until)) => render_instant(*until).unwrap_or_default(),
                _ => String::new(),
            };
            hops.push(Hop {
                name: self.name_of(&agent),
                agent,
                grant: grant.text("grant").to_owned(),
                until,
                statement: grant.value_text("statement").map(str::to_owned),
                scope: scope
                    .map(|s| s.capabilities().iter().map(describe).collect())
                    .unwrap_or_default(),
                limits: payload
                    .map(|payload| payload.limits.iter().map(ToString::to_string).collect())
                    .unwrap_or_default(),
                narrowed: match (above, scope) {
                    (Some(parent), Some(child)) => narrowed(parent, child),
                    _ => Vec::new(),
                },
                allowed_by: match (&asked, scope) {
                    (Some(asked), Some(scope)) if allowed => asked.allowed_by(scope),
                    _ => Vec::new(),
                },
                closest: match (&asked, scope) {
                    (Some(asked), Some(scope)) if refuses(&reasons, place) => asked.closest(scope),
                    _ => None,
                },
            });
            above = scope;
        }
        Ok(hops)
    }
}

impl Story {
    /// The first line: who, through whom, did what, and what was decided.
    #[must_use]
    pub fn headline(&self) -> String {
        let mut line = shown(&self.human_name, 80);
        for hop in &self.via {
            let _ = write!(line, " → {}", shown(&hop.name, 80));
        }
        let arguments: Vec<String> = self
            .arguments
            .iter()
            .map(|(name, value)| format!("{}={}", shown(name, 40), shown(value, 60)))
            .collect();
        let _ = write!(line, " → {}({})", shown(&self.tool, 80), arguments.join(", "));
        let word = match self.effect.as_str() {
            "allow" => "allowed",
            "deny" => "refused",
            _ => "asked",
        };
        let _ = write!(line, ": {word}");
        line
    }
}

impl std::fmt::Display for Story {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.write(f, &mut str::to_owned)
    }
}

impl Story {
    /// The whole story, with times as `time` shows their RFC 3339 text.
    #[must_use]
    pub fn render(&self, time: &mut dyn FnMut(&str) -> String) -> String {
        let mut text = String::new();
        // Writing into a string cannot fail.
        let _ = self.write(&mut text, time);
        text
    }

    fn write(
        &self,
        f: &mut dyn std::fmt::Write,
        time: &mut dyn FnMut(&str) -> String,
    ) -> std::fmt::Result {
        writeln!(f, "{}", self.headline())?;
        if self.human == "none" {
            writeln!(f, "  who      nobody: no grant was in force")?;
        } else {
            let (name, assurance) = (shown(&self.human_name, 80), shown(&self.assurance, 200));
            writeln!(f, "  who      {name} ({assurance}) · {}", self.human)?;
        }
        match &self.task {
            Some(task) => writeln!(f, "  why      {}", shown(task, 500))?,
            None => writeln!(f, "  why      (no task was stated)")?,
        }
        for (place, hop) in self.via.iter().enumerate() {
            let label = if place == 0 { "via" } else { "" };
            let (name, grant, until) = (shown(&hop.name, 80), &hop.grant, time(&hop.until));
            writeln!(f, "  {label:<8} {}. {name} · {grant} until {until}", place + 1)?;
            if let Some(statement) = &hop.statement {
                writeln!(f, "           stated: {}", shown(statement, 500))?;
            }
            for line in &hop.scope {
                writeln!(f, "           may: {}", shown(line, 500))?;
            }
            for line in &hop.limits {
                writeln!(f, "           at most: {}", shown(line, 200))?;
            }
            for line in &hop.narrowed {
                writeln!(f, "           narrowed: {}", shown(line, 500))?;
            }
        }
        let on = self.resource.as_ref().map(|r| format!(" on {}", shown(r, 200)));
        writeln!(f, "  what     {}{}", shown(&self.tool, 200), on.unwrap_or_default())?;
        for (name, value) in &self.arguments {
            writeln!(f, "           {} = {}", shown(name, 80), shown(value, 500))?;
        }
        let (effect, at, policy) = (&self.effect, time(&self.at), &self.policy);
        writeln!(f, "  decided  {effect} at {at} · policy {policy}")?;
        for reason in &self.reasons {
            writeln!(f, "           {}: {}", reason.code, shown(&reason.message, 500))?;
            if let Some(fix) = &reason.fix {
                writeln!(f, "             to fix it: {}", shown(fix, 500))?;
            }
        }
        if let Some(approval) = &self.approval {
            writeln!(f, "  approval {}", shown(approval, 500))?;
        }
        if let Some(outcome) = &self.outcome {
            writeln!(f, "  outcome  {}", shown(outcome, 500))?;
        } else if self.effect == "allow" {
            writeln!(
                f,
                "  outcome  none recorded: it still runs, or the process died in the middle"
            )?;
        }
        if let Some(parent) = &self.parent {
            writeln!(f, "  inside   {parent}")?;
        }
        if !self.erased.is_empty() {
            writeln!(f, "  erased   {}", shown(&self.erased.join(", "), 200))?;
        }
        write!(f, "  entry    {} · index {}", self.entry, self.index)
    }
}

/// What an entry still tells of the request that was judged.
pub(super) struct Recorded {
    request: Request,
    /// Whether every argument was recorded as it was.
    pub(super) whole: bool,
    /// The arguments that were given, and not recorded as they were.
    hidden: Vec<String>,
    /// Whether some arguments are not even named.
    pub(super) lost: bool,
}

impl Recorded {
    pub(super) fn of(entry: &Entry) -> Option<Self> {
        let tool = ToolName::parse(entry.text("tool")).ok()?;
        let mut arguments = Map::new();
        let recorded = entry.value("arguments").and_then(Value::as_map);
        let mut whole = recorded.is_some();
        let (mut hidden, mut lost) = (Vec::new(), recorded.is_none());
        for (name, item) in recorded.into_iter().flat_map(Map::iter) {
            let parts = item.as_list().unwrap_or_default();
            match (parts.first().and_then(Value::as_str), parts.get(1)) {
                (Some("keep"), Some(value)) => arguments.insert(name, value.clone()),
                // By reference: it was not judged either.
                (Some("type"), _) => whole = false,
                (how, _) => {
                    whole = false;
                    lost |= !matches!(how, Some("mask" | "digest" | "large"));
                    hidden.push(name.to_owned());
                }
            }
        }
        let mut request = Request::new(tool, arguments);
        request.resource = entry.value_text("resource").and_then(|r| Resource::parse(r).ok());
        request.own = entry.value("own").and_then(Value::as_map).cloned().map(Arc::new);
        lost |= entry.is_erased("own");
        Some(Self { request, whole, hidden, lost })
    }

    /// Whether an argument was given and not recorded as it was.
    pub(super) fn hides(&self, name: &str) -> bool {
        let first = name.split('.').next().unwrap_or(name);
        self.hidden.iter().any(|hidden| hidden == first)
    }

    /// The request for policies: what was not recorded is there, as a value that no policy can read.
    pub(super) fn readable(&self) -> Request {
        let mut request = self.request.clone();
        let kept: Vec<(String, Value)> = request
            .arguments
            .iter()
            .map(|(name, value)| (name.to_owned(), unveiled(value)))
            .collect();
        for (name, value) in kept {
            request.arguments.insert(&name, value);
        }
        for name in &self.hidden {
            request.arguments.insert(name, Value::bytes(&[]));
        }
        request
    }

    /// The capability that covered the call. Which arguments filled the template or were left at
    /// their default is not recorded, so the call is judged with all of them exempt and with none:
    /// the first that covers lies between the two answers.
    fn allowed_by(&self, scope: &Scope) -> Vec<String> {
        let exempt = self.exempt();
        let mut found = Vec::new();
        for capability in scope.capabilities() {
            let reaches = capability.tool().matches(&self.request.tool)
                && capability.resource().is_none_or(|patterns| {
                    patterns.iter().any(|p| p.matches(self.request.resource.as_ref()))
                });
            let one = Scope::new(vec![capability.clone()]);
            let covers = |request| one.as_ref().is_ok_and(|one| one.covers(request).is_ok());
            if !reaches || (self.whole && !covers(&exempt)) {
                continue;
            }
            found.push(describe(capability));
            if self.whole && covers(&self.request) {
                break;
            }
        }
        found
    }

    /// The capability that came closest, if none covers.
    fn closest(&self, scope: &Scope) -> Option<String> {
        let refusal = scope.covers(&self.exempt()).and_then(|_| scope.covers(&self.request)).err();
        scope.capabilities().get(refusal?.capability?).map(describe)
    }

    /// The request as if every argument filled the template and was left at its default.
    fn exempt(&self) -> Request {
        let mut exempt = self.request.clone();
        let names: Vec<Box<str>> =
            exempt.arguments.iter().map(|(name, _)| name.to_owned().into()).collect();
        exempt.template.clone_from(&names);
        exempt.defaulted = names;
        exempt
    }
}

/// A recorded value with its veiled fields made unreadable.
fn unveiled(value: &Value) -> Value {
    match value {
        Value::List(items) => match items.as_slice() {
            [Value::Str(mask), Value::Str(_)] if **mask == *"mask" => Value::bytes(&[]),
            items => Value::List(items.iter().map(unveiled).collect()),
        },
        Value::Tuple(items) => Value::Tuple(items.iter().map(unveiled).collect()),
        Value::Map(map) => Value::Map(unveiled_map(map)),
        Value::Record(record) => {
            let mut record = record.clone();
            record.fields = unveiled_map(&record.fields);
            Value::Record(record)
        }
        other => other.clone(),
    }
}

fn unveiled_map(map: &Map) -> Map {
    let mut opened = Map::new();
    for (key, item) in map.iter() {
        opened.insert(key, unveiled(item));
    }
    opened
}

/// Whether a hop's scope is one of the reasons.
fn refuses(reasons: &[Reason], hop: usize) -> bool {
    reasons.iter().any(|reason| {
        reason.hop == Some(hop) && reason.allowed.is_some() && reason.code != code::LIMIT_REACHED
    })
}

pub(super) fn arguments(entry: &Entry) -> Vec<(String, String)> {
    let Some(Value::Map(recorded)) = entry.value("arguments") else { return Vec::new() };
    recorded.iter().map(|(name, item)| (name.to_owned(), argument(item))).collect()
}

/// A recorded argument in words.
fn argument(item: &Value) -> String {
    let parts = item.as_list().unwrap_or_default();
    let how = parts.first().and_then(Value::as_str).unwrap_or_default();
    let word = parts.get(1).and_then(Value::as_str).unwrap_or_default();
    match (how, parts.get(1)) {
        ("keep", Some(value)) => to_json(value),
        ("mask", _) => format!("(masked {word})"),
        ("type", _) => format!("({word})"),
        ("digest", _) => format!("(digest of a {word})"),
        _ => format!("({word}, too large to record)"),
    }
}

pub(super) fn reasons(entry: &Entry) -> Vec<Reason> {
    let items = entry.value("detail").and_then(Value::as_list).unwrap_or_default();
    let text = |map: &Map, key: &str| map.get(key).and_then(Value::as_str).map(str::to_owned);
    let told = items.iter().filter_map(Value::as_map).map(|map| Reason {
        code: text(map, "code").unwrap_or_default().into(),
        hop: map.get("hop").and_then(Value::as_i64).and_then(|hop| usize::try_from(hop).ok()),
        message: text(map, "message").unwrap_or_default(),
        allowed: text(map, "allowed"),
        fix: text(map, "fix"),
    });
    let told: Vec<Reason> = told.collect();
    if !told.is_empty() {
        return told;
    }
    // The words were erased: the codes stand in the leaf.
    let codes = entry.fields.get("reasons").and_then(Value::as_list).unwrap_or_default();
    let codes = codes.iter().filter_map(Value::as_str);
    codes
        .map(|code| Reason {
            code: code.to_owned().into(),
            hop: None,
            message: "(erased)".to_owned(),
            allowed: None,
            fix: None,
        })
        .collect()
}

/// The fields that an entry commits to and has no value of any more.
fn erased(entry: &Entry) -> impl Iterator<Item = String> + '_ {
    entry.committed().filter(|field| entry.is_erased(field)).map(str::to_owned)
}

fn outcome_words(outcome: &Entry) -> String {
    let took = outcome.fields.get("duration_us").and_then(Value::as_i64).unwrap_or(0);
    let word = outcome.text("type");
    match outcome.text("status") {
        "returned" => {
            let item = outcome.value("result").and_then(Value::as_list).unwrap_or_default();
            let value = match item.first().and_then(Value::as_str) {
                Some("keep") => item.get(1).map(to_json),
                _ => None,
            };
            let value = value.map(|value| format!(": {value}")).unwrap_or_default();
            format!("returned {word} after {took} µs{value}")
        }
        _ => {
            let text = outcome.value_text("error").unwrap_or("(erased)");
            format!("raised {word} after {took} µs: {text}")
        }
    }
}
