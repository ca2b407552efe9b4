//! The vault's values: secrets, their names, and what keeps them out of every record.
//!
//! Pure: what is stored, leased and recorded is decided in the registry and the engine. A secret is
//! sealed as PASETO v4.local (XChaCha20 and a BLAKE2b MAC) with authority, name and version as
//! implicit assertion, and lies in memory only where it is overwritten when dropped.

mod hashing;
mod known;
mod names;
mod patterns;
mod redact;
mod spellings;

pub use redact::{Redactor, scrub_everywhere};

use std::fmt;

use data_encoding::BASE64URL_NOPAD;
use zeroize::{Zeroize, Zeroizing};

/// The shortest secret, in bytes: a shorter one cannot be told from other text.
pub const MIN_SECRET: usize = 6;
/// The longest secret, in bytes.
pub const MAX_SECRET: usize = 32 * 1024;
/// The longest name of a credential, in bytes.
const MAX_NAME: usize = 64;

/// Why a secret or a name was refused. No message holds what was given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum VaultError {
    /// Not a credential's name.
    #[error("a credential's name has 1 to 64 of `A-Z a-z 0-9 . _ -` and begins with a letter")]
    Name,
    /// Too short to be kept out of records.
    #[error("a secret has at least 6 bytes; a shorter one cannot be told from other text")]
    Short,
    /// Too long to be stored.
    #[error("a secret has at most 32 KiB; store a key to it instead")]
    Long,
    /// What was opened is no secret.
    #[error("a sealed secret opens to something else")]
    Damaged,
}

/// Checks a credential's name.
///
/// # Errors
/// `Name`.
pub fn check_name(name: &str) -> Result<(), VaultError> {
    let fits = |c: char| c.is_ascii_alphanumeric() || matches!(c, '.' | '_' | '-');
    let begins = name.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
    if begins && name.len() <= MAX_NAME && name.chars().all(fits) {
        Ok(())
    } else {
        Err(VaultError::Name)
    }
}

/// A secret: text or bytes, overwritten when dropped, never shown.
#[derive(Clone)]
pub struct Secret {
    bytes: Zeroizing<Vec<u8>>,
    text: bool,
}

impl Secret {
    /// From text.
    ///
    /// # Errors
    /// `Short` or `Long`.
    pub fn text(text: &str) -> Result<Self, VaultError> {
        Self::checked(Zeroizing::new(text.as_bytes().to_vec()), true)
    }

    /// From bytes.
    ///
    /// # Errors
    /// `Short` or `Long`.
    pub fn bytes(bytes: &[u8]) -> Result<Self, VaultError> {
        Self::checked(Zeroizing::new(bytes.to_vec()), false)
    }

    fn checked(bytes: Zeroizing<Vec<u8>>, text: bool) -> Result<Self, VaultError> {
        match bytes.len() {
            length if length < MIN_SECRET => Err(VaultError::Short),
            length if length > MAX_SECRET => Err(VaultError::Long),
            _ => Ok(Self { bytes, text }),
        }
    }

    /// Its bytes.
    #[must_use]
    pub fn expose(&self) -> &[u8] {
        &self.bytes
    }

    /// Its text, if it was given as text.
    #[must_use]
    pub fn expose_text(&self) -> Option<&str> {
        if self.text { std::str::from_utf8(&self.bytes).ok() } else { None }
    }

    /// What is sealed: `t` or `b` for its form, then base64url.
    #[must_use]
    pub fn to_sealable(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(self.bytes.len() * 4 / 3 + 8));
        text.push(if self.text { 't' } else { 'b' });
        BASE64URL_NOPAD.encode_append(&self.bytes, &mut text);
        text
    }

    /// From what [`Secret::to_sealable`] gave.
    ///
    /// # Errors
    /// `Damaged` for anything else.
    pub fn from_sealable(text: &str) -> Result<Self, VaultError> {
        let (form, body) = text.split_at_checked(1).ok_or(VaultError::Damaged)?;
        let mut bytes = BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| VaultError::Damaged)?;
        let secret = match form {
            "t" if std::str::from_utf8(&bytes).is_ok() => {
                Ok(Self { bytes: Zeroizing::new(std::mem::take(&mut bytes)), text: true })
            }
            "b" => Ok(Self { bytes: Zeroizing::new(std::mem::take(&mut bytes)), text: false }),
            _ => Err(VaultError::Damaged),
        };
        bytes.zeroize();
        secret
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<secret>")
    }
}

/// What a sealed secret is bound to, beside its key.
#[must_use]
pub fn record_name(authority: &str, name: &str, version: u32) -> String {
    format!("credential/{authority}/{name}/{version}")
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_comes_back_as_it_was_given() {
        let text = Secret::text("sk-überlang").unwrap();
        let back = Secret::from_sealable(&text.to_sealable()).unwrap();
        assert_eq!(back.expose_text(), Some("sk-überlang"));
        let bytes = Secret::bytes(&[0, 255, 1, 2, 3, 4, 5]).unwrap();
        let back = Secret::from_sealable(&bytes.to_sealable()).unwrap();
        assert_eq!((back.expose(), back.expose_text()), (&[0, 255, 1, 2, 3, 4, 5][..], None));
        assert_eq!(format!("{back:?}"), "<secret>");
    }

    #[test]
    fn what_is_no_secret_is_refused() {
        assert_eq!(Secret::text("short").unwrap_err(), VaultError::Short);
        assert_eq!(Secret::bytes(&vec![1; MAX_SECRET + 1]).unwrap_err(), VaultError::Long);
        for damaged in ["", "x", "tIiI=", "t_w", "zAAAA", "t!!"] {
            assert_eq!(
                Secret::from_sealable(damaged).unwrap_err(),
                VaultError::Damaged,
                "{damaged}"
            );
        }
    }

    #[test]
    fn names_are_plain() {
        for good in ["bank-api", "a", "Bank.v2_x"] {
            assert_eq!(check_name(good), Ok(()));
        }
        let long = "a".repeat(65);
        for bad in ["", "1a", "-a", "a b", "a/b", "ä", "a\n", &long] {
            assert_eq!(check_name(bad), Err(VaultError::Name), "{bad}");
        }
    }
}
