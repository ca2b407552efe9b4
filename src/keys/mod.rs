//! Keys: Ed25519 for statements, symmetric for sealing, and where the master key comes from.
//!
//! This folder is the only place that names PASETO libraries. Public keys and ids are written as
//! PASERK (`k4.public`, `k4.pid`); secret keys never leave as text except sealed.

mod master;
mod ring;
mod seal;
mod token;

pub use master::{MasterKey, check_private_file, replace_private_file, write_private_file};
pub use ring::{KeyRing, LoadWrapped, Owner, unwrap_key, wrap_key};
pub use seal::SealKey;
pub use token::{MAX_TOKEN_BYTES, Statement, sign, untrusted_footer, verify};

use std::fmt;

use pasetors::keys::{AsymmetricPublicKey, AsymmetricSecretKey};
use pasetors::paserk::{FormatAsPaserk, Id};
use pasetors::version4::V4;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};
use zeroize::Zeroizing;

/// Why a key or a signed or sealed text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeyError {
    /// Not a key in the form expected.
    #[error("not a usable key: {0}")]
    Malformed(&'static str),
    /// A key of small order, under which anybody can make signatures.
    #[error("the public key is weak: its order is small, so anybody could sign for it")]
    Weak,
    /// Not a v4.public token of the accepted form and size.
    #[error("not a v4.public token: {0}")]
    Token(&'static str),
    /// The signature does not match key, bytes and purpose.
    #[error("the signature does not verify under this key for this purpose")]
    Signature,
    /// A sealed value does not open.
    #[error("a sealed value does not open: the key is another one, or the bytes were changed")]
    Sealed,
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: {0}")]
    Random(String),
    /// A key file that others can read or replace, or that is not there.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: String,
        /// What is wrong and what to do.
        what: String,
    },
}

/// Random bytes from the operating system.
///
/// # Errors
/// `Random` if there are none.
pub fn random<const N: usize>() -> Result<[u8; N], KeyError> {
    let mut bytes = [0; N];
    getrandom::fill(&mut bytes).map_err(|error| KeyError::Random(error.to_string()))?;
    Ok(bytes)
}

/// Random bytes for ids and salts, fetched from the operating system by the page: a system call
/// for each would be felt. Each byte is given out once.
#[derive(Default)]
pub struct RandomPool(parking_lot::Mutex<Vec<u8>>);

impl RandomPool {
    const PAGE: usize = 4_096;

    /// The next random bytes.
    ///
    /// # Errors
    /// `Random` if the operating system gives none.
    pub fn take<const N: usize>(&self) -> Result<[u8; N], KeyError> {
        let mut page = self.0.lock();
        if page.len() < N {
            page.resize(Self::PAGE.max(N), 0);
            if let Err(error) = getrandom::fill(&mut page) {
                page.clear();
                return Err(KeyError::Random(error.to_string()));
            }
        }
        let rest = page.len() - N;
        let mut bytes = [0; N];
        for (byte, from) in bytes.iter_mut().zip(page.drain(rest..)) {
            *byte = from;
        }
        Ok(bytes)
    }
}

/// An Ed25519 public key: canonical and not of small order.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct PublicKey([u8; 32]);

impl PublicKey {
    /// From its 32 bytes (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// `Malformed` if they encode no point canonically, `Weak` for a point of small order.
    pub fn from_bytes(bytes: [u8; 32]) -> Result<Self, KeyError> {
        let point = ed25519_dalek::VerifyingKey::from_bytes(&bytes)
            .map_err(|_| KeyError::Malformed("the 32 bytes are not a point of the curve"))?;
        if point.is_weak() {
            return Err(KeyError::Weak);
        }
        if !canonical_y(&bytes) {
            return Err(KeyError::Malformed("the point is not in its canonical form"));
        }
        Ok(Self(bytes))
    }

    /// From PASERK text, `k4.public.…`.
    ///
    /// # Errors
    /// As [`PublicKey::from_bytes`], and `Malformed` for any other text.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        let key = AsymmetricPublicKey::<V4>::try_from(text)
            .map_err(|_| KeyError::Malformed("expected text such as `k4.public.…` (PASERK)"))?;
        let bytes = key.as_bytes().try_into();
        Self::from_bytes(bytes.map_err(|_| KeyError::Malformed("a key has 32 bytes"))?)
    }

    /// The 32 bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8; 32] {
        &self.0
    }

    /// The PASERK text, `k4.public.…`.
    #[must_use]
    pub fn paserk(&self) -> String {
        let mut text = String::new();
        if let Ok(key) = self.paseto() {
            // INVARIANT: writing to a String cannot fail.
            let _ = key.fmt(&mut text);
        }
        text
    }

    /// The PASERK id, `k4.pid.…` (51 characters).
    #[must_use]
    pub fn id(&self) -> String {
        let mut text = String::new();
        if let Ok(key) = self.paseto() {
            let _ = Id::from(&key).fmt(&mut text);
        }
        text
    }

    fn paseto(&self) -> Result<AsymmetricPublicKey<V4>, KeyError> {
        AsymmetricPublicKey::<V4>::from(&self.0)
            .map_err(|_| KeyError::Malformed("a key has 32 bytes"))
    }
}

/// Whether the y coordinate is below the field's prime, 2^255 - 19.
fn canonical_y(bytes: &[u8; 32]) -> bool {
    let mut high_to_low = bytes.iter().rev();
    let top = high_to_low.next().map_or(0, |b| b & 0x7f);
    if top != 0x7f {
        return true;
    }
    let low = bytes.first().copied().unwrap_or(0);
    let middle = high_to_low.take(30).all(|b| *b == 0xff);
    !(middle && low >= 0xed)
}

impl fmt::Display for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.paserk())
    }
}

impl fmt::Debug for PublicKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.paserk())
    }
}

impl Serialize for PublicKey {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.paserk())
    }
}

impl<'de> Deserialize<'de> for PublicKey {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

/// An Ed25519 secret key; overwritten when dropped, never shown.
#[derive(Clone)]
pub struct SecretKey {
    paseto: AsymmetricSecretKey<V4>,
    public: PublicKey,
}

impl SecretKey {
    /// A new key.
    ///
    /// # Errors
    /// `Random` if the operating system gives no random bytes.
    pub fn generate() -> Result<Self, KeyError> {
        Self::from_seed(&Zeroizing::new(random()?))
    }

    /// From the 32-byte seed (RFC 8032, section 5.1.5).
    ///
    /// # Errors
    /// `Malformed` for the all-zero seed, which is a mistake and not a key.
    pub fn from_seed(seed: &[u8; 32]) -> Result<Self, KeyError> {
        if seed.iter().all(|byte| *byte == 0) {
            return Err(KeyError::Malformed("the seed is all zeros"));
        }
        let public = ed25519_dalek::SigningKey::from_bytes(seed).verifying_key().to_bytes();
        let mut both = Zeroizing::new([0; 64]);
        for (byte, from) in both.iter_mut().zip(seed.iter().chain(&public)) {
            *byte = *from;
        }
        let paseto = AsymmetricSecretKey::<V4>::from(&*both)
            .map_err(|_| KeyError::Malformed("the seed is not accepted"))?;
        Ok(Self { paseto, public: PublicKey::from_bytes(public)? })
    }

    /// From PASERK text, `k4.secret.…`.
    ///
    /// # Errors
    /// `Malformed` for any other text, for the all-zero seed, and where the public half differs.
    pub fn parse(text: &str) -> Result<Self, KeyError> {
        const WRONG: KeyError = KeyError::Malformed("expected text such as `k4.secret.…` (PASERK)");
        // The library panics on the all-zero seed: look before it does.
        let body = text.strip_prefix("k4.secret.").ok_or(WRONG)?;
        let bytes = data_encoding::BASE64URL_NOPAD.decode(body.as_bytes()).map_err(|_| WRONG)?;
        let bytes = Zeroizing::new(bytes);
        let (seed, public) = bytes.split_at_checked(32).ok_or(WRONG)?;
        let seed = Zeroizing::new(<[u8; 32]>::try_from(seed).map_err(|_| WRONG)?);
        let key = Self::from_seed(&seed)?;
        if key.public.as_bytes() != public {
            return Err(KeyError::Malformed("the public half does not belong to the secret one"));
        }
        Ok(key)
    }

    /// The public half.
    #[must_use]
    pub fn public(&self) -> PublicKey {
        self.public
    }

    /// The PASERK text, `k4.secret.…`, for sealing only.
    #[must_use]
    pub fn expose_paserk(&self) -> Zeroizing<String> {
        let mut text = Zeroizing::new(String::with_capacity(100));
        let _ = self.paseto.fmt(&mut *text);
        text
    }

    /// The seed, for signers other than PASETO's.
    #[must_use]
    pub fn expose_seed(&self) -> Zeroizing<[u8; 32]> {
        let mut seed = Zeroizing::new([0; 32]);
        for (byte, from) in seed.iter_mut().zip(self.paseto.as_bytes()) {
            *byte = *from;
        }
        seed
    }
}

impl fmt::Debug for SecretKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<secret key of {}>", self.public.id())
    }
}

#[cfg(test)]
mod tests;
