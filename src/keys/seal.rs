//! Sealing: PASETO v4.local (XChaCha20 and a BLAKE2b MAC), stored without header and base64.

use data_encoding::BASE64URL_NOPAD;
use orion::errors::UnknownCryptoError;
use orion::hazardous::mac::blake2b;
use orion::hazardous::stream::xchacha20;
use pasetors::keys::SymmetricKey;
use pasetors::version4::{LocalToken, V4};
use zeroize::Zeroizing;

use super::{KeyError, random};
use crate::canonical::{Digest, keyed_digest};

const HEADER: &str = "v4.local.";
/// How long a token's nonce and tag are, in bytes.
const NONCE: usize = 32;
const TAG: usize = 32;

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
        let text = self.open_bytes(sealed, assertion.as_bytes()).map_err(|_| KeyError::Sealed)?;
        // A copy of the bytes is not left behind.
        String::from_utf8(text).map(Zeroizing::new).map_err(|error| {
            drop(Zeroizing::new(error.into_bytes()));
            KeyError::Sealed
        })
    }

    /// PASETO v4.local, section "Decrypt", of a token's bytes: nonce, ciphertext, tag. pasetors
    /// takes tokens as text alone, and most of opening went into the base64 of it; the tests hold
    /// this against pasetors.
    fn open_bytes(&self, sealed: &[u8], assertion: &[u8]) -> Result<Vec<u8>, UnknownCryptoError> {
        let (nonce, rest) = sealed.split_first_chunk::<NONCE>().ok_or(UnknownCryptoError)?;
        let (text, tag) = rest.split_last_chunk::<TAG>().ok_or(UnknownCryptoError)?;
        if text.is_empty() {
            return Err(UnknownCryptoError);
        }
        let key = blake2b::SecretKey::try_from(self.0.as_slice())?;
        let split = mac(&key, NONCE + 24, &[b"paseto-encryption-key", nonce])?;
        let (key_bytes, counter) =
            split.unprotected_as_ref().split_first_chunk::<32>().ok_or(UnknownCryptoError)?;
        let stream_key = xchacha20::SecretKey::try_from(key_bytes.as_slice())?;
        let stream_nonce = xchacha20::Nonce::try_from(counter)?;
        let auth = mac(&key, 32, &[b"paseto-auth-key-for-aead", nonce])?;
        let auth = blake2b::SecretKey::try_from(auth.unprotected_as_ref())?;
        // The pre-authentication encoding of header, nonce, ciphertext, footer and assertion.
        let pieces: [&[u8]; 5] = [HEADER.as_bytes(), nonce, text, b"", assertion];
        let mut check = blake2b::Blake2b::new(&auth, TAG)?;
        check.update(&(pieces.len() as u64).to_le_bytes())?;
        for piece in pieces {
            check.update(&(piece.len() as u64).to_le_bytes())?;
            check.update(piece)?;
        }
        // Tags are compared in constant time.
        if check.finalize()? != blake2b::Tag::try_from(tag.as_slice())? {
            return Err(UnknownCryptoError);
        }
        let mut text = text.to_vec();
        xchacha20::XChaCha20::new(&stream_key, &stream_nonce).xor_keystream_into(&mut text)?;
        Ok(text)
    }
}

fn mac(
    key: &blake2b::SecretKey,
    size: usize,
    parts: &[&[u8]],
) -> Result<blake2b::Tag, UnknownCryptoError> {
    let mut state = blake2b::Blake2b::new(key, size)?;
    for part in parts {
        state.update(part)?;
    }
    state.finalize()
}

impl std::fmt::Debug for SealKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("<seal key>")
    }
}
