//! Spellings: the forms in which a secret is looked for, and what is read out of a text first.
//!
//! What has one form for each secret is looked for in that form: the secret as it is, and in base64
//! at each of the three places where it can begin in a group (RFC 4648, both alphabets). What has
//! many forms is read back: percent-encoding (RFC 3986), the escapes of JSON (RFC 8259), Python and
//! C, HTML's character references, names of characters, hexadecimal in any case and with any separators, base64 broken
//! over lines.

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER};
use zeroize::{Zeroize, Zeroizing};

use super::names;

/// The fewest hexadecimal digits that are a secret: six bytes.
const FEWEST_DIGITS: usize = 12;
/// The fewest characters of base64, broken over lines, that are looked at.
const FEWEST_SIXES: usize = 6;

/// Which escapes are read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Escapes {
    /// `%41`.
    pub(super) percent: bool,
    /// `\n`, `\x41`, `\u0041`, `\u{41}`, `\U00000041`, `\101`, `\N{DIGIT ONE}`.
    pub(super) backslash: bool,
    /// `&amp;`, `&#65;`, `&#x41;`.
    pub(super) ampersand: bool,
}

impl Escapes {
    pub(super) const ALL: Self = Self { percent: true, backslash: true, ampersand: true };

    /// Which may stand in a text.
    pub(super) fn in_text(text: &[u8]) -> Self {
        Self {
            percent: text.contains(&b'%'),
            backslash: text.contains(&b'\\'),
            ampersand: text.contains(&b'&'),
        }
    }

    pub(super) fn any(self) -> bool {
        self.percent || self.backslash || self.ampersand
    }

    /// Each alone, where there are several: one may stand within a secret, and another around it.
    pub(super) fn each(self) -> impl Iterator<Item = Self> {
        let none = Self { percent: false, backslash: false, ampersand: false };
        let each = [
            Self { percent: self.percent, ..none },
            Self { backslash: self.backslash, ..none },
            Self { ampersand: self.ampersand, ..none },
        ];
        let several = each.iter().filter(|one| one.any()).count() > 1;
        each.into_iter().filter(move |one| several && one.any())
    }
}

/// Bytes that were read out of a text, and where each began in it.
pub(super) struct Reading {
    /// The bytes: overwritten when dropped, for a secret may stand there in clear.
    pub(super) bytes: Zeroizing<Vec<u8>>,
    starts: Vec<u32>,
    /// The length of the text.
    end: usize,
    /// Whether each byte stood in the text as one byte, with others between them.
    single: bool,
}

impl Reading {
    /// Of a text with escapes: never longer than that.
    fn of(text: &[u8]) -> Self {
        let bytes = Zeroizing::new(Vec::with_capacity(text.len()));
        Self { bytes, starts: Vec::with_capacity(text.len()), end: text.len(), single: false }
    }

    /// Of bytes that stand apart.
    fn apart() -> Self {
        Self { bytes: Zeroizing::default(), starts: Vec::new(), end: 0, single: true }
    }

    fn push(&mut self, byte: u8, start: usize) {
        self.bytes.push(byte);
        self.starts.push(u32::try_from(start).unwrap_or(u32::MAX));
    }

    fn clear(&mut self) {
        self.bytes.as_mut_slice().zeroize();
        self.bytes.clear();
        self.starts.clear();
    }

    /// Where in the text a stretch of bytes began and ended, to the end of its last escape.
    pub(super) fn span(&self, start: usize, end: usize) -> (usize, usize) {
        let at = |place: usize| self.starts.get(place).map_or(self.end, |at| *at as usize);
        let last = at(end.saturating_sub(1));
        if self.single {
            return (at(start), last + 1);
        }
        let after = self.starts.get(end..).unwrap_or_default();
        let after = after.iter().map(|at| *at as usize).find(|at| *at > last);
        (at(start), after.unwrap_or(self.end))
    }
}

/// A text with its escapes read once; `None` if it has none.
pub(super) fn unescaped(text: &[u8], which: Escapes) -> Option<Reading> {
    let mut read = Reading::of(text);
    let (mut at, mut any) = (0, false);
    while let Some(byte) = text.get(at) {
        let rest = text.get(at + 1..).unwrap_or_default();
        let escape = match byte {
            b'%' if which.percent => number(rest, 2, 16).map(|(byte, _)| (Char::byte(byte), 2)),
            b'\\' if which.backslash => backslashed(rest),
            b'&' if which.ampersand => referenced(rest),
            _ => None,
        };
        match escape {
            Some((char, taken)) => {
                any = true;
                char.bytes().iter().for_each(|byte| read.push(*byte, at));
                at += 1 + taken;
            }
            None => {
                read.push(*byte, at);
                at += 1;
            }
        }
    }
    any.then_some(read)
}

/// What an escape stands for.
struct Char {
    bytes: [u8; 4],
    length: usize,
}

impl Char {
    fn byte(byte: u32) -> Self {
        // Two hexadecimal or three octal digits: what is above a byte stands for none.
        Self { bytes: [u8::try_from(byte).unwrap_or(b'?'), 0, 0, 0], length: 1 }
    }

    fn point(point: u32) -> Option<Self> {
        let mut bytes = [0; 4];
        let length = char::from_u32(point)?.encode_utf8(&mut bytes).len();
        Some(Self { bytes, length })
    }

    fn bytes(&self) -> &[u8] {
        self.bytes.get(..self.length).unwrap_or_default()
    }
}

/// A number of exactly `digits` digits at the beginning of a text, and how many those are.
fn number(text: &[u8], digits: usize, base: u32) -> Option<(u32, usize)> {
    let mut value: u32 = 0;
    for digit in text.get(..digits)? {
        value = value.checked_mul(base)?.checked_add(char::from(*digit).to_digit(base)?)?;
    }
    (digits > 0).then_some((value, digits))
}

/// How many digits of a base stand at the beginning of a text, up to eight.
fn digits(text: &[u8], base: u32) -> usize {
    text.iter().take(8).take_while(|byte| char::from(**byte).is_digit(base)).count()
}

/// What follows a backslash, and how many bytes that takes.
fn backslashed(text: &[u8]) -> Option<(Char, usize)> {
    let (kind, rest) = text.split_first()?;
    let plain = |byte: u8| Some((Char::byte(byte.into()), 1));
    match kind {
        b'n' => plain(b'\n'),
        b'r' => plain(b'\r'),
        b't' => plain(b'\t'),
        b'b' => plain(8),
        b'f' => plain(12),
        b'a' => plain(7),
        b'v' => plain(11),
        b'e' => plain(27),
        b'"' | b'\'' | b'\\' | b'/' | b'?' => plain(*kind),
        b'N' => named(rest).map(|(byte, taken)| (Char::byte(byte.into()), 1 + taken)),
        b'x' => number(rest, 2, 16).map(|(byte, taken)| (Char::byte(byte), 1 + taken)),
        b'u' if rest.first() == Some(&b'{') => {
            let inner = rest.get(1..)?;
            let count = digits(inner, 16);
            let (point, taken) = number(inner, count, 16)?;
            let closed = inner.get(taken) == Some(&b'}');
            closed.then_some((Char::point(point)?, taken + 3))
        }
        b'u' => {
            let (unit, taken) = number(rest, 4, 16)?;
            // Beyond the basic plane: two units (RFC 8259, 7).
            let second = rest.get(taken..).and_then(|rest| rest.strip_prefix(b"\\u"));
            let second = second.and_then(|rest| number(rest, 4, 16));
            if let (0xD800..0xDC00, Some((low @ 0xDC00..0xE000, more))) = (unit, second) {
                let point = 0x10000 + ((unit - 0xD800) << 10) + (low - 0xDC00);
                return Some((Char::point(point)?, 1 + taken + 2 + more));
            }
            Some((Char::point(unit)?, 1 + taken))
        }
        b'U' => number(rest, 8, 16).and_then(|(at, taken)| Some((Char::point(at)?, 1 + taken))),
        b'0'..=b'7' => {
            // One to three digits of a byte (C, Python).
            let most = if *kind <= b'3' { 3 } else { 2 };
            let count = text.iter().take(most).take_while(|b| (b'0'..=b'7').contains(*b)).count();
            number(text, count, 8).map(|(byte, taken)| (Char::byte(byte), taken))
        }
        _ => None,
    }
}

/// A character by its name in braces, and how many bytes those take.
fn named(text: &[u8]) -> Option<(u8, usize)> {
    let inner = text.strip_prefix(b"{")?;
    let end = inner.iter().take(names::LONGEST + 1).position(|byte| *byte == b'}')?;
    Some((names::character(inner.get(..end)?)?, end + 2))
}

/// What follows an ampersand, and how many bytes that takes.
fn referenced(text: &[u8]) -> Option<(Char, usize)> {
    if text.first().is_some_and(u8::is_ascii_alphabetic) {
        let (byte, taken) = names::reference(text)?;
        return Some((Char::byte(byte.into()), taken));
    }
    let rest = text.strip_prefix(b"#")?;
    let (rest, base, before) = match rest.first()? {
        b'x' | b'X' => (rest.get(1..)?, 16, 2),
        _ => (rest, 10, 1),
    };
    let (point, taken) = number(rest, digits(rest, base), base)?;
    let closed = usize::from(rest.get(taken) == Some(&b';'));
    Some((Char::point(point)?, before + taken + closed))
}

/// Calls `run` with each stretch of a text that is hexadecimal digits, in lower case and without
/// what stands between them: `73:33`, `73 33`, `0x73, 0x33`, `\x73\x33`, `%73%33`.
pub(super) fn digits_in(text: &[u8], run: &mut dyn FnMut(&Reading)) {
    let mut read = Reading::apart();
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'0'..=b'9' | b'a'..=b'f' | b'A'..=b'F' => read.push(byte.to_ascii_lowercase(), at),
            b' ' | b':' | b'-' | b',' | b'.' | b'_' | b'=' | b'%' | b'\t' | b'\r' | b'\n' => {}
            b'\\' if matches!(text.get(at + 1), Some(b'x' | b'X')) => {}
            b'x' | b'X' if before(text, at) == Some(b'\\') => {}
            b'x' | b'X' if before(text, at) == Some(b'0') => {
                read.bytes.pop();
                read.starts.pop();
            }
            _ => end_of_digits(&mut read, run),
        }
    }
    end_of_digits(&mut read, run);
}

fn before(text: &[u8], at: usize) -> Option<u8> {
    text.get(at.checked_sub(1)?).copied()
}

fn end_of_digits(read: &mut Reading, run: &mut dyn FnMut(&Reading)) {
    if read.bytes.is_empty() {
        return;
    }
    if read.bytes.len() >= FEWEST_DIGITS {
        run(read);
    }
    read.clear();
}

/// Calls `run` with each stretch of a text that is base64 over several lines (RFC 2045, RFC 7468),
/// joined, in the alphabet of RFC 4648, section 4.
pub(super) fn sixes_in(text: &[u8], run: &mut dyn FnMut(&Reading)) {
    let mut read = Reading::apart();
    // Whether a line ended within the stretch, and whether only what begins a line came since.
    let (mut broken, mut fresh) = (false, false);
    for (at, byte) in text.iter().enumerate() {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'+' | b'/' => read.push(*byte, at),
            b'-' => read.push(b'+', at),
            b'_' => read.push(b'/', at),
            b'\r' | b'\n' => {
                (broken, fresh) = (true, true);
                continue;
            }
            b' ' | b'\t' if fresh => continue,
            _ => {
                end_of_sixes(&mut read, broken, run);
                broken = false;
            }
        }
        fresh = false;
    }
    end_of_sixes(&mut read, broken, run);
}

fn end_of_sixes(read: &mut Reading, broken: bool, run: &mut dyn FnMut(&Reading)) {
    if broken && read.bytes.len() >= FEWEST_SIXES {
        run(read);
    }
    read.clear();
}

/// The forms in which a secret is looked for.
pub(super) struct Forms {
    /// In a text as it is, and with its escapes read.
    pub(super) plain: Vec<Zeroizing<Vec<u8>>>,
    /// In its hexadecimal digits.
    pub(super) digits: Vec<Zeroizing<Vec<u8>>>,
    /// In its joined lines of base64.
    pub(super) sixes: Vec<Zeroizing<Vec<u8>>>,
}

impl Forms {
    pub(super) fn of(secret: &[u8]) -> Self {
        let mut plain = vec![Zeroizing::new(secret.to_vec())];
        // A secret that itself holds what looks like an escape: as it is after reading.
        let mut read = Zeroizing::new(secret.to_vec());
        for _ in 0..super::known::DEPTH {
            let Some(next) = unescaped(&read, Escapes::ALL) else { break };
            read = next.bytes;
            plain.push(read.clone());
        }
        let plain_number = secret.iter().position(|byte| *byte != b'0').unwrap_or(0);
        if plain_number > 0 && secret.iter().all(u8::is_ascii_digit) {
            // A number is written without the zeros that it begins with.
            plain.push(Zeroizing::new(secret.get(plain_number..).unwrap_or_default().to_vec()));
        }
        if secret.contains(&b' ') {
            // As in a form's body (HTML, application/x-www-form-urlencoded).
            let spaced = secret.iter().map(|byte| if *byte == b' ' { b'+' } else { *byte });
            plain.push(Zeroizing::new(spaced.collect()));
        }
        let mut encoded = vec![Zeroizing::new(secret.to_vec())];
        if let Ok(text) = std::str::from_utf8(secret) {
            if !text.is_ascii() {
                // `\xe9` is a character in Python's text, and a byte in its bytes.
                plain.push(narrow(text));
            }
            if let Some(json) = in_json(text) {
                encoded.push(Zeroizing::new(ascii_json(&json).into_bytes()));
                encoded.push(Zeroizing::new(json.into_bytes()));
            }
        }
        let mut sixes = Vec::new();
        for inner in &encoded {
            for shift in 0..3 {
                let (standard, url) = in_base64(inner, shift);
                sixes.push(standard.clone());
                if standard != url {
                    plain.push(url);
                }
                plain.push(standard);
            }
        }
        let mut digits = vec![Zeroizing::new(HEXLOWER.encode(secret).into_bytes())];
        digits_in(secret, &mut |read| {
            // A secret of digits, such as a key in hexadecimal or a card's number.
            if read.span(0, read.bytes.len()) == (0, secret.len()) {
                digits.push(read.bytes.clone());
                // And what they stand for, as `bytes.fromhex` reads them.
                plain.extend(HEXLOWER.decode(&read.bytes).ok().map(Zeroizing::new));
            }
        });
        Self { plain, digits, sixes }
    }
}

/// Text with each character up to U+00FF as one byte.
fn narrow(text: &str) -> Zeroizing<Vec<u8>> {
    let mut bytes = Zeroizing::new(Vec::with_capacity(text.len()));
    for c in text.chars() {
        match u8::try_from(u32::from(c)) {
            Ok(byte) => bytes.push(byte),
            Err(_) => bytes.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes()),
        }
    }
    bytes
}

/// A text as it stands in JSON, if that differs.
fn in_json(text: &str) -> Option<String> {
    let json = Zeroizing::new(serde_json::to_string(text).ok()?);
    let inner = json.get(1..json.len().checked_sub(1)?)?;
    (inner != text || !text.is_ascii()).then(|| inner.to_owned())
}

/// JSON text with all that is not ASCII as `\uXXXX`, as many writers give it.
fn ascii_json(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if c.is_ascii() {
            out.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                out.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    out
}

/// Bytes in base64 behind `shift` bytes of something else, in both alphabets, without the
/// characters that stand for bytes of a neighbour too.
fn in_base64(bytes: &[u8], shift: usize) -> (Zeroizing<Vec<u8>>, Zeroizing<Vec<u8>>) {
    let mut padded = Zeroizing::new(vec![0; shift]);
    padded.extend_from_slice(bytes);
    let first = (shift * 8).div_ceil(6);
    let last = padded.len() * 8 / 6;
    let cut = |text: String| {
        let text = Zeroizing::new(text);
        Zeroizing::new(text.as_bytes().get(first..last).unwrap_or_default().to_vec())
    };
    (cut(BASE64_NOPAD.encode(&padded)), cut(BASE64URL_NOPAD.encode(&padded)))
}
