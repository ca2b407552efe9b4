//! Many patterns found in one pass, however many begin alike: a bit for each byte of other text,
//! and where a pattern's first bytes stand a handful of lookups, whatever the patterns are.
//!
//! The stretches of a text that begin at one place are told by their hashes, each got in one step
//! from the hashes of the text up to where it begins and ends (Karp and Rabin). The longest pattern
//! among them is found by halving its length (Waldvogel, Varghese, Turner and Plattner, "Scalable
//! High Speed IP Routing Lookups", 1997): each pattern leaves markers at the lengths that a search
//! for it comes by, which are its own length cut after each of its binary ones, and each marker
//! knows the longest pattern that it begins with.
//!
//! INVARIANT: the work is at most proportional to the text, times the binary digits of the longest
//! pattern's length. Hashes are keyed at random, so that nobody can make two stretches that are
//! taken for each other: where chance does it (once in some 10^11 places), a stretch too much is
//! masked; none is ever missed.

use std::borrow::Borrow;
use std::collections::{BTreeMap, HashMap};
use std::ops::Bound;
use std::sync::Arc;

use zeroize::Zeroizing;

use super::hashing::{Hashed, Hashing, times};

/// How many bytes of a pattern are looked at first.
const HEAD: usize = 4;
/// Patterns below this length are not looked for.
pub(super) const SHORTEST: usize = 5;
/// Bits of the filter over heads.
const BITS: usize = 1 << 16;

/// A set of patterns, each of a credential.
#[derive(Default)]
pub(super) struct Patterns {
    all: Vec<Option<Pattern>>,
    free: Vec<usize>,
    /// The places of the patterns by their bytes.
    sorted: BTreeMap<Key, Vec<usize>>,
    heads: HashMap<[u8; HEAD], Head>,
    markers: HashMap<(u32, u64), Marker>,
    filter: Vec<u64>,
    hashing: Hashing,
}

struct Pattern {
    bytes: Arc<Zeroizing<Vec<u8>>>,
    name: Arc<str>,
}

struct Key(Arc<Zeroizing<Vec<u8>>>);

/// What is known of the patterns that begin with the same bytes.
#[derive(Default)]
struct Head {
    patterns: usize,
    /// The longest that there was since there is one.
    longest: usize,
}

/// The beginning of a pattern, or all of it.
struct Marker {
    /// Of how many patterns.
    patterns: usize,
    /// The longest pattern that it begins with.
    longest: Option<usize>,
}

/// What was found: from where to where in what was searched, and whose.
pub(super) type Hit<'a> = (usize, usize, &'a Arc<str>);

impl Patterns {
    /// Takes up a pattern; answers its place, by which it is dropped again. `None` if it is too
    /// short, or is known for that name.
    pub(super) fn add(&mut self, bytes: Zeroizing<Vec<u8>>, name: &Arc<str>) -> Option<usize> {
        if bytes.len() < SHORTEST || u32::try_from(bytes.len()).is_err() {
            return None;
        }
        let head = head_at(&bytes, 0)?;
        let known = self.sorted.get(bytes.as_slice()).into_iter().flatten();
        if known.filter_map(|place| self.all.get(*place)?.as_ref()).any(|one| one.name == *name) {
            return None;
        }
        let bytes = Arc::new(bytes);
        let place = self.free.pop().unwrap_or(self.all.len());
        if place == self.all.len() {
            self.all.push(None);
        }
        if let Some(slot) = self.all.get_mut(place) {
            *slot = Some(Pattern { bytes: bytes.clone(), name: name.clone() });
        }
        self.sorted.entry(Key(bytes.clone())).or_default().push(place);
        let with_head = self.heads.entry(head).or_default();
        with_head.patterns += 1;
        with_head.longest = with_head.longest.max(bytes.len());
        self.filter.resize(BITS / 64, 0);
        let bit = bit_of(head);
        if let Some(word) = self.filter.get_mut(bit / 64) {
            *word |= 1 << (bit % 64);
        }
        for (length, hash) in self.hashing.markers(&bytes) {
            let longest = || longest_in(&self.sorted, bytes.get(..length).unwrap_or_default());
            let marker = self
                .markers
                .entry(marked(length, hash))
                .or_insert_with(|| Marker { patterns: 0, longest: longest() });
            marker.patterns += 1;
        }
        self.settle(&bytes);
        Some(place)
    }

    /// Drops a pattern. Its bit stays: it costs a look now and then.
    pub(super) fn drop(&mut self, place: usize) {
        let Some(gone) = self.all.get_mut(place).and_then(Option::take) else { return };
        let bytes = gone.bytes;
        if let Some(places) = self.sorted.get_mut(bytes.as_slice()) {
            places.retain(|known| *known != place);
            if places.is_empty() {
                self.sorted.remove(bytes.as_slice());
            }
        }
        if let Some(head) = head_at(&bytes, 0)
            && let Some(with_head) = self.heads.get_mut(&head)
        {
            with_head.patterns -= 1;
            if with_head.patterns == 0 {
                self.heads.remove(&head);
            }
        }
        for (length, hash) in self.hashing.markers(&bytes) {
            let key = marked(length, hash);
            if let Some(marker) = self.markers.get_mut(&key) {
                marker.patterns -= 1;
                if marker.patterns == 0 {
                    self.markers.remove(&key);
                }
            }
        }
        self.settle(&bytes);
        self.free.push(place);
    }

    /// Has all markers that begin with these bytes know the longest pattern that they begin with.
    fn settle(&mut self, bytes: &[u8]) {
        let from = (Bound::Included(bytes), Bound::Unbounded);
        let beyond = self.sorted.range::<[u8], _>(from).map(|(key, _)| &key.0);
        for longer in beyond.take_while(|longer| longer.starts_with(bytes)) {
            for (length, hash) in self.hashing.markers(longer) {
                if length >= bytes.len()
                    && let Some(marker) = self.markers.get_mut(&marked(length, hash))
                {
                    let marked = longer.get(..length).unwrap_or_default();
                    marker.longest = longest_in(&self.sorted, marked);
                }
            }
        }
    }

    /// Tells of every stretch in which patterns stand that overlap, with the name of its first:
    /// whatever of the text belongs to a pattern is in one of them. Answers how many steps it took.
    pub(super) fn search<'a>(&'a self, text: &[u8], tell: &mut dyn FnMut(Hit<'a>)) -> u64 {
        if self.heads.is_empty() {
            return 0;
        }
        let mut hashed = Hashed::new(&self.hashing, text);
        let mut stretch: Option<Hit<'a>> = None;
        for (at, window) in text.windows(HEAD).enumerate() {
            let Ok(head) = <[u8; HEAD]>::try_from(window) else { continue };
            let bit = bit_of(head);
            if self.filter.get(bit / 64).is_none_or(|word| word & (1 << (bit % 64)) == 0) {
                continue;
            }
            let Some(head) = self.heads.get(&head) else { continue };
            let Some(found) = self.longest_at(at, head.longest, &mut hashed) else { continue };
            let end = at + found.bytes.len();
            match &mut stretch {
                Some((_, last, _)) if at < *last => *last = end.max(*last),
                _ => {
                    if let Some(before) = stretch.replace((at, end, &found.name)) {
                        tell(before);
                    }
                }
            }
        }
        if let Some(last) = stretch {
            tell(last);
        }
        hashed.steps
    }

    /// The longest pattern that stands at a place, none being longer than `most`.
    fn longest_at(&self, at: usize, most: usize, hashed: &mut Hashed<'_>) -> Option<&Pattern> {
        let mut found = None;
        let (mut length, mut power) = (0, 1);
        for digit in (0..=most.checked_ilog2()?).rev() {
            let longer = length + (1_usize << digit);
            if longer > most {
                continue;
            }
            // Beyond its end a text has no stretches.
            let step = self.hashing.power_of_two(digit);
            let longer_power = times(power, step);
            let Some(hash) = hashed.stretch(at, longer, longer_power) else { continue };
            let Some(marker) = self.markers.get(&marked(longer, hash)) else { continue };
            (length, power) = (longer, longer_power);
            found = marker.longest;
        }
        self.all.get(found?)?.as_ref()
    }
}

/// The longest pattern that some bytes begin with.
fn longest_in(sorted: &BTreeMap<Key, Vec<usize>>, mut bytes: &[u8]) -> Option<usize> {
    loop {
        // What they begin with comes before them, and between the two only what begins so too.
        let upto = (Bound::Unbounded, Bound::Included(bytes));
        let (key, places) = sorted.range::<[u8], _>(upto).next_back()?;
        let same = bytes.iter().zip(key.0.iter()).take_while(|(one, other)| one == other).count();
        if same == key.0.len() {
            return places.first().copied();
        }
        bytes = bytes.get(..same)?;
    }
}

fn marked(length: usize, hash: u64) -> (u32, u64) {
    (u32::try_from(length).unwrap_or(u32::MAX), hash)
}

impl Borrow<[u8]> for Key {
    fn borrow(&self) -> &[u8] {
        &self.0
    }
}

impl Ord for Key {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        self.0.as_slice().cmp(other.0.as_slice())
    }
}

impl PartialOrd for Key {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Key {}

fn head_at(bytes: &[u8], at: usize) -> Option<[u8; HEAD]> {
    bytes.get(at..at + HEAD)?.try_into().ok()
}

fn bit_of(head: [u8; HEAD]) -> usize {
    let mixed = u32::from_le_bytes(head).wrapping_mul(0x9E37_79B1);
    (mixed >> 16) as usize
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::indexing_slicing)]
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
        set.search(text, &mut |(start, end, _)| found.push((start, end)));
        found
    }

    fn steps(set: &Patterns, text: &[u8]) -> u64 {
        set.search(text, &mut |_| {})
    }

    /// The same, place by place and pattern by pattern.
    fn looked_for(patterns: &[Vec<u8>], text: &[u8]) -> Vec<(usize, usize)> {
        let mut stretches: Vec<(usize, usize)> = Vec::new();
        for at in 0..text.len() {
            let here = patterns.iter().filter(|p| p.len() >= SHORTEST && text[at..].starts_with(p));
            let Some(length) = here.map(Vec::len).max() else { continue };
            match stretches.last_mut() {
                Some((_, end)) if at < *end => *end = (at + length).max(*end),
                _ => stretches.push((at, at + length)),
            }
        }
        stretches
    }

    #[test]
    fn patterns_that_overlap_are_told_as_one_stretch() {
        let set = holding(&[b"secret1", b"1234567890", b"67890"]);
        assert_eq!(found(&set, b"-secret1234567890-67890-secret"), [(1, 17), (18, 23)]);
    }

    #[test]
    fn a_dropped_pattern_is_found_no_more_and_its_place_is_used_again() {
        let mut set = holding(&[b"abcdefg"]);
        let place = set.add(Zeroizing::new(b"hijklmn".to_vec()), &"it".into()).unwrap();
        assert_eq!(set.add(Zeroizing::new(b"hijklmn".to_vec()), &"it".into()), None);
        set.drop(place);
        assert_eq!(found(&set, b"abcdefghijklmn"), [(0, 7)]);
        assert_eq!(set.add(Zeroizing::new(b"opqrstu".to_vec()), &"it".into()), Some(place));
        assert_eq!(found(&set, b"opqrstu"), [(0, 7)]);
        set.drop(0);
        set.drop(place);
        assert!(set.heads.is_empty() && set.markers.is_empty() && set.sorted.is_empty());
    }

    #[test]
    fn a_secret_that_two_credentials_have_stays_known_for_the_other() {
        let mut set = holding(&[b"abcdefg"]);
        let other = set.add(Zeroizing::new(b"abcdefg".to_vec()), &"other".into()).unwrap();
        set.drop(0);
        assert_eq!(found(&set, b"abcdefg"), [(0, 7)]);
        set.drop(other);
        assert_eq!(found(&set, b"abcdefg"), []);
    }

    #[test]
    fn the_work_is_that_of_the_text_whatever_the_patterns_are() {
        // A thousand tokens of one head, and a text that repeats it: looked at pattern by pattern,
        // this would be a thousand looks at each place.
        let head = b"sk-live-51H8";
        let tokens: Vec<Vec<u8>> =
            (0..1_000).map(|number| [head, format!("{number:020}").as_bytes()].concat()).collect();
        let many = holding(&tokens.iter().map(Vec::as_slice).collect::<Vec<_>>());
        let one = holding(&[&tokens[0]]);
        let text = head.repeat(500);
        assert_eq!(found(&many, &text), []);
        assert_eq!(steps(&many, &text), steps(&one, &text));
        assert!(steps(&many, &text) <= 2 * text.len() as u64);
        // And one token that begins everywhere in a text and stands nowhere but at its end.
        let pattern = [vec![b'a'; 20_000], vec![b'b']].concat();
        let mut text = vec![b'a'; 60_000];
        text.push(b'b');
        let set = holding(&[&pattern]);
        assert_eq!(found(&set, &text), [(40_000, 60_001)]);
        assert!(steps(&set, &text) <= 17 * text.len() as u64);
        // Or everywhere: what overlaps is one stretch.
        let set = holding(&[&vec![b'a'; 20_000]]);
        assert_eq!(found(&set, &text), [(0, 60_000)]);
        assert!(steps(&set, &text) <= 17 * text.len() as u64);
        // Other text is no work at all.
        assert_eq!(steps(&many, "nothing of the sort ".repeat(100).as_bytes()), 0);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(512))]
        #[test]
        fn what_looking_finds_is_found(
            patterns in proptest::collection::vec("[ab]{3,20}", 1..12),
            dropped in proptest::collection::vec(any::<bool>(), 12),
            text in "[ab]{0,80}",
        ) {
            let mut set = Patterns::default();
            let mut places = Vec::new();
            for pattern in &patterns {
                places.push(set.add(Zeroizing::new(pattern.clone().into_bytes()), &"it".into()));
            }
            let mut left = Vec::new();
            let all = patterns.iter().map(|pattern| pattern.clone().into_bytes());
            for ((pattern, place), drop) in all.zip(places).zip(dropped) {
                match place {
                    Some(place) if drop => set.drop(place),
                    Some(_) => left.push(pattern),
                    None => {}
                }
            }
            prop_assert_eq!(found(&set, text.as_bytes()), looked_for(&left, text.as_bytes()));
        }

        #[test]
        fn the_order_in_which_patterns_come_and_go_is_all_one(
            patterns in proptest::collection::vec("[ab]{5,24}", 1..10),
            text in "[ab]{0,80}",
        ) {
            let bytes: Vec<Vec<u8>> = patterns.iter().map(|p| p.clone().into_bytes()).collect();
            let forth = holding(&bytes.iter().map(Vec::as_slice).collect::<Vec<_>>());
            let mut back = Patterns::default();
            for pattern in bytes.iter().rev().chain(bytes.iter()) {
                back.add(Zeroizing::new(pattern.clone()), &"it".into());
            }
            prop_assert_eq!(found(&forth, text.as_bytes()), found(&back, text.as_bytes()));
            prop_assert_eq!(found(&forth, text.as_bytes()), looked_for(&bytes, text.as_bytes()));
        }
    }
}
