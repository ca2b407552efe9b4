//! Signed statements: PASETO v4.public with an exact footer and an implicit assertion.
//!
//! Each use of a key has its own implicit assertion, so that a statement made for one purpose can
//! never be read as another. A statement is identified by the SHA-256 of its PAE, never by its
//! text or its signature, of which a signer can make many.

use pasetors::Public;
use pasetors::keys::AsymmetricPublicKey;
use pasetors::token::UntrustedToken;
use pasetors::version4::{PublicToken, V4};

use super::{KeyError, PublicKey, SecretKey};
use crate::canonical::{Digest, pae, sha256};

/// The longest token that is looked at, in bytes.
pub const MAX_TOKEN_BYTES: usize = 16 * 1024;

const HEADER: &str = "v4.public.";

/// A statement whose signature was checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Statement {
    /// The payload: UTF-8 text, not parsed yet.
    pub payload: String,
    /// The footer; empty if there was none.
    pub footer: Vec<u8>,
    /// SHA-256 of PAE(header, payload, footer, implicit assertion): the statement's identity.
    pub digest: Digest,
}

/// Signs a payload (PASETO version 4, section "Sign").
///
/// # Errors
/// `Token` for an empty payload or one that makes the token larger than [`MAX_TOKEN_BYTES`].
pub fn sign(
    key: &SecretKey,
    payload: &str,
    footer: &[u8],
    assertion: &str,
) -> Result<(String, Digest), KeyError> {
    let footer_given = (!footer.is_empty()).then_some(footer);
    let token = PublicToken::sign(
        &key.paseto,
        payload.as_bytes(),
        footer_given,
        Some(assertion.as_bytes()),
    )
    .map_err(|_| KeyError::Token("the payload is empty"))?;
    if token.len() > MAX_TOKEN_BYTES {
        return Err(KeyError::Token("it would be larger than 16 KiB"));
    }
    Ok((token, statement_digest(payload, footer, assertion)))
}

/// Checks form, size and signature (PASETO version 4, section "Verify").
///
/// # Errors
/// `Token` for anything but one v4.public token in its only accepted spelling, `Signature` if it
/// does not verify.
pub fn verify(key: &PublicKey, token: &str, assertion: &str) -> Result<Statement, KeyError> {
    let untrusted = parse(token)?;
    let key = AsymmetricPublicKey::<V4>::from(key.as_bytes())
        .map_err(|_| KeyError::Malformed("a key has 32 bytes"))?;
    let footer = untrusted.untrusted_footer().to_vec();
    let payload = PublicToken::verify(&key, &untrusted, None, Some(assertion.as_bytes()))
        .map_err(|_| KeyError::Signature)?
        .payload()
        .to_owned();
    let digest = statement_digest(&payload, &footer, assertion);
    Ok(Statement { payload, footer, digest })
}

/// The footer of a token that was not verified; only for finding the key to verify with.
///
/// # Errors
/// `Token` for anything but one v4.public token in its only accepted spelling.
pub fn untrusted_footer(token: &str) -> Result<Vec<u8>, KeyError> {
    Ok(parse(token)?.untrusted_footer().to_vec())
}

fn parse(token: &str) -> Result<UntrustedToken<Public, V4>, KeyError> {
    if token.len() > MAX_TOKEN_BYTES {
        return Err(KeyError::Token("it is larger than 16 KiB"));
    }
    if !token.is_ascii() {
        return Err(KeyError::Token("it holds characters outside base64url"));
    }
    let body = token.strip_prefix(HEADER).ok_or(KeyError::Token("it does not start with it"))?;
    // An empty footer part verifies too: one statement must have one spelling.
    match body.split_once('.') {
        Some((_, "")) => return Err(KeyError::Token("its footer part is empty")),
        Some((_, footer)) if footer.contains('.') => {
            return Err(KeyError::Token("it has too many parts"));
        }
        _ => {}
    }
    UntrustedToken::<Public, V4>::try_from(token)
        .map_err(|_| KeyError::Token("its parts are not strict base64url of enough bytes"))
}

fn statement_digest(payload: &str, footer: &[u8], assertion: &str) -> Digest {
    sha256(&pae(&[HEADER.as_bytes(), payload.as_bytes(), footer, assertion.as_bytes()]))
}
