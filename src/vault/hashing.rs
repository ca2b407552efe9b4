//! Hashes of the stretches of a text, each got in one step from those of the text up to where it
//! begins and ends (Karp and Rabin).

use std::hash::{BuildHasher, RandomState};

/// Hashes are numbers modulo this prime, 2^61 - 1.
const PRIME: u64 = (1 << 61) - 1;
/// How many hashes of what was passed already are kept.
const PAGE: usize = 1 << 14;

/// How bytes are hashed: as the digits of a number, in a base that nobody knows.
pub(super) struct Hashing {
    /// The base, and its powers of 2, 4, 8…
    powers: [u64; 32],
}

impl Default for Hashing {
    fn default() -> Self {
        // Keyed by the operating system's random bytes; not below a byte's values.
        let base = 512 + RandomState::new().hash_one(PRIME) % (PRIME - 1024);
        let mut powers = [base; 32];
        let mut power = base;
        for slot in &mut powers {
            *slot = power;
            power = times(power, power);
        }
        Self { powers }
    }
}

impl Hashing {
    /// The base to the power of two to the power of a digit.
    pub(super) fn power_of_two(&self, digit: u32) -> u64 {
        self.powers.get(digit as usize).copied().unwrap_or(1)
    }

    /// A hash with one more byte.
    fn with(&self, hash: u64, byte: u8) -> u64 {
        // Not zero for any byte: `\0` counts too.
        plus(times(hash, self.power_of_two(0)), u64::from(byte) + 1)
    }

    /// The lengths at which a search for a pattern looks, and the hashes of its beginnings there.
    pub(super) fn markers(&self, bytes: &[u8]) -> Vec<(usize, u64)> {
        let (mut markers, mut hash, mut hashed) = (Vec::new(), 0, 0);
        for digit in (0..usize::BITS).rev().filter(|digit| (bytes.len() >> digit) & 1 == 1) {
            let length = (bytes.len() >> digit) << digit;
            for byte in bytes.get(hashed..length).unwrap_or_default() {
                hash = self.with(hash, *byte);
            }
            hashed = length;
            markers.push((length, hash));
        }
        markers
    }
}

/// A text's hashes up to each place, from where they were first asked for to where last.
pub(super) struct Hashed<'a> {
    hashing: &'a Hashing,
    text: &'a [u8],
    from: usize,
    /// The hash of the text from `from` to each place beyond it.
    upto: Vec<u64>,
    /// How many bytes were hashed, and how many stretches asked for.
    pub(super) steps: u64,
}

impl<'a> Hashed<'a> {
    pub(super) fn new(hashing: &'a Hashing, text: &'a [u8]) -> Self {
        Self { hashing, text, from: 0, upto: vec![0], steps: 0 }
    }

    /// The hash of a stretch, with the base to the power of its length; `None` beyond the text.
    /// Stretches are asked for from the left to the right.
    pub(super) fn stretch(&mut self, at: usize, length: usize, power: u64) -> Option<u64> {
        self.steps += 1;
        let end = at.checked_add(length).filter(|end| *end <= self.text.len())?;
        if at < self.from || at >= self.from + self.upto.len() {
            // Nothing between is asked for.
            self.from = at;
            self.upto.clear();
            self.upto.push(0);
        }
        if at - self.from > PAGE {
            self.upto.drain(..at - self.from);
            self.from = at;
        }
        let hashed = self.from + self.upto.len() - 1;
        for byte in self.text.get(hashed..end).unwrap_or_default() {
            let last = self.upto.last().copied().unwrap_or(0);
            self.upto.push(self.hashing.with(last, *byte));
            self.steps += 1;
        }
        let (before, upto) = (self.upto.get(at - self.from)?, self.upto.get(end - self.from)?);
        Some(minus(*upto, times(*before, power)))
    }
}

/// A product, modulo the prime.
pub(super) fn times(one: u64, other: u64) -> u64 {
    let product = u128::from(one) * u128::from(other);
    // 2^61 is 1 here: what stands above 61 bits counts as if it stood below.
    plus((product >> 61) as u64, product as u64 & PRIME)
}

fn plus(one: u64, other: u64) -> u64 {
    let sum = one + other;
    if sum >= PRIME { sum - PRIME } else { sum }
}

fn minus(one: u64, other: u64) -> u64 {
    plus(one, PRIME - other)
}
