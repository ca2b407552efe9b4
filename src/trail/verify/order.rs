//! The order of indices: which entries are missing, misplaced or repeated, in bounded memory.

use std::collections::BTreeSet;

use super::report::Place;

/// The most gaps and early entries that are remembered.
const MAX_REMEMBERED: usize = 1_000;

/// What the next index means.
pub(super) enum Step {
    /// The one that was expected, or the first behind a gap that [`Order::missing`] will tell.
    Expected,
    /// One that was there before.
    Repeated,
    /// An entry, this or the one before, that stands where another was expected.
    Misplaced { place: Place, expected: u64 },
}

#[derive(Default)]
pub(super) struct Order {
    next: u64,
    /// Ranges that were skipped, the ends included.
    gaps: Vec<(u64, u64)>,
    /// Indices that came before their turn.
    early: BTreeSet<u64>,
    /// The last line skipped ahead: what was expected there, and its place.
    jump: Option<(u64, Place)>,
}

impl Order {
    /// The index expected next.
    pub(super) fn next(&self) -> u64 {
        self.next
    }

    pub(super) fn step(&mut self, index: u64, place: &Place) -> Step {
        let jump = self.jump.take();
        if index == self.next {
            self.advance(index);
            return Step::Expected;
        }
        if index > self.next {
            if self.gap(self.next, index - 1) {
                self.jump = Some((self.next, place.clone()));
            }
            self.advance(index);
            return Step::Expected;
        }
        // The line before skipped ahead and this one does not: that line is the misplaced one.
        if let Some((expected, jumped)) = jump
            && (index == expected || index == expected + 1)
            && self.early.len() < MAX_REMEMBERED
        {
            self.gaps.pop();
            self.early.extend(jumped.index);
            self.advance(index);
            return Step::Misplaced { place: jumped, expected };
        }
        if self.fill(index) {
            return Step::Misplaced { place: place.clone(), expected: self.next };
        }
        Step::Repeated
    }

    /// The ranges that never came.
    pub(super) fn missing(&self) -> Vec<(u64, u64)> {
        self.gaps.clone()
    }

    fn advance(&mut self, index: u64) {
        self.next = index.saturating_add(1);
        while self.early.remove(&self.next) {
            self.next = self.next.saturating_add(1);
        }
    }

    fn gap(&mut self, first: u64, last: u64) -> bool {
        let room = self.gaps.len() < MAX_REMEMBERED;
        if room {
            self.gaps.push((first, last));
        }
        room
    }

    /// Takes an index out of the gap it lies in.
    fn fill(&mut self, index: u64) -> bool {
        let holds = |(first, last): &(u64, u64)| (*first..=*last).contains(&index);
        let Some(at) = self.gaps.iter().position(holds) else { return false };
        let (first, last) = self.gaps.remove(at);
        if first < index {
            self.gap(first, index - 1);
        }
        if index < last {
            self.gap(index + 1, last);
        }
        true
    }
}
