//! Checkpoints: C2SP tlog-checkpoint as a C2SP signed note, and the statement that names their key.

use std::fmt;

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, Signer, SigningKey, VerifyingKey};
use serde::Serialize;

use crate::canonical::{Digest, sha256};
use crate::clock::render_instant;
use crate::keys::{self, KeyError, PublicKey, SecretKey};

/// The longest signed note that is looked at, in bytes.
pub const MAX_NOTE_BYTES: usize = 16 * 1024;
/// The most signature lines of a note.
pub const MAX_SIGNATURES: usize = 16;
/// The algorithm byte of Ed25519 in key ids and verifier keys.
const ED25519: u8 = 1;
/// What a signature line starts with: an em dash and a space.
const MARK: &str = "\u{2014} ";

/// Why a checkpoint or its key was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum CheckpointError {
    /// Not a signed note of the accepted form.
    #[error("not a checkpoint: {0}")]
    Malformed(&'static str),
    /// Not a name that a note can carry.
    #[error("`{0}` is not a name of a note's key: it needs text without spaces and `+`")]
    Name(String),
    /// Not a verifier key.
    #[error("not a verifier key: {0}")]
    VerifierKey(&'static str),
    /// The key itself is not usable.
    #[error(transparent)]
    Key(#[from] KeyError),
    /// No signature line is by this key, or more than one.
    #[error("the note has {found} signature lines by `{name}` with this key, expected 1")]
    NotSigned {
        /// The key's name.
        name: String,
        /// How many lines are by it.
        found: usize,
    },
    /// The signature by this key does not verify.
    #[error("the signature by `{0}` does not verify")]
    Signature(String),
    /// The checkpoint is of another log.
    #[error("the checkpoint is of `{found}`, expected `{expected}`")]
    Origin {
        /// The name of the key.
        expected: String,
        /// The origin line.
        found: String,
    },
}

/// What a checkpoint says: this log had this many leaves under this root.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Checkpoint {
    /// The log's name.
    pub origin: String,
    /// How many leaves.
    pub size: u64,
    /// The root over them.
    pub root: Digest,
}

impl Checkpoint {
    /// The three lines that are signed.
    #[must_use]
    pub fn body(&self) -> String {
        format!("{}\n{}\n{}\n", self.origin, self.size, BASE64.encode(&self.root))
    }

    fn parse(body: &str) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::Malformed;
        let mut lines =
            body.strip_suffix('\n').ok_or(wrong("its body ends without a new line"))?.split('\n');
        let origin = lines.next().filter(|line| !line.is_empty());
        let origin = origin.ok_or(wrong("its origin is empty"))?.to_owned();
        let size = lines.next().and_then(decimal);
        let size = size.ok_or(wrong("its size is not a plain decimal number"))?;
        let root = lines.next().and_then(|line| BASE64.decode(line.as_bytes()).ok());
        let root = root.and_then(|bytes| bytes.try_into().ok());
        let root = root.ok_or(wrong("its root is not the strict base64 of 32 bytes"))?;
        if lines.next().is_some() {
            return Err(wrong("it has extension lines, which this log never writes"));
        }
        Ok(Self { origin, size, root })
    }
}

/// The key that signs checkpoints; overwritten when dropped, never shown.
#[derive(Clone)]
pub struct CheckpointKey {
    key: SigningKey,
    verifier: CheckpointVerifier,
}

impl CheckpointKey {
    /// From a 32-byte seed; `name` is the log's origin.
    ///
    /// # Errors
    /// `Name` for a name no note can carry, `Key` for the all-zero seed.
    pub fn from_seed(name: &str, seed: &[u8; 32]) -> Result<Self, CheckpointError> {
        let public = SecretKey::from_seed(seed)?.public();
        Ok(Self {
            key: SigningKey::from_bytes(seed),
            verifier: CheckpointVerifier::new(name, public)?,
        })
    }

    /// What verifies its signatures.
    #[must_use]
    pub fn verifier(&self) -> &CheckpointVerifier {
        &self.verifier
    }

    /// Signs a size and root of the log that the key is named after.
    #[must_use]
    pub fn sign(&self, size: u64, root: Digest) -> SignedCheckpoint {
        let checkpoint = Checkpoint { origin: self.verifier.name.clone(), size, root };
        let body = checkpoint.body();
        let mut blob = self.verifier.key_id().to_vec();
        blob.extend_from_slice(&self.key.sign(body.as_bytes()).to_bytes());
        let line = format!("{MARK}{} {}\n", self.verifier.name, BASE64.encode(&blob));
        SignedCheckpoint { text: format!("{body}\n{line}"), body_bytes: body.len(), checkpoint }
    }
}

impl CheckpointKey {
    /// Signs what a receipt holds, as a note that is no checkpoint: its first line is the log's name
    /// with `/receipt`, and the second `subject`, `entry` or `task` with an id.
    #[must_use]
    pub fn sign_contents(
        &self,
        subject: &str,
        checkpoint: &Checkpoint,
        entries: &[(u64, Digest)],
    ) -> String {
        let mut held = b"answerable/v1/receipt\n".to_vec();
        for (index, leaf) in entries {
            held.extend_from_slice(&index.to_be_bytes());
            held.extend_from_slice(leaf);
        }
        let (name, size, count) = (&self.verifier.name, checkpoint.size, entries.len());
        let (root, held) = (BASE64.encode(&checkpoint.root), BASE64.encode(&sha256(&held)));
        let body = format!("{name}/receipt\n{subject}\n{size}\n{root}\n{count}\n{held}\n");
        let mut blob = self.verifier.key_id().to_vec();
        blob.extend_from_slice(&self.key.sign(body.as_bytes()).to_bytes());
        format!("{body}\n{MARK}{name} {}\n", BASE64.encode(&blob))
    }
}

impl fmt::Debug for CheckpointKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<checkpoint key of {}>", self.verifier.name)
    }
}

/// The public half: a name and a key, printed as a C2SP verifier key.
#[derive(Clone, PartialEq, Eq)]
pub struct CheckpointVerifier {
    name: String,
    key: PublicKey,
}

impl CheckpointVerifier {
    /// From a name and a key.
    ///
    /// # Errors
    /// `Name` for a name no note can carry.
    pub fn new(name: &str, key: PublicKey) -> Result<Self, CheckpointError> {
        if !is_name(name) {
            return Err(CheckpointError::Name(name.chars().take(60).collect()));
        }
        Ok(Self { name: name.to_owned(), key })
    }

    /// From text, `name+hex key id+base64(0x01, key)`.
    ///
    /// # Errors
    /// `VerifierKey`, `Name` or `Key` with what is wrong.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::VerifierKey;
        // Standard base64 has `+` too: only the first two part the text.
        let mut parts = text.splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(wrong("expected `name+key id+key`"));
        };
        let blob = BASE64.decode(key.as_bytes()).map_err(|_| wrong("its key is not base64"))?;
        let bytes = match blob.split_first() {
            Some((&ED25519, bytes)) => bytes.try_into().ok(),
            _ => None,
        };
        let bytes = bytes.ok_or(wrong("its key is not an Ed25519 key"))?;
        let verifier = Self::new(name, PublicKey::from_bytes(bytes)?)?;
        if HEXLOWER.encode(&verifier.key_id()) != id {
            return Err(wrong("its key id belongs to another name or key"));
        }
        Ok(verifier)
    }

    /// The log's name.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The key.
    #[must_use]
    pub fn key(&self) -> &PublicKey {
        &self.key
    }

    /// The first 4 bytes of SHA-256(name, new line, 0x01, key).
    #[must_use]
    pub fn key_id(&self) -> [u8; 4] {
        let mut input = self.name.as_bytes().to_vec();
        input.extend_from_slice(&[b'\n', ED25519]);
        input.extend_from_slice(self.key.as_bytes());
        let [a, b, c, d, ..] = sha256(&input);
        [a, b, c, d]
    }
}

impl fmt::Display for CheckpointVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut blob = vec![ED25519];
        blob.extend_from_slice(self.key.as_bytes());
        let id = HEXLOWER.encode(&self.key_id());
        write!(f, "{}+{id}+{}", self.name, BASE64.encode(&blob))
    }
}

impl fmt::Debug for CheckpointVerifier {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// A checkpoint's signed note: its form was checked, its signature not until [`Self::verify`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SignedCheckpoint {
    text: String,
    body_bytes: usize,
    checkpoint: Checkpoint,
}

impl SignedCheckpoint {
    /// Reads a signed note of a checkpoint. Signature lines by unknown keys (witnesses) are kept.
    ///
    /// # Errors
    /// `Malformed` with what is wrong.
    pub fn parse(text: &str) -> Result<Self, CheckpointError> {
        let wrong = CheckpointError::Malformed;
        if text.len() > MAX_NOTE_BYTES {
            return Err(wrong("it is larger than 16 KiB"));
        }
        if text.bytes().any(|byte| byte < 0x20 && byte != b'\n') {
            return Err(wrong("it holds control characters"));
        }
        let split = text.rfind("\n\n").ok_or(wrong("no blank line comes before its signatures"))?;
        let (body, rest) =
            text.split_at_checked(split + 1).ok_or(wrong("its signatures are missing"))?;
        let checkpoint = Checkpoint::parse(body)?;
        let lines = rest.strip_prefix('\n').and_then(|lines| lines.strip_suffix('\n'));
        let lines = lines.ok_or(wrong("its last line does not end"))?;
        let mut count = 0;
        for line in lines.split('\n') {
            count += 1;
            signature_line(line).ok_or(wrong("a signature line is not of the form"))?;
        }
        if count > MAX_SIGNATURES {
            return Err(wrong("it has more than 16 signature lines"));
        }
        Ok(Self { text: text.to_owned(), body_bytes: body.len(), checkpoint })
    }

    /// Its signature lines: name, and key id and signature.
    pub(super) fn signatures(&self) -> impl Iterator<Item = (&str, Vec<u8>)> {
        let (_, rest) = self.text.split_at_checked(self.body_bytes).unwrap_or_default();
        rest.split('\n').filter_map(signature_line)
    }

    /// The note's text.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// What it claims; trust it only after [`Self::verify`].
    #[must_use]
    pub fn claimed(&self) -> &Checkpoint {
        &self.checkpoint
    }

    /// Checks that exactly one signature line is by this key and verifies, and that the
    /// checkpoint is of the log that the key is named after.
    ///
    /// # Errors
    /// `NotSigned`, `Signature` or `Origin`.
    pub fn verify(&self, verifier: &CheckpointVerifier) -> Result<&Checkpoint, CheckpointError> {
        let (body, rest) = self
            .text
            .split_at_checked(self.body_bytes)
            .ok_or(CheckpointError::Malformed("its signatures are missing"))?;
        let id = verifier.key_id();
        let mut ours = rest
            .split('\n')
            .filter_map(signature_line)
            .filter(|(name, blob)| *name == verifier.name && blob.starts_with(&id));
        let (first, more) = (ours.next(), ours.count());
        let Some((_, blob)) = first.filter(|_| more == 0) else {
            let found = if more == 0 { 0 } else { more + 1 };
            return Err(CheckpointError::NotSigned { name: verifier.name.clone(), found });
        };
        let failed = || CheckpointError::Signature(verifier.name.clone());
        let signature = blob.get(4..).and_then(|bytes| Signature::from_slice(bytes).ok());
        let key = VerifyingKey::from_bytes(verifier.key.as_bytes()).map_err(|_| failed())?;
        key.verify_strict(body.as_bytes(), &signature.ok_or_else(failed)?).map_err(|_| failed())?;
        if self.checkpoint.origin != verifier.name {
            return Err(CheckpointError::Origin {
                expected: verifier.name.clone(),
                found: self.checkpoint.origin.clone(),
            });
        }
        Ok(&self.checkpoint)
    }
}

impl fmt::Display for SignedCheckpoint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

/// The origin of the log of an authority.
#[must_use]
pub fn origin_of(authority: &PublicKey) -> String {
    format!("answerable/{}", authority.id())
}

/// The implicit assertion of an authority's statements.
#[must_use]
pub fn authority_assertion(authority: &PublicKey) -> String {
    format!("answerable/v1/authority/{}", authority.id())
}

/// Signs the statement of origin and checkpoint key that leaf 0, and each rotation, holds; `at` in
/// microseconds, later than that of the statement before.
///
/// # Errors
/// `Origin` if the key is named after another log, `Malformed` for a time outside the years 0 to
/// 9999, `Key` if signing fails.
pub fn sign_authority_statement(
    root: &SecretKey,
    checkpoint_key: &CheckpointVerifier,
    at: i64,
) -> Result<String, CheckpointError> {
    sign_key_statement(root, &root.public().id(), checkpoint_key, None, at)
}

/// Signs a statement of an authority that goes by the id of its first key: which checkpoint key is
/// in force, and, where the authority's own key is replaced, the next one and until when root
/// grants by this one hold.
///
/// # Errors
/// As [`sign_authority_statement`].
pub fn sign_key_statement(
    root: &SecretKey,
    authority_id: &str,
    checkpoint_key: &CheckpointVerifier,
    next: Option<(PublicKey, i64)>,
    at: i64,
) -> Result<String, CheckpointError> {
    #[derive(Serialize)]
    struct Payload<'a> {
        v: u8,
        origin: &'a str,
        authority: PublicKey,
        checkpoint_key: String,
        #[serde(skip_serializing_if = "Option::is_none")]
        until: Option<String>,
        at: String,
    }
    let no_text = CheckpointError::Malformed("its time has no text");
    let (v, authority) = next.map_or((1, root.public()), |(key, _)| (2, key));
    let until = match next {
        Some((_, until)) => Some(render_instant(until).ok_or_else(|| no_text.clone())?),
        None => None,
    };
    let expected = format!("answerable/{authority_id}");
    if checkpoint_key.name != expected {
        return Err(CheckpointError::Origin { expected, found: checkpoint_key.name.clone() });
    }
    let at = render_instant(at).ok_or(no_text)?;
    let checkpoint_key = checkpoint_key.to_string();
    let payload = Payload { v, origin: &expected, authority, checkpoint_key, until, at };
    let payload = serde_json::to_string(&payload)
        .map_err(|_| CheckpointError::Malformed("its statement cannot be written"))?;
    Ok(keys::sign(root, &payload, b"", &format!("answerable/v1/authority/{authority_id}"))?.0)
}

/// Names are not empty and hold no space and no `+` (C2SP signed-note).
pub(super) fn is_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c == '+' || c < ' ')
}

fn signature_line(line: &str) -> Option<(&str, Vec<u8>)> {
    let (name, blob) = line.strip_prefix(MARK)?.split_once(' ')?;
    let blob = BASE64.decode(blob.as_bytes()).ok()?;
    (is_name(name) && blob.len() > 4).then_some((name, blob))
}

fn decimal(text: &str) -> Option<u64> {
    let number: u64 = text.parse().ok()?;
    (number.to_string() == text).then_some(number)
}
