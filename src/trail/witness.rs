//! Witnesses: outside co-signers of checkpoints (C2SP tlog-cosignature, version 1).
//!
//! A cosignature says that, as of a time, this is the largest consistent tree that the witness saw
//! of the log. It is a note's signature line with an algorithm byte of its own.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};

use super::checkpoint::{CheckpointError, MAX_SIGNATURES, SignedCheckpoint, is_name};
use crate::canonical::sha256;
use crate::keys::{PublicKey, SecretKey};

/// The algorithm byte of timestamped Ed25519 cosignatures.
const COSIGNATURE: u8 = 4;

/// A witness's key; overwritten when dropped, never shown.
#[derive(Clone)]
pub struct WitnessKey {
    key: SigningKey,
    verifier: WitnessVerifier,
}

/// The public half: a name and a key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WitnessVerifier {
    name: String,
    key: PublicKey,
}

impl WitnessKey {
    /// From a 32-byte seed and a name, such as `witness.example.com/w1`.
    ///
    /// # Errors
    /// `Name` for a name no note can carry, `Key` for the all-zero seed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, CheckpointError> {
        let key = SecretKey::from_seed(seed)?.public();
        if !is_name(name) {
            return Err(CheckpointError::Name(name.chars().take(60).collect()));
        }
        let verifier = WitnessVerifier { name: name.to_owned(), key };
        Ok(Self { key: SigningKey::from_bytes(seed), verifier })
    }

    /// What verifies its cosignatures.
    #[must_use]
    pub fn verifier(&self) -> &WitnessVerifier {
        &self.verifier
    }

    /// The cosignature line of a checkpoint at a time, in seconds since 1970.
    #[must_use]
    pub fn cosign(&self, checkpoint: &SignedCheckpoint, seconds: u64) -> String {
        let message = message(checkpoint, seconds);
        let mut blob = self.verifier.key_id().to_vec();
        blob.extend_from_slice(&seconds.to_be_bytes());
        blob.extend_from_slice(&self.key.sign(message.as_bytes()).to_bytes());
        format!("\u{2014} {} {}\n", self.verifier.name, BASE64.encode(&blob))
    }
}

impl fmt::Debug for WitnessKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<witness key of {}>", self.verifier.name)
    }
}

impl WitnessVerifier {
    /// From text, `name+hex key id+base64(0x04, key)`.
    ///
    /// # Errors
    /// `VerifierKey` or `Key` with what is wrong.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::VerifierKey;
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("expected `name+key id+key`"));
        };
        let blob = BASE64.decode(key.as_bytes()).map_err(|_| wrong("its key is not base64"))?;
        let bytes = match blob.split_first() {
            Some((&COSIGNATURE, bytes)) => bytes.try_into().ok(),
            _ => None,
        };
        let bytes = bytes.ok_or(wrong("its key is not a witness's Ed25519 key (type 4)"))?;
        if !is_name(name) {
            return Err(CheckpointError::Name(name.chars().take(60).collect()));
        }
        let verifier = Self { name: name.to_owned(), key: PublicKey::from_bytes(bytes)? };
        if HEXLOWER.encode(&verifier.key_id()) != id {
            return Err(wrong("its key id belongs to another name or key"));
        }
        Ok(verifier)
    }

    /// The witness's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first 4 bytes of SHA-256(name, new line, 0x04, key).
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        let mut input = self.name.as_bytes().to_vec();
        input.extend_from_slice(&[b'\n', COSIGNATURE]);
        input.extend_from_slice(self.key.as_bytes());
        let [a, b, c, d, ..] = sha256(&input);
        [a, b, c, d]
    }

    /// Whether a line is of this key's name and id, whatever it is worth.
    fn is_by(&self, line: &str) -> bool {
        let parts = line.trim_end_matches('\n').strip_prefix("\u{2014} ");
        let Some((name, blob)) = parts.and_then(|rest| rest.split_once(' ')) else { return false };
        let blob = BASE64.decode(blob.as_bytes()).unwrap_or_default();
        name == self.name && blob.starts_with(&self.key_id())
    }

    /// When the witness cosigned a checkpoint, in seconds since 1970; `None` if it did not, or
    /// more than one line is by it.
    #[must_use]
    pub fn cosigned(&self, checkpoint: &SignedCheckpoint) -> Option<u64> {
        let id = self.key_id();
        let mut lines = checkpoint
            .signatures()
            .filter(|(name, blob)| *name == self.name && blob.starts_with(&id));
        let (Some((_, blob)), None) = (lines.next(), lines.next()) else { return None };
        let (stamp, signature) = blob.get(4..)?.split_first_chunk::<8>()?;
        let seconds = u64::from_be_bytes(*stamp);
        let signature = Signature::from_slice(signature).ok()?;
        let key = VerifyingKey::from_bytes(self.key.as_bytes()).ok()?;
        key.verify_strict(message(checkpoint, seconds).as_bytes(), &signature).ok()?;
        Some(seconds)
    }
}

impl fmt::Display for WitnessVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = vec![COSIGNATURE];
        blob.extend_from_slice(self.key.as_bytes());
        let id = HEXLOWER.encode(&self.key_id());
        write!(f, "{}+{id}+{}", self.name, BASE64.encode(&blob))
    }
}

/// What a witness signs.
fn message(checkpoint: &SignedCheckpoint, seconds: u64) -> String {
    format!("cosignature/v1\ntime {seconds}\n{}", checkpoint.claimed().body())
}

impl SignedCheckpoint {
    /// The same checkpoint with more signature lines. Without a key they are taken as they are,
    /// into half of the places at most; those that are there already, or that find no room, are
    /// left out. With one only a cosignature by it is taken, in the place of any line of its name
    /// and id.
    ///
    /// # Errors
    /// `Malformed` for lines that are none, for none that is a cosignature by the key, and where
    /// it finds no room.
    pub fn with_signatures(
        &self,
        lines: &str,
        key: Option<&WitnessVerifier>,
    ) -> Result<Self, CheckpointError> {
        if let Some(key) = key {
            return self.with_cosignature(lines, key);
        }
        let mut text = self.text().to_owned();
        let mut count = self.signatures().count();
        for line in lines.split_inclusive('\n') {
            let there = text.split_inclusive('\n').any(|known| known == line);
            if !there && count < MAX_SIGNATURES / 2 {
                text.push_str(line);
                count += 1;
            }
        }
        self.told_by(&text)
    }

    fn with_cosignature(
        &self,
        lines: &str,
        key: &WitnessVerifier,
    ) -> Result<Self, CheckpointError> {
        let mut others = String::with_capacity(self.text().len());
        self.text().split_inclusive('\n').filter(|line| !key.is_by(line)).for_each(|line| {
            others.push_str(line);
        });
        let mut found = Err(CheckpointError::Malformed("no line is a cosignature by the key"));
        for line in lines.split_inclusive('\n').filter(|line| key.is_by(line)) {
            let more = self.told_by(&format!("{others}{line}"))?;
            if key.cosigned(&more).is_some() {
                found = Ok(more);
                break;
            }
        }
        found
    }

    /// This checkpoint as a text with other signature lines tells it.
    fn told_by(&self, text: &str) -> Result<Self, CheckpointError> {
        let more = Self::parse(text)?;
        if more.claimed() == self.claimed() {
            return Ok(more);
        }
        Err(CheckpointError::Malformed("more than signature lines were added"))
    }
}
