//! Replay: the calls of the past, judged again under other policies.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::sync::Arc;

use super::load::Loaded;
use crate::authorizer::Governing;
use crate::canonical::{Digest, Value};
use crate::decision::code;
use crate::engine::facts::bind;
use crate::engine::story::Recorded;
use crate::engine::{Engine, EngineError, Masking};
use crate::trail::entry::{self, kind};

/// How many decisions that would change are told.
const MAX_TOLD: usize = 10_000;

/// A decision that other policies would have changed, or that they cannot tell about.
#[derive(Debug, Clone)]
pub struct Replayed {
    /// The decision's entry.
    pub entry: String,
    /// When it was made, in microseconds.
    pub at: i64,
    /// The tool.
    pub tool: String,
    /// The name of the agent that acted.
    pub agent: String,
    /// What was decided.
    pub before: String,
    /// What would be; `unknown` where the record no longer says enough.
    pub after: &'static str,
    /// The ids of the policies that would decide.
    pub policies: Vec<Arc<str>>,
    /// The first reason, or why it cannot be told.
    pub why: String,
}

/// What a replay found.
#[derive(Debug, Clone, Default)]
pub struct Replay {
    /// The version that was tried.
    pub version: String,
    /// How many decisions were judged again.
    pub examined: u64,
    /// How many stay as they were.
    pub same: u64,
    /// Those that would change, oldest first.
    pub changes: Vec<Replayed>,
    /// Those that cannot be told.
    pub undecided: Vec<Replayed>,
}

impl Engine {
    /// Judges recorded calls again, from one instant to before another, as these policies would have.
    ///
    /// A call that was denied for anything but policies stays denied. Groups and attributes are
    /// those of the candidate's entity files and of the registry now. An argument that was not
    /// recorded as it was cannot be read: where a policy tries, the answer is not known.
    ///
    /// # Errors
    /// The store's, or `Block` for a damaged one.
    pub fn replay_policies(
        &self,
        candidate: &Loaded,
        since: Option<i64>,
        until: Option<i64>,
    ) -> Result<Replay, EngineError> {
        let mut bound: HashMap<Digest, Option<Arc<Governing>>> = HashMap::new();
        let version = candidate.policies.rules.version.to_string();
        let mut replay = Replay { version, ..Replay::default() };
        self.each_entry(0, &mut |entry| {
            if until.is_some_and(|until| entry.at() >= until) {
                return Ok(false);
            }
            if entry.kind() != kind::DECISION || since.is_some_and(|since| entry.at() < since) {
                return Ok(true);
            }
            replay.examined += 1;
            if !by_policies(&entry) {
                replay.same += 1;
                return Ok(true);
            }
            let before = entry.text("effect").to_owned();
            let told = self.again(candidate, &entry, &mut bound)?;
            let (after, policies, why) = match told {
                Ok((after, ..)) if after == before => {
                    replay.same += 1;
                    return Ok(true);
                }
                // What a human approved stays so under policies that would ask again.
                Ok(("ask", ..)) if entry.fields.get("approval").is_some() => {
                    replay.same += 1;
                    return Ok(true);
                }
                Ok(told) => told,
                Err(why) => ("unknown", Vec::new(), why),
            };
            let list = match after {
                "unknown" => &mut replay.undecided,
                _ => &mut replay.changes,
            };
            if list.len() < MAX_TOLD {
                list.push(Replayed {
                    entry: entry.id().to_owned(),
                    at: entry.at(),
                    tool: entry.text("tool").to_owned(),
                    agent: self.name_of(entry.text("agent")),
                    before,
                    after,
                    policies,
                    why,
                });
            }
            Ok(true)
        })?;
        Ok(replay)
    }

    /// What a candidate says of a recorded call; why it cannot be told, where it cannot.
    #[allow(clippy::type_complexity)] // Effect, deciding policies and the first reason.
    fn again(
        &self,
        candidate: &Loaded,
        entry: &entry::Entry,
        bound: &mut HashMap<Digest, Option<Arc<Governing>>>,
    ) -> Result<Result<(&'static str, Vec<Arc<str>>, String), String>, EngineError> {
        let gone = || Ok(Err("the chain of its grants is not here any more".to_owned()));
        let Some(leaf) = entry.digests("chain").last().copied() else { return gone() };
        let governing = match bound.entry(leaf) {
            Entry::Occupied(known) => known.into_mut(),
            Entry::Vacant(place) => place.insert(self.governing_of(candidate, &leaf)?),
        };
        let Some(governing) = governing else { return gone() };
        let Some(recorded) = Recorded::of(entry) else {
            return Ok(Err("the call was not recorded".to_owned()));
        };
        let request = recorded.readable();
        let say = governing.say(&request, entry.at(), entry.fields.get("approval").is_some());
        if recorded.lost || !(recorded.whole || say.erring().is_empty()) {
            let why = "a policy reads an argument that was not recorded as it was".to_owned();
            return Ok(Err(why));
        }
        let masking = Masking::default();
        let masking = masking.and_mask(say.masks()).unwrap_or(masking);
        let reasons = say.reasons(&|name| masking.hides(name, &request.arguments));
        Ok(Ok(match (reasons.into_iter().next(), say.asks()) {
            (Some(reason), _) => ("deny", say.deciding(), reason.message),
            (None, Some(question)) => ("ask", say.deciding(), question.message),
            (None, None) => ("allow", say.deciding(), String::new()),
        }))
    }

    /// Policies bound to the chain that a decision's entry names last; `None` where its grants are
    /// not here any more.
    pub(in crate::engine) fn governing_of(
        &self,
        loaded: &Loaded,
        leaf: &Digest,
    ) -> Result<Option<Arc<Governing>>, EngineError> {
        let Some(chain) = self.chain_of(leaf)? else { return Ok(None) };
        let sentence = self.task_sentence(&chain.root().payload.task.id).ok();
        let state = self.state.read();
        Ok(Some(Arc::new(bind(&state, &loaded.policies, &chain, sentence.as_deref()))))
    }
}

/// Whether policies alone could change a decision: it was allowed, asked, or denied by policies only.
fn by_policies(entry: &entry::Entry) -> bool {
    if entry.text("human") == "none" {
        return false;
    }
    let codes = entry.fields.get("reasons").and_then(Value::as_list).unwrap_or_default();
    let policies =
        [code::FORBIDDEN, code::NOT_PERMITTED, code::POLICY_ERROR, code::APPROVAL_REQUIRED];
    codes.iter().all(|code| code.as_str().is_some_and(|code| policies.contains(&code)))
}
