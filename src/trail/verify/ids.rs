//! What is remembered of each entry, by its id: of a million of them, with little beside.

use std::collections::HashMap;

/// What is remembered of an entry.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Seen {
    Other,
    NotAllowed,
    Allowed,
    Finished,
}

/// Into how many maps ids are spread: a map is copied when it grows, and only one at a time is.
const MAPS: usize = 64;

/// The ids so far. They end in random bits, by which they are spread.
pub(super) struct Ids(Vec<HashMap<[u8; 16], Seen>>);

impl Default for Ids {
    fn default() -> Self {
        Self((0..MAPS).map(|_| HashMap::new()).collect())
    }
}

impl Ids {
    fn map(&mut self, id: &[u8; 16]) -> Option<&mut HashMap<[u8; 16], Seen>> {
        let [.., last] = *id;
        self.0.get_mut(usize::from(last) % MAPS)
    }

    /// Takes up an entry, unless an earlier one has its id: answers whether it did.
    pub(super) fn take(&mut self, id: [u8; 16], seen: Seen) -> bool {
        let Some(map) = self.map(&id) else { return false };
        if map.contains_key(&id) {
            return false;
        }
        map.insert(id, seen);
        true
    }

    /// What is remembered of an entry.
    pub(super) fn of(&mut self, id: &[u8; 16]) -> Option<&mut Seen> {
        self.map(id)?.get_mut(id)
    }

    /// How many decisions that allowed have no outcome.
    pub(super) fn waiting(&self) -> u64 {
        let all = self.0.iter().flat_map(HashMap::values);
        all.filter(|seen| **seen == Seen::Allowed).count() as u64
    }
}
