//! Grants: one signed statement each, PASETO v4.public, read strictly.
//!
//! A root grant is signed by the authority for a human; every other by the agent that delegates.
//! `docs/formats.md`, section "Grants", is normative for the payload.

mod error;
mod wire;

pub use error::GrantError;
use wire::{base64url, base64url_option, seconds};

use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use serde::{Deserialize, Deserializer, Serialize, de};

use crate::canonical::{Digest, digest, whole_numbers_fit};
use crate::clock::render_seconds;
use crate::keys::{self, KeyError, PublicKey, SecretKey, random};
use crate::principal::{AgentId, Assurance, GrantId, HumanId, TaskId};
use crate::scope::{Limit, MAX_LIMITS, Scope};

/// The payload format that this version writes and reads.
pub const FORMAT: u8 = 1;
/// The longest task or statement, in bytes.
pub const MAX_STATEMENT_BYTES: usize = 4 * 1024;

/// The task a chain was issued for, as it stands in every hop.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct TaskRef {
    /// The task.
    pub id: TaskId,
    /// Commitment to its sentence, under the root grant's nonce.
    #[serde(with = "base64url")]
    pub commitment: Digest,
}

/// Who holds a grant: an agent, and the key it signs with.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holder {
    /// The agent.
    pub agent: AgentId,
    /// Its public key.
    pub key: PublicKey,
}

/// The signed payload. Field order here is the order in which it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Payload {
    /// The format, [`FORMAT`].
    pub v: u8,
    /// The grant's id.
    pub id: GrantId,
    /// 16 random bytes that stand nowhere else.
    #[serde(with = "base64url")]
    pub nonce: [u8; 16],
    /// The human accountable.
    pub human: HumanId,
    /// How sure the authority was of the human.
    #[serde(deserialize_with = "word")]
    pub assurance: Assurance,
    /// The chain's task.
    #[serde(deserialize_with = "object")]
    pub task: TaskRef,
    /// Digest of the parent grant's PAE; absent in a root grant.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "base64url_option")]
    pub parent: Option<Digest>,
    /// Commitment to this hop's own statement, under its own nonce.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "base64url_option")]
    pub statement: Option<Digest>,
    /// Who holds it.
    #[serde(deserialize_with = "object")]
    pub holder: Holder,
    /// 0 for a root grant, its parent's plus 1 for others.
    pub depth: u8,
    /// The greatest depth below.
    pub max_depth: u8,
    /// When it starts, in whole seconds.
    #[serde(with = "seconds")]
    pub iat: i64,
    /// When it ends, in whole seconds: not valid at this instant any more.
    #[serde(with = "seconds")]
    pub exp: i64,
    /// What it allows.
    pub scope: Scope,
    /// Limits over all its capabilities.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub limits: Vec<Limit>,
}

/// What the parties agree on when a grant is made.
#[derive(Debug, Clone)]
pub struct Terms {
    /// Who will hold it.
    pub holder: Holder,
    /// What it allows.
    pub scope: Scope,
    /// Limits over all its capabilities.
    pub limits: Vec<Limit>,
    /// When it starts, in microseconds; rounded down to the second.
    pub from: i64,
    /// When it ends, in microseconds; rounded down to the second.
    pub until: i64,
    /// How many further hops may follow.
    pub further_hops: u8,
    /// This hop's own statement; for a root grant the task's sentence is given apart.
    pub statement: Option<String>,
}

/// One grant whose signature was checked: a hop of a chain.
#[derive(Debug, Clone, PartialEq)]
pub struct Grant {
    /// What was signed.
    pub payload: Payload,
    /// SHA-256 of its PAE: its identity.
    pub digest: Digest,
    /// The token.
    pub token: Arc<str>,
}

/// The implicit assertion of every grant under one authority.
#[must_use]
pub fn assertion(authority_id: &str) -> String {
    format!("answerable/v1/grant/{authority_id}")
}

/// The commitment to a task's sentence or a hop's statement.
#[must_use]
pub fn statement_commitment(nonce: &[u8; 16], text: &str) -> Digest {
    digest("answerable/v1/statement", &[nonce, text.as_bytes()])
}

impl Grant {
    /// Signs a root grant for a human, with the authority's first key.
    ///
    /// # Errors
    /// As [`Grant::sign_root_for`].
    pub fn sign_root(
        authority: &SecretKey,
        human: HumanId,
        assurance: Assurance,
        task: TaskId,
        sentence: &str,
        terms: Terms,
    ) -> Result<Self, GrantError> {
        let id = authority.public().id();
        Self::sign_root_for(authority, &id, human, assurance, task, sentence, terms)
    }

    /// Signs a root grant for a human, with a key of the authority that goes by this id.
    ///
    /// # Errors
    /// `TimeReversed` if it would end before it starts, `TooLarge` over 16 KiB.
    pub fn sign_root_for(
        authority: &SecretKey,
        authority_id: &str,
        human: HumanId,
        assurance: Assurance,
        task: TaskId,
        sentence: &str,
        terms: Terms,
    ) -> Result<Self, GrantError> {
        let nonce = random()?;
        let payload = Payload {
            v: FORMAT,
            id: GrantId::from_bytes(random()?),
            nonce,
            human,
            assurance,
            task: TaskRef { id: task, commitment: statement_commitment(&nonce, sentence) },
            parent: None,
            statement: None,
            holder: terms.holder,
            depth: 0,
            max_depth: terms.further_hops,
            iat: whole_seconds(terms.from),
            exp: whole_seconds(terms.until),
            scope: terms.scope,
            limits: terms.limits,
        };
        Self::sign(authority, payload, &root_footer(&authority.public().id()), authority_id)
    }

    /// Signs a grant below this one with its holder's key, after checking that it is within.
    ///
    /// # Errors
    /// The first way in which it is not within this grant.
    pub fn sign_child(
        &self,
        holder_key: &SecretKey,
        authority_id: &str,
        terms: Terms,
    ) -> Result<Self, GrantError> {
        if holder_key.public() != self.payload.holder.key {
            return Err(GrantError::Signature("the parent's holder"));
        }
        let depth = self
            .payload
            .depth
            .checked_add(1)
            .ok_or(GrantError::TooDeep { depth: u8::MAX, max_depth: self.payload.max_depth })?;
        if terms.statement.as_ref().is_some_and(|text| text.len() > MAX_STATEMENT_BYTES) {
            let what = format!("a statement may have {MAX_STATEMENT_BYTES} bytes");
            return Err(GrantError::TooLarge(what));
        }
        let nonce = random()?;
        let payload = Payload {
            v: FORMAT,
            id: GrantId::from_bytes(random()?),
            nonce,
            human: self.payload.human,
            assurance: self.payload.assurance,
            task: self.payload.task.clone(),
            parent: Some(self.digest),
            statement: terms.statement.as_deref().map(|text| statement_commitment(&nonce, text)),
            holder: terms.holder,
            depth,
            max_depth: depth.saturating_add(terms.further_hops),
            iat: whole_seconds(terms.from).max(self.payload.iat),
            exp: whole_seconds(terms.until),
            scope: terms.scope,
            limits: terms.limits,
        };
        check_link(&self.digest, &self.payload, &payload)?;
        Self::sign(holder_key, payload, b"", authority_id)
    }

    fn sign(
        key: &SecretKey,
        payload: Payload,
        footer: &[u8],
        authority_id: &str,
    ) -> Result<Self, GrantError> {
        check_own(&payload)?;
        let text = serde_json::to_string(&payload)
            .map_err(|error| GrantError::Malformed(error.to_string()))?;
        let (token, digest) = keys::sign(key, &text, footer, &assertion(authority_id)).map_err(
            |error| match error {
                KeyError::Token(what) => GrantError::TooLarge(what.to_owned()),
                other => GrantError::Key(other),
            },
        )?;
        Ok(Self { payload, digest, token: token.into() })
    }

    /// Checks signature and payload of one token; `root` says whether it must be a root grant.
    ///
    /// # Errors
    /// `Malformed`, `Signature`, `HolderKey`, `NewerFormat`, or what its own fields contradict.
    pub fn verify(
        token: &str,
        key: &PublicKey,
        authority_id: &str,
        root: bool,
    ) -> Result<Self, GrantError> {
        let signer = if root { "the authority" } else { "the parent's holder" };
        let statement =
            keys::verify(key, token, &assertion(authority_id)).map_err(|error| match error {
                KeyError::Signature => GrantError::Signature(signer),
                other => GrantError::Malformed(other.to_string()),
            })?;
        let expected = if root { root_footer(&key.id()) } else { Vec::new() };
        if statement.footer != expected {
            return Err(GrantError::Malformed("its footer is not the expected one".to_owned()));
        }
        let payload = parse_payload(&statement.payload)?;
        check_own(&payload)?;
        let is_root = payload.depth == 0 && payload.parent.is_none();
        if root && !is_root {
            return Err(GrantError::DepthMismatch { depth: payload.depth, expected: 0 });
        }
        Ok(Self { payload, digest: statement.digest, token: token.into() })
    }

    /// Whether `text` is the sentence that this grant's task commits to (root grants only).
    #[must_use]
    pub fn task_is(&self, text: &str) -> bool {
        statement_commitment(&self.payload.nonce, text) == self.payload.task.commitment
    }

    /// Whether `text` is this hop's own statement.
    #[must_use]
    pub fn statement_is(&self, text: &str) -> bool {
        self.payload.statement == Some(statement_commitment(&self.payload.nonce, text))
    }
}

/// What a payload must satisfy by itself.
fn check_own(payload: &Payload) -> Result<(), GrantError> {
    if payload.exp <= payload.iat {
        return Err(GrantError::TimeReversed {
            from: shown(payload.iat),
            until: shown(payload.exp),
        });
    }
    if payload.depth > payload.max_depth {
        return Err(GrantError::TooDeep { depth: payload.depth, max_depth: payload.max_depth });
    }
    // Each limit is a counter that every call draws on, here and in all grants below.
    let limits = &payload.limits;
    if limits.len() > MAX_LIMITS {
        let what = format!("a grant may have {MAX_LIMITS} limits, this has {}", limits.len());
        return Err(GrantError::Malformed(what));
    }
    let twice = |(at, limit): (usize, &Limit)| limits.iter().take(at).any(|l| l.same_meter(limit));
    if limits.iter().enumerate().any(twice) {
        return Err(GrantError::Malformed("two of its limits bound the same thing".to_owned()));
    }
    Ok(())
}

/// What a payload must satisfy below its parent, which says `above` and has this digest: checked
/// when delegating and when verifying.
///
/// # Errors
/// The first way in which it is not within.
pub fn check_link(digest: &Digest, above: &Payload, child: &Payload) -> Result<(), GrantError> {
    if child.parent != Some(*digest) {
        return Err(GrantError::ParentMismatch);
    }
    let expected = above.depth.saturating_add(1);
    if child.depth != expected {
        return Err(GrantError::DepthMismatch { depth: child.depth, expected });
    }
    if child.depth > above.max_depth {
        return Err(GrantError::TooDeep { depth: child.depth, max_depth: above.max_depth });
    }
    if child.max_depth > above.max_depth {
        return Err(GrantError::DepthRaised {
            max_depth: child.max_depth,
            parent: above.max_depth,
        });
    }
    if child.human != above.human {
        return Err(GrantError::HumanChanged);
    }
    if child.assurance != above.assurance {
        return Err(GrantError::AssuranceChanged);
    }
    if child.task != above.task {
        return Err(GrantError::TaskChanged);
    }
    if child.iat < above.iat || child.exp > above.exp {
        return Err(GrantError::TimeExtended {
            from: shown(child.iat),
            until: shown(child.exp),
            parent_from: shown(above.iat),
            parent_until: shown(above.exp),
        });
    }
    child.scope.within(&above.scope).map_err(GrantError::ScopeWidened)?;
    // A limit left out is still drawn at the parent; one that is named is not above the parent's.
    for limit in &child.limits {
        if let Some(parent) = above.limits.iter().find(|parent| limit.same_meter(parent))
            && !limit.within(parent)
        {
            return Err(GrantError::LimitRaised {
                limit: limit.to_string(),
                parent: parent.to_string(),
            });
        }
    }
    Ok(())
}

fn parse_payload(text: &str) -> Result<Payload, GrantError> {
    // The format number first, so that a newer grant is refused by its name and not by a field.
    #[derive(Deserialize)]
    struct Version {
        v: u64,
    }
    let malformed = |error: serde_json::Error| {
        let text = error.to_string();
        if text.contains("public key is weak") {
            return GrantError::HolderKey(KeyError::Weak);
        }
        GrantError::Malformed(text)
    };
    // The JSON library reads an array as a struct, and long integers as floats.
    if !text.trim_start().starts_with('{') {
        return Err(GrantError::Malformed("its payload is not an object".to_owned()));
    }
    let Version { v } = serde_json::from_str(text).map_err(malformed)?;
    if v > u64::from(FORMAT) {
        return Err(GrantError::NewerFormat(v));
    }
    whole_numbers_fit(text).map_err(GrantError::Malformed)?;
    if v < u64::from(FORMAT) {
        return Err(GrantError::Malformed(format!("there is no format {v}")));
    }
    serde_json::from_str(text).map_err(malformed)
}

fn root_footer(authority_id: &str) -> Vec<u8> {
    format!(r#"{{"kid":"{authority_id}"}}"#).into_bytes()
}

/// The key id in a root grant's footer, read without any parser.
#[must_use]
pub fn footer_key_id(footer: &[u8]) -> Option<&str> {
    let text = std::str::from_utf8(footer).ok()?;
    let id = text.strip_prefix(r#"{"kid":""#)?.strip_suffix(r#""}"#)?;
    (id.len() == 51 && id.starts_with("k4.pid.")).then_some(id)
}

fn whole_seconds(micros: i64) -> i64 {
    micros - micros.rem_euclid(crate::clock::MICROS)
}

fn shown(micros: i64) -> String {
    render_seconds(micros).unwrap_or_else(|| micros.to_string())
}

/// Reads a struct from an object only: the JSON library would read it from an array too.
fn object<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    struct Object<T>(PhantomData<T>);

    impl<'de, T: Deserialize<'de>> de::Visitor<'de> for Object<T> {
        type Value = T;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: de::MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
            T::deserialize(de::value::MapAccessDeserializer::new(map))
        }
    }

    deserializer.deserialize_map(Object(PhantomData))
}

/// Reads a word from text only: the JSON library would read it from `{"word":null}` too.
fn word<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<T, D::Error> {
    let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
    T::deserialize(de::value::CowStrDeserializer::new(text))
}
