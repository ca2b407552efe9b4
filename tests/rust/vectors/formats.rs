use answerable::canonical::{
    Value, commitment, decode, digest, field_salt, from_json, pae, to_json,
};
use answerable::keys::SecretKey;
use answerable::trail::checkpoint::{
    CheckpointKey, CheckpointVerifier, SignedCheckpoint, origin_of,
};
use answerable::trail::merkle::{consistency, inclusion, leaf_hash, root};
use answerable::trail::proof::{verify_consistency, verify_inclusion};
use data_encoding::{BASE64, HEXLOWER};
use serde_json::{Value as Json, json};

use crate::committed_json;

fn hex(bytes: &[u8]) -> String {
    HEXLOWER.encode(bytes)
}

fn unhex(value: &Json) -> Vec<u8> {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap()
}

fn hash(value: &Json) -> [u8; 32] {
    unhex(value).try_into().unwrap()
}

fn hashes(value: &Json) -> Vec<[u8; 32]> {
    value.as_array().unwrap().iter().map(hash).collect()
}

fn nested(depth: usize, inner: &str) -> String {
    format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth))
}

/// JSON renderings as they are written.
fn written() -> Vec<String> {
    let mut all: Vec<String> = [
        "null",
        "false",
        "true",
        "0",
        "1",
        "-1",
        "127",
        "128",
        "255",
        "-128",
        "-129",
        "32767",
        "65536",
        "9007199254740993",
        "9223372036854775807",
        "-9223372036854775808",
        r#"{"$int":"9223372036854775808"}"#,
        r#"{"$int":"-9223372036854775809"}"#,
        r#"{"$int":"18446744073709551616"}"#,
        r#"{"$int":"340282366920938463463374607431768211455"}"#,
        r#"{"$int":"-340282366920938463463374607431768211456"}"#,
        "0.0",
        "1.0",
        "-1.5",
        "0.1",
        "5e-324",
        "2.2250738585072014e-308",
        "1.7976931348623157e+308",
        r#""""#,
        r#""text""#,
        r#""é ✓ 𝄞""#,
        r#""quote \" backslash \\ tab \t null \u0000 delete ""#,
        r#"{"$bytes":""}"#,
        r#"{"$bytes":"AP8Q"}"#,
        r#"{"$decimal":"0E0"}"#,
        r#"{"$decimal":"8E1"}"#,
        r#"{"$decimal":"-125E-1"}"#,
        r#"{"$decimal":"1E6200"}"#,
        r#"{"$decimal":"-1E-6200"}"#,
        r#"{"$datetime":"1970-01-01T00:00:00.000000Z"}"#,
        r#"{"$datetime":"1969-12-31T23:59:59.999999Z"}"#,
        r#"{"$datetime":"2024-02-29T12:34:56.789012Z"}"#,
        r#"{"$datetime":"0000-01-01T00:00:00.000000Z"}"#,
        r#"{"$datetime":"9999-12-31T23:59:59.999999Z"}"#,
        r#"{"$instant":"253402300800000000"}"#,
        r#"{"$instant":"-62167219200000001"}"#,
        r#"{"$instant":"-9223372036854775808"}"#,
        r#"{"$uuid":"00112233445566778899aabbccddeeff"}"#,
        r#"{"$enum":["shop.Colour","RED",1]}"#,
        r#"{"$enum":["shop.Mode","FAST",{"$enum":["a.B","C",null]}]}"#,
        "[]",
        r#"[1,[true,null],"x"]"#,
        r#"{"$tuple":[]}"#,
        r#"{"$tuple":[1,{"$tuple":[2]}]}"#,
        "{}",
        r#"{"a":1,"b":{"c":[]}}"#,
        r#"{"":0,"B":1,"a":2,"aa":3,"é":4,"𝄞":5,"ﬀ":6}"#,
        r#"{"$$a":1}"#,
        r#"{"$$":1,"$$$int":"x","a":2}"#,
        r#"{"$record":["shop.Order",{"count":2,"id":"o-1"}]}"#,
        r#"{"$record":["shop.Empty",{}]}"#,
        r#"{"$record":["shop.Odd",{"$$a":1}]}"#,
        r#"[1,1.0,true,"1",{"$decimal":"1E0"}]"#,
    ]
    .map(str::to_owned)
    .to_vec();
    // Keys ascend by UTF-8 bytes, in which U+FB00 comes before U+1D11E; by UTF-16 it does not.
    for text in &mut all {
        if text.contains('ﬀ') {
            *text = to_json(&from_json(text).unwrap());
        }
    }
    all.push(nested(32, "0"));
    all.push(nested(33, ""));
    all.push(format!("\"{}\"", "x".repeat(128)));
    all.push(format!(r#"{{"$decimal":"{}E0"}}"#, "1".repeat(1_000)));
    all
}

/// Renderings that are read and never written, with the one that is written.
const READ: [(&str, &str); 9] = [
    ("-0.0", "0.0"),
    ("1E5", "100000.0"),
    ("1.50", "1.5"),
    ("1e-999", "0.0"),
    ("100000000000000000000.0", "1e+20"),
    (" [ 1 ,\t2 ] ", "[1,2]"),
    (r#"{"b":1,"a":2}"#, r#"{"a":2,"b":1}"#),
    (r#""\u00e9\ud834\udd1e\/""#, r#""é𝄞/""#),
    (r#"{"$\u0062ytes":""}"#, r#"{"$bytes":""}"#),
];

fn refused_json() -> Vec<(String, &'static str)> {
    let mut all: Vec<(String, &str)> = [
        ("", "nothing"),
        ("nul", "an unknown word"),
        ("1 2", "two values"),
        ("01", "a leading zero"),
        ("1.", "a fraction without digits"),
        ("-0", "an integer has one zero"),
        ("9223372036854775808", "an integer beyond 64 bits is written as $int"),
        ("-9223372036854775809", "an integer beyond 64 bits is written as $int"),
        ("1e999", "a float is finite"),
        ("NaN", "a float is finite"),
        ("Infinity", "a float is finite"),
        (r#""\ud834""#, "a lone surrogate"),
        (r#""\udd1e\ud834""#, "surrogates in the wrong order"),
        ("\"\u{1}\"", "a raw control character"),
        (r#""\x41""#, "an unknown escape"),
        ("[1,]", "a trailing comma"),
        ("\u{feff}1", "a byte order mark"),
        (r#"{"a":1,"a":1}"#, "a key occurs twice"),
        (r#"{"a":1,"\u0061":1}"#, "a key occurs twice"),
        (r#"{"$int":"5"}"#, "it fits 64 bits"),
        (r#"{"$int":5}"#, "not text"),
        (r#"{"$int":"09223372036854775808"}"#, "a leading zero"),
        (r#"{"$int":"+9223372036854775808"}"#, "a plus sign"),
        (r#"{"$bytes":"AAA="}"#, "base64url with padding"),
        (r#"{"$bytes":"AB"}"#, "trailing bits are not zero"),
        (r#"{"$bytes":"A+8Q"}"#, "the standard alphabet"),
        (r#"{"$decimal":"1.0"}"#, "not the canonical text"),
        (r#"{"$decimal":"10E0"}"#, "digits end in a zero"),
        (r#"{"$decimal":"1E+1"}"#, "a plus sign"),
        (r#"{"$decimal":"1E6201"}"#, "the exponent is too large"),
        (r#"{"$decimal":"-0E0"}"#, "zero has no sign"),
        (r#"{"$datetime":"2024-02-30T00:00:00.000000Z"}"#, "no such day"),
        (r#"{"$datetime":"2023-02-29T00:00:00.000000Z"}"#, "no such day"),
        (r#"{"$datetime":"1900-02-29T00:00:00.000000Z"}"#, "no such day"),
        (r#"{"$datetime":"2024-01-01T00:00:00Z"}"#, "six fraction digits"),
        (r#"{"$datetime":"2024-01-01T00:00:00.000000+00:00"}"#, "only Z"),
        (r#"{"$datetime":"2024-01-01T23:59:60.000000Z"}"#, "no leap seconds"),
        (r#"{"$datetime":"2024-01-01T24:00:00.000000Z"}"#, "no hour 24"),
        (r#"{"$instant":"0"}"#, "it has a datetime text"),
        (r#"{"$instant":"+253402300800000000"}"#, "a plus sign"),
        (r#"{"$uuid":"00112233445566778899AABBCCDDEEFF"}"#, "upper case"),
        (r#"{"$uuid":"0011"}"#, "not 16 bytes"),
        (r#"{"$enum":["a","b"]}"#, "three parts"),
        (r#"{"$enum":["a","b",1,2]}"#, "three parts"),
        (r#"{"$record":["a",[]]}"#, "fields are a map"),
        (r#"{"$record":["a",{"$tuple":[]}]}"#, "fields are a map"),
        (r#"{"$tuple":{}}"#, "not an array"),
        (r#"{"$what":1}"#, "an unknown word"),
        (r#"{"$":1}"#, "an unknown word"),
        (r#"{"$int":"9223372036854775808","b":2}"#, "a $ word stands alone"),
        (r#"{"b":2,"$int":"9223372036854775808"}"#, "a $ word stands alone"),
        (r#"{"a":1,"$b":2}"#, "a map's own $ is doubled"),
    ]
    .map(|(text, why)| (text.to_owned(), why))
    .to_vec();
    all.push((nested(33, "0"), "values nest too deep"));
    all.push((nested(34, ""), "values nest too deep"));
    all.push((format!(r#"{{"$decimal":"{}E0"}}"#, "1".repeat(1_001)), "more than 1000 digits"));
    all.push((format!(r#"{{"$int":"{}"}}"#, "9".repeat(1_250)), "more than 513 bytes"));
    all
}

const REFUSED_BYTES: [(&str, &str); 31] = [
    ("", "nothing"),
    ("0f", "an unknown tag"),
    ("ff", "an unknown tag"),
    ("0000", "bytes follow the value"),
    ("0300", "an integer has a byte at least"),
    ("03020001", "an integer is minimal"),
    ("0302ffff", "an integer is minimal"),
    ("03020000", "an integer is minimal"),
    ("0305010203", "the bytes end early"),
    ("048000000000000000", "minus zero"),
    ("047ff0000000000000", "an infinity"),
    ("047ff8000000000000", "not a number"),
    ("04000000", "the bytes end early"),
    ("0501ff", "not UTF-8"),
    ("0503eda080", "a surrogate in UTF-8"),
    ("0502c080", "an overlong form of UTF-8"),
    ("058100", "a length in its shortest form"),
    ("05808000", "a length in its shortest form"),
    ("05ffffffff7f", "the bytes end early"),
    ("05808080808001", "a length of more than five bytes"),
    ("0703312e30", "not the canonical text of a decimal"),
    ("0700", "not the canonical text of a decimal"),
    ("07042d304530", "zero has no sign"),
    ("0800000000", "the bytes end early"),
    ("0900112233", "the bytes end early"),
    ("0a0161", "the bytes end early"),
    ("0bffffffff0f", "a count without items"),
    ("0d02016200016100", "keys ascend"),
    ("0d02016100016100", "a key occurs twice"),
    ("0d01", "the bytes end early"),
    ("0e0161010162", "the bytes end early"),
];

#[test]
fn canonical() {
    let mut values: Vec<Json> = written()
        .iter()
        .map(|text| json!({"json": text, "hex": hex(&from_json(text).unwrap().encode())}))
        .collect();
    values.extend(READ.iter().map(|(text, written)| {
        let hex = hex(&from_json(text).unwrap().encode());
        json!({"json": text, "hex": hex, "written": written})
    }));
    let refused: Vec<Json> =
        refused_json().iter().map(|(text, why)| json!({"json": text, "reason": why})).collect();
    let mut bytes: Vec<Json> =
        REFUSED_BYTES.iter().map(|(hex, why)| json!({"hex": hex, "reason": why})).collect();
    let bomb = "0b01".repeat(33) + "00";
    bytes.push(json!({"hex": bomb, "reason": "values nest too deep"}));
    let vectors = json!({"values": values, "refused_json": refused, "refused_bytes": bytes});
    let vectors = committed_json("canonical.json", &vectors);
    for one in vectors["values"].as_array().unwrap() {
        let text = one["json"].as_str().unwrap();
        let value = from_json(text).unwrap();
        assert_eq!(value.encode(), unhex(&one["hex"]), "{text}");
        assert_eq!(decode(&unhex(&one["hex"])).unwrap(), value, "{text}");
        assert_eq!(to_json(&value), one["written"].as_str().unwrap_or(text));
    }
    for one in vectors["refused_json"].as_array().unwrap() {
        assert!(from_json(one["json"].as_str().unwrap()).is_err(), "{one}");
    }
    for one in vectors["refused_bytes"].as_array().unwrap() {
        assert!(decode(&unhex(&one["hex"])).is_err(), "{one}");
    }
}

#[test]
fn commitments() {
    let salt = |fill: u8| std::array::from_fn::<u8, 16, _>(|i| fill.wrapping_add(i as u8));
    let mut commitments = Vec::new();
    let mut salts = Vec::new();
    for (fill, field, text) in [
        (0, "arguments", r#"{"account":"travel-1","amount":80.0}"#),
        (16, "result", "null"),
        (32, "résumé", r#"{"$tuple":[1,"a"]}"#),
        (48, "", "0"),
    ] {
        let salt = salt(fill);
        let value = from_json(text).unwrap();
        let commitment = hex(&commitment(&salt, field, &value));
        commitments.push(json!({
            "salt": hex(&salt), "field": field, "json": text, "commitment": commitment,
        }));
        let field_salt = hex(&field_salt(&salt, field));
        salts.push(json!({"entry_salt": hex(&salt), "field": field, "salt": field_salt}));
    }
    let vectors = json!({
        "pae": [
            {"pieces": [], "hex": hex(&pae(&[]))},
            {"pieces": [""], "hex": hex(&pae(&[b""]))},
            {"pieces": ["74657374", "00"], "hex": hex(&pae(&[b"test", &[0]]))},
        ],
        "digest": [
            {"domain": "example", "parts": [], "digest": hex(&digest("example", &[]))},
            {"domain": "example", "parts": ["00", ""],
             "digest": hex(&digest("example", &[&[0], b""]))},
        ],
        "field_salts": salts,
        "commitments": commitments,
    });
    let vectors = committed_json("commitment.json", &vectors);
    for one in vectors["commitments"].as_array().unwrap() {
        let salt = unhex(&one["salt"]).try_into().unwrap();
        let value: Value = from_json(one["json"].as_str().unwrap()).unwrap();
        let found = commitment(&salt, one["field"].as_str().unwrap(), &value);
        assert_eq!(hex(&found), one["commitment"].as_str().unwrap());
    }
}

#[test]
fn merkle() {
    let inputs = [
        "",
        "00",
        "10",
        "2021",
        "3031",
        "40414243",
        "5051525354555657",
        "606162636465666768696a6b6c6d6e6f",
    ];
    let leaves: Vec<[u8; 32]> =
        inputs.iter().map(|input| leaf_hash(&unhex(&json!(input)))).collect();
    let all = leaves.as_slice();
    let roots: Vec<[u8; 32]> = (0..=8).map(|size| root(all, size).unwrap()).collect();
    let texts = |path: &[[u8; 32]]| path.iter().map(|hash| hex(hash)).collect::<Vec<_>>();
    let (mut included, mut consistent) = (Vec::new(), Vec::new());
    let mut include = |index: u64,
                       size: u64,
                       leaf: &[u8; 32],
                       path: &[[u8; 32]],
                       root: &[u8; 32],
                       valid: bool| {
        included.push(json!({"index": index, "size": size, "leaf": hex(leaf),
            "path": texts(path), "root": hex(root), "valid": valid}));
    };
    let mut extend =
        |old: u64, new: u64, a: &[u8; 32], b: &[u8; 32], path: &[[u8; 32]], valid: bool| {
            consistent.push(json!({"old": old, "new": new, "old_root": hex(a), "new_root": hex(b),
            "path": texts(path), "valid": valid}));
        };
    for size in 1..=8u64 {
        for index in 0..size {
            let path = inclusion(all, index, size).unwrap();
            include(index, size, &all[index as usize], &path, &roots[size as usize], true);
        }
        for old in 1..=size {
            let path = consistency(all, old, size).unwrap();
            extend(old, size, &roots[old as usize], &roots[size as usize], &path, true);
        }
    }
    let path = inclusion(all, 5, 7).unwrap();
    include(4, 7, &all[5], &path, &roots[7], false);
    include(5, 6, &all[5], &path, &roots[7], false);
    include(5, 7, &all[4], &path, &roots[7], false);
    include(5, 7, &all[5], &path, &roots[8], false);
    include(5, 7, &all[5], &path[1..], &roots[7], false);
    include(5, 7, &all[5], &[&path[..], &[[0; 32]]].concat(), &roots[7], false);
    include(7, 7, &all[5], &path, &roots[7], false);
    include(0, 0, &all[0], &[], &roots[0], false);
    include(0, 1, &all[0], &[[0; 32]], &roots[1], false);
    let path = consistency(all, 3, 7).unwrap();
    extend(4, 7, &roots[3], &roots[7], &path, false);
    extend(3, 4, &roots[3], &roots[7], &path, false);
    extend(3, 7, &roots[4], &roots[7], &path, false);
    extend(3, 7, &roots[3], &roots[8], &path, false);
    extend(3, 7, &roots[3], &roots[7], &path[1..], false);
    extend(3, 7, &roots[3], &roots[7], &[&path[..], &[[0; 32]]].concat(), false);
    extend(7, 3, &roots[7], &roots[3], &path, false);
    extend(0, 7, &roots[0], &roots[7], &[], false);
    extend(0, 0, &roots[0], &roots[0], &[], false);
    extend(7, 7, &roots[7], &roots[7], &[[0; 32]], false);
    extend(7, 7, &roots[6], &roots[7], &[], false);
    extend(4, 7, &roots[4], &roots[7], &[], false);
    let vectors = json!({"leaves": inputs, "roots": texts(&roots),
        "inclusion": included, "consistency": consistent});
    let vectors = committed_json("merkle.json", &vectors);
    let number = |value: &Json| value.as_u64().unwrap();
    for one in vectors["inclusion"].as_array().unwrap() {
        let (leaf, root) = (hash(&one["leaf"]), hash(&one["root"]));
        let path = hashes(&one["path"]);
        let found =
            verify_inclusion(&leaf, number(&one["index"]), number(&one["size"]), &path, &root);
        assert_eq!(found.is_ok(), one["valid"].as_bool().unwrap(), "{one}");
    }
    for one in vectors["consistency"].as_array().unwrap() {
        let (a, b) = (hash(&one["old_root"]), hash(&one["new_root"]));
        let path = hashes(&one["path"]);
        let found = verify_consistency(number(&one["old"]), &a, number(&one["new"]), &b, &path);
        assert_eq!(found.is_ok(), one["valid"].as_bool().unwrap(), "{one}");
    }
}

#[test]
fn notes() {
    let authority = SecretKey::from_seed(&[1; 32]).unwrap().public();
    let origin = origin_of(&authority);
    let key = CheckpointKey::from_seed(&origin, &[2; 32]).unwrap();
    let vkey = key.verifier().to_string();
    let good = key.sign(13, [0xab; 32]).text().to_owned();
    let (body, line) = good.split_once("\n\n").unwrap();
    let other = CheckpointKey::from_seed(&origin, &[3; 32]).unwrap().sign(13, [0xab; 32]);
    let other_line = other.text().split_once("\n\n").unwrap().1;
    let elsewhere = CheckpointKey::from_seed("example.com/log", &[2; 32]).unwrap();
    let foreign = elsewhere.sign(13, [0xab; 32]).text().to_owned();
    let witness = "\u{2014} witness.example/w1 AAAAAAAAAAAAAAAA\n";
    let empty = key.sign(0, answerable::trail::merkle::empty_root()).text().to_owned();
    let mut blob = BASE64.decode(line.rsplit(' ').next().unwrap().trim().as_bytes()).unwrap();
    blob[10] ^= 1;
    let flipped = format!("{body}\n\n\u{2014} {origin} {}\n", BASE64.encode(&blob));
    let notes: Vec<(&str, String, bool)> = vec![
        ("plain", good.clone(), true),
        ("an empty tree", empty, true),
        ("a witness signed too", format!("{good}{witness}"), true),
        ("a witness signed first", format!("{body}\n\n{witness}{line}"), true),
        ("another key of the same name signed too", format!("{good}{other_line}"), true),
        ("sixteen lines", format!("{good}{}", witness.repeat(15)), true),
        ("seventeen lines", format!("{good}{}", witness.repeat(16)), false),
        (
            "more than 16 KiB",
            format!("{good}{}", witness.replace("w1", &"w".repeat(16_384))),
            false,
        ),
        ("another key", other.text().to_owned(), false),
        ("another origin and name", foreign, false),
        ("signed twice by one key", format!("{good}{line}"), false),
        ("a changed signature", flipped, false),
        ("a changed size", good.replacen("\n13\n", "\n14\n", 1), false),
        ("a leading zero", good.replacen("\n13\n", "\n013\n", 1), false),
        ("a signed size", good.replacen("\n13\n", "\n+13\n", 1), false),
        ("a size beyond 64 bits", good.replacen("\n13\n", "\n18446744073709551616\n", 1), false),
        ("a changed root", good.replacen("q6ur", "q6us", 1), false),
        ("a root without padding", good.replacen("=\n\n", "\n\n", 1), false),
        ("a root of 31 bytes", good.replacen("q6ur", "", 1), false),
        ("no signature", format!("{body}\n\n"), false),
        ("no blank line", good.replacen("\n\n", "\n", 1), false),
        ("two blank lines", good.replacen("\n\n", "\n\n\n", 1), false),
        ("an extension line", good.replacen("\n\n", "\nextension\n\n", 1), false),
        ("no last new line", good.trim_end().to_owned(), false),
        ("text after the end", format!("{good}x"), false),
        ("a blank line at the end", format!("{good}\n"), false),
        ("carriage returns", good.replace('\n', "\r\n"), false),
        ("a hyphen for the dash", good.replace('\u{2014}', "-"), false),
        ("two spaces", good.replacen("\u{2014} ", "\u{2014}  ", 1), false),
        ("a signature of four bytes", format!("{good}\u{2014} w AAAAAA==\n"), false),
        ("trailing bits", format!("{good}\u{2014} w AAAAAAF=\n"), false),
        ("nothing", String::new(), false),
    ];
    let (name, rest) = vkey.split_once('+').unwrap();
    let (id, blob) = rest.split_once('+').unwrap();
    let weak = "example.com/log+".to_owned();
    let keys: Vec<(String, bool)> = vec![
        (vkey.clone(), true),
        ("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW".to_owned(), true),
        (format!("{name}+{}+{blob}", id.to_uppercase()), false),
        (format!("{name}+00000000+{blob}"), false),
        (format!("x{name}+{id}+{blob}"), false),
        (format!("{name}+{id}"), false),
        (format!("{name}+{id}+{}", blob.replacen('A', "B", 1)), false),
        (format!("+{id}+{blob}"), false),
        (format!("{weak}{}", small_order("example.com/log")), false),
    ];
    let vectors = json!({
        "vkey": vkey,
        "notes": notes.iter().map(|(name, text, valid)| json!({"name": name, "text": text, "valid": valid})).collect::<Vec<_>>(),
        "vkeys": keys.iter().map(|(text, valid)| json!({"text": text, "valid": valid})).collect::<Vec<_>>(),
    });
    let vectors = committed_json("note.json", &vectors);
    let verifier = CheckpointVerifier::parse(vectors["vkey"].as_str().unwrap()).unwrap();
    for one in vectors["notes"].as_array().unwrap() {
        let parsed = SignedCheckpoint::parse(one["text"].as_str().unwrap());
        let valid = parsed.is_ok_and(|note| note.verify(&verifier).is_ok());
        assert_eq!(valid, one["valid"].as_bool().unwrap(), "{}", one["name"]);
    }
    for one in vectors["vkeys"].as_array().unwrap() {
        let valid = CheckpointVerifier::parse(one["text"].as_str().unwrap()).is_ok();
        assert_eq!(valid, one["valid"].as_bool().unwrap(), "{one}");
    }
}

/// Key id and key of the point of order 1, under which anybody could sign.
fn small_order(name: &str) -> String {
    let mut key = vec![1, 1];
    key.resize(33, 0);
    let input = [name.as_bytes(), b"\n", &key].concat();
    let id = answerable::canonical::sha256(&input);
    format!("{}+{}", hex(&id[..4]), BASE64.encode(&key))
}
