#![allow(clippy::unwrap_used, clippy::panic)]

use data_encoding::{BASE64, HEXLOWER};
use proptest::prelude::*;

use super::*;
use crate::canonical::{EnumMember, Record};
use crate::vault::known::MAX_MADE;

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
    let units = |form: &dyn Fn(u16) -> String| secret.encode_utf16().map(form).collect::<String>();
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
    for value in
        [Value::int(123_456_789), Value::float(123_456_789.0).unwrap(), Value::str("0000123456789")]
    {
        assert!(redactor.veil(&value).is_some(), "{value:?}");
    }
    assert!(knowing("1234.5678").veil(&Value::float(1234.5678).unwrap()).is_some());
    assert!(redactor.veil(&Value::int(12_345_678)).is_none());
}

#[test]
fn digits_are_known_as_what_they_stand_for() {
    let bytes =
        [0x55, 0x0e, 0x84, 0, 0xe2, 0x9b, 0x41, 0xd4, 0xa7, 0x16, 0x44, 0x66, 0x55, 0x44, 0, 9];
    let text = HEXLOWER.encode(&bytes);
    for secret in [text.as_str(), "550E8400-E29B-41D4-A716-446655440009"] {
        let redactor = knowing(secret);
        let within = [b"\xff", &bytes[..], b"\xff"].concat();
        for value in [Value::Uuid(bytes), Value::bytes(&bytes), Value::bytes(&within)] {
            assert!(redactor.veil(&value).is_some(), "{value:?}");
        }
        assert!(redactor.veil(&Value::bytes(&bytes[1..])).is_none());
    }
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
        redactor.veil(&member("a.B", "ONE")).is_none() && redactor.veil(&record("a.B")).is_none()
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
        ("{\"k\": \"\\\"hunter2\\u0068unter2\\\"\"}", "{\"k\": \"\\\"(credential bank-api)\\\"\"}"),
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
