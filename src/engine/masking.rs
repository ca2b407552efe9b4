//! What must not be shown: arguments masked by declaration or by their name, and nested fields.

use std::borrow::Cow;

use data_encoding::HEXLOWER;

use crate::authorizer::Veil;
use crate::canonical::{Map, Value, to_json};

/// The shortest text of a masked value that is looked for in results and exceptions.
const MIN_TEXT: usize = 3;
/// What stands where a masked text stood.
const STAND_IN: &str = "(masked)";

/// Words that make a name a secret's.
const WORDS: [&str; 33] = [
    "accesskey",
    "apikey",
    "apikeys",
    "auth",
    "authorization",
    "bearer",
    "cookie",
    "cookies",
    "credential",
    "credentials",
    "cvc",
    "cvv",
    "jwt",
    "jwts",
    "otp",
    "otps",
    "passcode",
    "passphrase",
    "passphrases",
    "passwd",
    "password",
    "passwords",
    "pin",
    "pins",
    "privatekey",
    "pwd",
    "secret",
    "secretkey",
    "secrets",
    "sessionid",
    "token",
    "tokens",
    "totp",
];
/// Two words that do so where one follows the other.
const PAIRS: [(&str, &str); 11] = [
    ("access", "key"),
    ("access", "keys"),
    ("api", "key"),
    ("api", "keys"),
    ("encryption", "key"),
    ("pass", "phrase"),
    ("pass", "word"),
    ("private", "key"),
    ("private", "keys"),
    ("session", "id"),
    ("signing", "key"),
];

/// How an argument is recorded.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Recorded {
    /// As it is.
    Keep,
    /// Its type only.
    Mask,
    /// Its type and a keyed digest.
    Digest,
}

/// How the arguments of a tool are recorded: as declared, else by their names.
#[derive(Debug, Clone, Default)]
pub struct Masking {
    declared: Vec<(Box<str>, Recorded)>,
    /// What was decided for the names of a signature, which are the same in every call.
    decided: Vec<(Box<str>, Recorded)>,
}

impl Masking {
    /// What is declared, by name; with dots for nested fields.
    #[must_use]
    pub fn new(declared: Vec<(Box<str>, Recorded)>) -> Self {
        Self { declared, decided: Vec::new() }
    }

    /// This, decided for some names once and for all calls.
    #[must_use]
    pub fn deciding<'a>(mut self, names: impl Iterator<Item = &'a str>) -> Self {
        self.decided = names.map(|name| (name.into(), self.how_at(name, name))).collect();
        self
    }

    /// This, with these masked too whatever was declared; `None` if nothing is added.
    #[must_use]
    pub fn and_mask<'a>(&self, names: impl Iterator<Item = &'a str>) -> Option<Self> {
        let mut merged: Option<Self> = None;
        for name in names {
            let all = merged.as_ref().unwrap_or(self);
            if all.declared.iter().any(|(known, how)| **known == *name && *how == Recorded::Mask) {
                continue;
            }
            let all = merged.get_or_insert_with(|| self.clone());
            // What lies below is masked with it, even if it was to be kept by its own name.
            let below = |known: &str| known.strip_prefix(name).is_some_and(|r| r.starts_with('.'));
            all.declared.retain(|(known, _)| **known != *name && !below(known));
            all.declared.push((name.into(), Recorded::Mask));
            all.decided.retain(|(known, _)| **known != *name && !below(known));
        }
        merged
    }

    /// How an argument is recorded.
    #[must_use]
    pub fn how(&self, name: &str) -> Recorded {
        match self.decided.iter().find(|(decided, _)| **decided == *name) {
            Some((_, how)) => *how,
            None => self.how_at(name, name),
        }
    }

    fn how_at(&self, path: &str, name: &str) -> Recorded {
        match self.declared.iter().find(|(declared, _)| **declared == *path) {
            Some((_, how)) => *how,
            None if is_secret(name) => Recorded::Mask,
            None => Recorded::Keep,
        }
    }

    /// A value as it is recorded: nested secrets replaced by `["mask", type]`.
    #[must_use]
    pub fn veil<'a>(&self, path: &str, value: &'a Value) -> Cow<'a, Value> {
        self.veiled(path, value).map_or(Cow::Borrowed(value), Cow::Owned)
    }

    fn veiled(&self, path: &str, value: &Value) -> Option<Value> {
        match value {
            Value::Map(map) => self.veiled_map(path, map).map(Value::Map),
            Value::Record(record) => {
                let fields = self.veiled_map(path, &record.fields)?;
                let mut record = record.clone();
                record.fields = fields;
                Some(Value::Record(record))
            }
            Value::List(items) => self.veiled_items(path, items).map(Value::List),
            Value::Tuple(items) => self.veiled_items(path, items).map(Value::Tuple),
            _ => None,
        }
    }

    fn veiled_map(&self, path: &str, map: &Map) -> Option<Map> {
        let mut changed: Option<Map> = None;
        for (key, item) in map.iter() {
            let below = format!("{path}.{key}");
            let veiled = match self.how_at(&below, key) {
                Recorded::Keep => self.veiled(&below, item),
                Recorded::Mask | Recorded::Digest => {
                    Some(Value::List(vec![Value::str("mask"), Value::str(item.type_word())]))
                }
            };
            if let Some(veiled) = veiled {
                changed.get_or_insert_with(|| map.clone()).insert(key, veiled);
            }
        }
        changed
    }

    fn veiled_items(&self, path: &str, items: &[Value]) -> Option<Vec<Value>> {
        let mut changed: Option<Vec<Value>> = None;
        for (place, item) in items.iter().enumerate() {
            if let Some(veiled) = self.veiled(path, item)
                && let Some(slot) = changed.get_or_insert_with(|| items.to_vec()).get_mut(place)
            {
                *slot = veiled;
            }
        }
        changed
    }

    /// Whether a refusal over an argument, with dots a field of one, would show what is masked.
    #[must_use]
    pub fn hides(&self, name: &str, arguments: &Map) -> bool {
        if let Some(value) = arguments.get(name) {
            return self.how(name) != Recorded::Keep || self.veiled(name, value).is_some();
        }
        let (first, rest) = name.split_once('.').unwrap_or((name, ""));
        let Some(value) = arguments.get(first) else {
            // A name that was shortened or escaped: any of them may be meant.
            return is_secret(name)
                || arguments.iter().any(|(name, _)| self.how(name) != Recorded::Keep);
        };
        if self.how(first) != Recorded::Keep {
            return true;
        }
        let mut path = first.to_owned();
        for part in rest.split('.') {
            path.push('.');
            path.push_str(part);
            if self.how_at(&path, part) != Recorded::Keep {
                return true;
            }
        }
        self.veiled(first, value).is_some()
    }

    /// Whether an argument, or with dots a field, is masked or lies in what is.
    #[must_use]
    pub fn covers(&self, name: &str) -> bool {
        self.shows(name.split_once('.').map_or(name, |(first, _)| first), name.split('.').skip(1))
            .is_some()
    }

    /// How many of the keys that lead to something in an argument may be shown: up to the first
    /// that is masked; `None` where all may.
    #[must_use]
    pub fn shows<'a>(&self, name: &str, keys: impl Iterator<Item = &'a str>) -> Option<usize> {
        if self.how(name) != Recorded::Keep {
            return Some(0);
        }
        let mut path = name.to_owned();
        for (place, key) in keys.enumerate() {
            path.push('.');
            path.push_str(key);
            if self.how_at(&path, key) != Recorded::Keep {
                return Some(place + 1);
            }
        }
        None
    }

    /// The texts of what is masked, to be kept out of results and exceptions; longest first.
    #[must_use]
    pub fn texts(&self, arguments: &Map) -> Texts {
        let mut texts = Vec::new();
        for (name, value) in arguments.iter() {
            match self.how(name) {
                Recorded::Keep => self.nested_texts(name, value, &mut texts),
                Recorded::Mask | Recorded::Digest => collect(value, &mut texts),
            }
        }
        Texts::new(texts)
    }

    fn nested_texts(&self, path: &str, value: &Value, texts: &mut Vec<String>) {
        let mut fields = |map: &Map| {
            for (key, item) in map.iter() {
                let below = format!("{path}.{key}");
                match self.how_at(&below, key) {
                    Recorded::Keep => self.nested_texts(&below, item, texts),
                    Recorded::Mask | Recorded::Digest => collect(item, texts),
                }
            }
        };
        match value {
            Value::Map(map) => fields(map),
            Value::Record(record) => fields(&record.fields),
            Value::List(items) | Value::Tuple(items) => {
                items.iter().for_each(|item| self.nested_texts(path, item, texts));
            }
            _ => {}
        }
    }
}

/// What is masked in one call.
pub(super) struct Veiled<'a> {
    pub(super) masking: &'a Masking,
    pub(super) arguments: &'a Map,
}

impl Veil for Veiled<'_> {
    fn hides(&self, name: &str) -> bool {
        self.masking.hides(name, self.arguments)
    }

    fn hides_keys(&self, holder: &str) -> bool {
        self.masking.covers(holder)
    }
}

/// Texts that must not be recorded.
#[derive(Debug, Clone, Default)]
pub struct Texts(Vec<String>);

impl Texts {
    /// The texts, and the forms that they take in a `repr`.
    fn new(mut texts: Vec<String>) -> Self {
        let escaped: Vec<String> = texts
            .iter()
            .filter(|text| text.contains(['\\', '\'', '"', '\n', '\r', '\t']))
            .flat_map(|text| {
                let common = text
                    .replace('\\', "\\\\")
                    .replace('\n', "\\n")
                    .replace('\r', "\\r")
                    .replace('\t', "\\t");
                [common.replace('\'', "\\'"), common.replace('"', "\\\""), common]
            })
            .collect();
        texts.extend(escaped);
        texts.sort_by(|a, b| b.len().cmp(&a.len()).then_with(|| a.cmp(b)));
        texts.dedup();
        Self(texts)
    }

    /// A text without what is masked.
    #[must_use]
    pub fn scrub(&self, text: String) -> String {
        self.0.iter().fold(text, |text, masked| {
            if text.contains(masked.as_str()) {
                text.replace(masked.as_str(), STAND_IN)
            } else {
                text
            }
        })
    }

    /// Whether a value mentions what is masked.
    #[must_use]
    pub fn are_in(&self, value: &Value) -> bool {
        let inside = |text: &str| self.0.iter().any(|masked| text.contains(masked.as_str()));
        if self.0.is_empty() {
            return false;
        }
        match value {
            Value::Null | Value::Bool(_) => false,
            Value::Str(text) => inside(text),
            Value::Bytes(bytes) => inside(&String::from_utf8_lossy(bytes)),
            Value::List(items) | Value::Tuple(items) => items.iter().any(|item| self.are_in(item)),
            Value::Map(map) => map.iter().any(|(key, item)| inside(key) || self.are_in(item)),
            Value::Record(record) => record.fields.iter().any(|(_, item)| self.are_in(item)),
            Value::Enum(member) => inside(&member.name) || self.are_in(&member.value),
            Value::Uuid(bytes) => inside(&uuid_text(bytes)),
            Value::Int(_) | Value::Float(_) | Value::Decimal(_) | Value::Datetime(_) => {
                inside(&to_json(value))
            }
        }
    }
}

fn collect(value: &Value, texts: &mut Vec<String>) {
    let mut add = |text: String| {
        if text.len() >= MIN_TEXT {
            texts.push(text);
        }
    };
    match value {
        Value::Null | Value::Bool(_) | Value::Datetime(_) => {}
        Value::Str(text) => add(text.to_string()),
        Value::Bytes(bytes) => {
            add(HEXLOWER.encode(bytes));
            add(String::from_utf8_lossy(bytes).into_owned());
        }
        Value::Uuid(bytes) => {
            add(HEXLOWER.encode(bytes));
            add(uuid_text(bytes));
        }
        Value::Int(number) => add(number.to_string()),
        Value::Decimal(number) => add(number.to_string()),
        Value::Float(_) => add(to_json(value)),
        Value::Enum(member) => collect(&member.value, texts),
        Value::List(items) | Value::Tuple(items) => {
            items.iter().for_each(|item| collect(item, texts));
        }
        Value::Map(map) => map.iter().for_each(|(key, item)| {
            // Keys come with the call, as values do; the fields of a record are the type's own.
            collect(&Value::str(key), texts);
            collect(item, texts);
        }),
        Value::Record(record) => record.fields.iter().for_each(|(_, item)| collect(item, texts)),
    }
}

fn uuid_text(bytes: &[u8; 16]) -> String {
    let hex = HEXLOWER.encode(bytes);
    let part = |range| hex.get(range).unwrap_or_default();
    [part(0..8), part(8..12), part(12..16), part(16..20), part(20..32)].join("-")
}

/// Whether a name is that of a secret: word by word, in any case and style of writing.
///
/// The words are password, passwd, passphrase, passcode, pwd, pin, otp, totp, cvc, cvv, secret, token,
/// jwt, bearer, cookie, credential, auth, authorization, session id, api key, access key, private
/// key, signing key and encryption key, some in the plural too.
#[must_use]
pub fn is_secret(name: &str) -> bool {
    if name.is_ascii() { is_secret_ascii(name) } else { is_secret_text(name) }
}

/// As [`is_secret_text`], without a copy of each word: nearly all names are ASCII.
fn is_secret_ascii(name: &str) -> bool {
    let bytes = name.as_bytes();
    let word = |from: usize, to: usize| bytes.get(from..to).unwrap_or_default();
    let (mut before, mut start) = (&[][..], 0);
    for (at, byte) in bytes.iter().enumerate() {
        let upper_before = at > 0 && bytes.get(at - 1).is_some_and(u8::is_ascii_uppercase);
        let lower_after = bytes.get(at + 1).is_some_and(u8::is_ascii_lowercase);
        let begins = byte.is_ascii_uppercase() && (!upper_before || lower_after);
        let divides = !byte.is_ascii_alphanumeric();
        if (begins || divides) && start < at {
            if tells_ascii(before, word(start, at)) {
                return true;
            }
            before = word(start, at);
            start = at;
        }
        if divides {
            start = at + 1;
        }
    }
    tells_ascii(before, word(start, bytes.len()))
}

fn tells_ascii(before: &[u8], word: &[u8]) -> bool {
    let digits = word.iter().rev().take_while(|byte| byte.is_ascii_digit()).count();
    let word = word.get(..word.len() - digits).unwrap_or_default();
    let is = |one: &[u8], known: &str| {
        one.len() == known.len() && one.eq_ignore_ascii_case(known.as_bytes())
    };
    WORDS.iter().any(|known| is(word, known))
        || PAIRS.iter().any(|(first, second)| is(word, second) && is(before, first))
}

fn is_secret_text(name: &str) -> bool {
    let mut before = String::new();
    let mut word = String::new();
    let mut chars = name.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = chars.next() {
        let next_is_lower = chars.peek().is_some_and(|next| next.is_lowercase());
        let begins = c.is_uppercase() && (!previous.is_uppercase() || next_is_lower);
        if (begins || !c.is_alphanumeric()) && !word.is_empty() {
            if tells(&before, &word) {
                return true;
            }
            before = std::mem::take(&mut word);
        }
        if c.is_alphanumeric() {
            word.extend(c.to_lowercase());
        }
        previous = c;
    }
    tells(&before, &word)
}

fn tells(before: &str, word: &str) -> bool {
    let word = word.trim_end_matches(|c: char| c.is_ascii_digit());
    WORDS.binary_search(&word).is_ok() || PAIRS.contains(&(before, word))
}

#[cfg(test)]
#[allow(clippy::unwrap_used)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_read_word_by_word() {
        let secrets = [
            "password",
            "PASSWORD",
            "user_password",
            "userPassword",
            "db-passwd",
            "token",
            "accessToken",
            "API_KEY",
            "apiKey",
            "APIKey",
            "apikey",
            "private_key",
            "client secret",
            "Authorization",
            "credentials",
            "token2",
            "pass_word",
            "X-Api-Key",
            "aws.secret",
            "auth",
            "x-auth",
            "basicAuth",
            "pin",
            "PIN",
            "card_pin",
            "cookie",
            "Set-Cookie",
            "cookies",
            "jwt",
            "otp",
            "otpCode",
            "totp",
            "sessionId",
        ];
        for name in secrets {
            assert!(is_secret(name), "{name}");
        }
        let plain = [
            "tokenize",
            "passenger",
            "secretary",
            "key",
            "monkey",
            "author",
            "authority",
            "oauth_scopes",
            "shipping",
            "pinned",
            "opinion",
            "option",
            "adopt",
            "cookiecutter",
            "session",
            "id",
            "api",
            "keypad",
            "",
            "ключ",
        ];
        for name in plain {
            assert!(!is_secret(name), "{name}");
        }
        let mut sorted = WORDS;
        sorted.sort_unstable();
        assert_eq!(sorted, WORDS, "the search needs them in order");
    }

    proptest! {
        #[test]
        fn the_short_way_reads_names_as_the_long_one(
            name in prop_oneof![
                "[ -~]{0,12}",
                "((api|Api|API|access|KEY|key|Keys|token|TOKEN|pass|Word|id|session|x)[_. -]?[0-9]{0,2}){1,4}",
            ],
        ) {
            prop_assert_eq!(is_secret_ascii(&name), is_secret_text(&name), "{}", name);
        }
    }

    #[test]
    fn what_was_decided_for_a_name_is_what_is_decided_each_time() {
        let declared = vec![("memo".into(), Recorded::Digest), ("token".into(), Recorded::Keep)];
        let names = ["memo", "token", "password", "amount"];
        let (each, once) =
            (Masking::new(declared.clone()), Masking::new(declared).deciding(names.into_iter()));
        for name in names.into_iter().chain(["secret", "other"]) {
            assert_eq!(each.how(name), once.how(name), "{name}");
        }
        // What a policy masks is masked, whatever was decided before.
        let masked = once.and_mask(["amount", "token"].into_iter()).unwrap();
        for (name, how) in
            [("amount", Recorded::Mask), ("token", Recorded::Mask), ("memo", Recorded::Digest)]
        {
            assert_eq!(masked.how(name), how, "{name}");
        }
        assert!(masked.and_mask(["amount"].into_iter()).is_none());
    }

    #[test]
    fn nested_secrets_are_veiled_and_a_declaration_stands_over_a_name() {
        let mut inner = Map::new();
        inner.insert("token", Value::str("abc"));
        inner.insert("user", Value::str("alice"));
        let value = Value::List(vec![Value::Map(inner)]);
        let masking = Masking::default();
        assert_eq!(
            to_json(&masking.veil("config", &value)),
            r#"[{"token":["mask","str"],"user":"alice"}]"#
        );
        let keep = Masking::new(vec![("config.token".into(), Recorded::Keep)]);
        assert_eq!(*keep.veil("config", &value), value);
    }

    #[test]
    fn what_is_masked_is_kept_out_of_other_texts() {
        let mut arguments = Map::new();
        arguments.insert("password", Value::str("it's\nme"));
        arguments.insert("user", Value::str("alice"));
        let texts = Masking::default().texts(&arguments);
        assert_eq!(texts.scrub("no it's\nme here".into()), "no (masked) here");
        assert_eq!(texts.scrub("KeyError('it\\'s\\nme')".into()), "KeyError('(masked)')");
        assert!(texts.are_in(&Value::List(vec![Value::str("x it's\nme")])));
        assert!(!texts.are_in(&Value::str("alice")));
    }
}
