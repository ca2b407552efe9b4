//! Entries read for frames: leaves as they lie, each decision brought together with its outcome.

use std::collections::HashMap;
use std::sync::Arc;

use super::library::Holder;
use super::{Engine, EngineError};
use crate::canonical::{Digest, Raw, map_view};
use crate::trail::block::{Block, BlockError, Light};
use crate::trail::entry::kind;

/// The keys of a leaf with their values.
pub type Keys<'a> = [(&'a str, Raw<'a>)];

/// How many blocks beyond the last entry are looked through for outcomes, where all are read.
const BEYOND: usize = 4;

/// How many opened blocks may wait for who takes them.
const AHEAD: usize = 8;

/// What takes the rows.
pub trait Rows {
    /// The next row: an entry, with those of its values that opened.
    fn entry(&mut self, index: u64, keys: &Keys<'_>, values: Option<&Light<'_>>);

    /// The outcome of the entry in a row.
    fn outcome(&mut self, row: usize, keys: &Keys<'_>);

    /// A grant that was read on the way: its digest, id and holder.
    fn grant(&mut self, digest: &Digest, holder: &Holder);
}

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
        let mut reading = Reading { rest: places, row: 0, open: HashMap::new(), rows };
        let mut last = 0;
        if dense && let Some(first) = places.first() {
            let mut beyond = 0;
            self.each_opened(*first, places, &mut |opened| {
                beyond += usize::from(reading.rest.is_empty());
                reading.take(&opened)?;
                last = opened.block.end();
                let waiting = !reading.open.is_empty() && beyond < BEYOND;
                Ok(!reading.rest.is_empty() || waiting)
            })?;
        } else {
            while let Some(first) = reading.rest.first() {
                match self.library.block_of(*first)? {
                    Some(block) => reading.take(&self.open_for_rows(block, places)?)?,
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
            rows.outcome(row, &view(block.leaf(index).unwrap_or_default())?);
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

    /// Calls `each` with every block from the one that holds `first` on until it answers `false`;
    /// the next ones are read and opened meanwhile, by another thread if there is one to be had.
    fn each_opened(
        &self,
        first: u64,
        places: &[u64],
        each: &mut dyn FnMut(OpenedBlock) -> Result<bool, EngineError>,
    ) -> Result<(), EngineError> {
        let (send, receive) = std::sync::mpsc::sync_channel(AHEAD);
        std::thread::scope(|scope| {
            let read = move || {
                let read = self.library.each_block(first, &mut |_, block| {
                    // Whoever has seen enough hangs up.
                    Ok(send.send(self.open_for_rows(block.clone(), places)).is_ok())
                });
                if let Err(error) = read {
                    let _ = send.send(Err(error));
                }
            };
            let reader = std::thread::Builder::new().name("answerable-reader".to_owned());
            let reader = reader.spawn_scoped(scope, read);
            if reader.is_err() {
                return self.library.each_block(first, &mut |_, block| {
                    each(self.open_for_rows(block.clone(), places)?)
                });
            }
            for opened in receive {
                if !each(opened?)? {
                    break;
                }
            }
            Ok(())
        })
    }

    fn open_for_rows(&self, block: Arc<Block>, places: &[u64]) -> Result<OpenedBlock, EngineError> {
        let mut values = HashMap::new();
        let here = block.first()..block.end();
        let from = places.partition_point(|place| *place < here.start);
        if places.get(from).is_some_and(|place| here.contains(place)) {
            let asked = |index: u64| places.binary_search(&index).is_ok();
            self.library.each_value(&block, &asked, &mut |index, light| {
                if light.resource.is_some() {
                    values.insert(index, light.own());
                }
            })?;
        }
        Ok(OpenedBlock { block, values })
    }
}

/// A block, with those values that lists show.
struct OpenedBlock {
    block: Arc<Block>,
    values: HashMap<u64, Light<'static>>,
}

/// Rows in the making.
struct Reading<'a> {
    /// The places that were not met yet.
    rest: &'a [u64],
    row: usize,
    /// Decisions whose outcome was not met yet, by the text of their id: row and place.
    open: HashMap<Box<str>, (usize, u64)>,
    rows: &'a mut dyn Rows,
}

impl Reading<'_> {
    fn take(&mut self, opened: &OpenedBlock) -> Result<(), EngineError> {
        let OpenedBlock { block, values } = opened;
        let (here, after) = self.rest.split_at(self.rest.partition_point(|i| *i < block.end()));
        self.rest = after;
        let mut places = here.iter().peekable();
        for (leaf, index) in block.leaves().zip(block.first()..) {
            while places.next_if(|place| **place < index).is_some() {}
            let wanted = places.next_if(|place| **place == index).is_some();
            let keys = view(leaf)?;
            let kind = text(&keys, "kind").unwrap_or_default();
            if kind == kind::GRANT
                && let Some((digest, holder)) = Holder::of(&keys)
            {
                self.rows.grant(&digest, &holder);
            }
            if wanted {
                self.rows.entry(index, &keys, values.get(&index));
                if text(&keys, "effect") == Some("allow")
                    && let Some(id) = text(&keys, "id")
                {
                    self.open.insert(id.into(), (self.row, index));
                }
                self.row += 1;
            }
            if kind == kind::OUTCOME
                && let Some(decision) = text(&keys, "decision")
                && let Some((row, _)) = self.open.remove(decision)
            {
                self.rows.outcome(row, &keys);
            }
        }
        Ok(())
    }
}

fn view(leaf: &[u8]) -> Result<Vec<(&str, Raw<'_>)>, EngineError> {
    Ok(map_view(leaf).map_err(|error| BlockError::Damaged(error.to_string()))?)
}
