//! Many patterns found in one pass: a bit for each byte of other text, and a look at the pattern
//! where its first bytes stand.
//!
//! INVARIANT: the work is at most proportional to text times patterns, whatever both are. A pattern
//! that often begins and does not go on (one of `aaaa…`) is looked for by its failure table
//! (Knuth, Morris and Pratt) as soon as that has cost more than reading the text some times over.

use std::collections::HashMap;
use std::sync::Arc;

use zeroize::Zeroizing;

/// How many bytes of a pattern are looked at first.
const HEAD: usize = 4;
/// Patterns below this length are not looked for.
pub(super) const SHORTEST: usize = 5;
/// Bits of the filter over heads.
const BITS: usize = 1 << 16;
/// How many times over a text may be read for one pattern before its table is made.
const PATIENCE: usize = 8;

/// A set of patterns, each of a credential.
#[derive(Default)]
pub(super) struct Patterns {
    all: Vec<Option<Pattern>>,
    free: Vec<usize>,
    /// Patterns by their first bytes, the longest first.
    heads: HashMap<[u8; HEAD], Vec<usize>>,
    filter: Vec<u64>,
}

struct Pattern {
    bytes: Zeroizing<Vec<u8>>,
    name: Arc<str>,
}

/// What was found: from where to where in what was searched, and whose.
pub(super) type Hit<'a> = (usize, usize, &'a Arc<str>);

/// How the search for one pattern stands.
struct Watch {
    pattern: usize,
    /// Up to here it was found already.
    until: usize,
    /// How many bytes were compared in vain.
    wasted: usize,
    /// Where it stands, once its table was used.
    places: Option<Vec<usize>>,
}

impl Patterns {
    /// Takes up a pattern; answers its place, by which it is dropped again. `None` if it is too
    /// short, or is known for that name.
    pub(super) fn add(&mut self, bytes: Zeroizing<Vec<u8>>, name: &Arc<str>) -> Option<usize> {
        if bytes.len() < SHORTEST {
            return None;
        }
        let head = head_at(&bytes, 0)?;
        let all = &mut self.all;
        let with_head = self.heads.entry(head).or_default();
        let mut same = with_head.iter().filter_map(|place| all.get(*place)?.as_ref());
        if same.any(|known| *known.bytes == *bytes && known.name == *name) {
            return None;
        }
        if self.filter.is_empty() {
            self.filter = vec![0; BITS / 64];
        }
        let bit = bit_of(head);
        if let Some(word) = self.filter.get_mut(bit / 64) {
            *word |= 1 << (bit % 64);
        }
        let pattern = Some(Pattern { bytes, name: name.clone() });
        let place = match self.free.pop() {
            Some(place) => place,
            None => {
                all.push(None);
                all.len() - 1
            }
        };
        if let Some(slot) = all.get_mut(place) {
            *slot = pattern;
        }
        with_head.push(place);
        let length =
            |place: &usize| all.get(*place).and_then(Option::as_ref).map_or(0, |p| p.bytes.len());
        with_head.sort_by_key(|place| std::cmp::Reverse(length(place)));
        Some(place)
    }

    /// Drops a pattern. Its bit stays: it costs a look now and then.
    pub(super) fn drop(&mut self, place: usize) {
        let Some(gone) = self.all.get_mut(place).and_then(Option::take) else { return };
        if let Some(head) = head_at(&gone.bytes, 0)
            && let Some(with_head) = self.heads.get_mut(&head)
        {
            with_head.retain(|known| *known != place);
            if with_head.is_empty() {
                self.heads.remove(&head);
            }
        }
        self.free.push(place);
    }

    /// Tells of every place where a pattern stands, of those that begin together the longest; until
    /// `tell` answers false.
    pub(super) fn search<'a>(&'a self, text: &[u8], tell: &mut dyn FnMut(Hit<'a>) -> bool) {
        if self.heads.is_empty() {
            return;
        }
        let mut watched: Vec<Watch> = Vec::new();
        for (at, window) in text.windows(HEAD).enumerate() {
            let Ok(head) = <[u8; HEAD]>::try_from(window) else { continue };
            let bit = bit_of(head);
            if self.filter.get(bit / 64).is_none_or(|word| word & (1 << (bit % 64)) == 0) {
                continue;
            }
            for place in self.heads.get(&head).into_iter().flatten() {
                let Some(pattern) = self.all.get(*place).and_then(Option::as_ref) else { continue };
                if !self.stands(*place, pattern, text, at, &mut watched) {
                    continue;
                }
                if !tell((at, at + pattern.bytes.len(), &pattern.name)) {
                    return;
                }
                break;
            }
        }
    }

    fn stands(
        &self,
        place: usize,
        pattern: &Pattern,
        text: &[u8],
        at: usize,
        watched: &mut Vec<Watch>,
    ) -> bool {
        let known = watched.iter().position(|watch| watch.pattern == place);
        let slot = known.unwrap_or_else(|| {
            watched.push(Watch { pattern: place, until: 0, wasted: 0, places: None });
            watched.len() - 1
        });
        let Some(watch) = watched.get_mut(slot) else { return false };
        if at < watch.until {
            // Within itself: covered already.
            return false;
        }
        let stands = match &watch.places {
            Some(places) => places.binary_search(&at).is_ok(),
            None => text.get(at..).is_some_and(|rest| rest.starts_with(&pattern.bytes)),
        };
        if stands {
            watch.until = at + pattern.bytes.len();
        } else if watch.places.is_none() {
            watch.wasted += pattern.bytes.len();
            if watch.wasted > PATIENCE * (text.len() + pattern.bytes.len()) {
                watch.places = Some(places_of(&pattern.bytes, text));
            }
        }
        stands
    }
}

/// Every place where a pattern stands in a text, in time proportional to both.
fn places_of(pattern: &[u8], text: &[u8]) -> Vec<usize> {
    let mut table: Vec<usize> = vec![0; pattern.len()];
    let mut matched = 0;
    for place in 1..pattern.len() {
        matched = step(pattern, &table, matched, pattern.get(place));
        if let Some(slot) = table.get_mut(place) {
            *slot = matched;
        }
    }
    let mut places = Vec::new();
    let mut matched = 0;
    for (at, byte) in text.iter().enumerate() {
        matched = step(pattern, &table, matched, Some(byte));
        if matched == pattern.len() {
            places.push(at + 1 - matched);
            matched = table.last().copied().unwrap_or(0);
        }
    }
    places
}

/// How much of a pattern is matched after one more byte.
fn step(pattern: &[u8], table: &[usize], mut matched: usize, byte: Option<&u8>) -> usize {
    while matched > 0 && pattern.get(matched) != byte {
        matched = table.get(matched - 1).copied().unwrap_or(0);
    }
    if pattern.get(matched) == byte { matched + 1 } else { matched }
}

fn head_at(bytes: &[u8], at: usize) -> Option<[u8; HEAD]> {
    bytes.get(at..at + HEAD)?.try_into().ok()
}

fn bit_of(head: [u8; HEAD]) -> usize {
    let mixed = u32::from_le_bytes(head).wrapping_mul(0x9E37_79B1);
    (mixed >> 16) as usize
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn holding(patterns: &[&[u8]]) -> Patterns {
        let mut set = Patterns::default();
        for pattern in patterns {
            set.add(Zeroizing::new(pattern.to_vec()), &"it".into());
        }
        set
    }

    fn found(set: &Patterns, text: &[u8]) -> Vec<(usize, usize)> {
        let mut found = Vec::new();
        set.search(text, &mut |(start, end, _)| {
            found.push((start, end));
            true
        });
        found
    }

    #[test]
    fn patterns_that_overlap_are_both_found() {
        let set = holding(&[b"secret1", b"1234567890"]);
        assert_eq!(found(&set, b"-secret1234567890-"), [(1, 8), (7, 17)]);
    }

    #[test]
    fn a_dropped_pattern_is_found_no_more_and_its_place_is_used_again() {
        let mut set = holding(&[b"abcdefg"]);
        let place = set.add(Zeroizing::new(b"hijklmn".to_vec()), &"it".into()).unwrap();
        set.drop(place);
        assert_eq!(found(&set, b"abcdefghijklmn"), [(0, 7)]);
        assert_eq!(set.add(Zeroizing::new(b"opqrstu".to_vec()), &"it".into()), Some(place));
        assert_eq!(found(&set, b"opqrstu"), [(0, 7)]);
    }

    #[test]
    fn a_text_made_to_begin_the_pattern_everywhere_is_read_some_times_over() {
        // Compared byte by byte at each place, this would be 5 · 10^11 steps.
        let pattern = [vec![b'a'; 500_000], vec![b'b']].concat();
        let mut text = vec![b'a'; 2_000_000];
        text.push(b'b');
        let set = holding(&[&pattern]);
        assert_eq!(found(&set, &text), [(1_500_000, 2_000_001)]);
    }

    proptest! {
        #[test]
        fn the_table_finds_what_looking_finds(
            pattern in "[ab]{1,6}", text in "[ab]{0,60}",
        ) {
            let (pattern, text) = (pattern.as_bytes(), text.as_bytes());
            let looked: Vec<usize> =
                (0..text.len()).filter(|at| text.get(*at..).unwrap().starts_with(pattern)).collect();
            prop_assert_eq!(places_of(pattern, text), looked);
        }
    }
}
