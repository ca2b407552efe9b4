//! The authority's statement: origin and checkpoint key, signed by the authority's root key.

use serde::Deserialize;

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
    at: String,
}

/// Checks a statement; returns the checkpoint key and when it was stated.
pub(super) fn check(
    authority: &PublicKey,
    origin: &str,
    token: &str,
) -> Result<(NoteKey, i64), Refused> {
    let other = |what: &str| Refused::Other(format!("the authority's statement: {what}"));
    let assertion = format!("answerable/v1/authority/{}", authority.id());
    let statement = keys::verify(authority, token, &assertion)
        .map_err(|error| other(&format!("it does not verify: {error}")))?;
    if !statement.footer.is_empty() {
        return Err(other("it has a footer"));
    }
    let payload: Payload = serde_json::from_str(&statement.payload)
        .map_err(|_| other("its payload is not of the form"))?;
    if payload.v != 1 {
        return Err(other("it is of another version"));
    }
    if payload.authority != authority.paserk() {
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
    Ok((key, at))
}
