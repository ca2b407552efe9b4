//! Reading the trail: entries by filter, checkpoints, exports.

use std::io::Write;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;

use super::{Engine, EngineError, text_of_leaf};
use crate::canonical::{Digest, Value, map_view, to_json};
use crate::chain::{Chain, UnverifiedChain};
use crate::keys::Owner;
use crate::registry::grant_index_key;
use crate::scope::{ResourcePattern, ToolPattern};
use crate::store::StoreError;
use crate::trail::block::{Block, BlockError};
use crate::trail::checkpoint::SignedCheckpoint;
use crate::trail::entry::Entry;
use crate::trail::index::{Field, Term, id_term};
use crate::trail::merkle::leaf_hash;

/// Signed checkpoints, by size, big-endian.
pub(super) const CHECKPOINT: &[u8] = b"c/";

/// Which entries are asked for; what is absent does not matter.
#[derive(Debug, Clone, Default)]
pub struct Filter {
    /// The human accountable, or named by the entry: by id.
    pub human: Option<String>,
    /// The acting agent, or named by the entry: by id.
    pub agent: Option<String>,
    /// Any agent on the chain: by id.
    pub via: Option<String>,
    /// The tool.
    pub tool: Option<ToolPattern>,
    /// The resource.
    pub resource: Option<ResourcePattern>,
    /// The task: by id.
    pub task: Option<String>,
    /// The decision's effect.
    pub effect: Option<String>,
    /// One of the decision's reasons, by code.
    pub reason: Option<String>,
    /// The kind of entry.
    pub kind: Option<String>,
    /// A grant on the chain, or that the entry is about: by digest.
    pub grant: Option<Digest>,
    /// The entry of the call that this one was made in: by id.
    pub parent: Option<String>,
    /// What an administrative entry did, such as `issued`.
    pub action: Option<String>,
    /// The human who did it: by id.
    pub by: Option<String>,
    /// Not before, in microseconds.
    pub since: Option<i64>,
    /// Before, in microseconds.
    pub until: Option<i64>,
}

/// What an export wrote.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exported {
    /// How many entries.
    pub entries: u64,
    /// How many checkpoints.
    pub checkpoints: u64,
}

impl Engine {
    /// The name of a human or agent by its id, as the registry knows it now; the id itself if there
    /// is none.
    #[must_use]
    pub fn name_of(&self, id: &str) -> String {
        if self.here().is_err() {
            return id.to_owned();
        }
        let state = self.state.read();
        let agent = || Some(state.agent(&id.parse().ok()?)?.name.clone());
        let human = || Some(state.human(&id.parse().ok()?)?.display().to_owned());
        agent().or_else(human).unwrap_or_else(|| id.to_owned())
    }

    /// Calls `each` with every entry from an index on, in order, until it answers `false`; all
    /// that was appended is flushed first.
    ///
    /// # Errors
    /// The store's, or `Block` for a damaged one.
    pub fn each_entry(
        &self,
        from: u64,
        each: &mut dyn FnMut(Entry) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        self.check()?;
        self.recorder.flush()?;
        self.each_written(from, each)
    }

    /// As [`Engine::each_entry`], for what is on the disk now.
    pub(super) fn each_written(
        &self,
        from: u64,
        each: &mut dyn FnMut(Entry) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        self.library.each_block(from, &mut |next, block| {
            for entry in self.open_block(block, &mut |index| index >= next)? {
                if !each(entry)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// Calls `each` with every leaf, in order, until it answers `false`. The values beside stay
    /// closed, which makes it much cheaper than [`Engine::each_entry`].
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn each_leaf(
        &self,
        each: &mut dyn FnMut(Entry) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        self.check()?;
        self.recorder.flush()?;
        self.library.each_block(0, &mut |next, block| {
            for (leaf, index) in block.leaves().zip(block.first()..) {
                if index < next {
                    continue;
                }
                if !each(Entry::read(index, leaf, Vec::new()).map_err(BlockError::Damaged)?)? {
                    return Ok(false);
                }
            }
            Ok(true)
        })
    }

    /// One entry by its place.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn entry_at(&self, index: u64) -> Result<Option<Entry>, EngineError> {
        let Some(block) = self.library.block_of(index)? else { return Ok(None) };
        Ok(self.open_block(&block, &mut |other| other == index)?.pop())
    }

    /// Entries by their places, ascending; those that are not there any more are left out.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn entries_at(&self, indices: &[u64]) -> Result<Vec<Entry>, EngineError> {
        self.check()?;
        let mut found = Vec::with_capacity(indices.len());
        let mut rest = indices;
        while let Some(first) = rest.first() {
            let Some(block) = self.library.block_of(*first)? else {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let (these, after) = rest.split_at(rest.partition_point(|i| *i < block.end()));
            let here = self.open_block(&block, &mut |i| these.binary_search(&i).is_ok())?;
            found.extend(here);
            rest = after;
        }
        Ok(found)
    }

    /// One entry by its id.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn entry(&self, id: &str) -> Result<Option<Entry>, EngineError> {
        self.check()?;
        let size = self.recorder.flush()?.size();
        let Some(term) = id_term(Field::Id, id) else { return Ok(None) };
        self.library.index_up_to(size)?;
        self.newest_with(&term, size, &mut |entry| entry.id() == id)
    }

    /// The newest entry below `end` that holds a term and fits.
    fn newest_with(
        &self,
        term: &Term,
        end: u64,
        fits: &mut dyn FnMut(&Entry) -> bool,
    ) -> Result<Option<Entry>, EngineError> {
        let mut to = end;
        while to > 0 {
            let found = self.library.look(to - 1, &mut |stretch| {
                let first = stretch.first();
                let all: Vec<u64> =
                    stretch.find(term)?.into_iter().map(|o| first + u64::from(o)).collect();
                Ok((first, all))
            })?;
            let (next, indices) = found.unwrap_or((to - 1, Vec::new()));
            for index in indices.into_iter().rev().filter(|index| *index < end) {
                if let Some(entry) = self.entry_at(index)?.filter(|entry| fits(entry)) {
                    return Ok(Some(entry));
                }
            }
            to = next;
        }
        Ok(None)
    }

    fn open_block(
        &self,
        block: &Block,
        want: &mut dyn FnMut(u64) -> bool,
    ) -> Result<Vec<Entry>, EngineError> {
        let here = block.first()..block.end();
        self.library.opened(block, &mut |block| {
            let mut key_of = |owner: &Owner| self.library.key_of(owner);
            let mut want = |index| here.contains(&index) && want(index);
            block.entries_of(&self.authority_id, &mut key_of, &mut want)
        })
    }

    /// The outcome of a decision's entry, if it ended.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn outcome_of(&self, decision: &Entry) -> Result<Option<Entry>, EngineError> {
        self.check()?;
        if decision.text("effect") != "allow" {
            return Ok(None);
        }
        let place = self.outcome_place(decision.id(), decision.index + 1)?;
        Ok(place.map(|index| self.entry_at(index)).transpose()?.flatten())
    }

    /// Where the outcome of a decision stands, from an index on.
    pub(super) fn outcome_place(&self, id: &str, from: u64) -> Result<Option<u64>, EngineError> {
        let size = self.recorder.flush()?.size();
        let Some(term) = id_term(Field::Decision, id) else { return Ok(None) };
        self.library.index_up_to(size)?;
        let mut from = from;
        while from < size {
            let found = self.library.look(from, &mut |stretch| {
                let first = stretch.first();
                let all = stretch.find(&term)?.into_iter().map(|o| first + u64::from(o));
                Ok((stretch.end(), all.filter(|index| *index >= from).collect::<Vec<u64>>()))
            })?;
            let (next, indices) = found.unwrap_or((from + 1, Vec::new()));
            for index in indices {
                let block = self.library.block_of(index)?;
                let leaf = block.as_ref().and_then(|block| block.leaf(index));
                let keys = map_view(leaf.unwrap_or_default());
                let keys = keys.map_err(|error| BlockError::Damaged(error.to_string()))?;
                if text_of_leaf(&keys, "decision") == Some(id) {
                    return Ok(Some(index));
                }
            }
            from = next;
        }
        Ok(None)
    }

    /// The entry of a grant, by the grant's digest.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn grant_entry(&self, digest: &Digest) -> Result<Option<Arc<Entry>>, EngineError> {
        self.here()?;
        if let Some(entry) = self.grants.lock().get(digest) {
            return Ok(Some(entry.clone()));
        }
        let Some(index) = self.index_at(&grant_index_key(digest))? else { return Ok(None) };
        let entry = self.entry_at(index)?.map(Arc::new);
        if let Some(entry) = &entry {
            let mut known = self.grants.lock();
            if known.len() >= 4_096 {
                known.clear();
            }
            known.insert(*digest, entry.clone());
        }
        Ok(entry)
    }

    /// The chain that ends in a grant, verified anew from the tokens in the trail; `None` if a
    /// token on it is not there any more.
    ///
    /// # Errors
    /// As [`Engine::each_entry`], and `Grant` if it does not verify.
    pub fn chain_of(&self, digest: &Digest) -> Result<Option<Chain>, EngineError> {
        let mut tokens = Vec::new();
        let mut next = Some(*digest);
        while let Some(digest) = next {
            let Some(entry) = self.grant_entry(&digest)? else { return Ok(None) };
            let Some(token) = entry.value_text("token") else { return Ok(None) };
            tokens.push(token.to_owned());
            if tokens.len() > self.max_hops {
                return Ok(None);
            }
            let parent = entry.fields.get("parent").and_then(Value::as_bytes);
            next = parent.and_then(|bytes| bytes.try_into().ok());
        }
        tokens.reverse();
        let chain = UnverifiedChain::parse(&tokens.join("~"), self.max_hops)?;
        let anchors = self.keys.read().anchors.clone();
        let chain = chain.verify(&anchors, &self.cache)?;
        let made = self.made(&chain)?;
        Ok(Some(chain.made_at(made)))
    }

    pub(super) fn index_at(&self, key: &[u8]) -> Result<Option<u64>, EngineError> {
        let Some(bytes) = self.store.get(key)? else { return Ok(None) };
        let bytes: [u8; 8] = bytes
            .try_into()
            .map_err(|_| StoreError::Corrupt { what: "an index of the trail".to_owned() })?;
        Ok(Some(u64::from_be_bytes(bytes)))
    }

    /// Flushes all that was appended and signs the tree's head.
    ///
    /// # Errors
    /// The store's.
    pub fn checkpoint(&self) -> Result<SignedCheckpoint, EngineError> {
        self.check()?;
        let frontier = self.recorder.flush()?;
        self.sign(&frontier)
    }

    /// The checkpoints signed so far, smallest first.
    ///
    /// # Errors
    /// The store's, or `Checkpoint` for one that cannot be read.
    pub fn checkpoints(&self) -> Result<Vec<SignedCheckpoint>, EngineError> {
        let mut texts = Vec::new();
        self.store.scan(CHECKPOINT, None, &mut |_, value| {
            texts.push(String::from_utf8_lossy(value).into_owned());
            true
        })?;
        texts.iter().map(|text| Ok(SignedCheckpoint::parse(text)?)).collect()
    }

    /// How many entries there are, all that was appended included.
    ///
    /// # Errors
    /// The store's.
    pub fn size(&self) -> Result<u64, EngineError> {
        self.check()?;
        Ok(self.recorder.flush()?.size())
    }

    /// Waits until more than `count` entries are durable, but no longer than `patience`; answers
    /// how many are.
    #[must_use]
    pub fn wait_beyond(&self, count: u64, patience: std::time::Duration) -> u64 {
        self.recorder.wait_beyond(count, patience)
    }

    /// The time that durations into the past are counted from.
    #[must_use]
    pub fn now_or_mark(&self) -> i64 {
        self.clock.stamp()
    }

    /// Writes the whole trail as JSON lines; `docs/formats.md`, section "Export".
    ///
    /// # Errors
    /// As [`Engine::each_entry`], and `Invalid` where writing fails.
    pub fn export(&self, out: &mut dyn Write) -> Result<Exported, EngineError> {
        let size = self.checkpoint()?.claimed().size;
        let mut checkpoints = self.checkpoints()?;
        checkpoints.retain(|checkpoint| checkpoint.claimed().size <= size);
        let failed = |error: std::io::Error| EngineError::Invalid(format!("cannot write: {error}"));
        let header = serde_json::json!({
            "answerable": "trail",
            "format": 1,
            "authority": self.authority().paserk(),
            "origin": self.origin(),
            "size": size,
            "checkpoints": checkpoints.len(),
        });
        writeln!(out, "{header}").map_err(failed)?;
        self.each_entry(0, &mut |entry| {
            if entry.index >= size {
                return Ok(false);
            }
            writeln!(out, "{}", export_line(&entry)).map_err(failed)?;
            Ok(true)
        })?;
        for checkpoint in &checkpoints {
            let line = serde_json::json!({ "checkpoint": checkpoint.text() });
            writeln!(out, "{line}").map_err(failed)?;
        }
        out.flush().map_err(failed)?;
        Ok(Exported { entries: size, checkpoints: checkpoints.len() as u64 })
    }
}

/// One leaf of an export: the leaf in its JSON rendering, its hash, the values that were opened.
pub(super) fn export_line(entry: &Entry) -> String {
    let hash = BASE64URL_NOPAD.encode(&leaf_hash(&entry.leaf));
    let leaf = to_json(&Value::Map(entry.fields.clone()));
    let values: Vec<String> = entry
        .opened
        .iter()
        .map(|opened| {
            let field = serde_json::Value::from(&*opened.field);
            let salt = BASE64URL_NOPAD.encode(&opened.salt);
            format!(r#"{field}:{{"salt":"{salt}","value":{}}}"#, to_json(&opened.value))
        })
        .collect();
    let index = entry.index;
    let values = values.join(",");
    format!(r#"{{"index":{index},"leaf":{leaf},"hash":"{hash}","values":{{{values}}}}}"#)
}
