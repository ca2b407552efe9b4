//! Exact numbers: integers of any size up to a bound, decimals, and the order over both and floats.

use std::cmp::Ordering;
use std::fmt;

/// The widest integer, in bytes of magnitude.
const MAX_INT_BYTES: usize = 512;
/// The most digits of a decimal's coefficient.
const MAX_DECIMAL_DIGITS: usize = 1_000;
/// The widest decimal exponent, either way (the range of Python's default context is 999,999).
const MAX_EXPONENT: i32 = 6_200;

/// Why a number has no canonical form.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NumberError {
    /// Not a number in the notation expected.
    #[error("`{0}` is not a number")]
    Malformed(String),
    /// Beyond the bounds above.
    #[error(
        "the number is too large: integers may have 4096 bits, decimals 1000 digits and exponents to 6200"
    )]
    TooLarge,
}

/// An integer. `Big` holds only what does not fit an `i64`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Int {
    /// From -2^63 to 2^63 - 1.
    Small(i64),
    /// Any other, as minimal big-endian two's complement bytes.
    Big(Box<[u8]>),
}

impl From<i64> for Int {
    fn from(number: i64) -> Self {
        Self::Small(number)
    }
}

impl Int {
    /// From big-endian two's complement bytes of any length; `None` beyond 4,096 bits.
    #[must_use]
    pub fn from_signed_bytes(bytes: &[u8]) -> Option<Self> {
        let minimal = minimal(bytes);
        if minimal.len() > MAX_INT_BYTES + 1 {
            return None;
        }
        if minimal.len() <= 8 {
            let negative = minimal.first().is_some_and(|b| b & 0x80 != 0);
            let mut wide = if negative { [0xff; 8] } else { [0; 8] };
            for (byte, from) in wide.iter_mut().rev().zip(minimal.iter().rev()) {
                *byte = *from;
            }
            return Some(Self::Small(i64::from_be_bytes(wide)));
        }
        Some(Self::Big(minimal.into()))
    }

    /// From decimal digits with an optional minus sign.
    ///
    /// # Errors
    /// `Malformed` for anything else, `TooLarge` beyond 4,096 bits.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let malformed = || NumberError::Malformed(text.chars().take(40).collect());
        let (negative, digits) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text),
        };
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(malformed());
        }
        if digits.len() > MAX_INT_BYTES * 5 / 2 {
            return Err(NumberError::TooLarge);
        }
        let mut magnitude: Vec<u8> = vec![0]; // little-endian
        for digit in digits.bytes() {
            let mut carry = u16::from(digit - b'0');
            for byte in &mut magnitude {
                let sum = u16::from(*byte) * 10 + carry;
                *byte = sum as u8;
                carry = sum >> 8;
            }
            if carry > 0 {
                magnitude.push(carry as u8);
            }
        }
        magnitude.push(0);
        if negative {
            negate(&mut magnitude);
        }
        magnitude.reverse();
        Self::from_signed_bytes(&magnitude).ok_or(NumberError::TooLarge)
    }

    /// Calls `f` with the minimal big-endian two's complement bytes.
    pub fn with_bytes<R>(&self, f: impl FnOnce(&[u8]) -> R) -> R {
        match self {
            Self::Small(number) => f(minimal(&number.to_be_bytes())),
            Self::Big(bytes) => f(bytes),
        }
    }

    fn is_negative(&self) -> bool {
        match self {
            Self::Small(number) => *number < 0,
            Self::Big(bytes) => bytes.first().is_some_and(|b| b & 0x80 != 0),
        }
    }

    /// The decimal digits of the magnitude.
    fn magnitude_digits(&self) -> String {
        let mut magnitude = self.with_bytes(<[u8]>::to_vec);
        magnitude.reverse();
        if self.is_negative() {
            negate(&mut magnitude);
        }
        magnitude.reverse();
        let mut digits = Vec::new();
        while magnitude.iter().any(|b| *b != 0) {
            let mut remainder = 0u16;
            for byte in &mut magnitude {
                let current = (remainder << 8) | u16::from(*byte);
                *byte = (current / 10) as u8;
                remainder = current % 10;
            }
            digits.push(b'0' + remainder as u8);
        }
        if digits.is_empty() {
            digits.push(b'0');
        }
        digits.iter().rev().map(|d| char::from(*d)).collect()
    }
}

impl fmt::Display for Int {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Small(number) => write!(f, "{number}"),
            Self::Big(_) => {
                let sign = if self.is_negative() { "-" } else { "" };
                write!(f, "{sign}{}", self.magnitude_digits())
            }
        }
    }
}

/// Drops leading bytes that only repeat the sign.
fn minimal(bytes: &[u8]) -> &[u8] {
    let mut rest = bytes;
    while let [first, after @ ..] = rest {
        let Some(second) = after.first() else { break };
        let redundant =
            (*first == 0 && second & 0x80 == 0) || (*first == 0xff && second & 0x80 != 0);
        if !redundant {
            break;
        }
        rest = after;
    }
    if rest.is_empty() { &[0] } else { rest }
}

/// Two's complement negation of little-endian bytes.
fn negate(little_endian: &mut [u8]) {
    let mut carry = true;
    for byte in little_endian {
        let (sum, overflow) = (!*byte).overflowing_add(u8::from(carry));
        *byte = sum;
        carry = overflow;
    }
}

/// An exact decimal: `±digits × 10^exponent`, without trailing zeros; zero is `0E0`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Decimal {
    negative: bool,
    digits: Box<str>,
    exponent: i32,
}

impl Decimal {
    /// Zero.
    #[must_use]
    pub fn zero() -> Self {
        Self { negative: false, digits: "0".into(), exponent: 0 }
    }

    /// From sign, decimal digits and exponent.
    ///
    /// # Errors
    /// `Malformed` if `digits` is not all digits, `TooLarge` beyond the bounds.
    pub fn new(negative: bool, digits: &str, exponent: i64) -> Result<Self, NumberError> {
        if digits.is_empty() || !digits.bytes().all(|b| b.is_ascii_digit()) {
            return Err(NumberError::Malformed(digits.chars().take(40).collect()));
        }
        let stripped = digits.trim_start_matches('0');
        let significant = stripped.trim_end_matches('0');
        if significant.is_empty() {
            return Ok(Self::zero());
        }
        let dropped = (stripped.len() - significant.len()) as i64;
        let exponent = exponent.checked_add(dropped).ok_or(NumberError::TooLarge)?;
        if significant.len() > MAX_DECIMAL_DIGITS || exponent.abs() > i64::from(MAX_EXPONENT) {
            return Err(NumberError::TooLarge);
        }
        Ok(Self { negative, digits: significant.into(), exponent: exponent as i32 })
    }

    /// From text such as `-12.50`, `3E-7`.
    ///
    /// # Errors
    /// `Malformed` for anything else, `TooLarge` beyond the bounds.
    pub fn parse(text: &str) -> Result<Self, NumberError> {
        let malformed = || NumberError::Malformed(text.chars().take(40).collect());
        let (negative, rest) = match text.strip_prefix('-') {
            Some(rest) => (true, rest),
            None => (false, text.strip_prefix('+').unwrap_or(text)),
        };
        let (number, exponent) = match rest.split_once(['e', 'E']) {
            Some((number, exponent)) => (number, exponent.parse::<i64>().map_err(|_| malformed())?),
            None => (rest, 0),
        };
        let (whole, fraction) = number.split_once('.').unwrap_or((number, ""));
        if whole.is_empty() && fraction.is_empty() {
            return Err(malformed());
        }
        let digits = format!("{whole}{fraction}");
        let shift = i64::try_from(fraction.len()).map_err(|_| NumberError::TooLarge)?;
        let exponent = exponent.checked_sub(shift).ok_or(NumberError::TooLarge)?;
        Self::new(negative, &digits, exponent).map_err(|error| match error {
            NumberError::Malformed(_) => malformed(),
            other => other,
        })
    }

    /// The sign, digits and exponent.
    #[must_use]
    pub fn parts(&self) -> (bool, &str, i32) {
        (self.negative, &self.digits, self.exponent)
    }
}

/// The canonical text: `[-]digits E exponent` without spaces.
impl fmt::Display for Decimal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let sign = if self.negative { "-" } else { "" };
        write!(f, "{sign}{}E{}", self.digits, self.exponent)
    }
}

/// The exact order of two numbers of any numeric type; `None` if either is no number.
///
/// `int`, `float` and `Decimal` compare by exact value: 0.1 as a float is not 0.1 as a decimal.
#[must_use]
pub fn compare(a: &super::Value, b: &super::Value) -> Option<Ordering> {
    use super::Value::{Float, Int as IntValue};
    match (a, b) {
        (IntValue(Int::Small(a)), IntValue(Int::Small(b))) => Some(a.cmp(b)),
        (Float(a), Float(b)) => a.partial_cmp(b),
        (IntValue(Int::Small(a)), Float(b)) => Some(small_to_float(*a, *b)),
        (Float(a), IntValue(Int::Small(b))) => Some(small_to_float(*b, *a).reverse()),
        _ => Some(exact(a)?.order(&exact(b)?)),
    }
}

fn small_to_float(a: i64, b: f64) -> Ordering {
    // 2^63 is a float; beyond it every i64 is on one side.
    const EDGE: f64 = 9_223_372_036_854_775_808.0;
    if b >= EDGE {
        return Ordering::Less;
    }
    if b < -EDGE {
        return Ordering::Greater;
    }
    let whole = b.trunc();
    a.cmp(&(whole as i64)).then_with(|| {
        let rest = b - whole;
        if rest > 0.0 {
            Ordering::Less
        } else if rest < 0.0 {
            Ordering::Greater
        } else {
            Ordering::Equal
        }
    })
}

/// A number as sign, digits without leading zeros, exponent.
struct Exact {
    negative: bool,
    digits: String,
    exponent: i64,
}

fn exact(value: &super::Value) -> Option<Exact> {
    let (negative, digits, exponent) = match value {
        super::Value::Int(number) => (number.is_negative(), number.magnitude_digits(), 0),
        super::Value::Decimal(number) => {
            (number.negative, number.digits.to_string(), i64::from(number.exponent))
        }
        super::Value::Float(number) => {
            // 1,074 fraction digits are the exact expansion of every double.
            let text = format!("{:.1074}", number.abs());
            let (whole, fraction) = text.split_once('.').unwrap_or((&text, ""));
            (*number < 0.0, format!("{whole}{fraction}"), -(fraction.len() as i64))
        }
        _ => return None,
    };
    Some(Exact { negative, digits: digits.trim_start_matches('0').to_owned(), exponent })
}

impl Exact {
    fn order(&self, other: &Self) -> Ordering {
        match (self.sign(), other.sign()) {
            (a, b) if a != b => a.cmp(&b),
            // Zeros of two types differ in exponent only.
            (0, _) => Ordering::Equal,
            (-1, _) => other.magnitude_order(self),
            _ => self.magnitude_order(other),
        }
    }

    fn sign(&self) -> i8 {
        match (self.digits.is_empty(), self.negative) {
            (true, _) => 0,
            (false, true) => -1,
            (false, false) => 1,
        }
    }

    fn magnitude_order(&self, other: &Self) -> Ordering {
        // The place of the first digit decides, then the digits, the shorter padded with zeros.
        let place = |n: &Self| n.digits.len() as i64 + n.exponent;
        place(self).cmp(&place(other)).then_with(|| {
            let width = self.digits.len().max(other.digits.len());
            let padded = |n: &Self| {
                n.digits.bytes().chain(std::iter::repeat(b'0')).take(width).collect::<Vec<_>>()
            };
            padded(self).cmp(&padded(other))
        })
    }
}

/// The exact sum of two numbers of any numeric type; `None` if either is no number, or the sum is
/// beyond what a decimal holds.
#[must_use]
pub fn add(a: &super::Value, b: &super::Value) -> Option<Decimal> {
    let (a, b) = (exact(a)?, exact(b)?);
    let exponent = a.exponent.min(b.exponent);
    // The budgets of the types bound both the digits and the distance of the exponents.
    let (x, y) = (a.scaled(exponent), b.scaled(exponent));
    let (negative, digits) = match (a.negative == b.negative, compare_digits(&x, &y)) {
        (true, _) => (a.negative, add_digits(&x, &y)),
        (false, Ordering::Less) => (b.negative, subtract_digits(&y, &x)),
        (false, _) => (a.negative, subtract_digits(&x, &y)),
    };
    let text: String = digits.iter().rev().map(|digit| char::from(b'0' + digit)).collect();
    let text = if text.is_empty() { "0" } else { &text };
    Decimal::new(negative, text, exponent).ok()
}

impl Exact {
    /// The digits at a lower exponent, the lowest first.
    fn scaled(&self, exponent: i64) -> Vec<u8> {
        let zeros = usize::try_from(self.exponent - exponent).unwrap_or(0);
        let digits = self.digits.bytes().rev().map(|digit| digit - b'0');
        if self.digits.is_empty() {
            return Vec::new();
        }
        std::iter::repeat_n(0, zeros).chain(digits).collect()
    }
}

fn compare_digits(a: &[u8], b: &[u8]) -> Ordering {
    let width = a.len().max(b.len());
    let digit = |n: &[u8], place: usize| n.get(place).copied().unwrap_or(0);
    (0..width)
        .rev()
        .map(|place| digit(a, place).cmp(&digit(b, place)))
        .find(|o| o.is_ne())
        .unwrap_or(Ordering::Equal)
}

fn add_digits(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len().max(b.len()) + 1);
    let mut carry = 0;
    for place in 0..a.len().max(b.len()) {
        let digit = |n: &[u8]| n.get(place).copied().unwrap_or(0);
        let sum = digit(a) + digit(b) + carry;
        out.push(sum % 10);
        carry = sum / 10;
    }
    out.push(carry);
    out
}

/// `a - b` for `a` not below `b`.
fn subtract_digits(a: &[u8], b: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(a.len());
    let mut borrow = 0;
    for (place, digit) in a.iter().enumerate() {
        let take = b.get(place).copied().unwrap_or(0) + borrow;
        borrow = u8::from(*digit < take);
        out.push(digit + 10 * borrow - take);
    }
    out
}
