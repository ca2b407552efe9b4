//! The verifier of a trail: it trusts the authority's public key and nothing else.
//!
//! INVARIANT: nothing here is shared with the writer. Bytes, tree and notes are read by code of
//! this folder, written from `docs/formats.md`; only statements (`keys::verify`) and public keys
//! come from `keys`, which holds the one verifier of each. It keeps about 100 bytes an entry: its
//! hash and its id, and what an entry says of a grant, an agent or an approval; scopes that are the
//! same once.

mod approved;
mod archive;
mod beyond;
mod bytes;
mod cited;
mod export;
mod follow;
mod gone;
mod grants;
mod ids;
mod json;
mod lost;
mod note;
mod order;
mod receipt;
mod report;
mod statement;
mod tree;

pub use archive::verify_archive;
pub use export::{MAX_LINE_BYTES, verify, verify_witnessed};
pub use receipt::{MAX_RECEIPT_BYTES, Shown, verify_receipt};
pub use report::{Code, Fault, MAX_FAULTS, Place, Report, VerifyError};

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use sha2::{Digest as _, Sha256};

use crate::keys::PublicKey;
use ids::{Ids, Seen};
use note::{Note, NoteKey, WitnessKey};
use order::{Order, Step};
use tree::Hash;

/// The kinds of entries that this verifier knows; others are hashed and counted.
pub const KINDS: [&str; 16] = [
    "decision",
    "outcome",
    "grant",
    "identity",
    "task",
    "key",
    "revocation",
    "halt",
    "policy",
    "approval",
    "lease",
    "review",
    "erasure",
    "restore",
    "credential",
    "repair",
];

/// The most kinds that are counted one by one.
const MAX_KINDS: usize = 1_000;

/// A value that is shown beside its leaf.
#[derive(Debug, Clone, Copy)]
pub struct Disclosed<'a> {
    /// The field that the leaf commits to.
    pub field: &'a str,
    /// The field's salt.
    pub salt: [u8; 16],
    /// The value's canonical bytes.
    pub value: &'a [u8],
}

/// A checkpoint to compare with the tree once all leaves are there.
struct Compared {
    place: Place,
    size: u64,
    root: Hash,
    since: bool,
    /// Which of the witnesses cosigned it.
    cosigned: Vec<bool>,
}

/// Verifies leaves in the order of the trail, then checkpoints; an export's lines or a store's
/// blocks feed it.
pub struct Verifier {
    authority: PublicKey,
    /// The authority's key in force: it signs statements and root grants.
    root: PublicKey,
    since: Vec<Result<Note, &'static str>>,
    report: Report,
    leaves: Vec<Hash>,
    ids: Ids,
    witnesses: Vec<(String, Option<WitnessKey>)>,
    facts: follow::Facts,
    cited: cited::Cited,
    /// Whether only some of the trail's leaves come, each with a proof of its place.
    sparse: bool,
    order: Order,
    last_at: i64,
    /// Each checkpoint key with how many leaves come before it, and when it was stated.
    keys: Vec<(u64, NoteKey, i64)>,
    compared: Vec<Compared>,
    last_checkpoint: Option<u64>,
    line: Option<u64>,
    /// What is missing, where all values are to be there that were not erased.
    gone: Option<gone::Gone>,
    lost: lost::Lost,
}

impl Verifier {
    /// A verifier for the trail of `authority`. `since` are signed notes of checkpoints that left
    /// the machine earlier.
    #[must_use]
    pub fn new(authority: &PublicKey, since: &[&str]) -> Self {
        let origin = format!("answerable/{}", authority.id());
        Self {
            authority: *authority,
            root: *authority,
            since: since.iter().map(|text| Note::parse(text)).collect(),
            report: Report { origin, ..Report::default() },
            leaves: Vec::new(),
            ids: Ids::default(),
            witnesses: Vec::new(),
            facts: follow::Facts::default(),
            cited: cited::Cited::default(),
            sparse: false,
            order: Order::default(),
            last_at: i64::MIN,
            keys: Vec::new(),
            compared: Vec::new(),
            last_checkpoint: None,
            line: None,
            gone: None,
            lost: lost::Lost::default(),
        }
    }

    /// Asks that all values are there that no entry says were erased: a live trail's.
    #[must_use]
    pub fn complete(mut self) -> Self {
        self.gone = Some(gone::Gone::default());
        self
    }

    /// Asks that each of these witnesses, by their C2SP verifier keys, cosigned a checkpoint that
    /// agrees with the trail; the newest such one counts.
    #[must_use]
    pub fn witnessed_by(mut self, witnesses: &[&str]) -> Self {
        let read = |text: &&str| ((*text).to_owned(), WitnessKey::parse(text));
        self.witnesses = witnesses.iter().map(read).collect();
        self
    }

    fn cosigned(&self, note: &Note) -> Vec<bool> {
        let by = |key: &Option<WitnessKey>| key.as_ref().is_some_and(|key| note.cosigned_by(key));
        self.witnesses.iter().map(|(_, key)| by(key)).collect()
    }

    /// The next leaf: the index it claims, its canonical bytes, the values shown beside it.
    /// Returns the leaf's hash.
    pub fn leaf(&mut self, index: u64, leaf: &[u8], values: &[Disclosed<'_>]) -> Hash {
        let fields = bytes::map(leaf);
        let entry = fields.as_ref().ok().and_then(|fields| id_in(fields));
        let mut place = Place { line: self.line, index: Some(index), entry, ..Place::default() };
        let hash = tree::of_leaf(leaf);
        let before = if self.sparse { index } else { self.leaves.len() as u64 };
        if !self.sparse {
            self.sequence(index, &place);
            self.leaves.push(hash);
        }
        let fields = match fields {
            Ok(fields) => fields,
            Err(what) => {
                self.fault(Code::BadLeaf, place, &format!("the leaf is not canonical: {what}"));
                return hash;
            }
        };
        let get = |key: &str| fields.iter().find(|(name, _)| *name == key).map(|(_, v)| *v);
        match get("v").and_then(bytes::integer) {
            Some(1) => {}
            Some(v) if v > 1 => {
                let what = "the leaf is of a newer format, and was hashed only";
                self.differ(Code::NewerFormat, place, what, "1", &v.to_string());
                return hash;
            }
            _ => self.fault(Code::BadLeaf, place.clone(), "`v` is not 1"),
        }
        let kind = get("kind").and_then(bytes::text).filter(|kind| kind.len() <= 64);
        match kind {
            Some(kind) => self.count_kind(kind),
            None => self.fault(Code::BadLeaf, place.clone(), "`kind` is not a short text"),
        }
        match get("at").and_then(bytes::micros) {
            Some(at) if at >= self.last_at => self.last_at = at,
            Some(at) => {
                let (last, found) = (format!("{} µs or later", self.last_at), format!("{at} µs"));
                let what = "the entry is older than the one before it";
                self.differ(Code::TimeBackwards, place.clone(), what, &last, &found);
            }
            None => self.fault(Code::BadLeaf, place.clone(), "`at` is not a datetime"),
        }
        self.commitments(&place, get("commitments"), values);
        if let Some(gone) = &mut self.gone {
            // Of values that do not open it is known why they are not there.
            let asked = !self.lost.is_closed(index);
            gone.take(kind.unwrap_or_default(), index, self.last_at, &fields, values, asked);
        }
        let mut seen = Seen::Other;
        match kind {
            Some("key") => self.key_leaf(&place, before, get("statement")),
            Some("decision") => match get("effect").and_then(bytes::text) {
                Some("allow") => seen = Seen::Allowed,
                Some("deny" | "ask") => seen = Seen::NotAllowed,
                _ => self.fault(Code::BadLeaf, place.clone(), "`effect` is not allow, deny or ask"),
            },
            Some("outcome") => self.outcome(&place, get("decision")),
            _ => {}
        }
        if let Some(kind) = kind {
            let leaf = follow::Leaf { fields: &fields, at: self.last_at, place: index };
            self.follow(kind, &place, &leaf, values);
            if self.sparse {
                self.cited.take(kind, &place, &leaf);
            }
            if kind == "grant" {
                self.grant_leaf(&place, &|key| get(key).map(<[u8]>::to_vec), values);
            }
        }
        if before == 0 && kind != Some("key") {
            self.fault(Code::BadStatement, place.clone(), "the first entry is not of kind `key`");
        }
        match get("id").and_then(bytes::text).and_then(entry_id) {
            Some(id) => {
                // The first entry of an id keeps it.
                if !self.ids.take(id, seen) {
                    self.fault(Code::DuplicateId, place, "an earlier entry has this id");
                }
            }
            None => {
                place.entry = None;
                self.fault(Code::BadLeaf, place, "`id` is not an entry's id");
            }
        }
        hash
    }

    /// Takes the place of an entry that cannot be read.
    fn unreadable(&mut self, index: Option<u64>, what: &str) {
        let index = index.unwrap_or_else(|| self.order.next());
        let place = Place { line: self.line, index: Some(index), ..Place::default() };
        self.sequence(index, &place);
        self.leaves.push([0; 32]);
        self.fault(Code::BadLine, place, what);
    }

    fn sequence(&mut self, index: u64, place: &Place) {
        match self.order.step(index, place) {
            Step::Expected => {}
            Step::Repeated => {
                self.fault(Code::RepeatedIndex, place.clone(), "an entry of this index was there");
            }
            Step::Misplaced { place, expected } => {
                let (what, found) = ("the entry stands at another's place", index_of(&place));
                self.differ(Code::OutOfOrder, place, what, &expected.to_string(), &found);
            }
        }
    }

    fn count_kind(&mut self, kind: &str) {
        let kinds = &mut self.report.kinds;
        if !kinds.contains_key(kind) && kinds.len() >= MAX_KINDS {
            *kinds.entry(String::new()).or_insert(0) += 1;
            return;
        }
        let count = kinds.entry(kind.to_owned()).or_insert(0);
        *count += 1;
        if *count == 1 && !KINDS.contains(&kind) {
            self.report.unknown_kinds.push(kind.to_owned());
        }
    }

    fn commitments(&mut self, place: &Place, held: Option<&[u8]>, values: &[Disclosed<'_>]) {
        let committed = match held.map(bytes::map) {
            None => Vec::new(),
            Some(Ok(fields)) => fields,
            Some(Err(_)) => {
                self.fault(Code::BadLeaf, place.clone(), "`commitments` is not a map");
                return;
            }
        };
        for (field, hash) in &committed {
            if bytes::raw(hash).is_none_or(|hash| hash.len() != 32) {
                let place = Place { field: Some((*field).to_owned()), ..place.clone() };
                self.fault(Code::BadLeaf, place, "a commitment is not 32 bytes");
            }
        }
        let mut shown = 0;
        for value in values {
            let place = Place { field: Some(value.field.to_owned()), ..place.clone() };
            let stated = committed.iter().find(|(field, _)| *field == value.field);
            let Some(stated) = stated.and_then(|(_, hash)| bytes::raw(hash)) else {
                let what = "a value is shown for a field that the leaf does not commit to";
                self.fault(Code::ValueUncommitted, place, what);
                continue;
            };
            shown += 1;
            let found = commitment(value);
            if stated != found || bytes::check(value.value).is_err() {
                let what = "the value is not the one that the leaf commits to";
                let (stated, found) = (HEXLOWER.encode(stated), HEXLOWER.encode(&found));
                self.differ(Code::ValueMismatch, place, what, &stated, &found);
            } else {
                self.report.disclosed += 1;
            }
        }
        self.report.withheld += (committed.len() as u64).saturating_sub(shown);
    }

    fn key_leaf(&mut self, place: &Place, before: u64, held: Option<&[u8]>) {
        let Some(held) = held else {
            if before == 0 {
                self.fault(Code::BadStatement, place.clone(), "the first entry has no statement");
            }
            return;
        };
        let text = bytes::text(held).unwrap_or_default();
        match statement::check(&self.root, &self.authority.id(), text) {
            Ok(stated) => {
                // An old statement, played again, would put an old key back in force.
                if self.keys.last().is_some_and(|(_, _, last)| stated.at <= *last) {
                    let what = "the statement is not later than the one before it";
                    self.fault(Code::BadStatement, place.clone(), what);
                } else {
                    self.keys.push((before, stated.checkpoint, stated.at));
                    if let Some(next) = stated.next {
                        self.root = next;
                    }
                }
            }
            Err(statement::Refused::Authority(found)) => {
                let what = "the statement is another authority's";
                let expected = self.root.paserk();
                self.differ(Code::OtherAuthority, place.clone(), what, &expected, &found);
            }
            Err(statement::Refused::Other(what)) => {
                self.fault(Code::BadStatement, place.clone(), &what);
            }
        }
    }

    fn outcome(&mut self, place: &Place, held: Option<&[u8]>) {
        let decision = held.and_then(bytes::text).and_then(entry_id);
        let seen = decision.and_then(|id| self.ids.of(&id));
        let (code, what) = match seen {
            Some(seen) if *seen == Seen::Allowed => {
                *seen = Seen::Finished;
                return;
            }
            Some(Seen::Finished) => (Code::SecondOutcome, "the decision has an outcome already"),
            Some(Seen::NotAllowed) => {
                (Code::OutcomeNotAllowed, "the decision did not allow, yet there is an outcome")
            }
            _ => (Code::OutcomeWithoutDecision, "the outcome refers to no earlier decision"),
        };
        self.fault(code, place.clone(), what);
    }

    /// The next checkpoint of the trail's own, after all leaves.
    pub fn checkpoint(&mut self, text: &str) {
        let place = Place { line: self.line, ..Place::default() };
        let note = match Note::parse(text) {
            Ok(note) => note,
            Err(what) => return self.fault(Code::BadCheckpoint, place, what),
        };
        if self.last_checkpoint.is_some_and(|last| note.size <= last) {
            let last = format!("more than {}", self.last_checkpoint.unwrap_or(0));
            let what = "checkpoints do not ascend by size";
            let found = note.size.to_string();
            self.differ(Code::CheckpointOrder, place.clone(), what, &last, &found);
        }
        self.last_checkpoint = Some(note.size);
        if !self.signed(&note) {
            if self.lost.covers(note.size) {
                // The statement of its key may stand in what cannot be read.
                self.lost.uncompared += 1;
                return;
            }
            let what = "it is not signed by the key in force at its size";
            return self.fault(Code::CheckpointSignature, place, what);
        }
        let cosigned = self.cosigned(&note);
        let (size, root) = (note.size, note.root);
        self.compared.push(Compared { place, size, root, since: false, cosigned });
    }

    /// Whether the key that the trail puts in force for the note's size signed it.
    fn signed(&self, note: &Note) -> bool {
        let in_force = self.keys.iter().rev().find(|(before, _, _)| *before < note.size);
        in_force.is_some_and(|(_, key, _)| note.signed_by(key))
    }

    /// Ends the trail and compares all checkpoints with it.
    #[must_use]
    pub fn finish(mut self) -> Report {
        self.line = None;
        for (first, last) in self.order.missing() {
            let count = last - first + 1;
            let place = Place { index: Some(first), through: Some(last), ..Place::default() };
            self.fault(Code::MissingEntries, place, &format!("{count} entries are missing"));
        }
        if self.leaves.is_empty() {
            let place = Place { index: Some(0), ..Place::default() };
            self.fault(Code::BadStatement, place, "the trail is empty");
        }
        for note in std::mem::take(&mut self.since) {
            match note {
                Ok(note) if self.signed(&note) => self.compared.push(Compared {
                    place: Place::default(),
                    size: note.size,
                    root: note.root,
                    since: true,
                    cosigned: self.cosigned(&note),
                }),
                Ok(_) => {
                    let what =
                        "the checkpoint to compare with is not signed by a key of this trail";
                    self.fault(Code::SinceUnverified, Place::default(), what);
                }
                Err(what) => self.fault(Code::SinceUnverified, Place::default(), what),
            }
        }
        for index in self.gone.take().map(gone::Gone::unaccounted).unwrap_or_default() {
            let place = Place { index: Some(index), ..Place::default() };
            let what =
                "values that the leaf commits to are not in the store, and no erasure says why";
            self.fault(Code::ValueMissing, place, what);
        }
        self.compare();
        self.unproved();
        self.report.decisions_without_outcome = self.ids.waiting();
        self.report.unanchored = self.report.size - self.report.newest_checkpoint_size;
        self.report
    }

    fn compare(&mut self) {
        let size = self.leaves.len() as u64;
        let mut compared = std::mem::take(&mut self.compared);
        compared.sort_by_key(|one| one.size);
        let sizes: Vec<u64> = compared.iter().map(|one| one.size.min(size)).chain([size]).collect();
        let roots = tree::roots(&self.leaves, &sizes);
        self.report.size = size;
        self.report.root = roots.last().copied().flatten().unwrap_or_default();
        // What the trail itself holds may be made anew: only what was kept outside bounds a rewrite.
        let (mut agreed, mut agreed_since) = (0, 0);
        let mut witnessed = vec![0; self.witnesses.len()];
        for (one, root) in compared.into_iter().zip(roots.into_iter().flatten()) {
            let last = one.size.saturating_sub(1);
            if one.size <= size && self.lost.covers(one.size) {
                self.lost.uncompared += 1;
            } else if one.size > size {
                let place = Place { index: Some(size), through: Some(last), ..one.place };
                let what = format!("{} entries at the end are missing", one.size - size);
                self.differ(Code::CutTail, place, &what, &one.size.to_string(), &size.to_string());
            } else if root != one.root {
                let (code, what) = if one.since {
                    (Code::Rewritten, "the entries have another root than the checkpoint kept")
                } else {
                    (Code::CheckpointRoot, "the entries have another root than the checkpoint")
                };
                let first = if one.since { agreed_since } else { agreed };
                let place = Place { index: Some(first), through: Some(last), ..one.place };
                let stated = BASE64URL_NOPAD.encode(&one.root);
                self.differ(code, place, what, &stated, &BASE64URL_NOPAD.encode(&root));
            } else {
                agreed = one.size;
                for (size, by) in witnessed.iter_mut().zip(&one.cosigned) {
                    *size = if *by { one.size } else { *size };
                }
                if one.since {
                    agreed_since = one.size;
                    self.report.since_agreed += 1;
                } else {
                    self.report.checkpoints += 1;
                    self.report.newest_checkpoint_size = one.size;
                }
            }
        }
        self.report.witnessed = witnessed.iter().copied().min().unwrap_or(0);
        let named: Vec<String> = self.witnesses.iter().map(|(text, _)| text.clone()).collect();
        for (text, _) in named.iter().zip(&witnessed).filter(|(_, size)| **size == 0) {
            let name = text.split('+').next().unwrap_or_default();
            let what = format!("no checkpoint of this trail is cosigned by the witness `{name}`");
            self.fault(Code::Unwitnessed, Place::default(), &what);
        }
    }

    fn fault(&mut self, code: Code, place: Place, what: &str) {
        let what = what.to_owned();
        self.add(Fault { code, place, what, expected: None, found: None });
    }

    fn differ(&mut self, code: Code, place: Place, what: &str, expected: &str, found: &str) {
        let (expected, found) = (Some(expected.to_owned()), Some(found.to_owned()));
        self.add(Fault { code, place, what: what.to_owned(), expected, found });
    }

    fn add(&mut self, fault: Fault) {
        if self.lost.explains(fault.code) {
            // What it misses may stand in what cannot be read, which is a fault of its own.
            self.report.not_followed += u64::from(fault.code != Code::ValueMissing);
            return;
        }
        self.report.fault_count += 1;
        if self.report.faults.len() < MAX_FAULTS {
            self.report.faults.push(fault);
        }
    }
}

/// The entry's id in a leaf, if there is one to name the place by.
fn id_of(leaf: &[u8]) -> Option<String> {
    id_in(&bytes::map(leaf).ok()?)
}

fn id_in(fields: &bytes::Fields<'_>) -> Option<String> {
    let (_, id) = fields.iter().find(|(key, _)| *key == "id")?;
    bytes::text(id).filter(|text| entry_id(text).is_some()).map(str::to_owned)
}

fn entry_id(text: &str) -> Option<[u8; 16]> {
    id_with("ent_", text)
}

/// The 16 bytes whose lower-case base32 follows the prefix.
fn id_with(prefix: &str, text: &str) -> Option<[u8; 16]> {
    let body = text.strip_prefix(prefix)?;
    let lower = body.bytes().all(|byte| !byte.is_ascii_uppercase());
    let bytes = BASE32_NOPAD.decode(body.to_ascii_uppercase().as_bytes()).ok()?;
    bytes.try_into().ok().filter(|_| lower)
}

/// SHA-256(PAE(domain, salt, field, value)).
fn commitment(shown: &Disclosed<'_>) -> Hash {
    let pieces: [&[u8]; 4] =
        [b"answerable/v1/commitment", &shown.salt, shown.field.as_bytes(), shown.value];
    let mut hasher = Sha256::new_with_prefix(4u64.to_le_bytes());
    for piece in pieces {
        hasher.update((piece.len() as u64).to_le_bytes());
        hasher.update(piece);
    }
    hasher.finalize().into()
}

/// Checks the statement by which an authority's key names the next; answers that key.
pub(crate) fn handover(key: &PublicKey, authority_id: &str, token: &str) -> Option<PublicKey> {
    statement::check(key, authority_id, token).ok()?.next
}

fn index_of(place: &Place) -> String {
    place.index.map(|index| index.to_string()).unwrap_or_default()
}

#[cfg(test)]
mod tests;
