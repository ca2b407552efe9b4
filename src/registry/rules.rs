//! Rules: what is done by itself when a review finds something. Each was set by a human, and what
//! it does is recorded with who that was.

use std::collections::{BTreeMap, HashSet};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::records::{base64, damaged, each, json, parse};
use super::{Change, Put, RegistryError, Sealer, State, check_text, draft};
use crate::canonical::{Digest, Value, digest};
use crate::keys::Owner;
use crate::principal::{HumanId, RuleId};
use crate::store::Store;
use crate::trail::entry::kind;

const PREFIX: &[u8] = b"ru/";
/// What a rule has acted on and still finds.
const ACTED: &[u8] = b"rm/";
/// How many rules there may be.
const MAX_RULES: usize = 256;
/// The longest address of a webhook, in bytes.
const MAX_URL: usize = 2_048;

/// What a rule does.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Then {
    /// Suspends the agents that the finding is about.
    Suspend,
    /// Halts the agents that the finding is about.
    Halt,
    /// Tells an address.
    Webhook,
}

impl Then {
    /// The word on the wire.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Suspend => "suspend",
            Self::Halt => "halt",
            Self::Webhook => "webhook",
        }
    }
}

/// One rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rule {
    /// The id.
    pub id: RuleId,
    /// The code of the findings it is for; `None`: any.
    pub on: Option<String>,
    /// The least severity of the findings it is for, by its word.
    pub severity: String,
    /// What it does.
    pub then: Then,
    /// Who set it.
    pub by: HumanId,
    /// When, in microseconds.
    pub at: i64,
    /// Why; absent once erased.
    pub reason: Option<String>,
    /// The webhook's address; absent once erased.
    pub url: Option<String>,
    /// The key that what is sent there is signed with.
    pub secret: Option<Arc<str>>,
}

/// A rule to be set.
#[derive(Debug, Clone)]
pub struct NewRule<'a> {
    /// The code of the findings it is for; `None`: any.
    pub on: Option<&'a str>,
    /// The least severity, by its word.
    pub severity: &'a str,
    /// What it does.
    pub then: Then,
    /// The webhook's address.
    pub url: Option<&'a str>,
    /// The key that what is sent there is signed with.
    pub secret: Option<&'a str>,
    /// Why.
    pub reason: &'a str,
}

#[derive(Serialize, Deserialize)]
struct Record {
    on: Option<String>,
    severity: String,
    then: Then,
    by: HumanId,
    at: i64,
    #[serde(with = "base64")]
    sealed: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
struct Sealed {
    reason: String,
    url: Option<String>,
    secret: Option<String>,
}

/// The rules, and what they have acted on.
#[derive(Debug, Default)]
pub(super) struct Rules {
    all: BTreeMap<RuleId, Arc<Rule>>,
    acted: HashSet<(RuleId, Digest)>,
}

impl Rules {
    /// Forgets what a human said with their rules: the reason, the address and its secret. They
    /// stay in force; one that told an address tells nobody any more.
    pub(super) fn forget(&mut self, by: &HumanId) {
        for rule in self.all.values_mut().filter(|rule| rule.by == *by) {
            *rule = Arc::new(Rule { reason: None, url: None, secret: None, ..(**rule).clone() });
        }
    }
}

fn key(id: &RuleId) -> Vec<u8> {
    [PREFIX, id.as_bytes()].concat()
}

fn acted_key(id: &RuleId, finding: &Digest) -> Vec<u8> {
    [ACTED, id.as_bytes().as_slice(), finding.as_slice()].concat()
}

/// What makes two findings the same one to a rule.
#[must_use]
pub fn finding_digest(code: &str, subjects: &[String]) -> Digest {
    let subjects: Vec<Value> = subjects.iter().map(|subject| Value::str(subject)).collect();
    digest("answerable/v1/finding", &[code.as_bytes(), &Value::List(subjects).encode()])
}

impl State {
    /// Sets a rule.
    ///
    /// # Errors
    /// `Invalid` for an empty reason, an address that is none or too many rules.
    pub fn set_rule(
        &mut self,
        new: &NewRule<'_>,
        by: HumanId,
        at: i64,
        sealer: &mut Sealer<'_>,
    ) -> Result<(Arc<Rule>, Change), RegistryError> {
        check_text("the reason", new.reason, 4_096)?;
        if self.rules.all.len() >= MAX_RULES {
            return Err(RegistryError::Illegal(format!(
                "there are {MAX_RULES} rules, the most there may be; remove one first"
            )));
        }
        match (new.then, new.url) {
            (Then::Webhook, Some(url)) => check_url(url)?,
            (Then::Webhook, None) => {
                return Err(RegistryError::Invalid("a webhook needs an address".to_owned()));
            }
            (_, Some(_)) => {
                return Err(RegistryError::Invalid("only a webhook has an address".to_owned()));
            }
            (_, None) => {}
        }
        let id = RuleId::from_bytes(crate::keys::random()?);
        let owner = Owner::human(by);
        let sealed = json(&Sealed {
            reason: new.reason.to_owned(),
            url: new.url.map(str::to_owned),
            secret: new.secret.map(str::to_owned),
        })?;
        let sealed = sealer.seal(&owner, &sealed, &format!("rule/{id}"))?;
        let record = Record {
            on: new.on.map(str::to_owned),
            severity: new.severity.to_owned(),
            then: new.then,
            by,
            at,
            sealed,
        };
        let mut puts = sealer.take_made();
        puts.push(Put::Set(key(&id), json(&record)?.into_bytes()));
        let mut draft = draft(kind::REVIEW)?
            .with("action", Value::str("rule_set"))
            .with("rule", Value::str(&id.to_string()))
            .with_some("on", new.on.map(Value::str))
            .with("severity", Value::str(new.severity))
            .with("then", Value::str(new.then.word()))
            .with("by", Value::str(&by.to_string()))
            .beside("reason", Value::str(new.reason), &owner);
        if let Some(url) = new.url {
            draft = draft.beside("url", Value::str(url), &owner);
        }
        let rule = Arc::new(Rule {
            id,
            on: record.on,
            severity: record.severity,
            then: new.then,
            by,
            at,
            reason: Some(new.reason.to_owned()),
            url: new.url.map(str::to_owned),
            secret: new.secret.map(Into::into),
        });
        self.rules.all.insert(id, rule.clone());
        Ok((rule, Change { draft, puts }))
    }

    /// Removes a rule.
    ///
    /// # Errors
    /// `NotFound`, or `Invalid` for an empty reason.
    pub fn remove_rule(
        &mut self,
        id: &RuleId,
        by: HumanId,
        reason: &str,
    ) -> Result<Change, RegistryError> {
        check_text("the reason", reason, 4_096)?;
        if self.rules.all.remove(id).is_none() {
            return Err(RegistryError::NotFound { kind: "rule", name: id.to_string() });
        }
        let mut puts = vec![Put::Drop(key(id))];
        let acted = self.rules.acted.iter().filter(|(rule, _)| rule == id);
        // What is left beyond that is dropped when it is loaded.
        puts.extend(acted.take(64).map(|(rule, finding)| Put::Drop(acted_key(rule, finding))));
        self.rules.acted.retain(|(rule, _)| rule != id);
        let draft = draft(kind::REVIEW)?
            .with("action", Value::str("rule_removed"))
            .with("rule", Value::str(&id.to_string()))
            .with("by", Value::str(&by.to_string()))
            .beside("reason", Value::str(reason), &Owner::human(by));
        Ok(Change { draft, puts })
    }

    /// All rules, in the order of their ids.
    #[must_use]
    pub fn rules(&self) -> Vec<Arc<Rule>> {
        self.rules.all.values().cloned().collect()
    }

    /// A rule.
    #[must_use]
    pub fn rule(&self, id: &RuleId) -> Option<&Arc<Rule>> {
        self.rules.all.get(id)
    }

    /// Whether a rule has acted on a finding that it still finds.
    #[must_use]
    pub fn has_acted(&self, id: &RuleId, finding: &Digest) -> bool {
        self.rules.acted.contains(&(*id, *finding))
    }

    /// Records what a rule did; `result` is a word: `done`, `nothing`, `failed`.
    ///
    /// # Errors
    /// `NotFound` for a rule that was removed meanwhile.
    pub fn rule_acted(
        &mut self,
        id: &RuleId,
        (code, subjects): (&str, &[String]),
        why: &str,
        result: &'static str,
    ) -> Result<Change, RegistryError> {
        let not_found = || RegistryError::NotFound { kind: "rule", name: id.to_string() };
        let rule = self.rules.all.get(id).ok_or_else(not_found)?.clone();
        let finding = finding_digest(code, subjects);
        self.rules.acted.insert((*id, finding));
        let subjects = subjects.iter().take(16).map(|subject| Value::str(subject)).collect();
        let draft = draft(kind::REVIEW)?
            .with("action", Value::str("rule_acted"))
            .with("rule", Value::str(&id.to_string()))
            .with("finding", Value::str(code))
            .with("subjects", Value::List(subjects))
            .with("then", Value::str(rule.then.word()))
            .with("result", Value::str(result))
            .with("by", Value::str(&rule.by.to_string()))
            .beside("why", Value::str(why), &Owner::human(rule.by));
        Ok(Change { draft, puts: vec![Put::Set(acted_key(id, &finding), Vec::new())] })
    }

    /// Forgets what was acted on and is not found any more, so that it is acted on when it comes
    /// again; answers the keys to drop.
    pub fn forget_acted(&mut self, found: &HashSet<Digest>) -> Vec<Vec<u8>> {
        let gone: Vec<_> = self
            .rules
            .acted
            .iter()
            .filter(|(_, digest)| !found.contains(digest))
            .copied()
            .collect();
        for one in &gone {
            self.rules.acted.remove(one);
        }
        gone.iter().map(|(rule, digest)| acted_key(rule, digest)).collect()
    }
}

fn check_url(url: &str) -> Result<(), RegistryError> {
    let local = ["http://127.0.0.1", "http://localhost", "http://[::1]"].iter().any(|start| {
        url.strip_prefix(start).is_some_and(|rest| rest.is_empty() || rest.starts_with([':', '/']))
    });
    let plain = url.len() <= MAX_URL && url.chars().all(|c| c.is_ascii_graphic());
    let host = url.strip_prefix("https://").is_some_and(|rest| {
        let host = rest.split(['/', '?', '#']).next().unwrap_or_default();
        !host.is_empty() && !host.contains('@')
    });
    if plain && (local || host) {
        return Ok(());
    }
    Err(RegistryError::Invalid(format!(
        "a webhook's address begins with https:// and a host, has no account in it and at most {MAX_URL} bytes; http:// only on this machine"
    )))
}

pub(super) fn load(
    state: &mut State,
    store: &dyn Store,
    sealer: &Sealer<'_>,
) -> Result<(), RegistryError> {
    each(store, PREFIX, |rest, value| {
        let id = RuleId::from_bytes(rest.try_into().map_err(|_| damaged())?);
        let record: Record = parse(value)?;
        let opened =
            sealer.open(&Owner::human(record.by), &record.sealed, &format!("rule/{id}"))?;
        let sealed: Option<Sealed> = opened.map(|text| parse(text.as_bytes())).transpose()?;
        let (reason, url, secret) = match sealed {
            Some(sealed) => (Some(sealed.reason), sealed.url, sealed.secret),
            None => (None, None, None),
        };
        let Record { on, severity, then, by, at, .. } = record;
        let secret = secret.map(Into::into);
        let rule = Rule { id, on, severity, then, by, at, reason, url, secret };
        state.rules.all.insert(id, Arc::new(rule));
        Ok(())
    })?;
    each(store, ACTED, |rest, _| {
        let (rule, finding) = rest.split_at_checked(16).ok_or_else(damaged)?;
        let rule = RuleId::from_bytes(rule.try_into().map_err(|_| damaged())?);
        let finding = finding.try_into().map_err(|_| damaged())?;
        if state.rules.all.contains_key(&rule) {
            state.rules.acted.insert((rule, finding));
        }
        Ok(())
    })
}
