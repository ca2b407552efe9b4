//! Why the policies said what they said of a recorded call: its entry, judged again by the very
//! version that judged it.

use super::load::Loaded;
use crate::decision::Effect as Decided;
use crate::engine::story::Recorded;
use crate::engine::{Engine, EngineError, Masking};
use crate::policy::{Change, Effect, Explained, Outcome, Read};
use crate::trail::entry::{Entry, kind};

/// What stands for a value that must not be shown.
const MASKED: &str = "(masked)";

/// What the policies said of a recorded call.
#[derive(Debug, Clone, Default)]
pub struct PolicyStory {
    /// The version that judged it; `none` if no policies were in force.
    pub version: String,
    /// The policies that decided, erred, or nearly permitted it.
    pub policies: Vec<PolicyTold>,
    /// The smallest changes that would have allowed it.
    pub changes: Vec<String>,
    /// Why not all of it can be told, if so.
    pub unknown: Option<String>,
}

/// One policy's part in a decision.
#[derive(Debug, Clone)]
pub struct PolicyTold {
    /// Its id.
    pub id: String,
    /// `decided`, `erred` or `nearly`.
    pub role: &'static str,
    /// Whether it permits or forbids.
    pub effect: Effect,
    /// Its file.
    pub source: String,
    /// Its line there, from 1.
    pub line: usize,
    /// The sentence that it has for its caller.
    pub reason: Option<String>,
    /// What of its head did not admit the call.
    pub scope: Vec<String>,
    /// The parts of its condition that were looked at.
    pub parts: Vec<Part>,
}

/// A part of a condition.
#[derive(Debug, Clone)]
pub struct Part {
    /// Its text, as in the policy.
    pub text: String,
    /// Its line, from 1.
    pub line: usize,
    /// Its column, from 1.
    pub column: usize,
    /// `holds`, `fails` or `errs`.
    pub outcome: &'static str,
    /// The values that it read, by path; what is masked stays masked.
    pub values: Vec<(String, String)>,
}

impl Engine {
    /// Says which policies decided a recorded call, and which nearly did.
    ///
    /// Groups and names are those of the registry now; everything else is as it was recorded.
    ///
    /// # Errors
    /// `Invalid` for an entry that is no decision or is not there; `Policy` or `Key` where the
    /// version that judged it cannot be read any more, and the store's.
    pub fn explain_policies(&self, id: &str) -> Result<PolicyStory, EngineError> {
        let missing = || EngineError::Invalid(format!("there is no entry `{id}`"));
        let mut entry = self.entry(id)?.ok_or_else(missing)?;
        if entry.kind() == kind::OUTCOME {
            entry = self.entry(entry.text("decision"))?.ok_or_else(missing)?;
        }
        let version = match entry.text("policy") {
            "" => "none".to_owned(),
            version => version.to_owned(),
        };
        let story = PolicyStory { version, ..PolicyStory::default() };
        let unknown = |why: &str| PolicyStory { unknown: Some(why.to_owned()), ..story.clone() };
        if entry.kind() != kind::DECISION || story.version == "none" {
            return Ok(story);
        }
        if story.version == "unknown" {
            return Ok(unknown("the policies could not be read when it was judged"));
        }
        let Some(leaf) = entry.digests("chain").last().copied() else {
            return Ok(unknown("nobody was acting, so the policies were not asked"));
        };
        let loaded = self.policies_of(Some(&story.version))?;
        let Some(governing) = self.governing_of(&loaded, &leaf)? else {
            return Ok(unknown("the chain of its grants is not here any more"));
        };
        let Some(recorded) = Recorded::of(&entry) else {
            return Ok(unknown("the call was not recorded"));
        };
        let request = recorded.readable();
        let say = governing.say(&request, entry.at(), entry.fields.get("approval").is_some());
        let usual = Masking::default();
        let masking = usual.and_mask(say.masks()).unwrap_or(usual);
        let masked = |name: &str| recorded.hides(name) || masking.hides(name, &request.arguments);
        let why = say.explanation();
        let unread = |read: &Read| read.argument().is_some_and(|name| recorded.hides(name));
        let parts = why.decided.iter().chain(&why.near).flat_map(|one| &one.conjuncts);
        let unsure = recorded.lost || parts.flat_map(|part| &part.values).any(unread);
        let mut told = unknown("an argument was not recorded as it was, so not all of it is sure");
        if !unsure {
            told.unknown = None;
        }
        let decided = why.decided.iter().map(|one| (one, role(one)));
        let near = why.near.iter().map(|one| (one, "nearly"));
        let all = decided.chain(near).filter(|(one, role)| shows(&entry, one, role));
        told.policies =
            all.filter_map(|(one, role)| loaded.part_of(one, role, &masked)).take(32).collect();
        if entry.text("effect") != Decided::Allow.word() {
            told.changes = why.changes.iter().map(|change| change_words(change, &masked)).collect();
        }
        Ok(told)
    }
}

/// Whether a policy has a part in a decision: a permit that a forbid overrode has none.
fn shows(entry: &Entry, one: &Explained, role: &str) -> bool {
    entry.text("effect") != Decided::Deny.word()
        || role != "decided"
        || one.effect == Effect::Forbid
}

fn role(one: &Explained) -> &'static str {
    let erred = one.conjuncts.iter().any(|part| matches!(part.outcome, Outcome::Errs(_)));
    if erred { "erred" } else { "decided" }
}

impl Loaded {
    fn part_of(
        &self,
        one: &Explained,
        role: &'static str,
        masked: &dyn Fn(&str) -> bool,
    ) -> Option<PolicyTold> {
        let policy = self.policies.rules.set.policy(one.policy)?;
        let parts = one.conjuncts.iter().map(|part| Part {
            // What a policy compares a masked value with may be that value.
            text: match part.values.iter().any(|read| hidden(&read.path, masked)) {
                true => MASKED.to_owned(),
                false => part.text.clone(),
            },
            line: part.line,
            column: part.column,
            outcome: match part.outcome {
                Outcome::Holds => "holds",
                Outcome::Fails => "fails",
                // The evaluator's words may hold values: they are not passed on.
                Outcome::Errs(_) => "errs",
            },
            values: part
                .values
                .iter()
                .map(|read| value_words(read, matches!(part.outcome, Outcome::Errs(_)), masked))
                .collect(),
        });
        Some(PolicyTold {
            id: policy.id.to_string(),
            role,
            effect: one.effect,
            source: policy.source.clone(),
            line: policy.line,
            reason: policy.annotation("reason").map(str::to_owned),
            scope: one
                .scope
                .iter()
                .map(|miss| format!("{} is {}, and it asks for {}", miss.part, miss.has, miss.asks))
                .collect(),
            parts: parts.collect(),
        })
    }
}

fn hidden(path: &str, masked: &dyn Fn(&str) -> bool) -> bool {
    match path.strip_prefix("context.arguments") {
        None => path == "context",
        // The arguments as a whole hold each of them.
        Some("") => true,
        Some(rest) => masked(rest.trim_start_matches('.')),
    }
}

fn value_words(read: &Read, errs: bool, masked: &dyn Fn(&str) -> bool) -> (String, String) {
    let value = match &read.value {
        _ if hidden(&read.path, masked) => MASKED.to_owned(),
        Some(value) => value.clone(),
        None if errs => "(not there, or not to be read by a policy)".to_owned(),
        None => "(not there)".to_owned(),
    };
    (read.path.clone(), value)
}

fn change_words(change: &Change, masked: &dyn Fn(&str) -> bool) -> String {
    let to = if hidden(&change.path, masked) { "another value" } else { &change.to };
    format!("`{}` would have to be {to}", change.path)
}
