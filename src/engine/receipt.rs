//! Receipts: what convinces a third party of one entry, or of all that was done for a task.

use std::collections::{BTreeMap, BTreeSet, HashSet};

use data_encoding::BASE64;

use super::read::export_line;
use super::{Engine, EngineError, shown};
use crate::canonical::{Digest, Value};
use crate::principal::TaskId;
use crate::registry::asked_key;
use crate::trail::checkpoint::SignedCheckpoint;
use crate::trail::entry::{Entry, kind};
use crate::trail::merkle::{LeafHashes, MerkleError, inclusion, leaf_hash, node_hash};

/// What a receipt is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum About {
    /// One entry, by its id; for an outcome, its decision.
    Entry(String),
    /// Everything that was done for a task.
    Task(TaskId),
}

/// A receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Receipt {
    /// The JSON text; `docs/formats.md`, section "Receipts".
    pub text: String,
    /// The proof of the entry it is about, or of the task's opening, as a C2SP tlog-proof.
    pub proof: String,
    /// How many entries it shows.
    pub entries: usize,
}

/// What belongs into a receipt.
#[derive(Default)]
struct Wanted {
    places: BTreeSet<u64>,
    /// Ids of entries, humans, agents and tasks.
    ids: HashSet<String>,
    digests: HashSet<Digest>,
    policies: HashSet<String>,
}

impl Engine {
    /// Makes a receipt: the entries, the chain's grants, who the parties are, what ended or
    /// approved, the authority's statements, each with a proof under a checkpoint signed now.
    ///
    /// # Errors
    /// `Invalid` for an entry or task that is not there, and as [`Engine::each_entry`].
    pub fn receipt(&self, about: &About) -> Result<Receipt, EngineError> {
        let (mut subject, key, id) = match about {
            About::Entry(id) => {
                let missing =
                    || EngineError::Invalid(format!("there is no entry `{}`", shown(id, 60)));
                let mut entry = self.entry(id)?.ok_or_else(missing)?;
                if entry.kind() == kind::OUTCOME {
                    entry = self.entry(entry.text("decision"))?.ok_or_else(missing)?;
                }
                let id = entry.id().to_owned();
                (vec![entry], "entry", id)
            }
            About::Task(task) => {
                let id = task.to_string();
                let found = self.about_task(&id)?;
                if found.is_empty() {
                    return Err(EngineError::Invalid(format!("there is no task `{id}`")));
                }
                (found, "task", id)
            }
        };
        self.add_outer(&mut subject)?;
        let checkpoint = self.checkpoint()?;
        let size = checkpoint.claimed().size;
        let mut wanted = Wanted::default();
        for entry in &subject {
            wanted.take(entry);
            // An approval may have been asked for under another version, of the same texts.
            if let Ok(approval) = entry.text("approval").parse()
                && let Some(asked) = self.entry_of(&asked_key(&approval))?
            {
                wanted.policies.insert(asked.text("policy").to_owned());
            }
        }
        self.parties(&mut wanted)?;
        let mut levels = Levels::default();
        self.each_leaf(&mut |entry| {
            if entry.index >= size {
                return Ok(false);
            }
            if wanted.has(&entry) {
                wanted.places.insert(entry.index);
            }
            levels.push(leaf_hash(&entry.leaf));
            Ok(true)
        })?;
        let first = subject.first().map_or(0, |entry| entry.index);
        self.render(&wanted, &levels, &checkpoint, (key, &id), first)
    }

    /// Adds the calls that the entries are of, and those that the calls were made in: of each the
    /// receipt holds what it cites.
    fn add_outer(&self, subject: &mut Vec<Entry>) -> Result<(), EngineError> {
        let mut known: HashSet<String> = subject.iter().map(|e| e.id().to_owned()).collect();
        let mut at = 0;
        while let Some(entry) = subject.get(at) {
            at += 1;
            let cited = match entry.kind() {
                kind::DECISION => entry.text("parent"),
                kind::ERASURE => entry.text("entry"),
                _ => entry.text("decision"),
            }
            .to_owned();
            if !cited.is_empty()
                && known.insert(cited.clone())
                && let Some(cited) = self.entry(&cited)?
            {
                subject.push(cited);
            }
        }
        Ok(())
    }

    /// The entries that name a task.
    fn about_task(&self, id: &str) -> Result<Vec<Entry>, EngineError> {
        let mut found = Vec::new();
        self.each_leaf(&mut |entry| {
            if entry.text("task") == id {
                found.push(entry);
            }
            Ok(true)
        })?;
        Ok(found)
    }

    /// Adds the agents and humans of all grants that are wanted.
    fn parties(&self, wanted: &mut Wanted) -> Result<(), EngineError> {
        let mut rest: Vec<Digest> = wanted.digests.iter().copied().collect();
        while let Some(digest) = rest.pop() {
            let Some(grant) = self.grant_entry(&digest)? else { continue };
            wanted.take(&grant);
            let parent = grant.fields.get("parent").and_then(Value::as_bytes);
            if let Some(parent) = parent.and_then(|bytes| Digest::try_from(bytes).ok())
                && wanted.digests.insert(parent)
            {
                rest.push(parent);
            }
        }
        let state = self.state.read();
        let owners: Vec<String> = wanted
            .ids
            .iter()
            .filter_map(|id| Some(state.agent(&id.parse().ok()?)?.owner.to_string()))
            .collect();
        wanted.ids.extend(owners);
        Ok(())
    }

    fn render(
        &self,
        wanted: &Wanted,
        levels: &Levels,
        checkpoint: &SignedCheckpoint,
        (key, id): (&str, &str),
        first: u64,
    ) -> Result<Receipt, EngineError> {
        let size = checkpoint.claimed().size;
        let wrong = |error: MerkleError| EngineError::Invalid(error.to_string());
        let path = |index: u64| -> Result<Vec<String>, EngineError> {
            let path = inclusion(levels, index, size).map_err(wrong)?;
            Ok(path.iter().map(|hash| BASE64.encode(hash)).collect())
        };
        let mut entries = Vec::with_capacity(wanted.places.len());
        let mut held = Vec::with_capacity(wanted.places.len());
        for index in &wanted.places {
            let Some(entry) = self.entry_at(*index)? else { continue };
            let proof = serde_json::json!(path(*index)?);
            held.push((*index, leaf_hash(&entry.leaf)));
            let line = export_line(&entry);
            let open = line.strip_suffix('}').unwrap_or(&line);
            entries.push(format!(r#"{open},"proof":{proof}}}"#));
        }
        let signer = self.keys.read().checkpoint(size);
        let signer = signer.ok_or_else(|| EngineError::Invalid("the trail is empty".to_owned()))?;
        let contents = signer.sign_contents(&format!("{key} {id}"), checkpoint.claimed(), &held);
        let head = serde_json::json!({
            "answerable": "receipt",
            "format": 1,
            "authority": self.authority().paserk(),
            "origin": self.origin(),
            "subject": BTreeMap::from([(key, id)]),
            "checkpoint": checkpoint.text(),
            "contents": contents,
        });
        let head = head.to_string();
        let head = head.strip_suffix('}').unwrap_or(&head);
        let text = format!("{head},\"entries\":[\n{}\n]}}\n", entries.join(",\n"));
        let mut proof = format!("c2sp.org/tlog-proof@v1\nindex {first}\n");
        for line in path(first)? {
            proof.push_str(&line);
            proof.push('\n');
        }
        proof.push('\n');
        proof.push_str(checkpoint.text());
        Ok(Receipt { text, proof, entries: wanted.places.len() })
    }
}

impl Wanted {
    /// Takes an entry up, and what it names.
    fn take(&mut self, entry: &Entry) {
        self.places.insert(entry.index);
        for (_, value) in entry.fields.iter() {
            if let Some(id) = value.as_str().filter(|text| is_id(text)) {
                self.ids.insert(id.to_owned());
            }
        }
        self.digests.extend(entry.digests("chain"));
        let own = entry.fields.get("digest").and_then(Value::as_bytes);
        self.digests.extend(own.and_then(|bytes| Digest::try_from(bytes).ok()));
        let policy = entry.text("policy");
        if entry.kind() == kind::DECISION && policy != "none" {
            self.policies.insert(policy.to_owned());
        }
    }

    /// Whether a leaf belongs to what was taken up.
    fn has(&self, entry: &Entry) -> bool {
        let names = |key: &str| self.ids.contains(entry.text(key));
        let digest = entry.fields.get("digest").and_then(Value::as_bytes);
        let cited = digest.and_then(|bytes| Digest::try_from(bytes).ok());
        match entry.kind() {
            kind::KEY => entry.fields.get("statement").is_some(),
            kind::GRANT => cited.is_some_and(|digest| self.digests.contains(&digest)),
            kind::OUTCOME => names("decision"),
            kind::DECISION => names("id"),
            kind::TASK => names("task"),
            kind::IDENTITY => match entry.text("agent") {
                "" => names("human"),
                _ => names("agent"),
            },
            kind::REVOCATION | kind::HALT => {
                cited.is_some_and(|digest| self.digests.contains(&digest))
                    || entry.text("target") == "everything"
                    || names(entry.text("target"))
                    || (entry.text("target") == "owner" && names("owner"))
            }
            kind::POLICY => self.policies.contains(entry.text("policy")),
            kind::ERASURE => names("human") || names("entry"),
            // Approvals, leases and what comes later: by the entry that they name, or that names
            // them.
            _ => ["id", "decision", "entry", "request", "approval"].into_iter().any(names),
        }
    }
}

/// Whether text has the form of an id: three or four letters and 26 of base32.
fn is_id(text: &str) -> bool {
    text.split_once('_')
        .is_some_and(|(kind, rest)| (2..=4).contains(&kind.len()) && rest.len() == 26)
}

/// All leaf hashes and the roots of all whole subtrees over them.
#[derive(Default)]
pub(super) struct Levels(Vec<Vec<Digest>>);

impl Levels {
    pub(super) fn push(&mut self, leaf: Digest) {
        let mut node = leaf;
        for level in 0.. {
            if self.0.len() <= level {
                self.0.push(Vec::new());
            }
            let Some(row) = self.0.get_mut(level) else { return };
            row.push(node);
            if row.len() % 2 == 1 {
                return;
            }
            let Some([left, right]) = row.last_chunk::<2>() else { return };
            node = node_hash(left, right);
        }
    }
}

impl LeafHashes for Levels {
    fn len(&self) -> u64 {
        self.0.first().map_or(0, |row| row.len() as u64)
    }

    fn leaf_hash(&self, index: u64) -> Result<Digest, MerkleError> {
        let found = self.subtree(0, index)?;
        found.ok_or(MerkleError::OutOfRange { place: index, size: self.len() })
    }

    fn subtree(&self, level: u32, index: u64) -> Result<Option<Digest>, MerkleError> {
        let row = self.0.get(level as usize);
        let at = usize::try_from(index).unwrap_or(usize::MAX);
        Ok(row.and_then(|row| row.get(at)).copied())
    }
}
