//! Policies: what was loaded, kept by its version so that old decisions can be judged again, and
//! what is in force.
//!
//! What cannot be read any more denies everything until something readable is loaded.

use std::collections::HashMap;
use std::sync::Arc;

use data_encoding::HEXLOWER;
use serde::{Deserialize, Serialize};

use super::records::{damaged, each, json, parse};
use super::{Change, Put, RegistryError, State, draft};
use crate::authorizer::Rules;
use crate::canonical::{Digest, Value, digest};
use crate::keys::{Owner, SealKey};
use crate::principal::HumanId;
use crate::request::{ToolDeclaration, ToolName, shorten};
use crate::store::Store;
use crate::trail::entry::kind;

/// Which version is in force.
const CURRENT: &[u8] = b"pc/current";
/// How many parts a version has, by the version.
const MANIFEST: &[u8] = b"pm/";
/// The parts, sealed, by the version and their place.
const PART: &[u8] = b"pp/";
/// What each tool declared last, sealed.
const TOOL: &[u8] = b"pt/";
/// Which policies were found to be answered wrongly, by the digest of their texts.
const DISTRUSTED: &[u8] = b"pd/";
/// The most bytes of one part before it is sealed.
const PART_BYTES: usize = 48 * 1024;
/// How many files an entry names.
const MAX_NAMED: usize = 100;

/// The texts that make up what is in force, as they are kept.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Texts {
    /// The policies, by the names of their files.
    pub policies: Vec<(String, String)>,
    /// Entities in Cedar's JSON.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub entities: Vec<(String, String)>,
    /// Types of one's own.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub schemas: Vec<(String, String)>,
    /// The tools that they were held to.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub tools: Vec<ToolDeclaration>,
}

impl Texts {
    /// The digest of the policies, entities and types, whatever tools they were held to.
    #[must_use]
    pub fn digest(&self) -> Digest {
        let mut parts: Vec<&[u8]> = Vec::new();
        for (word, files) in
            [("policies", &self.policies), ("entities", &self.entities), ("schemas", &self.schemas)]
        {
            // Each list begins with its word and its length: no file passes for one of another.
            parts.push(word.as_bytes());
            parts.push(if files.is_empty() { b"none" } else { b"some" });
            for (name, text) in files {
                parts.extend([b"file".as_slice(), name.as_bytes(), text.as_bytes()]);
            }
        }
        digest("answerable/v1/policy-texts", &parts)
    }
}

/// Policies in force.
#[derive(Debug, Clone)]
pub struct InForce {
    /// The policies, compiled.
    pub rules: Arc<Rules>,
    /// The texts that they were compiled from.
    pub texts: Texts,
    /// The groups of humans whom the entity files name by account, by issuer and account.
    pub groups: HashMap<(String, String), Vec<String>>,
    /// The machine's name, which policies may ask for.
    pub host: Arc<str>,
    /// Since when, in microseconds.
    pub since: i64,
}

/// What policies there are.
#[derive(Debug, Clone, Default)]
pub enum Policies {
    /// None were ever loaded: scopes alone decide.
    #[default]
    Never,
    /// These.
    InForce(Arc<InForce>),
    /// Some, which cannot be read any more: nothing is allowed.
    Unreadable {
        /// Their version, if that much is known.
        version: Arc<str>,
        /// What is wrong.
        why: Arc<str>,
    },
}

impl Policies {
    /// The version, as entries name it; `none` if none were ever loaded.
    #[must_use]
    pub fn version(&self) -> Arc<str> {
        match self {
            Self::Never => "none".into(),
            Self::InForce(in_force) => in_force.rules.version.clone(),
            Self::Unreadable { version, .. } => version.clone(),
        }
    }

    /// The digest of what they have to say of a tool: another one may decide its calls otherwise.
    #[must_use]
    pub fn basis(&self, tool: &ToolName) -> Digest {
        match self {
            Self::Never => digest("answerable/v1/policy-basis", &[b"none"]),
            Self::InForce(now) => now.rules.basis(tool),
            Self::Unreadable { version, .. } => {
                digest("answerable/v1/policy-basis", &[b"unreadable", version.as_bytes()])
            }
        }
    }
}

/// What puts policies in force: the verb in their entry.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    /// Somebody loaded them.
    Loaded,
    /// The same policies, held to further tools.
    Extended,
}

#[derive(Serialize, Deserialize)]
struct Current {
    version: String,
    since: i64,
}

/// Policies under which the compiled form was seen to differ from Cedar's own evaluator.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Distrusted {
    /// The version that was in force when it was first seen.
    pub version: Arc<str>,
    /// The ids of the policies that the two differed on, sorted.
    pub policies: Vec<Arc<str>>,
}

/// How many policies are named of one disagreement.
const MAX_DISTRUSTED: usize = 64;

#[derive(Serialize, Deserialize)]
struct Manifest {
    parts: usize,
}

fn key(prefix: &[u8], rest: &str) -> Vec<u8> {
    [prefix, rest.as_bytes()].concat()
}

fn part_key(version: &str, place: usize) -> Vec<u8> {
    key(PART, &format!("{version}/{place:06}"))
}

fn part_assertion(version: &str, place: usize, parts: usize) -> String {
    format!("answerable/v1/policies/{version}/{place}/{parts}")
}

/// The records of a version's texts; none if the store has them.
///
/// # Errors
/// The store's, or `Key` if they cannot be sealed.
pub fn keep_texts(
    store: &dyn Store,
    key_: &SealKey,
    version: &str,
    texts: &Texts,
) -> Result<Vec<Put>, RegistryError> {
    if read_texts(store, key_, version).is_ok_and(|kept| kept.as_ref() == Some(texts)) {
        return Ok(Vec::new());
    }
    let text = json(texts)?;
    let mut parts = Vec::new();
    let mut rest = text.as_str();
    while !rest.is_empty() {
        let mut end = rest.len().min(PART_BYTES);
        while !rest.is_char_boundary(end) {
            end -= 1;
        }
        let (part, after) = rest.split_at(end);
        parts.push(part);
        rest = after;
    }
    let mut puts = Vec::with_capacity(parts.len() + 1);
    for (place, part) in parts.iter().enumerate() {
        let sealed = key_.seal(part, &part_assertion(version, place, parts.len()))?;
        puts.push(Put::Set(part_key(version, place), sealed));
    }
    let manifest = json(&Manifest { parts: parts.len() })?.into_bytes();
    puts.push(Put::Set(key(MANIFEST, version), manifest));
    Ok(puts)
}

/// The texts of a version; `None` if the store never had them.
///
/// # Errors
/// The store's; `Key` or `Corrupt` where they cannot be read any more.
pub fn read_texts(
    store: &dyn Store,
    key_: &SealKey,
    version: &str,
) -> Result<Option<Texts>, RegistryError> {
    let Some(manifest) = store.get(&key(MANIFEST, version))? else { return Ok(None) };
    let Manifest { parts } = parse(&manifest)?;
    let mut text = String::new();
    for place in 0..parts {
        let sealed = store.get(&part_key(version, place))?.ok_or_else(damaged)?;
        text.push_str(&key_.open(&sealed, &part_assertion(version, place, parts))?);
    }
    parse(text.as_bytes()).map(Some)
}

/// The version in force and since when; `None` if none ever was.
///
/// # Errors
/// The store's, or `Corrupt`.
pub fn current_policies(store: &dyn Store) -> Result<Option<(String, i64)>, RegistryError> {
    let Some(bytes) = store.get(CURRENT)? else { return Ok(None) };
    let Current { version, since } = parse(&bytes)?;
    Ok(Some((version, since)))
}

/// What each tool declared last.
///
/// # Errors
/// The store's. A declaration that cannot be read is left out: its tool declares itself again.
pub fn declared_tools(
    store: &dyn Store,
    key_: &SealKey,
) -> Result<HashMap<ToolName, ToolDeclaration>, RegistryError> {
    let mut all = HashMap::new();
    each(store, TOOL, |rest, sealed| {
        let name = String::from_utf8_lossy(rest);
        let opened = key_.open(sealed, &tool_assertion(&name)).ok();
        let declared = opened.and_then(|text| serde_json::from_str(&text).ok());
        if let Some(declared) = declared.filter(|tool: &ToolDeclaration| tool.name.as_str() == name)
        {
            all.insert(declared.name.clone(), declared);
        }
        Ok(())
    })?;
    Ok(all)
}

/// The record of what a tool declares.
///
/// # Errors
/// `Key` if it cannot be sealed.
pub fn keep_tool(key_: &SealKey, tool: &ToolDeclaration) -> Result<Put, RegistryError> {
    let name = tool.name.as_str();
    Ok(Put::Set(key(TOOL, name), key_.seal(&json(tool)?, &tool_assertion(name))?))
}

fn tool_assertion(name: &str) -> String {
    format!("answerable/v1/declared/{name}")
}

/// Loads which policies were found to be answered wrongly.
pub(super) fn load(state: &mut State, store: &dyn Store) -> Result<(), RegistryError> {
    each(store, DISTRUSTED, |rest, bytes| {
        let texts = HEXLOWER.decode(rest).ok().and_then(|texts| texts.try_into().ok());
        state.distrusted.insert(texts.ok_or_else(damaged)?, parse(bytes)?);
        Ok(())
    })
}

impl State {
    /// What policies there are.
    #[must_use]
    pub fn policies(&self) -> &Policies {
        &self.policies
    }

    /// Puts policies in force, once their texts are kept.
    ///
    /// # Errors
    /// `Key` without random bytes.
    pub fn govern(
        &mut self,
        in_force: Arc<InForce>,
        turn: Turn,
        by: HumanId,
    ) -> Result<Change, RegistryError> {
        let current =
            Current { version: in_force.rules.version.to_string(), since: in_force.since };
        let files = in_force.texts.policies.iter().chain(&in_force.texts.entities);
        let files = files.chain(&in_force.texts.schemas).take(MAX_NAMED);
        let files = files.map(|(name, _)| Value::str(&shorten(name, 100)));
        let count = i64::try_from(in_force.rules.set.policies().len()).unwrap_or(i64::MAX);
        let action = match turn {
            Turn::Loaded => "loaded",
            Turn::Extended => "extended",
        };
        let draft = draft(kind::POLICY)?
            .with("action", Value::str(action))
            .with("policy", Value::str(&in_force.rules.version))
            .with("before", Value::str(&self.policies.version()))
            .with("texts", Value::str(&HEXLOWER.encode(&in_force.rules.texts)))
            .with("policies", Value::int(count))
            .with("by", Value::str(&by.to_string()))
            .beside("files", Value::List(files.collect()), &Owner::human(by));
        let puts = vec![Put::Set(CURRENT.to_vec(), json(&current)?.into_bytes())];
        self.policies = self.trusted(Policies::InForce(in_force));
        self.changed();
        Ok(Change { draft, puts })
    }

    /// Notes that the compiled form of policies was seen to differ from Cedar's own evaluator:
    /// nothing is allowed under these texts any more, whatever tools they are held to. Nothing, if
    /// that is known of these policies.
    ///
    /// # Errors
    /// `Key` without random bytes.
    pub fn distrust(
        &mut self,
        rules: &Rules,
        policies: &[Arc<str>],
        by: HumanId,
    ) -> Result<Option<Change>, RegistryError> {
        let first = Distrusted { version: rules.version.clone(), policies: Vec::new() };
        let known = self.distrusted.get(&rules.texts);
        let mut now = known.cloned().unwrap_or(first);
        now.policies.extend(policies.iter().cloned());
        now.policies.sort();
        now.policies.dedup();
        now.policies.truncate(MAX_DISTRUSTED);
        if known == Some(&now) {
            return Ok(None);
        }
        let texts = HEXLOWER.encode(&rules.texts);
        let ids = now.policies.iter().map(|id| Value::str(id)).collect();
        let draft = draft(kind::POLICY)?
            .with("action", Value::str("distrusted"))
            .with("policy", Value::str(&rules.version))
            .with("texts", Value::str(&texts))
            .with("differing", Value::List(ids))
            .with("by", Value::str(&by.to_string()));
        let put = Put::Set(key(DISTRUSTED, &texts), json(&now)?.into_bytes());
        self.distrusted.insert(rules.texts, now);
        self.policies = self.trusted(self.policies.clone());
        self.changed();
        Ok(Some(Change { draft, puts: vec![put] }))
    }

    /// The policies that were found to be answered wrongly.
    pub fn distrusted(&self) -> impl Iterator<Item = &Distrusted> {
        self.distrusted.values()
    }

    fn trusted(&self, policies: Policies) -> Policies {
        match policies {
            Policies::InForce(now) if self.distrusted.contains_key(&now.rules.texts) => {
                let rules = Arc::new(now.rules.without_trust());
                Policies::InForce(Arc::new(InForce { rules, ..(*now).clone() }))
            }
            policies => policies,
        }
    }

    /// Notes that the policies in force do not fit a tool as it is declared: its calls are denied.
    /// Nothing, if no policies are in force.
    ///
    /// # Errors
    /// `Key` without random bytes.
    pub fn unfit(
        &mut self,
        tool: ToolName,
        declared: Digest,
        why: String,
        by: HumanId,
    ) -> Result<Option<Change>, RegistryError> {
        let Policies::InForce(now) = &self.policies else { return Ok(None) };
        let draft = draft(kind::POLICY)?
            .with("action", Value::str("unfit"))
            .with("policy", Value::str(&now.rules.version))
            .with("tool", Value::str(tool.as_str()))
            .with("by", Value::str(&by.to_string()))
            .beside("why", Value::str(&shorten(&why, 1_000)), &Owner::human(by));
        let rules = Arc::new(now.rules.without(tool, declared, why));
        self.policies = Policies::InForce(Arc::new(InForce { rules, ..(**now).clone() }));
        self.changed();
        Ok(Some(Change { draft, puts: Vec::new() }))
    }

    /// Takes up what the store has kept, when it is opened.
    pub fn set_policies(&mut self, policies: Policies) {
        self.policies = self.trusted(policies);
        self.changed();
    }
}
