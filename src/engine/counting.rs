//! How many entries there are, by what.

use std::collections::HashMap;

use super::library::Stretch;
use super::walk::Walk;
use super::{EngineError, Library, Order, Query};
use crate::trail::index::{Field, TableError};

/// What entries are counted by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CountBy {
    /// A value that stands in the leaf.
    Field(Field),
    /// The resource; every entry's values are opened for it.
    Resource,
    /// Stretches of time of so many microseconds, from 1970 on.
    Time(i64),
}

impl Query {
    /// How many entries fit.
    ///
    /// # Errors
    /// The store's.
    pub fn count(&self, library: &Library) -> Result<u64, EngineError> {
        let mut count = 0;
        let mut walk = Walk::new(self.clone(), Order::Oldest);
        while let Some(hits) = walk.next_some(library)? {
            count += hits.len() as u64;
        }
        Ok(count)
    }

    /// How many entries fit, by the values of a field. An entry with several values counts for
    /// each; one without any counts for none.
    ///
    /// # Errors
    /// The store's.
    pub fn count_by(
        &self,
        library: &Library,
        by: CountBy,
    ) -> Result<HashMap<String, u64>, EngineError> {
        let mut counts: HashMap<String, u64> = HashMap::new();
        let mut walk = Walk::new(self.clone(), Order::Oldest);
        while let Some(hits) = walk.next_some(library)? {
            count_into(library, by, &hits, &mut counts)?;
        }
        Ok(counts)
    }
}

/// How many of these entries (ascending, none twice) there are, by the values of a field.
///
/// # Errors
/// The store's.
pub fn count_places(
    library: &Library,
    by: CountBy,
    places: &[u64],
) -> Result<HashMap<String, u64>, EngineError> {
    let mut counts = HashMap::new();
    count_into(library, by, places, &mut counts)?;
    Ok(counts)
}

fn count_into(
    library: &Library,
    by: CountBy,
    hits: &[u64],
    counts: &mut HashMap<String, u64>,
) -> Result<(), EngineError> {
    match by {
        CountBy::Resource => library.each_resource(hits, &mut |_, resource| {
            *counts.entry(resource.to_owned()).or_default() += 1;
        }),
        CountBy::Field(field) => count_field(library, field, hits, counts),
        CountBy::Time(width) => count_times(library, width, hits, counts),
    }
}

fn count_field(
    library: &Library,
    field: Field,
    hits: &[u64],
    counts: &mut HashMap<String, u64>,
) -> Result<(), EngineError> {
    each_stretch(
        library,
        hits,
        &mut |stretch, offsets| {
            let mut marked =
                vec![false; usize::try_from(stretch.end() - stretch.first()).unwrap_or(0)];
            for offset in offsets {
                if let Some(mark) = marked.get_mut(*offset as usize) {
                    *mark = true;
                }
            }
            let mut found = Vec::new();
            for term in stretch.values(field)? {
                let these = stretch.find(&term)?;
                let these = these.iter().filter(|at| marked.get(**at as usize) == Some(&true));
                found.push((term, these.count() as u64));
            }
            Ok(found)
        },
        &mut |found| {
            for (term, count) in found {
                if count > 0 {
                    let text = term.text().unwrap_or_default().to_owned();
                    *counts.entry(text).or_default() += count;
                }
            }
        },
    )
}

fn count_times(
    library: &Library,
    width: i64,
    hits: &[u64],
    counts: &mut HashMap<String, u64>,
) -> Result<(), EngineError> {
    each_stretch(
        library,
        hits,
        &mut |stretch, offsets| {
            let times = stretch.times()?;
            let mut found: HashMap<i64, u64> = HashMap::new();
            for at in offsets.iter().filter_map(|offset| times.get(*offset as usize)) {
                *found.entry(at.div_euclid(width)).or_default() += 1;
            }
            Ok(found)
        },
        &mut |found| {
            for (slot, count) in found {
                let at =
                    crate::clock::render_instant(slot.saturating_mul(width)).unwrap_or_default();
                *counts.entry(at).or_default() += count;
            }
        },
    )
}

/// What looks at some offsets of a stretch.
type LookAt<'a, R> = dyn FnMut(&Stretch<'_>, &[u32]) -> Result<R, TableError> + 'a;

/// Calls `look` with each stretch that holds some of these entries, ascending, and their offsets
/// there; `then` with what it answered.
fn each_stretch<R>(
    library: &Library,
    hits: &[u64],
    look: &mut LookAt<'_, R>,
    then: &mut dyn FnMut(R),
) -> Result<(), EngineError> {
    let mut rest = hits;
    while let Some(first) = rest.first() {
        let found = library.look(*first, &mut |stretch| {
            let here = rest.partition_point(|index| *index < stretch.end());
            let offsets = rest.iter().take(here).map(|index| index - stretch.first());
            let offsets: Vec<u32> = offsets.map(|o| u32::try_from(o).unwrap_or(u32::MAX)).collect();
            Ok((here, look(stretch, &offsets)?))
        })?;
        let Some((here, found)) = found else { return Ok(()) };
        then(found);
        rest = rest.get(here.max(1)..).unwrap_or_default();
    }
    Ok(())
}

#[cfg(test)]
#[path = "counting_tests.rs"]
mod tests;
