//! The authority's keys, policies, credentials and rules.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{Leaf, Said, differs};
use crate::canonical::{Digest, Raw};
use crate::principal::{HumanId, RuleId};
use crate::registry::credentials::{Credential, MAX_VERSIONS, Source, Version};
use crate::registry::{RegistryError, policies};
use crate::registry::{Rule, State, current_policies};
use crate::store::{Store, StoreError};
use crate::trail::entry::kind;

/// A statement of the authority's, and the entry that holds it.
#[derive(Debug)]
pub struct Statement {
    /// The entry.
    pub said: Said,
    /// The signed text.
    pub text: Box<str>,
}

#[derive(Debug, Default)]
pub(super) struct Others {
    pub(super) statements: Vec<Statement>,
    policy: Option<(Box<str>, Said)>,
    distrusted: BTreeMap<Digest, (BTreeSet<Box<str>>, Said)>,
    credentials: HashMap<Box<str>, (Credential, Said)>,
    rules: BTreeMap<RuleId, ToldRule>,
}

#[derive(Debug)]
struct ToldRule {
    /// Absent for any.
    on: Option<Box<str>>,
    severity: Box<str>,
    then: Box<str>,
    by: HumanId,
    at: i64,
    said: Said,
}

impl Others {
    pub(super) fn take(&mut self, leaf: &Leaf<'_>) -> Result<(), StoreError> {
        let (said, action) = (leaf.said, leaf.text("action"));
        match (leaf.text("kind"), action) {
            (kind::KEY, _) if leaf.raw("statement").is_some() => {
                self.statements.push(Statement { said, text: leaf.text("statement").into() });
            }
            (kind::POLICY, "loaded" | "extended") => {
                self.policy = Some((leaf.text("policy").into(), said));
            }
            (kind::POLICY, "distrusted") => {
                let texts = data_encoding::HEXLOWER.decode(leaf.text("texts").as_bytes()).ok();
                let texts = texts.and_then(|texts| texts.try_into().ok());
                let texts = texts.ok_or_else(|| leaf.unreadable("texts"))?;
                self.distrusted.insert(texts, (listed(leaf, "differing").collect(), said));
            }
            (kind::CREDENTIAL, "put" | "rotated" | "removed") => self.credential(leaf, action)?,
            (kind::REVIEW, "rule_set") => {
                let told = ToldRule {
                    on: leaf.raw("on").and_then(Raw::text).map(Into::into),
                    severity: leaf.text("severity").into(),
                    then: leaf.text("then").into(),
                    by: leaf.parsed("by")?,
                    at: leaf.at("at")?,
                    said,
                };
                self.rules.insert(leaf.parsed("rule")?, told);
            }
            (kind::REVIEW, "rule_removed") => {
                self.rules.remove(&leaf.parsed("rule")?);
            }
            _ => {}
        }
        Ok(())
    }

    fn credential(&mut self, leaf: &Leaf<'_>, action: &str) -> Result<(), StoreError> {
        let name = leaf.text("credential");
        let at = leaf.at("at")?;
        let expires_at = leaf.raw("expires").and_then(Raw::datetime);
        if action == "put" {
            let agents = leaf.raw("for_agents").map(|raw| {
                raw.items().map(|item| item.text().and_then(|id| id.parse().ok())).collect()
            });
            let facts = Credential {
                name: name.to_owned(),
                source: match leaf.text("source") {
                    "stored" => Source::Stored,
                    kind => Source::Provider(kind.to_owned()),
                },
                for_tools: listed(leaf, "for_tools").map(Into::into).collect(),
                for_agents: match agents {
                    Some(agents) => {
                        let agents: Option<Vec<_>> = agents;
                        Some(agents.ok_or_else(|| leaf.unreadable("for_agents"))?)
                    }
                    None => None,
                },
                owner: leaf.parsed("owner")?,
                expires_at,
                versions: vec![Version { number: 1, at, by: leaf.parsed("by")?, until: None }],
                removed_at: None,
            };
            self.credentials.insert(name.into(), (facts, leaf.said));
            return Ok(());
        }
        let known = self.credentials.get_mut(name);
        let (facts, said) = known.ok_or_else(|| leaf.unreadable("credential"))?;
        *said = leaf.said;
        if action == "removed" {
            facts.removed_at = Some(at);
            return Ok(());
        }
        let overlap = leaf.raw("overlap_us").and_then(Raw::integer);
        let until = at.saturating_add(overlap.ok_or_else(|| leaf.unreadable("overlap_us"))?);
        for version in &mut facts.versions {
            version.until = Some(version.until.map_or(until, |end| end.min(until)));
        }
        let number = facts.current().saturating_add(1);
        facts.versions.push(Version { number, at, by: leaf.parsed("by")?, until: None });
        let surplus = facts.versions.len().saturating_sub(MAX_VERSIONS);
        facts.versions.drain(..surplus);
        facts.expires_at = expires_at;
        Ok(())
    }

    pub(super) fn compare(&self, state: &State, store: &dyn Store) -> Result<(), StoreError> {
        self.compare_policies(state, store)?;
        for (name, (told, said)) in &self.credentials {
            let what = match state.credential(name) {
                None => format!("{said} tells of it, and the record is gone"),
                Some(held) if held.facts != *told => format!("{said}, and the record differs"),
                Some(_) => continue,
            };
            return Err(differs(format!("the credential `{name}`"), what));
        }
        let known = state.credentials();
        let mut names = known.iter().map(|held| &held.facts.name);
        if let Some(name) = names.find(|name| !self.credentials.contains_key(name.as_str())) {
            return Err(differs(format!("the credential `{name}`"), "no entry put it"));
        }
        for (id, told) in &self.rules {
            let what = match state.rule(id) {
                None => format!("{} set it, and the record is gone", told.said),
                Some(rule) if !told.is(rule) => format!("{}, and the record differs", told.said),
                Some(_) => continue,
            };
            return Err(differs(format!("the rule {id}"), what));
        }
        match state.rules().iter().find(|rule| !self.rules.contains_key(&rule.id)) {
            Some(rule) => {
                Err(differs(format!("the rule {}", rule.id), "no entry set it, or it was removed"))
            }
            None => Ok(()),
        }
    }

    fn compare_policies(&self, state: &State, store: &dyn Store) -> Result<(), StoreError> {
        const IN_FORCE: &str = "the policies in force";
        let current = match current_policies(store) {
            Ok(current) => current.map(|(version, _)| version),
            // What cannot be read denies every call until policies are loaded anew.
            Err(RegistryError::Store(StoreError::Corrupt { .. })) => {
                self.policy.as_ref().map(|(told, _)| (**told).to_owned())
            }
            Err(RegistryError::Store(error)) => return Err(error),
            Err(other) => return Err(differs(IN_FORCE, other)),
        };
        match (&self.policy, &current) {
            (Some((told, said)), Some(known)) if **told != **known => {
                return Err(differs(
                    IN_FORCE,
                    format!("{said} put {told} in force, the record {known}"),
                ));
            }
            (Some((told, said)), None) => {
                let what = format!("{said} put {told} in force, and the record of that is gone");
                return Err(differs(IN_FORCE, what));
            }
            (None, Some(known)) => {
                return Err(differs(IN_FORCE, format!("no entry put {known} in force")));
            }
            _ => {}
        }
        let shown = |texts: &Digest| {
            format!("the policies with the texts {}", data_encoding::HEXLOWER.encode(texts))
        };
        for (texts, (told, said)) in &self.distrusted {
            let known = state.distrusted.get(texts);
            let same = known.is_some_and(|known: &policies::Distrusted| {
                let known: BTreeSet<Box<str>> =
                    known.policies.iter().map(|id| (**id).into()).collect();
                known == *told
            });
            if !same {
                let what = format!("{said} says that they are not trusted, the record does not");
                return Err(differs(shown(texts), what));
            }
        }
        match state.distrusted.keys().find(|texts| !self.distrusted.contains_key(*texts)) {
            Some(texts) => Err(differs(shown(texts), "no entry says that they are not trusted")),
            None => Ok(()),
        }
    }
}

impl ToldRule {
    fn is(&self, rule: &Rule) -> bool {
        self.on.as_deref() == rule.on.as_deref()
            && *self.severity == *rule.severity
            && *self.then == *rule.then.word()
            && self.by == rule.by
            && self.at == rule.at
    }
}

fn listed<'a>(leaf: &Leaf<'a>, key: &str) -> impl Iterator<Item = Box<str>> + 'a {
    leaf.raw(key).into_iter().flat_map(Raw::items).filter_map(|item| Some(item.text()?.into()))
}
