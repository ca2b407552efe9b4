//! Sealing: PASETO v4.local (XChaCha20 and a BLAKE2b MAC), stored without header and base64.

use data_encoding::BASE64URL_NOPAD;
use pasetors::Local;
use pasetors::keys::SymmetricKey;
use pasetors::token::UntrustedToken;
use pasetors::version4::{LocalToken, V4};
use zeroize::Zeroizing;

use super::{KeyError, random};
use crate::canonical::{Digest, keyed_digest};

const HEADER: &str = "v4.local.";

/// A 256-bit key for sealing; overwritten when dropped, never shown.
#[derive(Clone)]
pub struct SealKey(Zeroizing<[u8; 32]>);

impl SealKey {
    /// A new random key.
    ///
    /// # Errors
    /// `Random` if the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        Ok(Self(Zeroizing::new(random()?)))
    }

    /// From its 32 bytes.
    #[must_use]
    pub fn from_bytes(bytes: [u8; 32]) -> Self {
        Self(Zeroizing::new(bytes))
    }

    /// A key for one purpose, derived from this one.
    #[must_use]
    pub fn derive(&self, purpose: &str) -> Self {
        Self(Zeroizing::new(keyed_digest(&self.0, "answerable/v1/derive", &[purpose.as_bytes()])))
    }

    /// A keyed digest under this key.
    #[must_use]
    pub fn digest(&self, domain: &str, parts: &[&[u8]]) -> Digest {
        keyed_digest(&self.0, domain, parts)
    }

    /// The 32 bytes as text, to be sealed under another key.
    #[must_use]
    pub fn expose_text(&self) -> Zeroizing<String> {
        Zeroizing::new(BASE64URL_NOPAD.encode(&*self.0))
    }

    /// From the text that [`SealKey::expose_text`] gave.
    ///
    /// # Errors
    /// `Malformed` for any other text.
    pub fn from_text(text: &str) -> Result<Self, KeyError> {
        const WRONG: KeyError = KeyError::Malformed("expected 32 bytes in base64url");
        let bytes = Zeroizing::new(BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| WRONG)?);
        Ok(Self(Zeroizing::new(bytes.as_slice().try_into().map_err(|_| WRONG)?)))
    }

    /// Seals text under an assertion that must be given again to open it: 64 bytes longer than
    /// the text.
    ///
    /// # Errors
    /// `Sealed` for empty text, `Random` without random bytes.
    pub fn seal(&self, text: &str, assertion: &str) -> Result<Vec<u8>, KeyError> {
        let key = SymmetricKey::<V4>::from(&*self.0).map_err(|_| KeyError::Sealed)?;
        let token = LocalToken::encrypt(&key, text.as_bytes(), None, Some(assertion.as_bytes()))
            .map_err(|_| KeyError::Sealed)?;
        let body = token.strip_prefix(HEADER).ok_or(KeyError::Sealed)?;
        BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| KeyError::Sealed)
    }

    /// Opens what [`SealKey::seal`] made.
    ///
    /// # Errors
    /// `Sealed` under another key or assertion, or for changed bytes.
    pub fn open(&self, sealed: &[u8], assertion: &str) -> Result<Zeroizing<String>, KeyError> {
        let key = SymmetricKey::<V4>::from(&*self.0).map_err(|_| KeyError::Sealed)?;
        let token = format!("{HEADER}{}", BASE64URL_NOPAD.encode(sealed));
        let untrusted =
            UntrustedToken::<Local, V4>::try_from(token.as_str()).map_err(|_| KeyError::Sealed)?;
        let trusted = LocalToken::decrypt(&key, &untrusted, None, Some(assertion.as_bytes()))
            .map_err(|_| KeyError::Sealed)?;
        Ok(Zeroizing::new(trusted.payload().to_owned()))
    }
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<seal key>")
    }
}
