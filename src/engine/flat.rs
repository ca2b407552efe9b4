//! Entries read for frames: leaves as they lie, each decision brought together with its outcome.

use std::collections::HashMap;

use super::library::Holder;
use super::{Engine, EngineError};
use crate::canonical::{DecodeError, Digest, Raw, each_key, map_view};
use crate::keys::Owner;
use crate::trail::block::{Block, BlockError};
use crate::trail::entry::kind;

/// How many blocks beyond the last entry are looked through for outcomes, where all are read. What
/// ends later is found through the index.
const BEYOND: usize = 8;

/// The keys of a leaf with their values.
pub type Keys<'a> = [(&'a str, Raw<'a>)];

/// The value of a key.
#[must_use]
pub fn get<'a>(keys: &Keys<'a>, name: &str) -> Option<Raw<'a>> {
    keys.iter().find(|(key, _)| *key == name).map(|(_, raw)| *raw)
}

/// The text of a key.
#[must_use]
pub fn text<'a>(keys: &Keys<'a>, name: &str) -> Option<&'a str> {
    get(keys, name).and_then(Raw::text)
}

/// The keys of a leaf that rows show; what is absent, or of another type, is `None`.
#[derive(Debug, Default, Clone, Copy)]
pub struct Leaf<'a> {
    /// The kind of entry.
    pub kind: &'a str,
    /// The entry's id.
    pub id: Option<&'a str>,
    /// When it was sequenced, in microseconds.
    pub at: Option<i64>,
    /// The human accountable, or that the entry is about.
    pub human: Option<&'a str>,
    /// The agent, likewise.
    pub agent: Option<&'a str>,
    /// The tool; of a halt, a pattern.
    pub tool: Option<&'a str>,
    /// The decision's effect.
    pub effect: Option<&'a str>,
    /// The task.
    pub task: Option<&'a str>,
    /// The version of the policies.
    pub policy: Option<&'a str>,
    /// What an administrative entry did.
    pub action: Option<&'a str>,
    /// The entry of the call that this one was made in.
    pub parent: Option<&'a str>,
    /// The codes of the reasons.
    pub reasons: Option<Raw<'a>>,
    /// The digests of the grants on the chain.
    pub chain: Option<Raw<'a>>,
    /// Of an outcome, the decision's id.
    pub decision: Option<&'a str>,
    /// Of an outcome, how the call ended.
    pub status: Option<&'a str>,
    /// Of an outcome, the exception's class.
    pub class: Option<&'a str>,
    /// Of an outcome, how long the call took, in microseconds.
    pub duration: Option<i64>,
}

impl<'a> Leaf<'a> {
    /// Reads them in one pass.
    ///
    /// # Errors
    /// Where the bytes are no map.
    pub fn read(bytes: &'a [u8]) -> Result<Self, DecodeError> {
        let mut leaf = Self::default();
        each_key(bytes, &mut |key, raw: Raw<'a>| match key {
            "kind" => leaf.kind = raw.text().unwrap_or_default(),
            "id" => leaf.id = raw.text(),
            "at" => leaf.at = raw.datetime(),
            "human" => leaf.human = raw.text(),
            "agent" => leaf.agent = raw.text(),
            "tool" => leaf.tool = raw.text(),
            "effect" => leaf.effect = raw.text(),
            "task" => leaf.task = raw.text(),
            "policy" => leaf.policy = raw.text(),
            "action" => leaf.action = raw.text(),
            "parent" => leaf.parent = raw.text(),
            "reasons" => leaf.reasons = Some(raw),
            "chain" => leaf.chain = Some(raw),
            "decision" => leaf.decision = raw.text(),
            "status" => leaf.status = raw.text(),
            "type" => leaf.class = raw.text(),
            "duration_us" => leaf.duration = raw.integer(),
            _ => {}
        })?;
        Ok(leaf)
    }
}

/// What takes the rows.
pub trait Rows {
    /// The next row: an entry, with its resource if that opened.
    fn entry(&mut self, index: u64, leaf: &Leaf<'_>, resource: Option<&str>);

    /// The outcome of the entry in a row.
    fn outcome(&mut self, row: usize, leaf: &Leaf<'_>);
}

impl Engine {
    /// Reads the entries at these places (ascending) as rows, in their order. `dense` says that
    /// they are many of those that lie between the first and the last.
    ///
    /// # Errors
    /// The store's, or `Block` for a damaged one.
    pub fn read_rows(
        &self,
        places: &[u64],
        dense: bool,
        rows: &mut dyn Rows,
    ) -> Result<(), EngineError> {
        self.check()?;
        let (open, resources) = (HashMap::new(), Resources::default());
        let mut reading = Reading { engine: self, rest: places, row: 0, open, resources, rows };
        let mut last = 0;
        if dense && let Some(first) = places.first() {
            let mut beyond = 0;
            self.library.each_block(*first, &mut |_, block| {
                beyond += usize::from(reading.rest.is_empty());
                reading.take(block)?;
                last = block.end();
                let waiting = !reading.open.is_empty() && beyond < BEYOND;
                Ok(!reading.rest.is_empty() || waiting)
            })?;
        } else {
            while let Some(first) = reading.rest.first() {
                match self.library.block_of(*first)? {
                    Some(block) => reading.take(&block)?,
                    None => reading.rest = reading.rest.get(1..).unwrap_or_default(),
                }
            }
        }
        let Reading { open, rows, .. } = reading;
        // Long calls, and those that have not ended.
        for (id, (row, place)) in open {
            let from = if dense { last.max(place + 1) } else { place + 1 };
            let Some(index) = self.outcome_place(&id, from)? else { continue };
            let Some(block) = self.library.block_of(index)? else { continue };
            rows.outcome(row, &read(block.leaf(index).unwrap_or_default())?);
        }
        Ok(())
    }

    /// A grant and who holds it, by the grant's digest.
    ///
    /// # Errors
    /// The store's, or `Block` for a damaged one.
    pub fn holder_of(&self, digest: &Digest) -> Result<Option<Holder>, EngineError> {
        self.library.holder_of(digest)
    }
}

/// Rows in the making.
struct Reading<'a> {
    engine: &'a Engine,
    /// The places that were not met yet.
    rest: &'a [u64],
    row: usize,
    /// Decisions whose outcome was not met yet, by the text of their id: row and place.
    open: HashMap<Box<str>, (usize, u64)>,
    resources: Resources,
    rows: &'a mut dyn Rows,
}

impl Reading<'_> {
    fn take(&mut self, block: &Block) -> Result<(), EngineError> {
        let (here, after) = self.rest.split_at(self.rest.partition_point(|i| *i < block.end()));
        self.rest = after;
        self.resources.read(self.engine, block, here)?;
        let mut places = here.iter().peekable();
        for (leaf, index) in block.leaves().zip(block.first()..) {
            while places.next_if(|place| **place < index).is_some() {}
            let wanted = places.next_if(|place| **place == index).is_some();
            let keys = read(leaf)?;
            if keys.kind == kind::GRANT {
                let all = map_view(leaf).map_err(damaged)?;
                if let Some((digest, holder)) = Holder::of(&all) {
                    // Calls under it are looked up next.
                    self.engine.library.remember(digest, holder);
                }
            }
            if wanted {
                self.rows.entry(index, &keys, self.resources.of(index));
                if keys.effect == Some("allow")
                    && let Some(id) = keys.id
                {
                    self.open.insert(id.into(), (self.row, index));
                }
                self.row += 1;
            }
            if keys.kind == kind::OUTCOME
                && let Some(decision) = keys.decision
                && let Some((row, _)) = self.open.remove(decision)
            {
                self.rows.outcome(row, &keys);
            }
        }
        Ok(())
    }
}

/// The resources of a block's entries, one text after the other.
#[derive(Default)]
struct Resources {
    first: u64,
    texts: String,
    /// Where each begins and ends; absent for one that is, or that did not open.
    spans: Vec<Option<(usize, usize)>>,
}

impl Resources {
    /// Opens those of the entries at these places, all of which lie in the block.
    fn read(&mut self, engine: &Engine, block: &Block, places: &[u64]) -> Result<(), EngineError> {
        self.first = block.first();
        self.spans.clear();
        if places.is_empty() {
            return Ok(());
        }
        let size = block.len();
        let library = &engine.library;
        library.opened(block, &mut |again| {
            // One that was read again may reach further on both sides.
            let shift = self.first.saturating_sub(again.first());
            self.texts.clear();
            self.spans.clear();
            self.spans.resize(size, None);
            let mut key_of = |owner: &Owner| library.key_of(owner);
            let asked = |offsets: &[u32]| {
                let at = |offset: u32| again.first() + u64::from(offset);
                offsets.iter().any(|offset| places.binary_search(&at(*offset)).is_ok())
            };
            again.each_shown(library.authority_id(), &mut key_of, &asked, &mut |offset, text| {
                let place = u64::from(offset).checked_sub(shift);
                let place = place.and_then(|place| usize::try_from(place).ok());
                if let Some(slot) = place.and_then(|place| self.spans.get_mut(place)) {
                    let start = self.texts.len();
                    self.texts.push_str(text);
                    *slot = Some((start, self.texts.len()));
                }
            })
        })
    }

    fn of(&self, index: u64) -> Option<&str> {
        let at = usize::try_from(index.checked_sub(self.first)?).ok()?;
        let (start, end) = (*self.spans.get(at)?)?;
        self.texts.get(start..end)
    }
}

fn read(leaf: &[u8]) -> Result<Leaf<'_>, EngineError> {
    Ok(Leaf::read(leaf).map_err(damaged)?)
}

fn damaged(error: DecodeError) -> BlockError {
    BlockError::Damaged(error.to_string())
}
