//! The index of the trail: which entries hold a value. It is derived from the blocks, belongs to
//! one machine, and can be thrown away at any time.
//!
//! A [`Table`] covers a range of entries. It maps terms (a field and a value) to the entries that
//! hold them, sorted by term, in parts that are read one at a time, each under a keyed digest:
//! whoever changes a table makes it unreadable, not wrong.

mod postings;
mod table;
mod terms;

pub use postings::Postings;
pub use table::{Pages, Table, TableError, Tag, Tagger, join};
pub use terms::{DRAW_BYTES, Field, ID_BYTES, Reach, Term, id_term, prefixes, reach, terms_of};

use std::collections::HashMap;

/// The growing end of an index, in memory.
#[derive(Debug, Default)]
pub struct Growing {
    /// The first entry it covers.
    pub first: u64,
    /// When each entry was sequenced, in microseconds.
    pub times: Vec<i64>,
    terms: HashMap<Term, Postings>,
}

impl Growing {
    /// An empty one that starts at an index.
    #[must_use]
    pub fn new(first: u64) -> Self {
        Self { first, times: Vec::new(), terms: HashMap::new() }
    }

    /// The index after the last entry it covers.
    #[must_use]
    pub fn end(&self) -> u64 {
        self.first + self.times.len() as u64
    }

    /// Adds the next entry with its terms.
    pub fn push(&mut self, at: i64, terms: impl IntoIterator<Item = Term>) {
        let Ok(offset) = u32::try_from(self.times.len()) else { return };
        for term in terms {
            self.terms.entry(term).or_default().push(offset);
        }
        self.times.push(at);
    }

    /// The entries that hold a term, as offsets from the first; none twice, ascending.
    #[must_use]
    pub fn find(&self, term: &Term) -> Vec<u32> {
        self.terms.get(term).map(Postings::offsets).unwrap_or_default()
    }

    /// How many entries hold a term.
    #[must_use]
    pub fn count(&self, term: &Term) -> u32 {
        self.terms.get(term).map_or(0, Postings::count)
    }

    /// The values of a field, in no order.
    pub fn values(&self, field: Field) -> impl Iterator<Item = &Term> {
        self.terms.keys().filter(move |term| term.field() == Some(field))
    }

    /// All terms with their entries, sorted by term.
    #[must_use]
    pub fn sorted(&self) -> Vec<(&Term, &Postings)> {
        let mut all: Vec<_> = self.terms.iter().collect();
        all.sort_unstable_by(|a, b| a.0.cmp(b.0));
        all
    }
}

#[cfg(test)]
mod tests;
