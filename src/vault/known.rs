//! The secrets that are known, in the forms in which they are looked for, and where in a text each
//! stands.

use std::collections::{HashMap, VecDeque};
use std::hash::BuildHasher;
use std::sync::Arc;

use super::Secret;
use super::patterns::Patterns;
use super::spellings::{Escapes, Forms, Reading, digits_in, sixes_in, unescaped};

/// How often escapes within escapes are read.
pub(super) const DEPTH: usize = 4;
/// How many secrets that providers made are remembered; the ones longest unseen go first.
pub(super) const MAX_MADE: usize = 4_096;

/// Secrets, and how they are looked for.
#[derive(Default)]
pub(super) struct Known {
    plain: Patterns,
    digits: Patterns,
    sixes: Patterns,
    /// What providers made, by a keyed hash, and when it was last made.
    made: HashMap<u64, Made>,
    order: VecDeque<(u64, u64)>,
    turn: u64,
    hasher: std::hash::RandomState,
}

struct Made {
    turn: u64,
    places: Places,
}

/// Where the forms of one secret stand in each set.
#[derive(Default)]
struct Places([Vec<usize>; 3]);

/// A stretch of a text that is a secret of a credential.
pub(super) type Span<'a> = (usize, usize, &'a Arc<str>);

impl Known {
    /// Takes in a secret of a credential.
    pub(super) fn add(&mut self, name: &str, secret: &Secret) {
        self.put(&name.into(), secret);
    }

    fn put(&mut self, name: &Arc<str>, secret: &Secret) -> Places {
        let forms = Forms::of(secret.expose());
        let sets = [&mut self.plain, &mut self.digits, &mut self.sixes];
        let mut places = Places::default();
        let all = [forms.plain, forms.digits, forms.sixes].into_iter().zip(sets);
        for ((forms, set), places) in all.zip(&mut places.0) {
            places.extend(forms.into_iter().filter_map(|form| set.add(form, name)));
        }
        places
    }

    /// Takes in a secret that a provider made; lets go of those longest unseen.
    pub(super) fn add_made(&mut self, name: &str, secret: &Secret) {
        let hash = self.hasher.hash_one((name, secret.expose()));
        self.turn += 1;
        let turn = self.turn;
        self.order.push_back((hash, turn));
        if let Some(made) = self.made.get_mut(&hash) {
            made.turn = turn;
        } else {
            let places = self.put(&name.into(), secret);
            self.made.insert(hash, Made { turn, places });
        }
        self.forget_oldest();
    }

    fn forget_oldest(&mut self) {
        // What was made again since stands in line once more, further back.
        let made = &self.made;
        let stands = |hash: &u64, turn: u64| made.get(hash).is_some_and(|made| made.turn == turn);
        if self.order.len() > 2 * MAX_MADE {
            self.order.retain(|(hash, turn)| stands(hash, *turn));
        }
        while self.made.len() > MAX_MADE {
            let Some((hash, turn)) = self.order.pop_front() else { return };
            if self.made.get(&hash).is_none_or(|made| made.turn != turn) {
                continue;
            }
            let Some(gone) = self.made.remove(&hash) else { continue };
            let sets = [&mut self.plain, &mut self.digits, &mut self.sixes];
            for (set, places) in sets.into_iter().zip(gone.places.0) {
                places.into_iter().for_each(|place| set.drop(place));
            }
        }
    }

    /// The stretches of a text that are secrets, in their order, none within another.
    pub(super) fn spans<'a>(&'a self, text: &[u8]) -> Vec<Span<'a>> {
        let mut found = Vec::new();
        self.look(text, &|start, end| (start, end), &mut found);
        let escapes = Escapes::in_text(text);
        for alone in escapes.each() {
            if let Some(read) = unescaped(text, alone) {
                self.look(&read.bytes, &|start, end| read.span(start, end), &mut found);
            }
        }
        if escapes.any() {
            self.look_deeper(text, &|start, end| (start, end), DEPTH, &mut found);
        }
        // The longest of those that begin together, and what it overlaps as one with it.
        found.sort_by_key(|(start, end, _)| (*start, std::cmp::Reverse(*end)));
        let mut spans: Vec<Span<'a>> = Vec::with_capacity(found.len());
        for (start, end, name) in found {
            match spans.last_mut() {
                Some((_, last, _)) if start < *last => *last = end.max(*last),
                _ => spans.push((start, end, name)),
            }
        }
        spans
    }

    /// Looks through a text in which escapes stand, each time with one layer of them read.
    fn look_deeper<'a>(
        &'a self,
        text: &[u8],
        place: &dyn Fn(usize, usize) -> (usize, usize),
        depth: usize,
        found: &mut Vec<Span<'a>>,
    ) {
        let Some(read) = unescaped(text, Escapes::ALL) else { return };
        let place = |start, end| {
            let (start, end) = read.span(start, end);
            place(start, end)
        };
        self.look(&read.bytes, &place, found);
        if depth > 1 && Escapes::in_text(&read.bytes).any() {
            self.look_deeper(&read.bytes, &place, depth - 1, found);
        }
    }

    /// Looks for every form in a text, of which `place` says where it stood in the first.
    fn look<'a>(
        &'a self,
        text: &[u8],
        place: &dyn Fn(usize, usize) -> (usize, usize),
        found: &mut Vec<Span<'a>>,
    ) {
        self.plain.search(text, &mut |(start, end, name)| {
            let (start, end) = place(start, end);
            found.push((start, end, name));
        });
        let mut within = |set: &'a Patterns, read: &Reading| {
            set.search(&read.bytes, &mut |(start, end, name)| {
                let (start, end) = read.span(start, end);
                let (start, end) = place(start, end);
                found.push((start, end, name));
            });
        };
        digits_in(text, &mut |read| within(&self.digits, read));
        if text.iter().any(|byte| matches!(byte, b'\n' | b'\r')) {
            sixes_in(text, &mut |read| within(&self.sixes, read));
        }
    }
}
