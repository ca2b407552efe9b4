//! JSON rendering to canonical bytes, and a strict walk over canonical bytes, both written from
//! `docs/formats.md` sections 1 and 2 alone.

use data_encoding::{BASE64URL_NOPAD, HEXLOWER};

use super::json::Json;

const MAX_DEPTH: usize = 32;
const MAX_INT_BYTES: usize = 513;
const MAX_DIGITS: usize = 1_000;
const MAX_EXPONENT: i32 = 6_200;
/// 0000-01-01T00:00:00Z and the last microsecond of 9999-12-31.
const YEARS: std::ops::RangeInclusive<i64> = -62_167_219_200_000_000..=253_402_300_799_999_999;

/// The canonical bytes of a value in its JSON rendering.
pub(super) fn encode(value: &Json) -> Result<Vec<u8>, String> {
    let mut out = Vec::with_capacity(256);
    put(&mut out, value, 0)?;
    Ok(out)
}

fn put(out: &mut Vec<u8>, value: &Json, depth: usize) -> Result<(), String> {
    if depth > MAX_DEPTH {
        return Err("values nest deeper than 32".to_owned());
    }
    match value {
        Json::Null => out.push(0),
        Json::Bool(flag) => out.push(1 + u8::from(*flag)),
        Json::Number(text) => put_number(out, text)?,
        Json::Text(text) => put_piece(out, 5, text.as_bytes()),
        Json::Array(items) => put_items(out, 11, items, depth)?,
        Json::Object(fields) => match fields.as_slice() {
            [(key, held)] if is_word(key) => put_special(out, key, held, depth)?,
            _ => {
                out.push(13);
                put_fields(out, fields, depth)?;
            }
        },
    }
    Ok(())
}

/// Whether a key is `$` and a word, not a map's own key.
fn is_word(key: &str) -> bool {
    key.starts_with('$') && !key.starts_with("$$")
}

fn put_length(out: &mut Vec<u8>, length: usize) {
    let mut rest = length;
    loop {
        let low = (rest % 128) as u8;
        rest /= 128;
        if rest == 0 {
            out.push(low);
            return;
        }
        out.push(low + 128);
    }
}

fn put_piece(out: &mut Vec<u8>, tag: u8, bytes: &[u8]) {
    out.push(tag);
    put_length(out, bytes.len());
    out.extend_from_slice(bytes);
}

fn put_items(out: &mut Vec<u8>, tag: u8, items: &[Json], depth: usize) -> Result<(), String> {
    out.push(tag);
    put_length(out, items.len());
    items.iter().try_for_each(|item| put(out, item, depth + 1))
}

fn put_fields(out: &mut Vec<u8>, fields: &[(String, Json)], depth: usize) -> Result<(), String> {
    let mut sorted = Vec::with_capacity(fields.len());
    for (key, value) in fields {
        if is_word(key) {
            return Err(format!("`{}` stands beside other keys", short(key)));
        }
        let own = if key.starts_with("$$") { key.get(1..).unwrap_or_default() } else { key };
        sorted.push((own, value));
    }
    // INVARIANT: rendered keys occur once, and taking one `$` off keeps them different.
    sorted.sort_by(|a, b| a.0.as_bytes().cmp(b.0.as_bytes()));
    put_length(out, sorted.len());
    for (key, value) in sorted {
        put_length(out, key.len());
        out.extend_from_slice(key.as_bytes());
        put(out, value, depth + 1)?;
    }
    Ok(())
}

fn put_number(out: &mut Vec<u8>, text: &str) -> Result<(), String> {
    if text.contains(['.', 'e', 'E']) {
        let number: f64 = text.parse().map_err(|_| "a float cannot be read".to_owned())?;
        if !number.is_finite() {
            return Err(format!("the float `{}` is out of range", short(text)));
        }
        let bits = if number == 0.0 { 0 } else { number.to_bits() };
        out.push(4);
        out.extend_from_slice(&bits.to_be_bytes());
        return Ok(());
    }
    let number: i64 = text
        .parse()
        .ok()
        .filter(|_| text != "-0")
        .ok_or_else(|| format!("`{}` is not an integer of 64 bits", short(text)))?;
    let bytes = number.to_be_bytes();
    put_piece(out, 3, least(&bytes));
    Ok(())
}

/// Two's complement without leading bytes that repeat the sign.
fn least(bytes: &[u8]) -> &[u8] {
    let redundant = bytes
        .iter()
        .zip(bytes.iter().skip(1))
        .take_while(|(a, b)| (**a == 0 && **b < 128) || (**a == 255 && **b >= 128))
        .count();
    bytes.get(redundant..).unwrap_or(bytes)
}

fn put_special(out: &mut Vec<u8>, word: &str, held: &Json, depth: usize) -> Result<(), String> {
    let wrong = || format!("`{}` does not hold what it should", short(word));
    match (word, held) {
        ("$int", Json::Text(text)) => put_piece(out, 3, &big_integer(text).ok_or_else(wrong)?),
        ("$bytes", Json::Text(text)) => {
            let bytes = BASE64URL_NOPAD.decode(text.as_bytes()).map_err(|_| wrong())?;
            put_piece(out, 6, &bytes);
        }
        ("$decimal", Json::Text(text)) if is_decimal(text) => put_piece(out, 7, text.as_bytes()),
        ("$datetime", Json::Text(text)) => {
            out.push(8);
            out.extend_from_slice(&instant(text).ok_or_else(wrong)?.to_be_bytes());
        }
        ("$instant", Json::Text(text)) => {
            let micros: i64 = text.parse().map_err(|_| wrong())?;
            if micros.to_string() != *text || YEARS.contains(&micros) {
                return Err(wrong());
            }
            out.push(8);
            out.extend_from_slice(&micros.to_be_bytes());
        }
        ("$uuid", Json::Text(text)) if text.len() == 32 => {
            out.push(9);
            out.extend_from_slice(&HEXLOWER.decode(text.as_bytes()).map_err(|_| wrong())?);
        }
        ("$enum", Json::Array(parts)) => {
            let [Json::Text(type_name), Json::Text(name), value] = parts.as_slice() else {
                return Err(wrong());
            };
            put_piece(out, 10, type_name.as_bytes());
            put_length(out, name.len());
            out.extend_from_slice(name.as_bytes());
            put(out, value, depth + 1)?;
        }
        ("$tuple", Json::Array(items)) => put_items(out, 12, items, depth)?,
        ("$record", Json::Array(parts)) => {
            let [Json::Text(type_name), Json::Object(fields)] = parts.as_slice() else {
                return Err(wrong());
            };
            put_piece(out, 14, type_name.as_bytes());
            put_fields(out, fields, depth)?;
        }
        _ => return Err(wrong()),
    }
    Ok(())
}

/// An integer beyond 64 bits, in decimal without leading zeros, as minimal two's complement.
fn big_integer(text: &str) -> Option<Vec<u8>> {
    let digits = text.strip_prefix('-').unwrap_or(text);
    let plain = digits.bytes().all(|byte| byte.is_ascii_digit()) && !digits.starts_with('0');
    if !plain || digits.len() < 19 || digits.len() > 1_300 || text.parse::<i64>().is_ok() {
        return None;
    }
    // Base 2^32, the lowest word first.
    let mut words: Vec<u32> = Vec::new();
    for digit in digits.bytes() {
        let mut carry = u64::from(digit - b'0');
        for word in &mut words {
            carry += u64::from(*word) * 10;
            *word = carry as u32;
            carry >>= 32;
        }
        if carry > 0 {
            words.push(carry as u32);
        }
    }
    words.push(0);
    if text.starts_with('-') {
        let mut carry = true;
        for word in &mut words {
            (*word, carry) = (!*word).overflowing_add(u32::from(carry));
        }
    }
    let bytes: Vec<u8> = words.iter().rev().flat_map(|word| word.to_be_bytes()).collect();
    let bytes = least(&bytes).to_vec();
    (bytes.len() <= MAX_INT_BYTES).then_some(bytes)
}

/// `0E0`, or `[-]digits E exponent` without zeros at either end of the digits.
fn is_decimal(text: &str) -> bool {
    if text == "0E0" {
        return true;
    }
    let body = text.strip_prefix('-').unwrap_or(text);
    let Some((digits, exponent)) = body.split_once('E') else { return false };
    let number: Option<i32> = exponent.parse().ok();
    !digits.is_empty()
        && digits.len() <= MAX_DIGITS
        && digits.bytes().all(|byte| byte.is_ascii_digit())
        && !digits.starts_with('0')
        && !digits.ends_with('0')
        && number.is_some_and(|n| n.to_string() == exponent && n.abs() <= MAX_EXPONENT)
}

/// `YYYY-MM-DDTHH:MM:SS.ffffffZ` in microseconds.
pub(super) fn instant(text: &str) -> Option<i64> {
    let shape = b"0000-00-00T00:00:00.000000Z";
    let fits = text.len() == shape.len()
        && text.bytes().zip(shape).all(|(byte, like)| match like {
            b'0' => byte.is_ascii_digit(),
            other => byte == *other,
        });
    if !fits {
        return None;
    }
    let part = |range: std::ops::Range<usize>| text.get(range)?.parse::<i64>().ok();
    let (year, month, day) = (part(0..4)?, part(5..7)?, part(8..10)?);
    let (hour, minute, second) = (part(11..13)?, part(14..16)?, part(17..19)?);
    let leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    let length = match month {
        2 => 28 + i64::from(leap),
        4 | 6 | 9 | 11 => 30,
        1..=12 => 31,
        _ => return None,
    };
    if day < 1 || day > length || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    // Days since 0000-03-01 with March as the first month, so that the leap day comes last.
    let shifted = year + 400 - i64::from(month < 3);
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = 365 * shifted + shifted / 4 - shifted / 100 + shifted / 400 + of_year;
    // 1970-01-01 counted the same way, 400 years added.
    let since = days - 865_565;
    let seconds = since * 86_400 + hour * 3_600 + minute * 60 + second;
    Some(seconds * 1_000_000 + part(20..26)?)
}

/// Checks that bytes are one canonical value.
pub(super) fn check(bytes: &[u8]) -> Result<(), String> {
    let mut walk = Walk { rest: bytes };
    walk.value(0)?;
    walk.end()
}

/// A map's keys, each with the canonical bytes of its value.
pub(super) type Fields<'a> = Vec<(&'a str, &'a [u8])>;

/// Checks that bytes are one canonical map, and takes it apart.
pub(super) fn map(bytes: &[u8]) -> Result<Fields<'_>, String> {
    let mut walk = Walk { rest: bytes };
    if walk.byte()? != 13 {
        return Err("it is not a map".to_owned());
    }
    let fields = walk.fields(0)?;
    walk.end()?;
    Ok(fields)
}

/// The text of a canonical value that is text; the bytes were walked before.
pub(super) fn text(value: &[u8]) -> Option<&str> {
    let mut walk = Walk { rest: value };
    (walk.byte().ok()? == 5).then(|| walk.text().ok())?
}

/// The bytes of a canonical value that is bytes.
pub(super) fn raw(value: &[u8]) -> Option<&[u8]> {
    let mut walk = Walk { rest: value };
    (walk.byte().ok()? == 6).then(|| walk.piece().ok())?
}

/// The canonical bytes of each item of a canonical list.
pub(super) fn list(value: &[u8]) -> Option<Vec<&[u8]>> {
    let mut walk = Walk { rest: value };
    if walk.byte().ok()? != 11 {
        return None;
    }
    let count = walk.length().ok()?;
    let mut items = Vec::new();
    for _ in 0..count {
        let before = walk.rest;
        walk.value(0).ok()?;
        items.push(before.get(..before.len() - walk.rest.len())?);
    }
    Some(items)
}

/// The microseconds of a canonical datetime.
pub(super) fn micros(value: &[u8]) -> Option<i64> {
    let (8, bytes) = value.split_first()? else { return None };
    Some(i64::from_be_bytes(bytes.try_into().ok()?))
}

/// A canonical integer of up to 64 bits.
pub(super) fn integer(value: &[u8]) -> Option<i64> {
    let mut walk = Walk { rest: value };
    let bytes = (walk.byte().ok()? == 3).then(|| walk.piece().ok())??;
    if bytes.len() > 8 {
        return None;
    }
    let negative = bytes.first().is_some_and(|byte| *byte >= 128);
    Some(bytes.iter().fold(-i64::from(negative), |sum, byte| (sum << 8) | i64::from(*byte)))
}

struct Walk<'a> {
    rest: &'a [u8],
}

impl<'a> Walk<'a> {
    fn end(&self) -> Result<(), String> {
        if self.rest.is_empty() { Ok(()) } else { Err("bytes follow the value".to_owned()) }
    }

    fn take(&mut self, count: usize) -> Result<&'a [u8], String> {
        let (taken, rest) =
            self.rest.split_at_checked(count).ok_or_else(|| "the bytes end early".to_owned())?;
        self.rest = rest;
        Ok(taken)
    }

    fn byte(&mut self) -> Result<u8, String> {
        self.take(1)?.first().copied().ok_or_else(|| "the bytes end early".to_owned())
    }

    fn length(&mut self) -> Result<usize, String> {
        let mut sum = 0u64;
        for place in 0..5 {
            let byte = self.byte()?;
            sum += u64::from(byte % 128) << (7 * place);
            if byte < 128 {
                if place > 0 && byte == 0 {
                    return Err("a length is not in its shortest form".to_owned());
                }
                return usize::try_from(sum).map_err(|_| "a length is too large".to_owned());
            }
        }
        Err("a length is too large".to_owned())
    }

    fn piece(&mut self) -> Result<&'a [u8], String> {
        let length = self.length()?;
        self.take(length)
    }

    fn text(&mut self) -> Result<&'a str, String> {
        std::str::from_utf8(self.piece()?).map_err(|_| "text is not UTF-8".to_owned())
    }

    /// The fields of a map that itself lies inside `depth` others.
    fn fields(&mut self, depth: usize) -> Result<Fields<'a>, String> {
        let count = self.length()?;
        let mut fields: Fields<'a> = Vec::new();
        for _ in 0..count {
            let key = self.text()?;
            if fields.last().is_some_and(|(last, _)| last.as_bytes() >= key.as_bytes()) {
                return Err("keys are not in ascending order".to_owned());
            }
            let before = self.rest;
            self.value(depth + 1)?;
            let used = before.len() - self.rest.len();
            fields.push((key, before.get(..used).unwrap_or_default()));
        }
        Ok(fields)
    }

    fn items(&mut self, depth: usize) -> Result<(), String> {
        let count = self.length()?;
        (0..count).try_for_each(|_| self.value(depth + 1))
    }

    fn value(&mut self, depth: usize) -> Result<(), String> {
        if depth > MAX_DEPTH {
            return Err("values nest deeper than 32".to_owned());
        }
        match self.byte()? {
            0..=2 => {}
            3 => {
                let bytes = self.piece()?;
                if bytes.is_empty() || bytes.len() > MAX_INT_BYTES || least(bytes) != bytes {
                    return Err("an integer is not minimal".to_owned());
                }
            }
            4 => {
                let bits = self.take(8)?.iter().fold(0u64, |sum, b| (sum << 8) | u64::from(*b));
                if !f64::from_bits(bits).is_finite() || bits == 1 << 63 {
                    return Err("a float is not canonical".to_owned());
                }
            }
            5 => {
                self.text()?;
            }
            6 => {
                self.piece()?;
            }
            7 => {
                if !is_decimal(self.text()?) {
                    return Err("a decimal is not canonical".to_owned());
                }
            }
            8 => {
                self.take(8)?;
            }
            9 => {
                self.take(16)?;
            }
            10 => {
                self.text()?;
                self.text()?;
                self.value(depth + 1)?;
            }
            11 | 12 => self.items(depth)?,
            13 => {
                self.fields(depth)?;
            }
            14 => {
                self.text()?;
                self.fields(depth)?;
            }
            _ => return Err("an unknown tag".to_owned()),
        }
        Ok(())
    }
}

fn short(text: &str) -> String {
    text.chars().take(40).collect()
}
