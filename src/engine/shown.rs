//! How many grants made elsewhere are taken up: whoever holds a key can sign any number of them, and
//! each that is shown for the first time is an entry.

use std::collections::HashMap;

use crate::canonical::Digest;

/// How many are taken up below one root grant in an hour, unless configured.
pub const MAX_SHOWN: usize = 10_000;
/// An hour, in microseconds.
const PER: i64 = 3_600 * crate::clock::MICROS;
/// How many root grants are kept count of before those whose hour is over are dropped.
const MANY: usize = 4 * 1024;

/// The count below each root grant, and since when.
#[derive(Debug)]
pub(super) struct Shown {
    counts: HashMap<Digest, (i64, usize)>,
    most: usize,
    sweep_at: usize,
}

impl Shown {
    pub(super) fn new(most: usize) -> Self {
        Self { counts: HashMap::new(), most, sweep_at: MANY }
    }

    /// Counts grants below a root grant; answers the most there may be where these are too many.
    pub(super) fn admit(&mut self, root: &Digest, count: usize, now: i64) -> Result<(), usize> {
        if self.counts.len() >= self.sweep_at {
            self.counts.retain(|_, (since, _)| now - *since < PER);
            self.sweep_at = MANY.max(2 * self.counts.len());
        }
        let slot = self.counts.entry(*root).or_insert((now, 0));
        if now - slot.0 >= PER {
            *slot = (now, 0);
        }
        if slot.1.saturating_add(count) > self.most {
            return Err(self.most);
        }
        slot.1 += count;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_root_has_its_own_hour() {
        let mut shown = Shown::new(3);
        assert_eq!(shown.admit(&[1; 32], 2, 0), Ok(()));
        assert_eq!(shown.admit(&[1; 32], 2, 1), Err(3));
        assert_eq!(shown.admit(&[1; 32], 1, PER - 1), Ok(()));
        assert_eq!(shown.admit(&[1; 32], 1, PER - 1), Err(3));
        assert_eq!(shown.admit(&[2; 32], 3, PER - 1), Ok(()));
        assert_eq!(shown.admit(&[1; 32], 3, PER), Ok(()));
    }

    #[test]
    fn what_is_over_is_dropped() {
        let mut shown = Shown::new(1);
        for root in 0..20_000u32 {
            let mut digest = [0; 32];
            digest[..4].copy_from_slice(&root.to_be_bytes());
            assert_eq!(shown.admit(&digest, 1, i64::from(root) * PER / 1_000), Ok(()));
        }
        assert!(shown.counts.len() <= MANY + 1, "{}", shown.counts.len());
    }
}
