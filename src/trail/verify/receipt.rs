//! Receipts: some entries of a trail, each with a proof of its place under one checkpoint.
//!
//! The entries go through the verifier as those of a whole trail do, in their order; only the tree
//! is proven leaf by leaf. What lies between them is not seen: that nothing else happened is for
//! the whole trail to show.

use std::sync::Arc;

use data_encoding::BASE64;
use sha2::{Digest as _, Sha256};

use super::export::{Fields, hash, values};
use super::json::{self, Json};
use super::note::{Contents, Note};
use super::report::{Code, Place, Report, VerifyError};
use super::{Disclosed, Verifier, bytes, tree};
use crate::grant::Payload;
use crate::keys::PublicKey;

/// The largest receipt that is looked at, in bytes.
pub const MAX_RECEIPT_BYTES: usize = 64 << 20;

/// What the digest over a receipt's entries begins with.
const HELD: &[u8] = b"answerable/v1/receipt\n";

/// What a sound receipt shows.
#[derive(Debug, Clone)]
pub struct Shown {
    /// What was verified; `size` is the tree's, `root` the checkpoint's.
    pub report: Report,
    /// The grants whose tokens are shown, by digest, as they were signed.
    pub grants: Vec<([u8; 32], Arc<Payload>)>,
}

/// What a receipt is about.
enum Subject {
    Entry(String),
    Task(String),
}

/// Verifies a receipt under the authority's public key, with nothing else.
///
/// # Errors
/// `Corrupted` with every fault.
pub fn verify_receipt(text: &str, authority: &PublicKey) -> Result<Shown, VerifyError> {
    let mut verifier = Verifier::new(authority, &[]);
    verifier.sparse = true;
    if let Err((code, what)) = verifier.receipt(text) {
        verifier.fault(code, Place::default(), &what);
    }
    let grants = verifier.facts.signed_grants();
    let report = verifier.report;
    if report.fault_count == 0 {
        return Ok(Shown { report, grants });
    }
    Err(VerifyError::Corrupted(Box::new(report)))
}

type Refused = (Code, String);

fn bad(what: &str) -> Refused {
    (Code::BadReceipt, what.to_owned())
}

impl Verifier {
    fn receipt(&mut self, text: &str) -> Result<(), Refused> {
        if text.len() > MAX_RECEIPT_BYTES {
            return Err(bad("it is larger than 64 MiB"));
        }
        let value = json::parse(text).map_err(|what| bad(&what))?;
        let mut fields = Fields(value.object().ok_or_else(|| bad("it is not an object"))?);
        let format = fields.take("answerable").zip(fields.take("format"));
        if !format.is_some_and(|(name, format)| {
            name.text() == Some("receipt") && format.count() == Some(1)
        }) {
            return Err(bad("it is not a receipt of format 1"));
        }
        let mut held = |key: &str| fields.take(key).ok_or_else(|| bad(&format!("no `{key}`")));
        let (claimed, origin) = (held("authority")?, held("origin")?);
        let (note, subject, entries) = (held("checkpoint")?, held("subject")?, held("entries")?);
        let contents = held("contents")?;
        if !fields.0.is_empty() {
            return Err(bad("it has keys that are none of a receipt's"));
        }
        let subject = subject_of(subject).ok_or_else(|| bad("its `subject` is not of the form"))?;
        let expected = self.authority.paserk();
        if claimed.text() != Some(&expected) {
            let found = claimed.text().unwrap_or_default();
            let what = "the receipt names another authority";
            self.differ(Code::OtherAuthority, Place::default(), what, &expected, found);
        }
        if origin.text() != Some(&self.report.origin) {
            let (expected, found) = (self.report.origin.clone(), origin.text().unwrap_or_default());
            let what = "the receipt names another origin";
            self.differ(Code::OtherOrigin, Place::default(), what, &expected, found);
        }
        let note = Note::parse(note.text().unwrap_or_default())
            .map_err(|what| (Code::BadCheckpoint, what.to_owned()))?;
        let contents = Contents::parse(contents.text().unwrap_or_default())
            .ok_or_else(|| bad("its `contents` are not of the form"))?;
        let Json::Array(entries) = entries else { return Err(bad("its `entries` are no list")) };
        let (mut next, mut about, mut count) = (0, false, 0_u64);
        let mut held = Sha256::new_with_prefix(HELD);
        for entry in entries {
            let shown = Line::read(entry).map_err(|what| bad(&what))?;
            if shown.index < next {
                return Err(bad("its entries do not ascend by index"));
            }
            next = shown.index + 1;
            about |= subject.is(&shown.leaf);
            count += 1;
            held.update(shown.index.to_be_bytes());
            held.update(shown.hash);
            self.shown(&note, &shown);
        }
        // The keys in force are known only now.
        if !self.signed(&note) {
            let what = "the checkpoint is not signed by the key in force at its size";
            self.fault(Code::CheckpointSignature, Place::default(), what);
        } else {
            self.report.checkpoints = 1;
        }
        self.missing_of_cited();
        let in_force = self.keys.iter().rev().find(|(before, _, _)| *before < note.size);
        if !in_force.is_some_and(|(_, key, _)| contents.signed_by(key)) {
            let what = "what it holds is not signed by the key in force at its checkpoint";
            self.fault(Code::ContentsSignature, Place::default(), what);
        }
        let found = (subject.line(), note.size, note.root, count, held.finalize().into());
        let Contents { subject: stated, size, root, count: entries, digest, .. } = &contents;
        if (stated, size, root, entries, digest)
            != (&found.0, &found.1, &found.2, &found.3, &found.4)
        {
            let what = "it holds other entries, or is about something else, than was signed";
            let (stated, found) =
                (format!("{stated}, {entries} entries"), format!("{}, {count} entries", found.0));
            self.differ(Code::ContentsDiffer, Place::default(), what, &stated, &found);
        }
        (self.report.size, self.report.root) = (note.size, note.root);
        self.report.newest_checkpoint_size = note.size;
        if !about {
            return Err((
                Code::SubjectMissing,
                "the entry or task that it is about is not in it".to_owned(),
            ));
        }
        Ok(())
    }

    fn shown(&mut self, note: &Note, shown: &Line) {
        let entry = super::id_of(&shown.leaf);
        let place = Place { index: Some(shown.index), entry, ..Place::default() };
        let values: Vec<Disclosed<'_>> = shown
            .values
            .iter()
            .map(|(field, salt, value)| Disclosed { field, salt: *salt, value })
            .collect();
        let found = self.leaf(shown.index, &shown.leaf, &values);
        if found != shown.hash {
            let what = "the leaf is not the one that its stated hash is of";
            let (stated, found) = (BASE64.encode(&shown.hash), BASE64.encode(&found));
            self.differ(Code::LeafHash, place, what, &stated, &found);
            return;
        }
        let root = tree::rebuilt(shown.index, note.size, found, &shown.proof);
        if root != Some(note.root) {
            let what = "its proof does not lead to the checkpoint's root";
            let found = root.map(|root| BASE64.encode(&root)).unwrap_or_default();
            self.differ(Code::NotIncluded, place, what, &BASE64.encode(&note.root), &found);
        }
    }
}

impl Subject {
    /// As it is signed.
    fn line(&self) -> String {
        match self {
            Self::Entry(id) => format!("entry {id}"),
            Self::Task(id) => format!("task {id}"),
        }
    }

    fn is(&self, leaf: &[u8]) -> bool {
        let Ok(fields) = bytes::map(leaf) else { return false };
        let text = |key: &str| {
            fields.iter().find(|(name, _)| *name == key).and_then(|(_, value)| bytes::text(value))
        };
        match self {
            Self::Entry(id) => text("id") == Some(id),
            // Where the root grant was made elsewhere, so was its task: that is where it is shown.
            Self::Task(id) => {
                let elsewhere = fields.iter().any(|(name, _)| *name == "offline")
                    && (text("kind"), text("issuer")) == (Some("grant"), Some("authority"));
                (text("kind") == Some("task") || elsewhere) && text("task") == Some(id)
            }
        }
    }
}

fn subject_of(subject: Json) -> Option<Subject> {
    match subject.object()?.as_slice() {
        [(key, Json::Text(id))] if key == "entry" => Some(Subject::Entry(id.clone())),
        [(key, Json::Text(id))] if key == "task" => Some(Subject::Task(id.clone())),
        _ => None,
    }
}

/// One entry of a receipt.
struct Line {
    index: u64,
    leaf: Vec<u8>,
    hash: [u8; 32],
    values: Vec<(String, [u8; 16], Vec<u8>)>,
    proof: Vec<[u8; 32]>,
}

impl Line {
    fn read(entry: Json) -> Result<Self, String> {
        let mut fields = Fields(entry.object().ok_or("an entry is not an object")?);
        let index = fields.take("index").and_then(|index| index.count()).ok_or("no `index`")?;
        let leaf = bytes::encode(&fields.take("leaf").ok_or("an entry has no `leaf`")?)?;
        let stated = fields.take("hash").ok_or("an entry has no `hash`")?;
        let stated = stated.text().and_then(hash).ok_or("a `hash` is not 32 bytes")?;
        let values = fields.take("values").map_or(Ok(Vec::new()), values)?;
        let Some(Json::Array(path)) = fields.take("proof") else {
            return Err("an entry has no `proof`".to_owned());
        };
        let each = |node: &Json| BASE64.decode(node.text()?.as_bytes()).ok()?.try_into().ok();
        let proof: Option<Vec<[u8; 32]>> = path.iter().map(each).collect();
        let proof = proof.ok_or("a proof is not a list of hashes")?;
        if !fields.0.is_empty() {
            return Err("an entry has keys that are none of an entry's".to_owned());
        }
        Ok(Self { index, leaf, hash: stated, values, proof })
    }
}
