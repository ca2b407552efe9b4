//! Going through the entries that fit, and reading them with what is told beside them.

use std::collections::HashMap;

use super::{Engine, EngineError, Filter, Library, Order, Query};
use crate::canonical::map_view;
use crate::keys::Owner;
use crate::trail::block::{Block, BlockError};
use crate::trail::entry::{Entry, kind};

/// How many entries are looked at together where values have to be opened to tell.
const OPENED: usize = 512;

/// Goes through the entries that fit, some at a time.
#[derive(Debug, Clone)]
pub struct Walk {
    query: Query,
    order: Order,
    from: u64,
    to: u64,
    /// What the index named and was not looked at yet, ascending.
    waiting: Vec<u64>,
}

impl Walk {
    /// A walk from the first entry, or the last.
    #[must_use]
    pub fn new(query: Query, order: Order) -> Self {
        let (from, to) = (query.first(), query.end());
        Self { query, order, from, to, waiting: Vec::new() }
    }

    /// The next entries that fit, always in ascending order: some, or `None` at the end.
    ///
    /// # Errors
    /// The store's.
    pub fn next_some(&mut self, library: &Library) -> Result<Option<Vec<u64>>, EngineError> {
        loop {
            if self.waiting.is_empty() {
                if self.from >= self.to {
                    return Ok(None);
                }
                let range = (self.from, self.to);
                let (next, hits) = self.query.candidates(library, range, self.order)?;
                match self.order {
                    Order::Oldest => self.from = next,
                    Order::Newest => self.to = next,
                }
                self.waiting = hits;
                continue;
            }
            let most = if self.query.opens() { OPENED } else { usize::MAX };
            let most = most.min(self.waiting.len());
            let some = match self.order {
                Order::Oldest => self.waiting.drain(..most).collect(),
                Order::Newest => self.waiting.split_off(self.waiting.len() - most),
            };
            let fit = self.query.confirm(library, &some)?;
            if !fit.is_empty() {
                return Ok(Some(fit));
            }
        }
    }
}

impl Engine {
    /// The entries that a filter asks for, oldest first, each decision with its outcome. Outcomes
    /// stand for themselves only when their kind is asked for. For small answers: all are in memory.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn entries(&self, filter: &Filter) -> Result<Vec<(Entry, Option<Entry>)>, EngineError> {
        let mut walk = Walk::new(self.query(filter, None, None)?, Order::Oldest);
        let mut rows = Vec::new();
        while let Some(hits) = walk.next_some(&self.library)? {
            rows.extend(self.rows_at(&hits)?);
        }
        Ok(rows)
    }

    /// Entries by their places, ascending, each decision with its outcome. Entries that are not
    /// there any more are left out.
    ///
    /// # Errors
    /// As [`Engine::each_entry`].
    pub fn rows_at(&self, indices: &[u64]) -> Result<Vec<(Entry, Option<Entry>)>, EngineError> {
        let entries = self.entries_at(indices)?;
        // Most calls end within the block that they began in: its leaves are at hand.
        let mut ended: HashMap<String, u64> = HashMap::new();
        let mut looked = 0;
        for entry in entries.iter().filter(|entry| entry.text("effect") == "allow") {
            if entry.index < looked {
                continue;
            }
            let Some(block) = self.library.block_of(entry.index)? else { continue };
            looked = block.end();
            for (leaf, index) in block.leaves().zip(block.first()..) {
                if let Some(decision) = outcome_for(leaf)? {
                    ended.insert(decision.to_owned(), index);
                }
            }
        }
        let mut places: Vec<u64> = Vec::new();
        let mut own: Vec<Option<u64>> = Vec::with_capacity(entries.len());
        for entry in &entries {
            let place = match ended.get(entry.id()) {
                _ if entry.text("effect") != "allow" => None,
                Some(index) => Some(*index),
                None => self.outcome_place(entry.id(), entry.index + 1)?,
            };
            places.extend(place);
            own.push(place);
        }
        places.sort_unstable();
        let outcomes = self.entries_at(&places)?.into_iter().map(|entry| (entry.index, entry));
        let mut outcomes: HashMap<u64, Entry> = outcomes.collect();
        let rows = entries.into_iter().zip(own).map(|(entry, place)| {
            let outcome = place.and_then(|place| outcomes.remove(&place));
            (entry, outcome)
        });
        Ok(rows.collect())
    }
}

/// The decision that a leaf is the outcome of.
fn outcome_for(leaf: &[u8]) -> Result<Option<&str>, EngineError> {
    let keys = map_view(leaf).map_err(|error| BlockError::Damaged(error.to_string()))?;
    let text =
        |name: &str| keys.iter().find(|(key, _)| *key == name).and_then(|(_, raw)| raw.text());
    Ok(text("decision").filter(|_| text("kind") == Some(kind::OUTCOME)))
}

impl Library {
    /// Calls `each` with the entries of a block that have a resource which opens, and that; at least
    /// with those that `asked` asks for.
    ///
    /// # Errors
    /// As [`Block::entries`].
    pub(super) fn each_shown(
        &self,
        block: &Block,
        asked: &dyn Fn(u64) -> bool,
        each: &mut dyn FnMut(u64, &str),
    ) -> Result<(), EngineError> {
        let here = block.first()..block.end();
        let opened = self.opened(block, &mut |block| {
            let mut found: Vec<(u64, Box<str>)> = Vec::new();
            let mut key_of = |owner: &Owner| self.key_of(owner);
            let first = block.first();
            let some = |places: &[u32]| places.iter().any(|at| asked(first + u64::from(*at)));
            block.each_shown(self.authority_id(), &mut key_of, &some, &mut |offset, text| {
                let index = block.first() + u64::from(offset);
                if here.contains(&index) {
                    found.push((index, text.into()));
                }
            })?;
            Ok(found)
        })?;
        for (index, resource) in &opened {
            each(*index, resource);
        }
        Ok(())
    }

    /// Calls `each` with the resource of each of these entries (ascending) that has one that opens.
    pub(super) fn each_resource(
        &self,
        hits: &[u64],
        each: &mut dyn FnMut(u64, &str),
    ) -> Result<(), EngineError> {
        let mut rest = hits;
        while let Some(first) = rest.first() {
            let Some(block) = self.block_of(*first)? else {
                rest = rest.get(1..).unwrap_or_default();
                continue;
            };
            let here = rest.partition_point(|index| *index < block.end());
            let (these, after) = rest.split_at(here);
            rest = after;
            let asked = |index: u64| these.binary_search(&index).is_ok();
            self.each_shown(&block, &asked, &mut |index, resource| {
                if asked(index) {
                    each(index, resource);
                }
            })?;
        }
        Ok(())
    }
}
