//! Redaction: finds known secrets in text and bytes, in the forms in which they get about.
//!
//! Each secret is looked for as it is, in base64 (RFC 4648, both alphabets, at each of the three
//! places where it can begin in a group), percent-encoded (RFC 3986), escaped as in JSON (RFC 8259)
//! and in Python's `repr`, and in hexadecimal. The cost for other text is one look at a bit for
//! each byte.

use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use data_encoding::{BASE64_NOPAD, BASE64URL_NOPAD, HEXLOWER, HEXUPPER};
use parking_lot::RwLock;
use zeroize::Zeroizing;

use super::Secret;
use crate::canonical::{Map, Value};

/// How many bytes of a form are looked at first.
const HEAD: usize = 4;
/// Forms below this length are not looked for.
const MIN_FORM: usize = 5;
/// Bits of the filter over heads.
const BITS: usize = 1 << 16;

/// The secrets that are known here, and where they stand.
#[derive(Default)]
pub struct Redactor {
    any: AtomicBool,
    known: RwLock<Known>,
}

#[derive(Default)]
struct Known {
    forms: Vec<Form>,
    /// Forms by their first bytes, the longest first.
    heads: HashMap<[u8; HEAD], Vec<usize>>,
    filter: Vec<u64>,
}

struct Form {
    bytes: Zeroizing<Vec<u8>>,
    name: Arc<str>,
}

impl Redactor {
    /// Whether any secret is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Learns a secret of a credential.
    pub fn learn(&self, name: &str, secret: &Secret) {
        let name: Arc<str> = name.into();
        let mut known = self.known.write();
        for bytes in forms_of(secret) {
            known.add(Form { bytes, name: name.clone() });
        }
        self.any.store(true, Ordering::Release);
    }

    /// Forgets all secrets; their bytes are overwritten.
    pub fn clear(&self) {
        self.any.store(false, Ordering::Release);
        *self.known.write() = Known::default();
    }

    /// A text without secrets; `None` if it holds none.
    #[must_use]
    pub fn scrub(&self, text: &str) -> Option<String> {
        if self.is_empty() || text.len() < MIN_FORM {
            return None;
        }
        let known = self.known.read();
        let bytes = text.as_bytes();
        let mut clean = String::new();
        let (mut place, mut kept) = (0, 0);
        while let Some((start, form)) = known.next(bytes, place) {
            let end = start + form.bytes.len();
            // A form in bytes that are no text of their own may begin or end inside a character.
            let from = (kept..=start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(kept);
            let to = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
            clean.push_str(text.get(kept..from).unwrap_or_default());
            clean.push_str(&stand_in(&form.name));
            (place, kept) = (to, to);
        }
        if kept == 0 {
            return None;
        }
        clean.push_str(text.get(kept..).unwrap_or_default());
        Some(clean)
    }

    /// Whether bytes hold a secret, and which credential's.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<Arc<str>> {
        if self.is_empty() {
            return None;
        }
        let known = self.known.read();
        known.next(bytes, 0).map(|(_, form)| form.name.clone())
    }

    /// A value without secrets; `None` if it holds none.
    #[must_use]
    pub fn veil(&self, value: &Value) -> Option<Value> {
        if self.is_empty() {
            return None;
        }
        match value {
            Value::Str(text) => self.scrub(text).map(|clean| Value::str(&clean)),
            Value::Bytes(bytes) => self.find(bytes).map(|name| Value::str(&stand_in(&name))),
            Value::List(items) => self.items(items).map(Value::List),
            Value::Tuple(items) => self.items(items).map(Value::Tuple),
            Value::Map(map) => self.map(map).map(Value::Map),
            Value::Record(record) => {
                let fields = self.map(&record.fields)?;
                let mut record = record.clone();
                record.fields = fields;
                Some(Value::Record(record))
            }
            Value::Enum(member) => {
                let inner = self.veil(&member.value)?;
                let mut member = member.clone();
                member.value = inner;
                Some(Value::Enum(member))
            }
            // A number can be a secret too, written out.
            Value::Int(number) => {
                self.find(number.to_string().as_bytes()).map(|name| Value::str(&stand_in(&name)))
            }
            Value::Decimal(number) => {
                self.find(number.to_string().as_bytes()).map(|name| Value::str(&stand_in(&name)))
            }
            Value::Uuid(bytes) => {
                let found = self.find(bytes);
                let found = found.or_else(|| self.find(HEXLOWER.encode(bytes).as_bytes()));
                found.map(|name| Value::str(&stand_in(&name)))
            }
            Value::Null | Value::Bool(_) | Value::Float(_) | Value::Datetime(_) => None,
        }
    }

    /// A map without secrets, in names and values; `None` if it holds none.
    #[must_use]
    pub fn veil_map(&self, map: &Map) -> Option<Map> {
        if self.is_empty() { None } else { self.map(map) }
    }

    fn items(&self, items: &[Value]) -> Option<Vec<Value>> {
        let mut changed: Option<Vec<Value>> = None;
        for (place, item) in items.iter().enumerate() {
            if let Some(clean) = self.veil(item)
                && let Some(slot) = changed.get_or_insert_with(|| items.to_vec()).get_mut(place)
            {
                *slot = clean;
            }
        }
        changed
    }

    fn map(&self, map: &Map) -> Option<Map> {
        let clean: Vec<_> =
            map.iter().map(|(key, item)| (self.scrub(key), self.veil(item))).collect();
        if clean.iter().all(|(key, item)| key.is_none() && item.is_none()) {
            return None;
        }
        let mut changed = Map::new();
        for ((key, item), (clean_key, clean_item)) in map.iter().zip(clean) {
            let key = clean_key.unwrap_or_else(|| key.to_owned());
            changed.insert(&key, clean_item.unwrap_or_else(|| item.clone()));
        }
        Some(changed)
    }
}

impl Known {
    fn add(&mut self, form: Form) {
        let Some(head) = head_at(&form.bytes, 0) else { return };
        if self.forms.iter().any(|known| *known.bytes == *form.bytes) {
            return;
        }
        if self.filter.is_empty() {
            self.filter = vec![0; BITS / 64];
        }
        let bit = bit_of(head);
        if let Some(word) = self.filter.get_mut(bit / 64) {
            *word |= 1 << (bit % 64);
        }
        let place = self.forms.len();
        self.forms.push(form);
        let with_head = self.heads.entry(head).or_default();
        with_head.push(place);
        let length = |place: &usize| self.forms.get(*place).map_or(0, |form| form.bytes.len());
        with_head.sort_by_key(|place| std::cmp::Reverse(length(place)));
    }

    /// The next form in `bytes` from `place` on: where it begins, and which.
    fn next(&self, bytes: &[u8], place: usize) -> Option<(usize, &Form)> {
        if self.forms.is_empty() {
            return None;
        }
        for (offset, window) in bytes.get(place..)?.windows(HEAD).enumerate() {
            let Ok(head) = <[u8; HEAD]>::try_from(window) else { continue };
            let bit = bit_of(head);
            if self.filter.get(bit / 64).is_none_or(|word| word & (1 << (bit % 64)) == 0) {
                continue;
            }
            let at = place + offset;
            let rest = bytes.get(at..).unwrap_or_default();
            let found = self.heads.get(&head).into_iter().flatten();
            let mut found = found.filter_map(|place| self.forms.get(*place));
            if let Some(form) = found.find(|form| rest.starts_with(&form.bytes)) {
                return Some((at, form));
            }
        }
        None
    }
}

fn head_at(bytes: &[u8], at: usize) -> Option<[u8; HEAD]> {
    bytes.get(at..at + HEAD)?.try_into().ok()
}

fn bit_of(head: [u8; HEAD]) -> usize {
    let mixed = u32::from_le_bytes(head).wrapping_mul(0x9E37_79B1);
    (mixed >> 16) as usize
}

fn stand_in(name: &str) -> String {
    format!("(credential {name})")
}

/// The forms in which a secret is looked for.
fn forms_of(secret: &Secret) -> Vec<Zeroizing<Vec<u8>>> {
    let raw = secret.expose();
    let mut forms = vec![Zeroizing::new(raw.to_vec())];
    let mut add = |text: String| forms.push(Zeroizing::new(text.into_bytes()));
    for shift in 0..3 {
        let mut padded = Zeroizing::new(vec![0; shift]);
        padded.extend_from_slice(raw);
        // What stands for bytes of a neighbour differs: those characters are left out.
        let first = (shift * 8).div_ceil(6);
        let last = padded.len() * 8 / 6;
        for encoded in [BASE64_NOPAD.encode(&padded), BASE64URL_NOPAD.encode(&padded)] {
            let encoded = Zeroizing::new(encoded);
            add(encoded.get(first..last).unwrap_or_default().to_owned());
        }
    }
    add(HEXLOWER.encode(raw));
    add(HEXUPPER.encode(raw));
    for (safe, upper, plus) in [
        ("-._~", true, false),
        ("-._~", false, false),
        ("-._~/", true, false),
        ("-._~", true, true),
        ("-._*", true, true),
    ] {
        add(percent(raw, safe, upper, plus));
    }
    if let Ok(text) = std::str::from_utf8(raw) {
        if let Ok(json) = serde_json::to_string(text) {
            let json = Zeroizing::new(json);
            let inner = json.get(1..json.len() - 1).unwrap_or_default();
            add(inner.to_owned());
            add(inner.replace('/', "\\/"));
            add(ascii_json(inner));
        }
        let plain = text
            .replace('\\', "\\\\")
            .replace('\n', "\\n")
            .replace('\r', "\\r")
            .replace('\t', "\\t");
        add(plain.replace('\'', "\\'"));
        add(plain);
    }
    // What stands for each byte in the `repr` of bytes.
    let mut shown = String::with_capacity(raw.len() * 4);
    for byte in raw {
        match byte {
            b'\\' => shown.push_str("\\\\"),
            b'\n' => shown.push_str("\\n"),
            b'\r' => shown.push_str("\\r"),
            b'\t' => shown.push_str("\\t"),
            0x20..=0x7e => shown.push(char::from(*byte)),
            _ => shown.push_str(&format!("\\x{byte:02x}")),
        }
    }
    add(shown);
    forms.retain(|form| form.len() >= MIN_FORM);
    forms
}

fn percent(bytes: &[u8], safe: &str, upper: bool, plus: bool) -> String {
    let mut text = String::with_capacity(bytes.len() * 3);
    for byte in bytes {
        let c = char::from(*byte);
        if c.is_ascii_alphanumeric() || (c.is_ascii() && safe.contains(c)) {
            text.push(c);
        } else if plus && c == ' ' {
            text.push('+');
        } else if upper {
            text.push_str(&format!("%{byte:02X}"));
        } else {
            text.push_str(&format!("%{byte:02x}"));
        }
    }
    text
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

impl fmt::Debug for Redactor {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("<redactor>")
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::panic)]
mod tests {
    use data_encoding::BASE64;
    use proptest::prelude::*;

    use super::*;

    fn knowing(secret: &str) -> Redactor {
        let redactor = Redactor::default();
        redactor.learn("bank-api", &Secret::text(secret).unwrap());
        redactor
    }

    #[test]
    fn a_secret_is_found_in_every_form() {
        let secret = "s3cr\"et/päss\nword+?";
        let redactor = knowing(secret);
        let quoted = percent(secret.as_bytes(), "-._~", true, false);
        for text in [
            format!("a {secret} b"),
            format!("{secret}{secret}"),
            BASE64.encode(format!("user:{secret}").as_bytes()),
            BASE64.encode(format!("u:{secret}:x").as_bytes()),
            data_encoding::BASE64URL.encode(format!("us:{secret}").as_bytes()),
            format!("https://h/?key={quoted}&x=1"),
            serde_json::to_string(&secret).unwrap(),
            ascii_json(&serde_json::to_string(&secret).unwrap()),
            HEXLOWER.encode(secret.as_bytes()),
        ] {
            let clean = redactor.scrub(&text).unwrap_or_else(|| panic!("not found in {text}"));
            assert!(clean.contains("(credential bank-api)"), "{clean}");
            assert!(!clean.contains("s3cr"), "{clean}");
        }
        assert_eq!(redactor.scrub("s3cr"), None);
        assert_eq!(redactor.scrub("nothing of the sort"), None);
    }

    #[test]
    fn values_are_veiled_all_the_way_down() {
        let redactor = knowing("123456789");
        let mut map = Map::new();
        map.insert("k-123456789", Value::List(vec![Value::int(123_456_789), Value::int(5)]));
        map.insert("bytes", Value::bytes(b"x123456789x"));
        let veiled = redactor.veil(&Value::Map(map)).unwrap();
        let text = crate::canonical::to_json(&veiled);
        assert!(!text.contains("123456789"), "{text}");
        assert!(text.contains('5'), "{text}");
    }

    #[test]
    fn what_was_cleared_is_known_no_more() {
        let redactor = knowing("hunter2hunter2");
        redactor.clear();
        assert!(redactor.is_empty());
        assert_eq!(redactor.scrub("hunter2hunter2"), None);
    }

    proptest! {
        #[test]
        fn it_is_found_wherever_it_stands(
            secret in "\\PC{6,40}", before in "\\PC{0,40}", after in "\\PC{0,40}",
        ) {
            let redactor = knowing(&secret);
            let text = format!("{before}{secret}{after}");
            let clean = redactor.scrub(&text).unwrap();
            prop_assert!(clean.contains("(credential bank-api)"));
            prop_assert!(!clean.contains(secret.as_str()) || "(credential bank-api)".contains(&secret));
            for pad in 0..3 {
                let bytes = [&vec![b'x'; pad][..], secret.as_bytes(), after.as_bytes()].concat();
                prop_assert!(redactor.scrub(&BASE64.encode(&bytes)).is_some());
            }
        }

        #[test]
        fn other_text_is_left_alone(text in "[a-m ]{0,200}") {
            prop_assert_eq!(knowing("zzzzzzzzz").scrub(&text), None);
        }
    }
}
