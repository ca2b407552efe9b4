//! `tests/vectors/grants.json`, which `tests/python` reads too: it must be what this writes, and
//! get the verdicts in it. `ANSWERABLE_WRITE_VECTORS=1 cargo test --test chains` writes it anew.

use super::*;

/// The tokens of the sound chain with an edited payload at a hop, cut after it.
fn edited(hop: usize, edit: impl FnOnce(&mut Json)) -> Vec<String> {
    let forge = Forge::new();
    let mut payload = forge.payload(hop);
    edit(&mut payload);
    let mut tokens = with(&forge, hop, &payload.to_string());
    tokens.truncate(hop + 1);
    tokens
}

fn text_edited(hop: usize, from: &str, to: &str) -> Vec<String> {
    let forge = Forge::new();
    let text = forge.payload(hop).to_string();
    assert_eq!(text.matches(from).count(), 1, "{from}");
    let mut tokens = with(&forge, hop, &text.replace(from, to));
    tokens.truncate(hop + 1);
    tokens
}

fn set<'a>(key: &'a str, value: Json) -> impl FnOnce(&mut Json) + 'a {
    move |payload| payload[key] = value
}

fn sound() -> Vec<(&'static str, Vec<String>)> {
    let forge = Forge::new();
    let tokens = forge.tokens();
    let statement = json!(b64(&statement_commitment(&[34; 16], "Pay the deposit")));
    let narrowed = json!([{ "tool": "pay.transfer", "resource": ["account/travel-1"],
        "where": { "amount": { "between": [1, 100] }, "memo": { "starts_with": "trip" } } }]);
    vec![
        ("the authority's grant", tokens[..1].to_vec()),
        ("delegated once", tokens[..2].to_vec()),
        ("delegated twice", tokens.clone()),
        ("narrowed", edited(2, set("scope", narrowed))),
        ("nothing allowed", edited(2, set("scope", json!([])))),
        ("shorter", edited(1, set("exp", json!("2026-11-24T08:00:01Z")))),
        ("with a statement", edited(2, set("statement", statement))),
        ("no limits of its own", edited(1, |p| drop(p.as_object_mut().unwrap().remove("limits")))),
        ("pretty", {
            let text = serde_json::to_string_pretty(&forge.payload(2)).unwrap();
            with(&forge, 2, &text)
        }),
    ]
}

fn forged() -> Vec<(&'static str, Vec<String>)> {
    let forge = Forge::new();
    let hops = forge.tokens();
    let pick = |order: &[usize]| order.iter().map(|at| hops[*at].clone()).collect::<Vec<_>>();
    let payload = forge.payload(0).to_string();
    let us = secret(AUTHORITY).public().id();
    let ours = footer(&secret(AUTHORITY));
    let with_root = |token: String| vec![token, hops[1].clone()];
    let mut flipped = hops.clone();
    let (mut body, _) = parts(&flipped[1]);
    let last = body.len() - 1;
    body[last] ^= 1;
    flipped[1] = joined(&body, &None);
    let as_authority =
        keys::sign(&secret(AUTHORITY), &payload, &ours, &format!("answerable/v1/authority/{us}"));
    let footed = keys::sign(&secret(2), &forge.payload(1).to_string(), &ours, &assertion(&us));
    let forged_kid = keys::sign(&secret(2), &payload, &ours, &assertion(&us)).unwrap().0;
    let many: Vec<Json> =
        (1..=17).map(|n| json!({ "rate": { "calls": 1, "per_us": n } })).collect();
    let weak = format!("k4.public.{}", b64(&[vec![1], vec![0; 31]].concat()));
    vec![
        ("a bit of a signature", flipped),
        ("middle hop left out", pick(&[0, 2])),
        ("reordered", pick(&[0, 2, 1])),
        ("a hop twice", pick(&[0, 1, 1])),
        ("no root", pick(&[1, 2])),
        ("the root below itself", pick(&[0, 0])),
        ("other authority", with_root(sign_root(&secret(OTHER_AUTHORITY), &payload).0)),
        ("root by an agent", with_root(sign_root(&secret(2), &payload).0)),
        ("root by an agent, our kid", with_root(forged_kid)),
        ("signed for another purpose", with_root(as_authority.unwrap().0)),
        ("child by its own holder", {
            vec![hops[0].clone(), sign_child(&secret(3), &forge.payload(1).to_string()).0]
        }),
        ("footer on a child", vec![hops[0].clone(), footed.unwrap().0]),
        ("empty footer part", vec![hops[0].clone(), hops[1].clone() + "."]),
        ("padding", vec![hops[0].clone(), hops[1].clone() + "="]),
        ("v3", vec![hops[0].replacen("v4.public.", "v3.public.", 1)]),
        ("v4.local", vec![hops[0].replacen("v4.public.", "v4.local.", 1)]),
        ("nine hops", vec!["x".to_owned(); 9]),
        ("empty hop", vec![hops[0].clone(), String::new()]),
        ("re-parented", edited(1, set("parent", json!(b64(&[0; 32]))))),
        ("no parent", edited(1, |p| drop(p.as_object_mut().unwrap().remove("parent")))),
        ("re-humaned", edited(2, set("human", json!(HumanId::from_bytes([2; 16]).to_string())))),
        ("assurance raised", edited(1, set("assurance", json!("signed")))),
        (
            "re-tasked",
            edited(2, |p| {
                p["task"]["id"] = json!(TaskId::from_bytes([2; 16]).to_string());
            }),
        ),
        ("task's commitment", edited(1, |p| p["task"]["commitment"] = json!(b64(&[0; 32])))),
        ("later end", edited(1, set("exp", json!("2026-11-24T09:00:01Z")))),
        ("earlier start", edited(2, set("iat", json!("2026-11-24T07:59:59Z")))),
        ("ends as it starts", edited(1, set("exp", json!("2026-11-24T08:00:00Z")))),
        ("deeper than it may", edited(2, set("depth", json!(3)))),
        ("maximum depth raised", edited(1, set("max_depth", json!(3)))),
        ("wrong depth", edited(2, set("depth", json!(1)))),
        ("root below nothing", edited(0, set("depth", json!(1)))),
        ("root with a parent", edited(0, set("parent", json!(b64(&[0; 32]))))),
        ("newer", edited(2, set("v", json!(2)))),
        ("older", edited(2, set("v", json!(0)))),
        ("version twice", text_edited(1, "\"v\":1", "\"v\":1,\"v\":1")),
        ("scope twice", text_edited(1, "\"scope\":", "\"scope\":[],\"scope\":")),
        ("key twice, below", text_edited(1, "\"agent\":", "\"agent\":\"x\",\"agent\":")),
        ("unknown key", edited(1, set("aud", json!("x")))),
        ("unknown key, below", edited(1, |p| p["holder"]["x"] = json!(1))),
        ("missing key", edited(2, |p| drop(p.as_object_mut().unwrap().remove("nonce")))),
        ("null", edited(1, set("statement", Json::Null))),
        ("number as text", edited(1, set("depth", json!("1")))),
        ("number with a fraction", text_edited(1, "\"max_depth\":2", "\"max_depth\":2.0")),
        ("integer beyond 64 bits", text_edited(1, ":500", ":100000000000000000000")),
        ("word as an object", edited(1, set("assurance", json!({ "oidc": null })))),
        (
            "object as a list",
            edited(1, |p| {
                p["holder"] = json!([p["holder"]["agent"], p["holder"]["key"]]);
            }),
        ),
        ("time with an offset", edited(1, set("exp", json!("2026-11-24T09:00:00+00:00")))),
        ("time in lower case", edited(1, set("exp", json!("2026-11-24t09:00:00z")))),
        ("leap second", edited(1, set("exp", json!("2026-11-24T08:59:60Z")))),
        ("weak key", edited(1, |p| p["holder"]["key"] = json!(weak))),
        ("limits of one meter", edited(1, set("limits", json!([{ "calls": 1 }, { "calls": 2 }])))),
        ("too many limits", edited(1, set("limits", json!(many)))),
        ("limit raised", edited(2, set("limits", json!([{ "calls": 21 }])))),
        ("tool widened", edited(1, |p| p["scope"][0]["tool"] = json!("**"))),
        ("resource widened", edited(2, |p| p["scope"][0]["resource"] = json!(["account/*"]))),
        ("argument left out", edited(1, |p| p["scope"][0]["where"] = json!({}))),
        (
            "caveat widened",
            edited(2, |p| {
                p["scope"][0]["where"]["amount"] = json!({ "at_most": 501 });
            }),
        ),
        (
            "capability's limit raised",
            edited(1, |p| p["scope"][0]["limits"] = json!([{ "calls": 11 }])),
        ),
    ]
}

#[test]
fn the_vectors_get_their_verdicts() {
    let digests = |tokens: &[String]| -> Vec<String> {
        let chain = verify(tokens).unwrap();
        chain.hops().iter().map(|hop| data_encoding::HEXLOWER.encode(&hop.digest)).collect()
    };
    let sound: Vec<Json> = sound()
        .into_iter()
        .map(|(name, tokens)| {
            json!({ "name": name, "chain": tokens.join("~"), "digests": digests(&tokens) })
        })
        .collect();
    let forged: Vec<Json> = forged()
        .into_iter()
        .map(|(name, tokens)| {
            let (hop, code) = refusal(&tokens);
            json!({ "name": name, "chain": tokens.join("~"), "hop": hop, "code": code })
        })
        .collect();
    let generated = json!({
        "authority": secret(AUTHORITY).public().paserk(),
        "max_hops": MAX_HOPS,
        "sound": sound,
        "forged": forged,
        "task": "Book the offsite",
        "statement": { "chain": "with a statement", "hop": 2, "text": "Pay the deposit" },
    });
    let text = serde_json::to_string_pretty(&generated).unwrap() + "\n";
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/grants.json");
    if std::env::var_os("ANSWERABLE_WRITE_VECTORS").is_some() {
        std::fs::write(path, &text).unwrap();
    }
    // By value: in which order a map's keys are written hangs on the features of a dependency.
    let there = std::fs::read_to_string(path).unwrap_or_default();
    let there: Json = serde_json::from_str(&there).unwrap_or_default();
    assert!(
        there == generated,
        "grants.json is not what the generator writes, or a verdict changed"
    );

    // The sentences that are committed to.
    let named = |name: &str| {
        let found = sound.iter().find(|case| case["name"] == name).unwrap();
        verify_text(found["chain"].as_str().unwrap()).unwrap()
    };
    assert!(named("delegated twice").root().task_is("Book the offsite"));
    assert!(!named("delegated twice").root().task_is("Book the onsite"));
    assert!(named("with a statement").leaf().statement_is("Pay the deposit"));
}
