//! The authority's statement: origin and checkpoint key, signed by the authority's root key.

use serde::{Deserialize, Deserializer};

use super::bytes::instant;
use super::note::NoteKey;
use crate::keys::{self, PublicKey};

pub(super) enum Refused {
    /// It names another authority.
    Authority(String),
    /// Anything else.
    Other(String),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Payload {
    v: u64,
    origin: String,
    authority: String,
    checkpoint_key: String,
    #[serde(default, deserialize_with = "text")]
    until: Option<String>,
    at: String,
}

/// Text where the key is there: null is not the same as no key.
fn text<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<String>, D::Error> {
    String::deserialize(deserializer).map(Some)
}

/// What a statement puts in force.
pub(super) struct Stated {
    /// The checkpoint key.
    pub(super) checkpoint: NoteKey,
    /// When it was stated.
    pub(super) at: i64,
    /// The authority's next key, where it replaces its own.
    pub(super) next: Option<PublicKey>,
}

/// Checks a statement by the authority's key in force; `authority_id` is that of its first one.
pub(super) fn check(
    authority: &PublicKey,
    authority_id: &str,
    token: &str,
) -> Result<Stated, Refused> {
    let origin = format!("answerable/{authority_id}");
    let other = |what: &str| Refused::Other(format!("the authority's statement: {what}"));
    let assertion = format!("answerable/v1/authority/{authority_id}");
    let statement = keys::verify(authority, token, &assertion)
        .map_err(|error| other(&format!("it does not verify: {error}")))?;
    if !statement.footer.is_empty() {
        return Err(other("it has a footer"));
    }
    let payload: Payload = serde_json::from_str(&statement.payload)
        .map_err(|_| other("its payload is not of the form"))?;
    let next = match (payload.v, &payload.until) {
        (1, None) => None,
        (2, Some(until)) => {
            instant(until).ok_or_else(|| other("the end of its overlap is not of the form"))?;
            let key = PublicKey::parse(&payload.authority);
            let key = key.map_err(|_| other("the next key is not usable"))?;
            Some(key)
        }
        (1 | 2, _) => return Err(other("its payload is not of the form")),
        _ => return Err(other("it is of another version")),
    };
    if next.is_none() && payload.authority != authority.paserk() {
        return Err(Refused::Authority(payload.authority));
    }
    if payload.origin != origin {
        return Err(other("it names another origin"));
    }
    let key = NoteKey::parse(&payload.checkpoint_key);
    let key = key.ok_or_else(|| other("its checkpoint key is not usable"))?;
    if key.name != origin {
        return Err(other("its checkpoint key is named after another origin"));
    }
    let at = instant(&payload.at).ok_or_else(|| other("its time is not of the form"))?;
    Ok(Stated { checkpoint: key, at, next })
}
