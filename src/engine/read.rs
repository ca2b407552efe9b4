//! Reading the trail: entries by filter, checkpoints, exports.

use std::collections::HashMap;
use std::io::Write;
use std::sync::Arc;

use data_encoding::BASE64URL_NOPAD;

use super::{Engine, EngineError};
use crate::canonical::{Digest, Value, to_json};
use crate::chain::{Chain, UnverifiedChain};
use crate::keys::{KeyError, Owner};
use crate::recorder::keyspace;
use crate::registry::{grant_index_key, load_data_key};
use crate::scope::{ResourcePattern, ToolPattern};
use crate::store::{Batch, StoreError};
use crate::trail::block::{Block, BlockError};
use crate::trail::checkpoint::SignedCheckpoint;
use crate::trail::entry::{Entry, kind};
use crate::trail::merkle::{Frontier, leaf_hash};
use crate::trail::verify::{Disclosed, Report, Verifier, VerifyError};

/// Signed checkpoints, by size, big-endian.
pub(super) const CHECKPOINT: &[u8] = b"c/";
/// How often a block that does not open is read again.
const REREAD: usize = 3;
/// How many blocks are read at a time.
const BLOCKS: usize = 16;

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
    /// Not before, in microseconds.
    pub since: Option<i64>,
    /// Before, in microseconds.
    pub until: Option<i64>,
}

/// Names for ids, as the registry knows them now.
#[derive(Debug, Clone, Default)]
pub struct Names(HashMap<String, String>);

impl Names {
    /// The name of a human or agent; the id itself if there is none.
    #[must_use]
    pub fn of<'a>(&'a self, id: &'a str) -> &'a str {
        self.0.get(id).map_or(id, String::as_str)
    }
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
    /// Names of all humans and agents.
    #[must_use]
    pub fn names(&self) -> Names {
        let state = self.state.read();
        let humans = state.humans().into_iter().map(|h| (h.id.to_string(), h.display().to_owned()));
        let agents = state.agents().into_iter().map(|a| (a.id.to_string(), a.name.clone()));
        Names(humans.chain(agents).collect())
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
        let mut start = self.block_at(from)?.map_or(0, |(first, _)| first);
        loop {
            let mut blocks: Vec<(u64, Vec<u8>)> = Vec::with_capacity(BLOCKS);
            self.store.scan(
                keyspace::BLOCK,
                Some(&keyspace::block(start)),
                &mut |key, value| {
                    blocks.push((index_of(key), value.to_vec()));
                    blocks.len() < BLOCKS
                },
            )?;
            let Some((last, _)) = blocks.last() else { return Ok(()) };
            start = last + 1;
            for (first, bytes) in &blocks {
                for entry in self.open_block(*first, bytes)? {
                    if entry.index >= from && !each(entry)? {
                        return Ok(());
                    }
                }
            }
        }
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
        self.each_written_leaf(0, each)
    }

    /// As [`Engine::each_leaf`] from a place on, for what is on the disk now.
    pub(super) fn each_written_leaf(
        &self,
        at: u64,
        each: &mut dyn FnMut(Entry) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        let mut start = self.block_at(at)?.map_or(0, |(first, _)| first);
        loop {
            let mut blocks: Vec<(u64, Vec<u8>)> = Vec::with_capacity(BLOCKS);
            let from = keyspace::block(start);
            self.store.scan(keyspace::BLOCK, Some(&from), &mut |key, value| {
                blocks.push((index_of(key), value.to_vec()));
                blocks.len() < BLOCKS
            })?;
            let Some((last, _)) = blocks.last() else { return Ok(()) };
            start = last + 1;
            for (first, bytes) in &blocks {
                let block = Block::read(*first, bytes)?;
                for (leaf, index) in block.leaves().zip(*first..).filter(|(_, index)| *index >= at)
                {
                    let entry =
                        Entry::read(index, leaf, Vec::new()).map_err(BlockError::Damaged)?;
                    if !each(entry)? {
                        return Ok(());
                    }
                }
            }
        }
    }

    /// One entry by its place.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn entry_at(&self, index: u64) -> Result<Option<Entry>, EngineError> {
        let Some((first, bytes)) = self.block_at(index)? else { return Ok(None) };
        let entries = self.open_block(first, &bytes)?;
        Ok(entries.into_iter().find(|entry| entry.index == index))
    }

    /// One entry by its id, looked for from the newest on.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn entry(&self, id: &str) -> Result<Option<Entry>, EngineError> {
        self.check()?;
        self.recorder.flush()?;
        let mut before: Option<Vec<u8>> = None;
        loop {
            let mut blocks: Vec<(u64, Vec<u8>)> = Vec::with_capacity(BLOCKS);
            self.store.scan_back(keyspace::BLOCK, before.as_deref(), &mut |key, value| {
                blocks.push((index_of(key), value.to_vec()));
                blocks.len() < BLOCKS
            })?;
            let Some((last, _)) = blocks.last() else { return Ok(None) };
            before = Some(keyspace::block(*last));
            for (first, bytes) in &blocks {
                let mut entries = self.open_block(*first, bytes)?;
                if let Some(at) = entries.iter().position(|entry| entry.id() == id) {
                    return Ok(Some(entries.swap_remove(at)));
                }
            }
        }
    }

    fn block_at(&self, index: u64) -> Result<Option<(u64, Vec<u8>)>, EngineError> {
        let mut found = None;
        let before = keyspace::block(index.saturating_add(1));
        self.store.scan_back(keyspace::BLOCK, Some(&before), &mut |key, value| {
            found = Some((index_of(key), value.to_vec()));
            false
        })?;
        Ok(found)
    }

    fn open_block(&self, first: u64, bytes: &[u8]) -> Result<Vec<Entry>, EngineError> {
        let load = |owner: &Owner| load_data_key(&*self.store, owner);
        let open = |bytes: &[u8]| {
            let block = Block::read(first, bytes)?;
            block.entries(&self.authority_id, &mut |owner| self.ring.find(owner, &load))
        };
        let mut opened = open(bytes);
        for _ in 0..REREAD {
            if !matches!(opened, Err(BlockError::Key(KeyError::Sealed))) {
                break;
            }
            // An erasure may have sealed it anew since it was read: once that is through, again.
            self.recorder.flush()?;
            let again = self.store.get(&keyspace::block(first))?;
            opened = open(again.as_deref().unwrap_or(bytes));
        }
        Ok(opened?)
    }

    /// The entries that a filter asks for, oldest first. Outcomes are answered only when their
    /// kind is asked for; elsewhere they belong to their decision.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn entries(&self, filter: &Filter) -> Result<Vec<(Entry, Option<Entry>)>, EngineError> {
        let mut found: Vec<(Entry, Option<Entry>)> = Vec::new();
        let mut open: HashMap<String, usize> = HashMap::new();
        self.each_entry(0, &mut |entry| {
            if entry.kind() == kind::OUTCOME && filter.kind.as_deref() != Some(kind::OUTCOME) {
                if let Some((_, outcome)) =
                    open.get(entry.text("decision")).and_then(|at| found.get_mut(*at))
                {
                    *outcome = Some(entry);
                }
                return Ok(true);
            }
            if self.matches(filter, &entry)? {
                if entry.kind() == kind::DECISION {
                    open.insert(entry.id().to_owned(), found.len());
                }
                found.push((entry, None));
            }
            Ok(true)
        })?;
        Ok(found)
    }

    /// The outcome of a decision's entry, if it ended.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn outcome_of(&self, decision: &Entry) -> Result<Option<Entry>, EngineError> {
        let mut outcome = None;
        self.each_entry(decision.index + 1, &mut |entry| {
            if entry.kind() == kind::OUTCOME && entry.text("decision") == decision.id() {
                outcome = Some(entry);
            }
            Ok(outcome.is_none())
        })?;
        Ok(outcome)
    }

    fn matches(&self, filter: &Filter, entry: &Entry) -> Result<bool, EngineError> {
        let same = |want: &Option<String>, key: &str| {
            want.as_deref().is_none_or(|want| entry.text(key) == want)
        };
        if !(same(&filter.kind, "kind")
            && same(&filter.human, "human")
            && same(&filter.agent, "agent")
            && same(&filter.task, "task")
            && same(&filter.effect, "effect"))
        {
            return Ok(false);
        }
        let at = entry.at();
        if filter.since.is_some_and(|since| at < since)
            || filter.until.is_some_and(|until| at >= until)
        {
            return Ok(false);
        }
        if let Some(pattern) = &filter.tool {
            let tool = crate::request::ToolName::parse(entry.text("tool"));
            if !tool.is_ok_and(|tool| pattern.matches(&tool)) {
                return Ok(false);
            }
        }
        if let Some(reason) = &filter.reason {
            let reasons = entry.fields.get("reasons").and_then(Value::as_list).unwrap_or_default();
            if !reasons.iter().any(|code| code.as_str() == Some(reason)) {
                return Ok(false);
            }
        }
        if let Some(pattern) = &filter.resource {
            let resource = entry.value_text("resource");
            let resource = resource.and_then(|text| crate::request::Resource::parse(text).ok());
            if resource.is_none() || !pattern.matches(resource.as_ref()) {
                return Ok(false);
            }
        }
        if let Some(via) = &filter.via {
            let mut on_it = false;
            for digest in entry.digests("chain") {
                let grant = self.grant_entry(&digest)?;
                on_it |= grant.is_some_and(|grant| grant.text("agent") == via);
            }
            return Ok(on_it);
        }
        Ok(true)
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

    /// Signs a tree's head and keeps the checkpoint.
    pub(super) fn sign(&self, frontier: &Frontier) -> Result<SignedCheckpoint, EngineError> {
        if let Some(holder) = self.store.remote() {
            return Ok(SignedCheckpoint::parse(&holder.checkpoint()?)?);
        }
        let key = self.keys.read().checkpoint(frontier.size());
        let key = key.ok_or_else(|| EngineError::Invalid("the trail is empty".to_owned()))?;
        let signed = key.sign(frontier.size(), frontier.root());
        let at = [CHECKPOINT, &frontier.size().to_be_bytes()].concat();
        // One that is there already may have been cosigned since.
        let there = self.store.get(&at)?.map(|text| String::from_utf8_lossy(&text).into_owned());
        let there = there.and_then(|text| SignedCheckpoint::parse(&text).ok());
        if let Some(there) = there.filter(|there| there.text().starts_with(signed.text())) {
            self.keep(&there);
            return Ok(there);
        }
        let mut batch = Batch::default();
        batch.put(at, signed.text().as_bytes());
        self.recorder.commit(batch)?;
        self.keep(&signed);
        Ok(signed)
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

    /// The time that durations into the past are counted from.
    #[must_use]
    pub fn now_or_mark(&self) -> i64 {
        self.clock.stamp()
    }

    /// Feeds the live trail to the verifier.
    ///
    /// # Errors
    /// As [`Engine::each_entry`]; what the verifier finds is its own answer.
    pub fn verify(&self, since: &[String]) -> Result<Result<Report, VerifyError>, EngineError> {
        self.verify_witnessed(since, &[])
    }

    /// As [`Engine::verify`], and asks that each of these witnesses cosigned a checkpoint.
    ///
    /// # Errors
    /// As [`Engine::verify`].
    pub fn verify_witnessed(
        &self,
        since: &[String],
        witnesses: &[String],
    ) -> Result<Result<Report, VerifyError>, EngineError> {
        let size = self.checkpoint()?.claimed().size;
        let since: Vec<&str> = since.iter().map(String::as_str).collect();
        let witnesses: Vec<&str> = witnesses.iter().map(String::as_str).collect();
        let mut verifier = Verifier::new(&self.authority(), &since).witnessed_by(&witnesses);
        self.each_entry(0, &mut |entry| {
            if entry.index >= size {
                return Ok(false);
            }
            let bytes: Vec<Vec<u8>> = entry.opened.iter().map(|o| o.value.encode()).collect();
            let values: Vec<Disclosed<'_>> = entry
                .opened
                .iter()
                .zip(&bytes)
                .map(|(opened, value)| Disclosed { field: &opened.field, salt: opened.salt, value })
                .collect();
            verifier.leaf(entry.index, &entry.leaf, &values);
            Ok(true)
        })?;
        for checkpoint in self.checkpoints()? {
            if checkpoint.claimed().size <= size {
                verifier.checkpoint(checkpoint.text());
            }
        }
        let report = verifier.finish();
        if report.fault_count == 0 {
            return Ok(Ok(report));
        }
        Ok(Err(VerifyError::Corrupted(Box::new(report))))
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

fn index_of(key: &[u8]) -> u64 {
    let bytes = key.get(keyspace::BLOCK.len()..).and_then(|rest| rest.try_into().ok());
    bytes.map_or(0, u64::from_be_bytes)
}
