//! Signed notes and verifier keys once more, from `docs/formats.md` section 7 alone.

use data_encoding::{BASE64, HEXLOWER};
use ed25519_dalek::{Signature, VerifyingKey};
use sha2::{Digest as _, Sha256};

use super::tree::Hash;
use crate::keys::PublicKey;

/// A checkpoint key that the trail states.
#[derive(Clone)]
pub(super) struct NoteKey {
    pub(super) name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl NoteKey {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let blob = BASE64.decode(key.as_bytes()).ok()?;
        let (1, bytes) = blob.split_first()? else { return None };
        let bytes: [u8; 32] = bytes.try_into().ok()?;
        let input = [name.as_bytes(), b"\n", &blob].concat();
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(input));
        let usable = is_name(name)
            && HEXLOWER.encode(&[a, b, c, d]) == id
            && PublicKey::from_bytes(bytes).is_ok();
        let key = VerifyingKey::from_bytes(&bytes).ok().filter(|_| usable)?;
        Some(Self { name: name.to_owned(), id: [a, b, c, d], key })
    }
}

/// A checkpoint whose form was checked and whose signature was not.
pub(super) struct Note {
    pub(super) origin: String,
    pub(super) size: u64,
    pub(super) root: Hash,
    body: String,
    signatures: Vec<(String, Vec<u8>)>,
}

impl Note {
    pub(super) fn parse(text: &str) -> Result<Self, &'static str> {
        if text.len() > 16 * 1024 {
            return Err("it is larger than 16 KiB");
        }
        if text.chars().any(|c| c < ' ' && c != '\n') {
            return Err("it holds control characters");
        }
        let lines: Vec<&str> =
            text.strip_suffix('\n').ok_or("its last line does not end")?.split('\n').collect();
        let [origin, size, root, "", marked @ ..] = lines.as_slice() else {
            return Err("expected origin, size, root, a blank line and signatures");
        };
        if origin.is_empty() {
            return Err("its origin is empty");
        }
        let number: u64 = size.parse().map_err(|_| "its size is not a plain decimal number")?;
        if number.to_string() != *size {
            return Err("its size is not a plain decimal number");
        }
        let hash = BASE64.decode(root.as_bytes()).ok().and_then(|bytes| bytes.try_into().ok());
        let hash = hash.ok_or("its root is not the strict base64 of 32 bytes")?;
        if marked.is_empty() || marked.len() > 16 {
            return Err("expected 1 to 16 signature lines");
        }
        let signatures: Option<Vec<_>> = marked.iter().map(|line| signature(line)).collect();
        Ok(Self {
            origin: (*origin).to_owned(),
            size: number,
            root: hash,
            body: format!("{origin}\n{size}\n{root}\n"),
            signatures: signatures.ok_or("a signature line is not of the form")?,
        })
    }

    /// Whether exactly one line is by this key and verifies, and the origin is the key's name.
    pub(super) fn signed_by(&self, key: &NoteKey) -> bool {
        let by_key = |line: &&(String, Vec<u8>)| line.0 == key.name && line.1.starts_with(&key.id);
        let mut lines = self.signatures.iter().filter(by_key);
        let (Some((_, blob)), None) = (lines.next(), lines.next()) else { return false };
        let signature = blob.get(4..).and_then(|bytes| Signature::from_slice(bytes).ok());
        self.origin == key.name
            && signature.is_some_and(|signature| {
                key.key.verify_strict(self.body.as_bytes(), &signature).is_ok()
            })
    }
}

/// What a receipt was signed to hold; its form was checked and its signature was not.
pub(super) struct Contents {
    /// `entry` or `task`, a space, and the id.
    pub(super) subject: String,
    pub(super) size: u64,
    pub(super) root: Hash,
    pub(super) count: u64,
    pub(super) digest: Hash,
    first: String,
    body: String,
    signature: (String, Vec<u8>),
}

impl Contents {
    pub(super) fn parse(text: &str) -> Option<Self> {
        if text.len() > 16 * 1024 || text.chars().any(|c| c < ' ' && c != '\n') {
            return None;
        }
        let lines: Vec<&str> = text.strip_suffix('\n')?.split('\n').collect();
        let [first, subject, size, root, count, digest, "", signed] = lines.as_slice() else {
            return None;
        };
        let number = |text: &str| text.parse::<u64>().ok().filter(|n| n.to_string() == text);
        let hash = |text: &str| Hash::try_from(BASE64.decode(text.as_bytes()).ok()?).ok();
        Some(Self {
            subject: (*subject).to_owned(),
            size: number(size)?,
            root: hash(root)?,
            count: number(count)?,
            digest: hash(digest)?,
            first: (*first).to_owned(),
            body: format!("{first}\n{subject}\n{size}\n{root}\n{count}\n{digest}\n"),
            signature: signature(signed)?,
        })
    }

    /// Whether it is signed by this key, for receipts of the log that the key is named after.
    pub(super) fn signed_by(&self, key: &NoteKey) -> bool {
        let (name, blob) = &self.signature;
        let of_key = *name == key.name && blob.starts_with(&key.id);
        let signature = blob.get(4..).and_then(|bytes| Signature::from_slice(bytes).ok());
        of_key
            && self.first == format!("{}/receipt", key.name)
            && signature.is_some_and(|signature| {
                key.key.verify_strict(self.body.as_bytes(), &signature).is_ok()
            })
    }
}

/// A witness's key, C2SP tlog-cosignature version 1.
pub(super) struct WitnessKey {
    pub(super) name: String,
    id: [u8; 4],
    key: VerifyingKey,
}

impl WitnessKey {
    pub(super) fn parse(text: &str) -> Option<Self> {
        let (name, rest) = text.split_once('+')?;
        let (id, key) = rest.split_once('+')?;
        let blob = BASE64.decode(key.as_bytes()).ok()?;
        let (4, bytes) = blob.split_first()? else { return None };
        let bytes: [u8; 32] = bytes.try_into().ok()?;
        let input = [name.as_bytes(), b"\n", &blob].concat();
        let [a, b, c, d, ..] = <[u8; 32]>::from(Sha256::digest(input));
        let usable = is_name(name)
            && HEXLOWER.encode(&[a, b, c, d]) == id
            && PublicKey::from_bytes(bytes).is_ok();
        let key = VerifyingKey::from_bytes(&bytes).ok().filter(|_| usable)?;
        Some(Self { name: name.to_owned(), id: [a, b, c, d], key })
    }
}

impl Note {
    /// Whether exactly one line is this witness's and verifies.
    pub(super) fn cosigned_by(&self, witness: &WitnessKey) -> bool {
        let by =
            |line: &&(String, Vec<u8>)| line.0 == witness.name && line.1.starts_with(&witness.id);
        let mut lines = self.signatures.iter().filter(by);
        let (Some((_, blob)), None) = (lines.next(), lines.next()) else { return false };
        let Some((stamp, rest)) = blob.get(4..).and_then(|blob| blob.split_first_chunk::<8>())
        else {
            return false;
        };
        let seconds = u64::from_be_bytes(*stamp);
        let message = format!("cosignature/v1\ntime {seconds}\n{}", self.body);
        Signature::from_slice(rest).is_ok_and(|signature| {
            witness.key.verify_strict(message.as_bytes(), &signature).is_ok()
        })
    }
}

fn signature(line: &str) -> Option<(String, Vec<u8>)> {
    let mut parts = line.split(' ');
    let ("\u{2014}", name, blob, None) =
        (parts.next()?, parts.next()?, parts.next()?, parts.next())
    else {
        return None;
    };
    let blob = BASE64.decode(blob.as_bytes()).ok()?;
    (is_name(name) && blob.len() >= 5).then(|| (name.to_owned(), blob))
}

fn is_name(name: &str) -> bool {
    let fits = |c: char| c > ' ' && c != '+' && !c.is_whitespace();
    !name.is_empty() && name.chars().all(fits)
}
