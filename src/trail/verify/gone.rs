//! Values that are not there: in a live trail each is accounted for by an erasure, or somebody
//! took it out of the store's files.
//!
//! An erasure comes after what it erases: so what is missing is remembered until the trail's end.
//! Of an entry that names no human it is not known whose values it had: there any human's erasure
//! accounts for them.

use std::collections::{HashMap, HashSet};

use super::{Disclosed, bytes};

/// What the names of humans begin with.
const HUMAN: &str = "hum_";

/// An entry with values that are missing.
struct Missing {
    place: u64,
    at: i64,
    /// Its kind, and the humans it names: a place in `known`.
    said: u32,
}

/// What is missing so far, and what was erased.
#[derive(Default)]
pub(super) struct Gone {
    missing: Vec<Missing>,
    known: Vec<(String, Vec<String>)>,
    places_of: HashMap<(String, Vec<String>), u32>,
    humans: HashSet<String>,
    entries: HashSet<u64>,
    /// Kinds, and before when.
    older: Vec<(Vec<String>, i64)>,
}

impl Gone {
    /// Takes up a leaf and the values beside it, which are `asked` for.
    pub(super) fn take(
        &mut self,
        kind: &str,
        place: u64,
        at: i64,
        fields: &bytes::Fields<'_>,
        values: &[Disclosed<'_>],
        asked: bool,
    ) {
        let get = |key: &str| fields.iter().find(|(name, _)| *name == key).map(|(_, raw)| *raw);
        let text = |key: &str| get(key).and_then(bytes::text);
        if kind == "erasure" {
            match text("target") {
                Some("human") => self.humans.extend(text("human").map(str::to_owned)),
                Some("entry") => {
                    let places = get("places").and_then(bytes::list).unwrap_or_default();
                    let whole = places.into_iter().filter_map(bytes::integer);
                    self.entries.extend(whole.filter_map(|place| u64::try_from(place).ok()));
                }
                Some("older") => {
                    let kinds = get("kinds").and_then(bytes::list).unwrap_or_default();
                    let kinds = kinds.into_iter().filter_map(bytes::text).map(str::to_owned);
                    let before = get("before").and_then(bytes::micros).unwrap_or(i64::MIN);
                    self.older.push((kinds.collect(), before));
                }
                _ => {}
            }
        }
        let Some(committed) = get("commitments").and_then(|held| bytes::map(held).ok()) else {
            return;
        };
        let shown = |field: &str| values.iter().any(|value| value.field == field);
        if !asked || committed.iter().all(|(field, _)| shown(field)) {
            return;
        }
        let named = fields.iter().filter_map(|(_, raw)| bytes::text(raw));
        let humans = named.filter(|text| text.starts_with(HUMAN)).map(str::to_owned).collect();
        let said = (kind.to_owned(), humans);
        let next = u32::try_from(self.known.len()).unwrap_or(u32::MAX);
        let said = *self.places_of.entry(said).or_insert_with_key(|said| {
            self.known.push(said.clone());
            next
        });
        self.missing.push(Missing { place, at, said });
    }

    /// The places of entries whose values nothing accounts for.
    pub(super) fn unaccounted(self) -> Vec<u64> {
        let Self { missing, known, humans, entries, older, .. } = self;
        let accounted = |one: &Missing| {
            let Some((kind, named)) = known.get(one.said as usize) else { return false };
            entries.contains(&one.place)
                || older.iter().any(|(kinds, before)| one.at < *before && kinds.contains(kind))
                || named.iter().any(|human| humans.contains(human))
                || (named.is_empty() && !humans.is_empty())
        };
        missing.iter().filter(|one| !accounted(one)).map(|one| one.place).collect()
    }
}
