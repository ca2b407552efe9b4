//! Leaves found by the index without waiting for it: where a table covers the trail it is asked,
//! and what no table covers is read leaf by leaf. So an engine that opens can ask before anything
//! is indexed anew.

use std::sync::Arc;

use super::{EngineError, Library};
use crate::canonical::{Raw, map_view};
use crate::store::StoreError;
use crate::trail::block::BlockError;
use crate::trail::index::{Table, Term};

/// What is called with a leaf: its place, its bytes and its keys.
pub(in crate::engine) type EachTold<'a> =
    dyn FnMut(u64, &[u8], &[(&str, Raw<'_>)]) -> Result<(), EngineError> + 'a;

impl Library {
    /// Calls `each` with the leaves from one place of the trail to another that hold any of the
    /// terms, in order, and with some that do not: where no table covers them.
    ///
    /// # Errors
    /// `Corrupt` where a leaf is missing, the store's, and what `each` answered.
    pub(in crate::engine) fn each_told(
        &self,
        terms: &[Term],
        (from, to): (u64, u64),
        each: &mut EachTold<'_>,
    ) -> Result<(), EngineError> {
        let mut next = from;
        for table in self.tables()? {
            if table.end() <= next || table.first() >= to {
                continue;
            }
            self.each_between(next, table.first().min(to), each)?;
            next = next.max(table.first());
            match found(&table, terms, next, to) {
                Ok(places) => self.each_at(&places, each)?,
                Err(error) => {
                    tracing::info!(%error, "a part of the index is not used");
                    self.each_between(next, table.end().min(to), each)?;
                }
            }
            next = table.end();
        }
        self.each_between(next, to, each)
    }

    fn each_at(&self, places: &[u64], each: &mut EachTold<'_>) -> Result<(), EngineError> {
        let mut block = None;
        for place in places {
            let known = block.take().filter(|block: &Arc<crate::trail::block::Block>| {
                (block.first()..block.end()).contains(place)
            });
            let here = match known {
                Some(here) => here,
                None => self.block_of(*place)?.ok_or_else(|| gone(*place))?,
            };
            let leaf = here.leaf(*place).ok_or_else(|| gone(*place))?;
            each(*place, leaf, &map_view(leaf).map_err(damaged)?)?;
            block = Some(here);
        }
        Ok(())
    }

    fn each_between(&self, from: u64, to: u64, each: &mut EachTold<'_>) -> Result<(), EngineError> {
        let mut next = from;
        if next >= to {
            return Ok(());
        }
        self.each_block(from, &mut |first, block| {
            if first > next {
                return Err(gone(next).into());
            }
            for (leaf, place) in block.leaves().zip(block.first()..) {
                if (next..to).contains(&place) {
                    each(place, leaf, &map_view(leaf).map_err(damaged)?)?;
                    next = place + 1;
                }
            }
            Ok(next < to)
        })?;
        if next < to { Err(gone(next).into()) } else { Ok(()) }
    }
}

/// The places from one to another that hold any of the terms.
fn found(
    table: &Table,
    terms: &[Term],
    from: u64,
    to: u64,
) -> Result<Vec<u64>, crate::trail::index::TableError> {
    let mut places = Vec::new();
    for term in terms {
        let offsets = table.find(term)?;
        places.extend(offsets.into_iter().map(|offset| table.first() + u64::from(offset)));
    }
    places.retain(|place| (from..to).contains(place));
    places.sort_unstable();
    places.dedup();
    Ok(places)
}

fn gone(place: u64) -> StoreError {
    StoreError::Corrupt { what: format!("entry {place} of the trail is gone") }
}

fn damaged(error: crate::canonical::DecodeError) -> EngineError {
    BlockError::Damaged(error.to_string()).into()
}
