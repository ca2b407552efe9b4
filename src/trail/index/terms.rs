//! Terms: what an entry can be found by.

use std::fmt;

use crate::canonical::{Digest, Raw};
use crate::scope::ResourcePattern;
use crate::trail::entry::kind;

/// How many bytes of an entry's id a term holds: enough to find it, and who reads it compares it.
pub const ID_BYTES: usize = 6;
/// How many bytes of a grant's digest a term holds: its holder may try out many.
const GRANT_BYTES: usize = 16;
/// How many bytes of a keyed digest a term holds.
const KEYED_BYTES: usize = 8;

/// How many bytes name a limit that was drawn on: its hop, its capability (two, all ones for the
/// grant as a whole) and its place (two), big-endian.
pub const DRAW_BYTES: usize = 5;

/// What kind of value a term holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Field {
    /// The kind of entry.
    Kind,
    /// The human accountable, or named by the entry.
    Human,
    /// The acting agent, or named by the entry.
    Agent,
    /// An agent on the chain.
    Via,
    /// A grant on the chain, by the start of its digest.
    Grant,
    /// The task.
    Task,
    /// The tool of a call.
    Tool,
    /// The decision's effect.
    Effect,
    /// One of the decision's reasons.
    Reason,
    /// What an administrative entry did.
    Action,
    /// The human who did it.
    By,
    /// The entry's own id, the start of it.
    Id,
    /// For an outcome, its decision's id, the start of it.
    Decision,
    /// The entry of the call that this one was made in, the start of its id.
    Parent,
    /// The resource as a whole, as a keyed digest.
    Resource,
    /// The first segments of the resource, as a keyed digest.
    Prefix,
    /// A limit that the call drew on: its grant, by the start of its digest, and its place in it.
    Drawn,
}

impl Field {
    const ALL: [Self; 17] = [
        Self::Kind,
        Self::Human,
        Self::Agent,
        Self::Via,
        Self::Grant,
        Self::Task,
        Self::Tool,
        Self::Effect,
        Self::Reason,
        Self::Action,
        Self::By,
        Self::Id,
        Self::Decision,
        Self::Parent,
        Self::Resource,
        Self::Prefix,
        Self::Drawn,
    ];

    /// The byte that a term of this field begins with.
    #[must_use]
    pub fn byte(self) -> u8 {
        match self {
            Self::Kind => b'k',
            Self::Human => b'h',
            Self::Agent => b'a',
            Self::Via => b'v',
            Self::Grant => b'g',
            Self::Task => b't',
            Self::Tool => b'o',
            Self::Effect => b'e',
            Self::Reason => b'r',
            Self::Action => b'c',
            Self::By => b'b',
            Self::Id => b'i',
            Self::Decision => b'd',
            Self::Parent => b'p',
            Self::Resource => b's',
            Self::Prefix => b'x',
            Self::Drawn => b'm',
        }
    }
}

/// A field and a value of it.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Term(Box<[u8]>);

impl Term {
    /// A term of a text that stands in a leaf.
    #[must_use]
    pub fn new(field: Field, value: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(value.len() + 1);
        bytes.push(field.byte());
        bytes.extend_from_slice(value);
        Self(bytes.into())
    }

    /// A term of a digest.
    #[must_use]
    pub fn digest(field: Field, digest: &Digest) -> Self {
        let bytes = if field == Field::Grant { GRANT_BYTES } else { KEYED_BYTES };
        Self::new(field, digest.get(..bytes).unwrap_or_default())
    }

    /// A term of a limit of a grant; `place` is its capability's and its own, as a leaf has it.
    #[must_use]
    pub fn drawn(grant: &Digest, place: &[u8]) -> Self {
        let grant = grant.get(..GRANT_BYTES).unwrap_or_default();
        Self::new(Field::Drawn, &[grant, place].concat())
    }

    /// From what a table holds.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Self {
        Self(bytes.into())
    }

    /// Its bytes: the field's, then the value's.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// The field.
    #[must_use]
    pub fn field(&self) -> Option<Field> {
        let first = *self.0.first()?;
        Field::ALL.into_iter().find(|field| field.byte() == first)
    }

    /// The value, if it is text.
    #[must_use]
    pub fn text(&self) -> Option<&str> {
        std::str::from_utf8(self.0.get(1..)?).ok()
    }
}

impl fmt::Debug for Term {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<term>")
    }
}

/// The term of an entry's id, in the sense of `field`; `None` for text that is no entry's id.
#[must_use]
pub fn id_term(field: Field, id: &str) -> Option<Term> {
    let id: crate::principal::EntryId = id.parse().ok()?;
    Some(Term::new(field, id.as_bytes().get(..ID_BYTES)?))
}

/// Every text that begins a resource, segment by segment: of `a/b/c` these are nothing, `a` and
/// `a/b`. A URL's begin with its host.
pub fn prefixes(resource: &str) -> impl Iterator<Item = &str> {
    let parts = resource.match_indices('/').filter_map(move |(at, _)| resource.get(..at));
    std::iter::once("").chain(parts.filter(|text| is_prefix(text)))
}

/// What a pattern's resources all begin with, as one of [`prefixes`], or all of the only one.
#[derive(Debug, PartialEq, Eq)]
pub enum Reach<'a> {
    /// This resource and no other.
    One(&'a str),
    /// All that begin so, and no other.
    Below(&'a str),
    /// Some of those that begin so.
    Among(&'a str),
}

/// What the resources of a pattern begin with.
#[must_use]
pub fn reach(pattern: &ResourcePattern) -> Reach<'_> {
    let text = pattern.as_str();
    let Some(star) = text.find('*') else { return Reach::One(text) };
    let start = text.get(..star).unwrap_or_default();
    let Some(prefix) = start.rfind('/').and_then(|slash| start.get(..slash)) else {
        return if text == "**" { Reach::Below("") } else { Reach::Among("") };
    };
    if !is_prefix(prefix) {
        return Reach::Among("");
    }
    let rest = text.get(prefix.len()..).unwrap_or_default();
    if rest == "/**" { Reach::Below(prefix) } else { Reach::Among(prefix) }
}

/// Of a URL, `url:https:` and `url:https:/` say nothing.
fn is_prefix(text: &str) -> bool {
    let whole = !text.starts_with("url:") || text.contains("//");
    whole && !text.ends_with('/')
}

/// The limits that a decision drew on: the grant, and the limit's place in it.
fn drawn<'a>(keys: &[(&'a str, Raw<'a>)]) -> Vec<(&'a Digest, &'a [u8])> {
    let get = |name: &str| keys.iter().find(|(key, _)| *key == name).map(|(_, raw)| *raw);
    let Some(draws) = get("draws").and_then(Raw::bytes) else { return Vec::new() };
    let chain: Vec<&Digest> = get("chain")
        .into_iter()
        .flat_map(Raw::items)
        .filter_map(|item| item.bytes()?.try_into().ok())
        .collect();
    let draws = draws.chunks_exact(DRAW_BYTES).filter_map(|draw| {
        let (hop, place) = draw.split_first()?;
        Some((*chain.get(usize::from(*hop))?, place))
    });
    draws.collect()
}

/// The terms of a leaf, without those of its resource. `agent_of` answers the agent that holds a
/// grant, by the grant's digest.
pub fn terms_of<'a>(
    keys: &[(&'a str, Raw<'a>)],
    agent_of: &mut dyn FnMut(&Digest) -> Option<Box<str>>,
    each: &mut dyn FnMut(Term),
) {
    let is = |kind: &str| keys.iter().any(|(key, raw)| *key == "kind" && raw.text() == Some(kind));
    let (decision, outcome) = (is(kind::DECISION), is(kind::OUTCOME));
    let mut text = |field: Field, raw: Raw<'_>| {
        if let Some(text) = raw.text() {
            each(Term::new(field, text.as_bytes()));
        }
    };
    for (key, raw) in keys {
        match *key {
            "kind" => text(Field::Kind, *raw),
            "human" => text(Field::Human, *raw),
            "agent" => text(Field::Agent, *raw),
            "task" => text(Field::Task, *raw),
            "tool" if decision => text(Field::Tool, *raw),
            "effect" => text(Field::Effect, *raw),
            "action" => text(Field::Action, *raw),
            "by" => text(Field::By, *raw),
            "reasons" => raw.items().for_each(|code| text(Field::Reason, code)),
            _ => {}
        }
    }
    for (grant, place) in drawn(keys) {
        each(Term::drawn(grant, place));
    }
    for (key, raw) in keys {
        let id = |field: Field| raw.text().and_then(|text| id_term(field, text));
        match *key {
            "id" => id(Field::Id).into_iter().for_each(&mut *each),
            "decision" if outcome => id(Field::Decision).into_iter().for_each(&mut *each),
            "parent" => id(Field::Parent).into_iter().for_each(&mut *each),
            "digest" => {
                if let Some(digest) = raw.bytes().and_then(|bytes| bytes.try_into().ok()) {
                    each(Term::digest(Field::Grant, digest));
                }
            }
            "chain" => {
                for digest in raw.items() {
                    let digest = digest.bytes().and_then(|bytes| <&Digest>::try_from(bytes).ok());
                    let Some(digest) = digest else { continue };
                    each(Term::digest(Field::Grant, digest));
                    if let Some(agent) = agent_of(digest) {
                        each(Term::new(Field::Via, agent.as_bytes()));
                    }
                }
            }
            _ => {}
        }
    }
}
