//! Redaction: finds known secrets in text and bytes, in the spellings in which they get about.
//!
//! Nothing is spent where no secret is known. Where some are, other text costs a look at a bit for
//! each byte, and one at what kind of byte it is; the work grows with the length of the text alone.

use std::collections::{HashMap, VecDeque};
use std::fmt;
use std::hash::BuildHasher;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};

use data_encoding::HEXLOWER;
use parking_lot::RwLock;

use super::Secret;
use super::patterns::{Patterns, SHORTEST};
use super::spellings::{Escapes, Forms, Reading, digits_in, sixes_in, unescaped};
use crate::canonical::{Map, Value, to_json};

/// How often escapes within escapes are read.
pub(super) const DEPTH: usize = 4;
/// How many secrets that providers made are remembered; the ones longest unseen go first.
const MAX_MADE: usize = 4_096;

/// The secrets that are known here, and where they stand.
#[derive(Default)]
pub struct Redactor {
    any: AtomicBool,
    known: RwLock<Known>,
}

/// The redactors of this process.
static EVERYWHERE: RwLock<Vec<Weak<Redactor>>> = RwLock::new(Vec::new());
/// Whether any of them ever knew a secret.
static ANYWHERE: AtomicBool = AtomicBool::new(false);

/// A text without the secrets of any vault that is open in this process, for where nothing says
/// whose it is; `None` if it holds none.
#[must_use]
pub fn scrub_everywhere(text: &str) -> Option<String> {
    if !ANYWHERE.load(Ordering::Acquire) {
        return None;
    }
    let all: Vec<Arc<Redactor>> = EVERYWHERE.read().iter().filter_map(Weak::upgrade).collect();
    let mut clean: Option<String> = None;
    for redactor in all {
        let next = redactor.scrub(clean.as_deref().unwrap_or(text));
        clean = next.or(clean);
    }
    clean
}

#[derive(Default)]
struct Known {
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
type Span<'a> = (usize, usize, &'a Arc<str>);

impl Redactor {
    /// Whether any secret is known.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        !self.any.load(Ordering::Acquire)
    }

    /// Has [`scrub_everywhere`] look for what it knows too.
    pub fn tell_everywhere(self: &Arc<Self>) {
        let mut all = EVERYWHERE.write();
        all.retain(|one| one.strong_count() > 0);
        all.push(Arc::downgrade(self));
    }

    /// Learns a secret of a credential.
    pub fn learn(&self, name: &str, secret: &Secret) {
        self.known.write().add(&name.into(), secret);
        self.know();
    }

    fn know(&self) {
        self.any.store(true, Ordering::Release);
        ANYWHERE.store(true, Ordering::Release);
    }

    /// Learns a secret that a provider made for one lease: it is remembered until many others have
    /// come after it.
    pub fn learn_made(&self, name: &str, secret: &Secret) {
        let mut known = self.known.write();
        let hash = known.hasher.hash_one((name, secret.expose()));
        known.turn += 1;
        let turn = known.turn;
        known.order.push_back((hash, turn));
        if let Some(made) = known.made.get_mut(&hash) {
            made.turn = turn;
        } else {
            let places = known.add(&name.into(), secret);
            known.made.insert(hash, Made { turn, places });
        }
        known.forget_oldest();
        self.know();
    }

    /// Forgets all secrets; their bytes are overwritten.
    pub fn clear(&self) {
        self.any.store(false, Ordering::Release);
        *self.known.write() = Known::default();
    }

    /// A text without secrets; `None` if it holds none.
    #[must_use]
    pub fn scrub(&self, text: &str) -> Option<String> {
        if self.is_empty() || text.len() < SHORTEST {
            return None;
        }
        let known = self.known.read();
        let spans = known.spans(text.as_bytes());
        if spans.is_empty() {
            return None;
        }
        let mut clean = String::new();
        let mut kept = 0;
        for (start, end, name) in spans {
            // A form in bytes that are no text of their own may begin or end inside a character.
            let from = (kept..=start).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(kept);
            let to = (end..=text.len()).find(|at| text.is_char_boundary(*at)).unwrap_or(text.len());
            clean.push_str(text.get(kept..from).unwrap_or_default());
            clean.push_str(&stand_in(name));
            kept = to;
        }
        clean.push_str(text.get(kept..).unwrap_or_default());
        Some(clean)
    }

    /// Whether bytes hold a secret, and which credential's.
    #[must_use]
    pub fn find(&self, bytes: &[u8]) -> Option<Arc<str>> {
        if self.is_empty() || bytes.len() < SHORTEST {
            return None;
        }
        let known = self.known.read();
        known.spans(bytes).first().map(|(_, _, name)| (*name).clone())
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
                let (kind, fields) = (self.scrub(&record.type_name), self.map(&record.fields));
                if kind.is_none() && fields.is_none() {
                    return None;
                }
                let mut record = record.clone();
                record.type_name = kind.map_or(record.type_name, String::into_boxed_str);
                record.fields = fields.unwrap_or(record.fields);
                Some(Value::Record(record))
            }
            Value::Enum(member) => {
                let (kind, name) = (self.scrub(&member.type_name), self.scrub(&member.name));
                let inner = self.veil(&member.value);
                if kind.is_none() && name.is_none() && inner.is_none() {
                    return None;
                }
                let mut member = member.clone();
                member.type_name = kind.map_or(member.type_name, String::into_boxed_str);
                member.name = name.map_or(member.name, String::into_boxed_str);
                member.value = inner.unwrap_or(member.value);
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
            Value::Float(_) => {
                self.find(to_json(value).as_bytes()).map(|name| Value::str(&stand_in(&name)))
            }
            Value::Null | Value::Bool(_) | Value::Datetime(_) => None,
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
    fn add(&mut self, name: &Arc<str>, secret: &Secret) -> Places {
        let forms = Forms::of(secret.expose());
        let sets = [&mut self.plain, &mut self.digits, &mut self.sixes];
        let mut places = Places::default();
        let all = [forms.plain, forms.digits, forms.sixes].into_iter().zip(sets);
        for ((forms, set), places) in all.zip(&mut places.0) {
            places.extend(forms.into_iter().filter_map(|form| set.add(form, name)));
        }
        places
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
    fn spans<'a>(&'a self, text: &[u8]) -> Vec<Span<'a>> {
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

fn stand_in(name: &str) -> String {
    format!("(credential {name})")
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
    use crate::canonical::{EnumMember, Record};

    fn knowing(secret: &str) -> Redactor {
        let redactor = Redactor::default();
        redactor.learn("bank-api", &Secret::text(secret).unwrap());
        redactor
    }

    /// What stands for each byte or character of a secret, written by some tool.
    fn spellings(secret: &str) -> Vec<String> {
        let bytes = secret.as_bytes();
        let each = |form: &dyn Fn(u8) -> String| bytes.iter().map(|b| form(*b)).collect::<String>();
        let between = |form: &dyn Fn(u8) -> String, between: &str| {
            bytes.iter().map(|b| form(*b)).collect::<Vec<_>>().join(between)
        };
        let json = serde_json::to_string(secret).unwrap();
        let lines = |text: &str, width: usize, end: &str| {
            let chunks = text.as_bytes().chunks(width);
            chunks.map(|line| std::str::from_utf8(line).unwrap()).collect::<Vec<_>>().join(end)
        };
        let long = |pad: usize| {
            let padded = [&vec![b'~'; 50 + pad][..], bytes, b" and some more after it"].concat();
            BASE64.encode(&padded)
        };
        let units =
            |form: &dyn Fn(u16) -> String| secret.encode_utf16().map(form).collect::<String>();
        let mut all = vec![
            secret.to_owned(),
            format!("{secret}{secret}"),
            json.clone(),
            json.replace('/', "\\/"),
            ascii_json(&json),
            serde_json::to_string(&json).unwrap(),
            serde_json::to_string(&serde_json::to_string(&json).unwrap()).unwrap(),
            serde_json::to_string(&ascii_json(&json)).unwrap(),
            each(&|b| format!("%{b:02x}")),
            each(&|b| format!("%{b:02X}")),
            each(&|b| format!("%25{b:02X}")),
            each(&|b| format!("\\x{b:02x}")),
            each(&|b| format!("\\x{b:02X}")),
            each(&|b| format!("\\{b:03o}")),
            each(&|b| format!("\\{b:o}")),
            units(&|u| format!("\\u{u:04x}")),
            units(&|u| format!("\\u{u:04X}")),
            secret.chars().map(|c| format!("&#{};", u32::from(c))).collect(),
            secret.chars().map(|c| format!("&#x{:X};", u32::from(c))).collect(),
            secret.chars().map(|c| format!("\\U{:08x}", u32::from(c))).collect(),
            secret.chars().map(|c| format!("\\u{{{:x}}}", u32::from(c))).collect(),
            secret
                .replace('&', "&amp;")
                .replace('<', "&lt;")
                .replace('>', "&gt;")
                .replace('"', "&quot;")
                .replace('\'', "&#39;"),
            each(&|b| format!("{b:02x}")),
            each(&|b| format!("{b:02X}")),
            between(&|b| format!("{b:02x}"), ":"),
            between(&|b| format!("{b:02X}"), " "),
            between(&|b| format!("{b:02X}"), "-"),
            between(&|b| format!("0x{b:02x}"), ", "),
            between(&|b| format!("{b:02x}"), "\n"),
            lines(&each(&|b| format!("{b:02x}")), 5, " "),
            format!("{:?}", secret),
            format!("{:?}", format!("{secret:?}")),
        ];
        for (plus, safe) in [(false, "-._~"), (false, "-._~/"), (true, "-._~"), (true, "-._*")] {
            for upper in [true, false] {
                all.push(percent(bytes, safe, upper, plus));
            }
        }
        for pad in 0..3 {
            let text = long(pad);
            let url = text.replace('+', "-").replace('/', "_");
            for text in [text, url] {
                all.push(lines(&text, 76, "\r\n"));
                all.push(lines(&text, 64, "\n"));
                all.push(lines(&text, 11, "\n    "));
                all.push(serde_json::to_string(&lines(&text, 64, "\n")).unwrap());
                all.push(text);
            }
        }
        all
    }

    fn percent(bytes: &[u8], safe: &str, upper: bool, plus: bool) -> String {
        let each = bytes.iter().map(|byte| match char::from(*byte) {
            c if c.is_ascii_alphanumeric() || (c.is_ascii() && safe.contains(c)) => c.to_string(),
            ' ' if plus => "+".to_owned(),
            _ if upper => format!("%{byte:02X}"),
            _ => format!("%{byte:02x}"),
        });
        each.collect()
    }

    fn ascii_json(text: &str) -> String {
        let each = text.chars().map(|c| match c {
            _ if c.is_ascii() => c.to_string(),
            _ => c.encode_utf16(&mut [0; 2]).iter().map(|u| format!("\\u{u:04x}")).collect(),
        });
        each.collect()
    }

    #[test]
    fn a_secret_is_found_in_every_spelling() {
        for secret in [
            "s3cr\"et/päss\nword+?",
            "hunter2hunter2",
            "a%41\"b\\n'c d&amp;e<f",
            "pässwörd 🗝 key",
            "C:\\new\\x41folder",
            "0123456789abcdef0123",
        ] {
            let redactor = knowing(secret);
            for text in spellings(secret) {
                for around in [format!("a '{text}' b"), format!("k={text};"), text.clone()] {
                    let clean = redactor.scrub(&around);
                    let clean = clean.unwrap_or_else(|| panic!("{secret:?} not found in {around}"));
                    assert!(clean.contains("(credential bank-api)"), "{clean}");
                    assert!(!clean.contains(&secret[..5]), "{clean}");
                    assert_eq!(redactor.scrub(&clean), None, "{clean}");
                }
            }
        }
    }

    #[test]
    fn characters_are_read_by_their_names() {
        let redactor = knowing("a-Z 0&<|_9\\");
        for text in [
            "\\N{LATIN SMALL LETTER A}\\N{hyphen-minus}\\N{Latin Capital Letter Z} \\N{DIGIT ZERO}\\N{AMPERSAND}\\N{LESS-THAN SIGN}\\N{VERTICAL LINE}\\N{LOW LINE}\\N{DIGIT NINE}\\N{REVERSE SOLIDUS}",
            "a-Z 0&AMP;&LT;&VerticalLine;&lowbar;9&bsol;",
            "a-Z 0&amp;&lt;&verbar;&UnderBar;9&#92;",
        ] {
            assert_eq!(redactor.scrub(text).as_deref(), Some("(credential bank-api)"), "{text}");
        }
        for text in [
            "\\N{LATIN SMALL LETTER}\\N{}\\N{DIGIT TEN}\\N{",
            "&nothing;&;&amp",
            "&verylongnamethatisnone;",
        ] {
            assert_eq!(redactor.scrub(text), None, "{text}");
        }
    }

    #[test]
    fn escapes_of_c_are_read() {
        let redactor = knowing("ring\u{7}\u{b}\u{1b}?\u{1}1\0end");
        for text in ["ring\\a\\v\\e\\?\\0011\\0end", "ring\\7\\13\\33?\\1\\61\\000end"] {
            assert_eq!(redactor.scrub(text).as_deref(), Some("(credential bank-api)"), "{text}");
        }
    }

    #[test]
    fn a_number_is_known_however_it_is_given() {
        let redactor = knowing("0000123456789");
        for value in [
            Value::int(123_456_789),
            Value::float(123_456_789.0).unwrap(),
            Value::str("0000123456789"),
        ] {
            assert!(redactor.veil(&value).is_some(), "{value:?}");
        }
        assert!(knowing("1234.5678").veil(&Value::float(1234.5678).unwrap()).is_some());
        assert!(redactor.veil(&Value::int(12_345_678)).is_none());
    }

    #[test]
    fn names_of_types_and_members_are_veiled_too() {
        let redactor = knowing("hunter2hunter2");
        let (member, record) = (
            |type_name: &str, name: &str| {
                let (type_name, name) = (type_name.into(), name.into());
                Value::Enum(Box::new(EnumMember { type_name, name, value: Value::int(1) }))
            },
            |type_name: &str| {
                let (type_name, fields) = (type_name.into(), Map::new());
                Value::Record(Box::new(Record { type_name, fields }))
            },
        );
        for value in [
            member("a.hunter2hunter2", "ONE"),
            member("a.B", "hunter2hunter2"),
            record("a.hunter2hunter2"),
        ] {
            let veiled = redactor.veil(&value).map(|value| to_json(&value));
            assert!(
                veiled.is_some_and(
                    |text| text.contains("(credential bank-api)") && !text.contains("hunter2")
                ),
                "{value:?}"
            );
        }
        assert!(
            redactor.veil(&member("a.B", "ONE")).is_none()
                && redactor.veil(&record("a.B")).is_none()
        );
    }

    #[test]
    fn a_text_is_cleaned_of_what_any_open_vault_knows() {
        let (one, other) = (Arc::new(knowing("everywhere-1")), Arc::new(knowing("everywhere-2")));
        one.tell_everywhere();
        other.tell_everywhere();
        let clean = scrub_everywhere("everywhere-1, everywhere-2");
        assert_eq!(clean.as_deref(), Some("(credential bank-api), (credential bank-api)"));
        drop(one);
        assert!(scrub_everywhere("everywhere-1").is_none());
        other.clear();
        assert!(scrub_everywhere("everywhere-2").is_none());
    }

    #[test]
    fn python_shows_a_character_as_a_byte() {
        let redactor = knowing("pässwörd 🗝 key");
        for text in [
            "'p\\xe4ssw\\xf6rd \\U0001f5dd key'",
            "b'p\\xc3\\xa4ssw\\xc3\\xb6rd \\xf0\\x9f\\x97\\x9d key'",
        ] {
            assert!(redactor.scrub(text).is_some(), "{text}");
        }
    }

    #[test]
    fn what_stands_around_a_secret_stays() {
        let redactor = knowing("hunter2hunter2");
        for (text, clean) in [
            ("a hunter2hunter2 b", "a (credential bank-api) b"),
            ("a %68%75%6e%74%65%72%32%68%75%6e%74%65%72%32&b=%20", "a (credential bank-api)&b=%20"),
            ("[68:75:6E:74:65:72:32:68:75:6E:74:65:72:32, 20]", "[(credential bank-api), 20]"),
            (
                "{\"k\": \"\\\"hunter2\\u0068unter2\\\"\"}",
                "{\"k\": \"\\\"(credential bank-api)\\\"\"}",
            ),
        ] {
            assert_eq!(redactor.scrub(text).as_deref(), Some(clean), "{text}");
        }
        assert_eq!(redactor.scrub("s3cr"), None);
        assert_eq!(redactor.scrub("nothing of the sort, 100% of \\x4 it & more 0x12\n"), None);
    }

    #[test]
    fn secrets_that_overlap_leave_nothing_of_either() {
        let redactor = knowing("secret1");
        redactor.learn("other", &Secret::text("1234567890abcdef").unwrap());
        let clean = redactor.scrub("<secret1234567890abcdef>");
        assert_eq!(clean.as_deref(), Some("<(credential bank-api)>"));
    }

    #[test]
    fn what_providers_make_is_remembered_while_few_come_after_it() {
        let redactor = knowing("hunter2hunter2");
        let made = |number: usize| Secret::text(&format!("made-{number:010}")).unwrap();
        for number in 0..=MAX_MADE {
            redactor.learn_made("door", &made(number));
            redactor.learn_made("door", &made(1));
        }
        let known = |number: usize| redactor.find(made(number).expose()).is_some();
        assert!(!known(0) && known(1) && known(2) && known(MAX_MADE));
        assert!(redactor.find(b"hunter2hunter2").is_some());
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
