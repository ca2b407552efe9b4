//! Payloads, ids, keys and times are read strictly, within bounds, in one spelling each.

use super::*;

#[test]
fn payloads_are_read_strictly() {
    for hop in 0..3 {
        let malformed = |from: &str, to: &str| {
            assert_eq!(text_edit(hop, from, to), (hop, "malformed"), "{from} → {to}");
        };
        // Keys twice, the same value or another; keys unknown.
        malformed("\"v\":1", "\"v\":1,\"v\":1");
        malformed("\"v\":1", "\"\\u0076\":1,\"v\":1");
        malformed("\"scope\":", "\"scope\":[],\"scope\":");
        malformed("\"nonce\":", "\"depth\":0,\"nonce\":");
        malformed("\"commitment\":", "\"id\":\"tsk_aaaaaaaaaaaaaaaaaaaaaaaaaa\",\"commitment\":");
        malformed("\"tool\":", "\"tool\":\"pay.*\",\"tool\":");
        malformed("\"amount\":", "\"amount\":{\"any\":true},\"amount\":");
        malformed("\"at_most\":500", "\"at_most\":500,\"any\":true");
        malformed("{\"calls\":20}", "{\"calls\":20,\"calls\":20}");
        malformed("\"nonce\":", "\"aud\":\"x\",\"nonce\":");
        malformed("\"nonce\":", "\"V\":1,\"nonce\":");
        malformed("\"commitment\":", "\"x\":1,\"commitment\":");
        malformed("\"agent\":", "\"x\":1,\"agent\":");
        malformed("\"tool\":", "\"x\":1,\"tool\":");
        // Null for what may be absent, and for what may not.
        malformed("\"nonce\":", "\"statement\":null,\"nonce\":");
        malformed("\"tool\":", "\"note\":null,\"tool\":");
        malformed("[{\"calls\":20}]", "null");
        malformed("[{\"calls\":10}]", "null");
        malformed("[{\"calls\":10}]", "[]");
        malformed("\"depth\":", "\"depth\":null,\"x\":");
        // Numbers in other forms.
        malformed("\"v\":1", "\"v\":\"1\"");
        malformed("\"v\":1", "\"v\":1.0");
        malformed("\"v\":1", "\"v\":1e0");
        malformed("\"v\":1", "\"v\":0");
        malformed("\"v\":1", "\"v\":-1");
        malformed("\"v\":1", "\"v\":01");
        malformed("\"v\":1", "\"v\":true");
        malformed("\"v\":1", "\"v\":[1]");
        malformed("\"v\":1", "\"x\":1");
        malformed("\"max_depth\":2", "\"max_depth\":\"2\"");
        malformed("\"max_depth\":2", "\"max_depth\":2.0");
        malformed("\"max_depth\":2", "\"max_depth\":-0");
        malformed("\"max_depth\":2", "\"max_depth\":256");
        malformed("\"max_depth\":2", "\"max_depth\":-1");
        malformed("\"calls\":20", "\"calls\":\"20\"");
        malformed("\"calls\":20", "\"calls\":0");
        malformed("\"calls\":20", "\"calls\":9007199254740992");
        malformed("\"calls\":20", "\"calls\":20.0");
        malformed("\"at_most\":500", "\"at_most\":100000000000000000000");
        malformed("\"at_most\":500", "\"at_most\":-0");
        malformed("\"at_most\":500", "\"at_most\":9223372036854775808");
        malformed("\"at_most\":500", "\"at_most\":NaN");
        malformed("\"at_most\":500", "\"at_most\":1e999");
        // Words and structs in the other shapes that the JSON library would take.
        malformed("\"oidc\"", "{\"oidc\":null}");
        malformed("\"oidc\"", "\"OIDC\"");
        malformed("\"oidc\"", "1");
        // Limits that bound the same thing, or too many.
        malformed("{\"calls\":20}", "{\"calls\":20},{\"calls\":20}");
        malformed("{\"calls\":10}", "{\"calls\":10},{\"calls\":9}");
        let many: Vec<String> =
            (1..=17).map(|n| format!("{{\"rate\":{{\"calls\":1,\"per_us\":{n}}}}}")).collect();
        malformed("{\"calls\":20}", &many.join(","));
        // Newer formats are named as such, whatever else they hold.
        assert_eq!(text_edit(hop, "\"v\":1", "\"v\":2"), (hop, "newer_format"));
        assert_eq!(text_edit(hop, "\"v\":1", "\"new\":{},\"v\":2"), (hop, "newer_format"));
        assert_eq!(text_edit(hop, "\"v\":1", "\"v\":4294967297"), (hop, "newer_format"));

        let array = |p: &mut Json, key: &str| {
            let map = p[key].as_object().unwrap().clone();
            let order = if key == "task" { ["id", "commitment"] } else { ["agent", "key"] };
            p[key] = json!([map[order[0]], map[order[1]]]);
        };
        assert_eq!(edited(hop, |p| array(p, "task")), (hop, "malformed"));
        assert_eq!(edited(hop, |p| array(p, "holder")), (hop, "malformed"));
        for key in [
            "v",
            "id",
            "nonce",
            "human",
            "assurance",
            "task",
            "holder",
            "depth",
            "max_depth",
            "iat",
            "exp",
            "scope",
        ] {
            let refused = edited(hop, |p| drop(p.as_object_mut().unwrap().remove(key)));
            assert_eq!(refused, (hop, "malformed"), "{key} missing");
            assert_eq!(edited(hop, |p| p[key] = Json::Null), (hop, "malformed"), "{key} null");
            assert_eq!(edited(hop, |p| p[key] = json!({})), (hop, "malformed"), "{key} {{}}");
        }
        for text in ["", "null", "[]", "[1]", "{}", "1", "\"v\"", "{\"v\":1}", "{\"v\":1", "true"] {
            if !text.is_empty() {
                assert_eq!(written(hop, text), (hop, "malformed"), "{text}");
            }
        }
        let whole = Forge::new().payload(hop).to_string();
        for text in [
            format!("{whole}{whole}"),
            format!("{whole},"),
            format!("\u{feff}{whole}"),
            format!("[{whole}]"),
            whole.replace('"', "'"),
            format!("{whole}\0"),
        ] {
            assert_eq!(written(hop, &text), (hop, "malformed"));
        }
    }
}

#[test]
fn ids_keys_and_times_have_one_text() {
    for hop in 0..3 {
        for exp in [
            "2026-11-24T09:00:00+00:00",
            "2026-11-24T09:00:00z",
            "2026-11-24t09:00:00Z",
            "2026-11-24 09:00:00Z",
            "2026-11-24T09:00:00.0Z",
            "2026-11-24T09:00:00",
            "2026-11-24",
            "2026-11-24T08:59:60Z",
            "2026-12-31T23:59:60Z",
            "2026-02-29T09:00:00Z",
            "2026-11-24T24:00:00Z",
            "2026-11-24T09:00Z",
            " 2026-11-24T09:00:00Z",
            "+2026-11-24T09:00:00Z",
            "2026-11-24T09:00:00Z\n",
            "10000-01-01T00:00:00Z",
            "-001-01-01T00:00:00Z",
            "２026-11-24T09:00:00Z",
            "",
            "1795510800",
        ] {
            assert_eq!(edited(hop, |p| p["exp"] = json!(exp)), (hop, "malformed"), "{exp}");
            assert_eq!(edited(hop, |p| p["iat"] = json!(exp)), (hop, "malformed"), "{exp}");
        }
        for exp in [json!(1_795_510_800), json!(["2026-11-24T09:00:00Z"])] {
            assert_eq!(edited(hop, |p| p["exp"] = exp.clone()), (hop, "malformed"));
        }
        let texts = |id: &str| {
            let mut last = id.to_owned();
            last.pop();
            [
                id.to_uppercase(),
                id.replacen('_', "-", 1),
                format!("{id}="),
                id[4..].to_owned(),
                format!("{last}9"),
                format!("{last}b"),
                format!("{id}a"),
                String::new(),
            ]
        };
        for (key, other) in [("id", "agt_"), ("human", "agt_")] {
            let id = Forge::new().payload(hop)[key].as_str().unwrap().to_owned();
            for text in texts(&id).into_iter().chain([format!("{other}{}", &id[4..])]) {
                assert_eq!(edited(hop, |p| p[key] = json!(text)), (hop, "malformed"), "{text}");
            }
        }
        for text in [
            b64(&[1; 15]),
            b64(&[1; 17]),
            String::new(),
            b64(&[1; 16]) + "==",
            b64(&[255; 16]).replacen('_', "/", 1),
            b64(&[1; 16])[..21].to_owned() + "R",
        ] {
            assert_eq!(edited(hop, |p| p["nonce"] = json!(text)), (hop, "malformed"), "{text}");
        }
        // Keys under which anybody could sign, and other spellings of points.
        for small in SMALL_ORDER {
            let bytes = data_encoding::HEXLOWER.decode(small.as_bytes()).unwrap();
            let text = format!("k4.public.{}", b64(&bytes));
            let refused = edited(hop, |p| p["holder"]["key"] = json!(text));
            assert!(matches!(refused.1, "holder_key" | "malformed"), "{small}: {refused:?}");
            assert_eq!(refused.0, hop);
        }
        let canonical = SMALL_ORDER[2];
        let bytes = data_encoding::HEXLOWER.decode(canonical.as_bytes()).unwrap();
        let text = format!("k4.public.{}", b64(&bytes));
        assert_eq!(edited(hop, |p| p["holder"]["key"] = json!(text)), (hop, "holder_key"));
        let key = secret(2).public();
        let body = b64(key.as_bytes());
        for text in [
            body.clone(),
            format!("k3.public.{body}"),
            format!("k4.secret.{body}"),
            format!("k4.local.{body}"),
            format!("k4.public.{body}="),
            key.id(),
            format!("k4.public.{}", b64(&key.as_bytes()[..31])),
            format!("K4.public.{body}"),
            format!("k4.public.{} ", body),
            format!("k4.public.{}", not_a_point()),
            format!("k4.public.{}", other_last(&body)),
            secret(2).expose_paserk().to_string(),
        ] {
            let refused = edited(hop, |p| p["holder"]["key"] = json!(text));
            assert_eq!(refused, (hop, "malformed"), "{text}");
        }
    }
}

/// Points of small order: canonical ones, and other spellings of y (RFC 8032 refuses those).
const SMALL_ORDER: [&str; 14] = [
    "0100000000000000000000000000000000000000000000000000000000000000",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "0000000000000000000000000000000000000000000000000000000000000080",
    "0000000000000000000000000000000000000000000000000000000000000000",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a",
    "c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac03fa",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05",
    "26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc85",
    "0100000000000000000000000000000000000000000000000000000000000080",
    "ecffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "eeffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff7f",
    "edffffffffffffffffffffffffffffffffffffffffffffffffffffffffffffff",
];

fn not_a_point() -> String {
    // y = 2 lies on no point of the curve.
    let mut bytes = [0; 32];
    bytes[0] = 2;
    b64(&bytes)
}

/// The same 32 bytes with other bits after the last.
fn other_last(body: &str) -> String {
    let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    let mut text = body.to_owned();
    let at = alphabet.find(text.pop().unwrap()).unwrap();
    text.push(alphabet.as_bytes()[at + 1] as char);
    text
}

#[test]
fn sizes_are_bounded_before_anything_is_read() {
    let forge = Forge::new();
    let tokens = forge.tokens();
    // A hop over its bytes, alone and behind sound ones.
    let huge = "v4.public.".to_owned() + &"A".repeat(MAX_TOKEN_BYTES);
    assert_eq!(refusal(std::slice::from_ref(&huge)), (0, "too_large"));
    assert_eq!(refusal(&[tokens[0].clone(), tokens[1].clone(), huge]), (2, "too_large"));
    // Over the chain's bytes, over its hops, and nothing at all.
    assert_eq!(refusal_of(&"~".repeat(MAX_CHAIN_BYTES + 1)), (0, "too_large"));
    assert_eq!(refusal_of(&["x"; 9].join("~")), (8, "too_large"));
    assert_eq!(refusal_of(&["x"; 8].join("~")), (0, "malformed"));
    assert_eq!(refusal_of(""), (0, "malformed"));
    assert_eq!(refusal_of("~"), (0, "malformed"));
    assert_eq!(refusal_of(&format!("{}~", tokens[0])), (1, "malformed"));
    assert_eq!(refusal_of(&format!("~{}", tokens[0])), (0, "malformed"));
    assert_eq!(refusal_of(&format!("{}~~{}", tokens[0], tokens[1])), (1, "malformed"));
    // Fewer hops where so configured.
    let text = tokens.join("~");
    assert_eq!(UnverifiedChain::parse(&text, 2).unwrap_err().hop, 2);
    assert_eq!(UnverifiedChain::parse(&text, 0).unwrap_err().error.code(), "too_large");

    for hop in 0..3 {
        // Too many capabilities, patterns, names; each within the bytes of a hop.
        let cap = |n: usize| json!((0..n).map(|_| json!({ "tool": "pay.*" })).collect::<Vec<_>>());
        assert_eq!(edited(hop, |p| p["scope"] = cap(65)), (hop, "malformed"));
        let patterns = json!((0..65).map(|n| format!("account/travel-{n}")).collect::<Vec<_>>());
        let resource = |p: &mut Json| p["scope"][0]["resource"] = patterns.clone();
        assert_eq!(edited(hop, resource), (hop, "malformed"));
        let names: serde_json::Map<String, Json> =
            (0..65).map(|n| (format!("a{n}"), json!({ "any": true }))).collect();
        let named = |p: &mut Json| p["scope"][0]["where"] = Json::Object(names.clone());
        assert_eq!(edited(hop, named), (hop, "malformed"));
        // Bombs of depth: in a caveat, in a value, in the payload itself.
        for (open, inner, close) in [
            ("{\"each\":", "{\"any\":true}", "}"),
            ("{\"all_of\":[", "{\"any\":true}", "]}"),
            ("{\"equals\":[", "", "]}"),
        ] {
            for depth in [40, 127, 600] {
                let (open, close) = match open {
                    "{\"equals\":[" => (
                        format!("{{\"equals\":{}", "[".repeat(depth)),
                        format!("{}}}", "]".repeat(depth)),
                    ),
                    _ => (open.repeat(depth), close.repeat(depth)),
                };
                let bomb = format!("{open}{inner}{close}");
                assert_eq!(text_edit(hop, "{\"any\":true}", &bomb), (hop, "malformed"));
            }
        }
        let bomb = format!("\"x\":{}{}", "[".repeat(5_000), "]".repeat(5_000));
        assert_eq!(text_edit(hop, "\"v\":1", &format!("\"v\":1,{bomb}")), (hop, "malformed"));
        assert_eq!(written(hop, &"[".repeat(10_000)), (hop, "malformed"));
        assert_eq!(written(hop, &"{\"v\":".repeat(2_000)), (hop, "malformed"));
        assert_eq!(
            text_edit(hop, "\"at_most\":500", &format!("\"at_most\":{}", "9".repeat(9_000))),
            (hop, "malformed")
        );
    }
}
