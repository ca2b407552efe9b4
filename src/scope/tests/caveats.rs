//! One table for each rule of a caveat, with the attempts that it must refuse.

use crate::canonical::{Decimal, Int, Map, Value};
use crate::scope::caveat::Caveat;
use crate::scope::{MAX_COUNT, ScopeError};

fn text(caveat: &Caveat, value: &str) -> bool {
    caveat.allows(Some(&Value::str(value)), &Map::new())
}

fn value(caveat: &Caveat, value: &Value) -> bool {
    caveat.allows(Some(value), &Map::new())
}

fn table(caveat: &Caveat, yes: &[&str], no: &[&str]) {
    for one in yes {
        assert!(text(caveat, one), "{caveat} should allow {one:?}");
    }
    for one in no {
        assert!(!text(caveat, one), "{caveat} should refuse {one:?}");
    }
    for other in [Value::Null, Value::int(1), Value::bytes(b"a@x.com"), Value::List(vec![])] {
        assert!(!value(caveat, &other), "{caveat} should refuse {other:?}");
    }
    assert!(!caveat.allows(None, &Map::new()), "{caveat} should refuse a missing argument");
}

fn float(number: f64) -> Value {
    Value::float(number).unwrap()
}

fn decimal(text: &str) -> Value {
    Value::Decimal(Decimal::parse(text).unwrap())
}

#[test]
fn equals_and_one_of_take_types_exactly() {
    let one = Caveat::equals(Value::int(1)).unwrap();
    assert!(value(&one, &Value::int(1)));
    for other in [Value::Bool(true), float(1.0), decimal("1"), Value::str("1"), Value::Null] {
        assert!(!value(&one, &other), "{other:?}");
    }
    let some = Caveat::one_of(vec![Value::str("a"), Value::List(vec![Value::int(1)])]).unwrap();
    assert!(value(&some, &Value::List(vec![Value::int(1)])));
    assert!(!value(&some, &Value::Tuple(vec![Value::int(1)])));
    assert!(!text(&some, "A") && !text(&some, "а"), "neither folded nor taken for a look-alike");
    // The same letter in one code point and in two.
    assert!(!text(&Caveat::equals(Value::str("é")).unwrap(), "e\u{301}"));
    assert!(!text(&Caveat::one_of(vec![]).unwrap(), "a"));
    assert!(Caveat::equals(Value::Float(f64::NAN)).is_err());
    assert!(Caveat::equals(Value::List(vec![Value::Float(f64::INFINITY)])).is_err());
    assert!(Caveat::equals(Value::str(&"x".repeat(5_000))).is_err());
    assert!(Caveat::one_of(vec![Value::Null; 257]).is_err());
}

#[test]
fn bounds_compare_by_exact_value() {
    let most = Caveat::at_most(float(9_007_199_254_740_992.0)).unwrap();
    assert!(value(&most, &Value::int(1 << 53)));
    assert!(!value(&most, &Value::int((1 << 53) + 1)), "2^53 + 1 is above 2^53");
    assert!(value(&most, &decimal("9007199254740992")));
    assert!(!value(&most, &decimal("9007199254740992.0000001")));
    assert!(!value(&most, &Value::Int(Int::parse("99999999999999999999").unwrap())));
    assert!(value(&most, &Value::Int(Int::parse("-99999999999999999999").unwrap())));
    for other in [Value::Bool(true), Value::str("1"), Value::Null, Value::Datetime(0)] {
        assert!(!value(&most, &other), "{other:?}");
    }
    assert!(!value(&most, &Value::Float(f64::NAN)) && !value(&most, &Value::Float(f64::INFINITY)));
    let tenth = Caveat::at_most(decimal("0.1")).unwrap();
    assert!(!value(&tenth, &float(0.1)), "the float is a little above");
    let some = Caveat::between(Value::int(1), decimal("2.5")).unwrap();
    assert!(value(&some, &float(2.5)) && value(&some, &Value::int(1)));
    assert!(!value(&some, &float(2.500_000_1)) && !value(&some, &Value::int(0)));
    let until = Caveat::at_most(Value::Datetime(10)).unwrap();
    assert!(value(&until, &Value::Datetime(10)) && !value(&until, &Value::Datetime(11)));
    assert!(!value(&until, &Value::int(5)));
    let zero = Caveat::at_least(decimal("0")).unwrap();
    assert!(value(&zero, &float(0.0)) && value(&zero, &Value::int(0)));
    for wrong in [Value::Bool(true), Value::str("1"), Value::Null, Value::Float(f64::NAN)] {
        assert!(Caveat::at_most(wrong.clone()).is_err(), "{wrong:?}");
        assert!(Caveat::at_least(wrong.clone()).is_err(), "{wrong:?}");
        assert!(Caveat::between(wrong, Value::int(1)).is_err());
    }
    assert!(Caveat::between(Value::int(2), Value::int(1)).is_err());
    assert!(Caveat::between(Value::int(0), Value::Datetime(1)).is_err());
}

#[test]
fn integers_of_any_size_are_ordered() {
    let numbers = [
        "-170141183460469231731687303715884105729",
        "-18446744073709551617",
        "-18446744073709551616",
        "-9223372036854775809",
        "-9223372036854775808",
        "-1",
        "0",
        "9223372036854775807",
        "9223372036854775808",
        "18446744073709551616",
        "170141183460469231731687303715884105728",
    ];
    let read = |text: &str| Value::Int(Int::parse(text).unwrap());
    for (i, a) in numbers.iter().enumerate() {
        for (j, b) in numbers.iter().enumerate() {
            let most = Caveat::at_most(read(b)).unwrap();
            assert_eq!(value(&most, &read(a)), i <= j, "{a} {b}");
        }
    }
}

#[test]
fn starts_and_ends() {
    table(&Caveat::starts_with("ab").unwrap(), &["ab", "abc"], &["", "a", "Ab", "\u{200b}ab"]);
    table(&Caveat::ends_with(".pdf").unwrap(), &[".pdf", "a.pdf"], &["", "a.pdf\n", "a.PDF"]);
    assert!(Caveat::starts_with("").is_err() && Caveat::ends_with("").is_err());
    assert!(Caveat::starts_with(&"x".repeat(5_000)).is_err());
}

#[test]
fn matches_stands_for_one_plain_part() {
    table(
        &Caveat::matches("*@company.com").unwrap(),
        &["a@company.com", "a.b-c_d@company.com", "@company.com", "é@company.com"],
        &[
            "evil@x.com, a@company.com",
            "evil@x.com\na@company.com",
            "evil@x.com;a@company.com",
            "a@company.com.evil.com",
            "a@company.com\n",
            "<a@company.com",
            "a\u{200b}@company.com",
            "a\u{202e}@company.com",
            "a\u{ad}@company.com",
            "a\u{feff}@company.com",
            "a\u{2028}@company.com",
            "a\u{a0}@company.com",
            "a\u{7f}@company.com",
            "a@cоmpany.com",
            "",
        ],
    );
    let file = Caveat::matches("/data/*").unwrap();
    table(
        &file,
        &["/data/a", "/data/a.b"],
        &[
            "/data/a/../../etc",
            "/data/..",
            "/data/a..b",
            "/data/a/b",
            r"/data/a\b",
            "/data/a\0",
            "/data/%2e/x",
        ],
    );
    for c in "/\\,;:|@?#&=<>\"'` \t\n\r".chars() {
        assert!(!text(&Caveat::matches("a*b").unwrap(), &format!("a{c}b")), "{c:?}");
    }
    // The parts before and after must not share characters.
    table(&Caveat::matches("aba*aba").unwrap(), &["abaaba"], &["aba", "ababa"]);
    assert!(Caveat::matches("abc").is_err() && Caveat::matches("a*b*").is_err());
    assert!(Caveat::matches("").is_err());
    assert!(!text(&file, &format!("/data/{}/", "x".repeat(1_000_000))));
}

#[test]
fn email_at_is_one_address() {
    table(
        &Caveat::email_at("Company.com").unwrap(),
        &["a@company.com", "a.b+c@COMPANY.com", "o'brien@company.com", "-_@company.com"],
        &[
            "evil@x.com, a@company.com",
            "a@company.com, evil@x.com",
            "evil@x.com\na@company.com",
            "a@company.com\n",
            " a@company.com",
            "a@b@company.com",
            "\"a@x\"@company.com",
            "evil%x.com@company.com",
            "evil!x@company.com",
            "<a@company.com>",
            "A <a@company.com>",
            "@company.com",
            "a@company.com.",
            "a@sub.company.com",
            "a@company.com.evil.com",
            "a@соmpany.com",
            "é@company.com",
            ".a@company.com",
            "a.@company.com",
            "a..b@company.com",
            "a\0@company.com",
            "company.com",
            "",
        ],
    );
    assert!(!text(&Caveat::email_at("x.com").unwrap(), &format!("{}@x.com", "a".repeat(65))));
    for wrong in ["", "a@b.com", "x..com", "*.com", "é.com", "10.0.0.1", "[::1]", "x.com\n"] {
        assert!(Caveat::email_at(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn host_in_reads_urls_as_strictly_as_it_can() {
    table(
        &Caveat::host_in(&["API.company.com", "10.0.0.1", "[::1]"]).unwrap(),
        &[
            "https://api.company.com",
            "https://API.Company.COM:8443/a?b=c#d",
            "http://api.company.com/a/../b%2e",
            "wss://10.0.0.1/",
            "https://[::1]:80/",
            "https://api.company.com/?x=@evil.com",
        ],
        &[
            "https://api.company.com?@evil.com/",
            "https://api.company.com#@evil.com/",
            "https://evil.com?.api.company.com/",
            "https://api.company.com@evil.com/",
            "https://evil.com@api.company.com/",
            "https://evil.com\\@api.company.com/",
            "https://evil.com\\.api.company.com/",
            "https://api.company.com\\@evil.com/",
            "https:/\\api.company.com/",
            "https:///api.company.com/",
            "https:api.company.com/",
            "//api.company.com/",
            "api.company.com",
            "javascript://api.company.com/%0aalert(1)",
            "file://api.company.com/etc",
            "HTTPS://api.company.com/",
            " https://api.company.com/",
            "https://api.company.com/ x",
            "https://api.company.com/\n",
            "https://api.company\t.com/",
            "https://api.company.com.evil.com/",
            "https://xapi.company.com/",
            "https://api.company.com./",
            "https://api.company.com:/",
            "https://api.company.com:0/",
            "https://api.company.com:080/",
            "https://api.company.com:99999/",
            "https://api.company.com:80:80/",
            "https://api.company.com%2eevil.com/",
            "https://api。company.com/",
            "https://аpi.company.com/",
            "https://10.1/",
            "https://0xa.0.0.1/",
            "https://167772161/",
            "https://010.0.0.1/",
            "https://[0:0:0:0:0:0:0:1]/",
            "https://[::1",
            "https://[::1]x/",
            "https://#api.company.com",
            "https://?api.company.com",
            "https://",
            "",
        ],
    );
    assert!(!text(&Caveat::host_in::<&str>(&[]).unwrap(), "https://x.com"));
    for wrong in ["", "https://x.com", "x.com/", "x.com:80", "*.x.com", "u@x.com", "127.1", "é.de"]
    {
        assert!(Caveat::host_in(&[wrong]).is_err(), "{wrong:?}");
    }
}

#[test]
fn under_takes_canonical_paths_below() {
    table(
        &Caveat::under("/data").unwrap(),
        &["/data/a", "/data/a/b.txt", "/data/...", "/data/a b", "/data/é"],
        &[
            "/data",
            "/data/",
            "/data/a/",
            "/data//a",
            "/data/./a",
            "/data/../data/a",
            "/data/a/../../etc",
            "/data/..",
            "/database/a",
            "data/a",
            "//data/a",
            "/DATA/a",
            "/data/a\0",
            "/data/a\nb",
            r"/data/..\x",
            "/data/%2e%2e/x",
            "/data/\u{202e}a",
            "/etc",
            "",
        ],
    );
    table(&Caveat::under("in/x").unwrap(), &["in/x/a"], &["/in/x/a", "in/x", "./in/x/a", "in/xa"]);
    table(&Caveat::under("/").unwrap(), &["/a", "/a/b"], &["a", "/", "//a", "/../a"]);
    for wrong in ["", ".", "..", "/data/", "//", "/a//b", "/a/../b", "a\\b", "/a\0", "/%2e"] {
        assert!(Caveat::under(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn in_network_reads_addresses_strictly() {
    table(
        &Caveat::in_network("10.1.0.0/16").unwrap(),
        &["10.1.0.0", "10.1.255.255"],
        &[
            "10.2.0.0",
            "10.1.0.256",
            "010.1.0.1",
            "10.1.1",
            "0xa.1.0.1",
            "10.1.0.1/32",
            " 10.1.0.1",
            "10.1.0.1\n",
            "::ffff:10.1.0.1",
            "167837697",
            "",
        ],
    );
    table(
        &Caveat::in_network("fe80::/10").unwrap(),
        &["fe80::1", "FEBF::1"],
        &["fec0::1", "fe80::1%eth0", "[fe80::1]", "10.0.0.1"],
    );
    table(&Caveat::in_network("0.0.0.0/0").unwrap(), &["1.2.3.4"], &["::1"]);
    table(&Caveat::in_network("1.2.3.4/32").unwrap(), &["1.2.3.4"], &["1.2.3.5"]);
    for wrong in [
        "10.0.0.0",
        "10.0.0.1/8",
        "10.0.0.0/33",
        "10.0.0.0/08",
        "10.0.0.0/+8",
        "10.0.0.0/-1",
        "::0/0",
        "FE80::/10",
        "10.0.0/8",
        "x/8",
        "/8",
        "",
    ] {
        assert!(Caveat::in_network(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn length_counts_what_the_type_counts() {
    let two = Caveat::length(2, Some(2)).unwrap();
    assert!(text(&two, "ab") && text(&two, "éé") && !text(&two, "a"));
    assert!(!text(&two, "e\u{301}é"), "characters are code points");
    assert!(value(&two, &Value::bytes(b"ab")) && !value(&two, &Value::bytes("éé".as_bytes())));
    assert!(value(&two, &Value::Tuple(vec![Value::Null, Value::Null])));
    let map = Map::from_entries(vec![("a".into(), Value::Null), ("b".into(), Value::Null)]);
    assert!(value(&two, &Value::Map(map.unwrap())));
    assert!(!value(&two, &Value::int(12)) && !value(&two, &Value::Null));
    assert!(text(&Caveat::length(0, None).unwrap(), ""));
    assert!(Caveat::length(2, Some(1)).is_err() && Caveat::length(MAX_COUNT + 1, None).is_err());
}

#[test]
fn lists_are_lists_and_tuples() {
    let small = Caveat::each(Caveat::at_most(Value::int(5)).unwrap()).unwrap();
    assert!(value(&small, &Value::List(vec![Value::int(1), Value::int(5)])));
    assert!(value(&small, &Value::Tuple(vec![])));
    assert!(!value(&small, &Value::List(vec![Value::int(1), Value::int(6)])));
    assert!(!value(&small, &Value::List(vec![Value::Bool(true)])));
    assert!(!value(&small, &Value::int(1)) && !text(&small, "1"));
    let subset = Caveat::subset_of(vec![Value::str("a"), Value::str("b")]).unwrap();
    assert!(value(&subset, &Value::List(vec![Value::str("a"), Value::str("a")])));
    assert!(!value(&subset, &Value::List(vec![Value::str("a"), Value::str("c")])));
    assert!(!text(&subset, "a"), "text is no list of characters");
    let has = Caveat::contains(Value::int(1)).unwrap();
    assert!(value(&has, &Value::Tuple(vec![Value::Null, Value::int(1)])));
    assert!(!value(&has, &Value::List(vec![Value::Bool(true)])) && !text(&has, "1"));
    assert!(!text(&Caveat::contains(Value::str("a")).unwrap(), "abc"));
}

#[test]
fn presence_and_others() {
    let none = Map::new();
    let (any, present, absent) = (Caveat::any(), Caveat::present(), Caveat::absent());
    assert!(any.allows(None, &none) && absent.allows(None, &none) && !present.allows(None, &none));
    assert!(value(&any, &Value::Null) && value(&present, &Value::Null));
    assert!(!value(&absent, &Value::Null));
    let both = Caveat::all_of(vec![any.clone(), absent]).unwrap();
    assert!(both.allows(None, &none) && !value(&both, &Value::Null));
    let same = Caveat::same_as("other.id").unwrap();
    let mut arguments = Map::new();
    arguments.insert(
        "other",
        Value::Map(Map::from_entries(vec![("id".into(), Value::int(1))]).unwrap()),
    );
    assert!(same.allows(Some(&Value::int(1)), &arguments));
    assert!(!same.allows(Some(&Value::Bool(true)), &arguments));
    assert!(!same.allows(Some(&Value::int(1)), &none) && !same.allows(None, &none));
    for wrong in ["", ".", "a.", ".a", "a..b", "a.b.c.d.e.f.g.h.i", &"x".repeat(257)] {
        assert!(Caveat::same_as(wrong).is_err(), "{wrong:?}");
    }
}

#[test]
fn nesting_and_size_are_bounded() {
    assert!(matches!(Caveat::all_of(vec![]), Err(ScopeError::Caveat { caveat: "all_of", .. })));
    let mut nested = Caveat::any();
    for _ in 1..4 {
        nested = Caveat::each(nested).unwrap();
    }
    let error = Caveat::each(nested.clone()).unwrap_err();
    assert_eq!(error.to_string(), "the caveat `each` is refused: caveats nest more than four deep");
    assert_eq!(error.code(), "caveat_malformed");
    assert!(Caveat::all_of(vec![nested]).is_err());
    assert!(Caveat::all_of(vec![Caveat::any(); 255]).is_ok());
    assert!(Caveat::all_of(vec![Caveat::any(); 256]).is_err());
}

#[test]
fn within_pair_by_pair() {
    let read = |text: &str| serde_json::from_str::<Caveat>(text).unwrap();
    let rows = [
        (r#"{"equals":1}"#, r#"{"at_most":1}"#, true),
        (r#"{"equals":true}"#, r#"{"at_most":1}"#, false),
        (r#"{"equals":1}"#, r#"{"one_of":[1.0]}"#, false),
        (r#"{"equals":1}"#, r#"{"same_as":"x"}"#, false),
        (r#"{"one_of":[]}"#, r#"{"absent":true}"#, true),
        (r#"{"one_of":[1,2]}"#, r#"{"one_of":[2,1,3]}"#, true),
        (r#"{"one_of":[1,4]}"#, r#"{"one_of":[2,1,3]}"#, false),
        (r#"{"between":[1,1]}"#, r#"{"equals":1}"#, false),
        (r#"{"between":[1,2]}"#, r#"{"at_most":2.0}"#, true),
        (r#"{"between":[1,2]}"#, r#"{"at_most":1.9}"#, false),
        (r#"{"at_most":2}"#, r#"{"between":[0,2]}"#, false),
        (r#"{"at_least":2}"#, r#"{"at_most":2}"#, false),
        (r#"{"at_most":9007199254740993}"#, r#"{"at_most":9007199254740992.0}"#, false),
        (r#"{"at_most":{"$datetime":"2026-01-01T00:00:00.000000Z"}}"#, r#"{"at_most":1}"#, false),
        (r#"{"starts_with":"ab"}"#, r#"{"starts_with":"a"}"#, true),
        (r#"{"starts_with":"a"}"#, r#"{"starts_with":"ab"}"#, false),
        (r#"{"starts_with":"ab"}"#, r#"{"matches":"a*"}"#, false),
        (r#"{"matches":"ab*"}"#, r#"{"starts_with":"a"}"#, true),
        (r#"{"matches":"*bc"}"#, r#"{"ends_with":"c"}"#, true),
        (r#"{"matches":"ab*"}"#, r#"{"matches":"a*"}"#, true),
        (r#"{"matches":"a.*"}"#, r#"{"matches":"a*"}"#, false),
        (r#"{"matches":"a*.b"}"#, r#"{"matches":"a*b"}"#, false),
        (r#"{"matches":"a*/b"}"#, r#"{"matches":"a*b"}"#, false),
        (r#"{"contains":1}"#, r#"{"length":[1,null]}"#, true),
        (r#"{"contains":1}"#, r#"{"length":[2,null]}"#, false),
        (r#"{"matches":"a/*"}"#, r#"{"matches":"a*"}"#, false),
        (r#"{"matches":"a*"}"#, r#"{"matches":"a*b"}"#, false),
        (r#"{"email_at":"x.com"}"#, r#"{"ends_with":"@x.com"}"#, false),
        (r#"{"email_at":"x.com"}"#, r#"{"length":[7,null]}"#, true),
        (r#"{"matches":"*@x.com"}"#, r#"{"email_at":"x.com"}"#, false),
        (r#"{"host_in":["a.com"]}"#, r#"{"host_in":["b.com","a.com"]}"#, true),
        (r#"{"host_in":["a.com"]}"#, r#"{"host_in":[]}"#, false),
        (r#"{"under":"/a/b"}"#, r#"{"under":"/a"}"#, true),
        (r#"{"under":"/a"}"#, r#"{"under":"/"}"#, true),
        (r#"{"under":"a"}"#, r#"{"under":"/"}"#, false),
        (r#"{"under":"/ab"}"#, r#"{"under":"/a"}"#, false),
        (r#"{"under":"/a"}"#, r#"{"starts_with":"/a/"}"#, true),
        (r#"{"under":"/a"}"#, r#"{"starts_with":"/a/b"}"#, false),
        (r#"{"starts_with":"/a/"}"#, r#"{"under":"/a"}"#, false),
        (r#"{"in_network":"10.1.0.0/16"}"#, r#"{"in_network":"10.0.0.0/8"}"#, true),
        (r#"{"in_network":"10.0.0.0/8"}"#, r#"{"in_network":"10.0.0.0/9"}"#, false),
        (r#"{"in_network":"0.0.0.0/0"}"#, r#"{"in_network":"::/0"}"#, false),
        (r#"{"length":[1,2]}"#, r#"{"length":[0,null]}"#, true),
        (r#"{"length":[1,null]}"#, r#"{"length":[0,9]}"#, false),
        (r#"{"starts_with":"ab"}"#, r#"{"length":[2,null]}"#, true),
        (r#"{"starts_with":"ab"}"#, r#"{"length":[2,5]}"#, false),
        (r#"{"each":{"at_most":1}}"#, r#"{"each":{"at_most":2}}"#, true),
        (r#"{"each":{"one_of":[1]}}"#, r#"{"subset_of":[1,2]}"#, true),
        (r#"{"subset_of":[1,2]}"#, r#"{"each":{"at_most":2}}"#, true),
        (r#"{"subset_of":[1,3]}"#, r#"{"each":{"at_most":2}}"#, false),
        (r#"{"contains":1}"#, r#"{"contains":1}"#, true),
        (r#"{"contains":1}"#, r#"{"contains":1.0}"#, false),
        (r#"{"contains":1}"#, r#"{"each":{"any":true}}"#, true),
        (r#"{"contains":1}"#, r#"{"each":{"equals":1}}"#, false),
        (r#"{"any":true}"#, r#"{"present":true}"#, false),
        (r#"{"any":true}"#, r#"{"absent":true}"#, false),
        (r#"{"absent":true}"#, r#"{"present":true}"#, false),
        (r#"{"absent":true}"#, r#"{"any":true}"#, true),
        (r#"{"present":true}"#, r#"{"any":true}"#, true),
        (r#"{"same_as":"a"}"#, r#"{"present":true}"#, true),
        (r#"{"same_as":"a"}"#, r#"{"same_as":"b"}"#, false),
        (r#"{"all_of":[{"any":true},{"absent":true}]}"#, r#"{"present":true}"#, false),
        (r#"{"all_of":[{"at_most":1},{"at_least":0}]}"#, r#"{"at_most":1}"#, true),
        (r#"{"at_most":1}"#, r#"{"all_of":[{"at_most":1},{"at_least":0}]}"#, false),
    ];
    for (child, parent, wanted) in rows {
        assert_eq!(read(child).within(&read(parent)), wanted, "{child} in {parent}");
    }
}
