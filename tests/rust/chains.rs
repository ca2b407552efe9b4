//! Chains as an attacker with one agent's keys would forge them: payloads are built by hand and
//! signed with the low-level signer, and each is refused with its own code at its own hop.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs)]

use answerable::canonical::{Digest, pae};
use answerable::chain::{
    Anchors, Chain, HopCache, InvalidGrant, MAX_CHAIN_BYTES, MAX_HOPS, UnverifiedChain,
};
use answerable::grant::{Holder, Terms, assertion, statement_commitment};
use answerable::keys::{self, MAX_TOKEN_BYTES, SecretKey};
use answerable::principal::{AgentId, GrantId, HumanId, TaskId};
use answerable::scope::{Limit, Scope};
use answerable::trail::checkpoint::{
    CheckpointKey, authority_assertion, origin_of, sign_authority_statement,
};
use data_encoding::BASE64URL_NOPAD;
use serde_json::{Value as Json, json};

#[path = "chains/forge.rs"]
mod forge;
#[path = "chains/laws.rs"]
mod laws;
#[path = "chains/signatures.rs"]
mod signatures;
#[path = "chains/spellings.rs"]
mod spellings;
#[path = "chains/vectors.rs"]
mod vectors;

use forge::*;

/// What each hop of the sound chain is refused for after an edit that its proper key signed.
fn edited(hop: usize, edit: impl FnOnce(&mut Json)) -> (usize, &'static str) {
    let mut payload = Forge::new().payload(hop);
    edit(&mut payload);
    written(hop, &payload.to_string())
}

/// The same for a payload's text.
fn written(hop: usize, text: &str) -> (usize, &'static str) {
    let forge = Forge::new();
    let token = forge.sign(hop, text).0;
    let mut tokens = forge.tokens();
    tokens[hop] = token;
    let refused = refusal(&tokens[..=hop]);
    // What follows below a refused hop changes nothing.
    assert_eq!(refusal(&tokens), refused);
    refused
}

fn text_edit(hop: usize, from: &str, to: &str) -> (usize, &'static str) {
    let text = Forge::new().payload(hop).to_string();
    assert_eq!(text.matches(from).count(), 1, "{from} in {text}");
    written(hop, &text.replace(from, to))
}

#[test]
fn the_sound_chain_verifies() {
    let forge = Forge::new();
    let chain = verify(&forge.tokens()).unwrap();
    assert_eq!(chain.hops().len(), 3);
    assert_eq!(chain.text(), forge.tokens().join("~"));
    assert_eq!(chain.leaf().digest, forge.digest(2));
    for hop in 0..3 {
        // Another order of the keys, and white space, are the same payload in another spelling.
        let text = serde_json::to_string_pretty(&forge.payload(hop)).unwrap();
        assert!(verify(&with(&forge, hop, &text)[..=hop]).is_ok());
    }
}

#[test]
fn a_flipped_bit_is_refused_at_its_hop() {
    let forge = Forge::new();
    let tokens = forge.tokens();
    // The hops before are verified once; what is refused is never remembered.
    let cache = HopCache::default();
    let anchors = forge.anchors();
    UnverifiedChain::parse(&tokens.join("~"), MAX_HOPS).unwrap().verify(&anchors, &cache).unwrap();
    // Every bit of what was signed; of the text every bit in release, every fifth byte in debug.
    let step = if cfg!(debug_assertions) { 5 } else { 1 };
    let forged = |hop: usize, forged: String| {
        let mut chain = tokens.clone();
        chain[hop] = forged;
        let parsed = UnverifiedChain::parse(&chain.join("~"), MAX_HOPS).unwrap();
        let refused = parsed.verify(&anchors, &cache).unwrap_err();
        assert_eq!(refused.hop, hop);
        let code = refused.error.code();
        assert!(matches!(code, "malformed" | "signature" | "unknown_authority"), "{refused}");
    };
    std::thread::scope(|scope| {
        for hop in 0..3 {
            let (tokens, forged) = (&tokens, &forged);
            let token = &tokens[hop];
            scope.spawn(move || {
                for at in (0..token.len()).step_by(step).chain([token.len() - 1]) {
                    for bit in 0..7 {
                        let mut bytes = token.clone().into_bytes();
                        bytes[at] ^= 1 << bit;
                        if bytes[at] != b'~' {
                            forged(hop, String::from_utf8(bytes).unwrap());
                        }
                    }
                }
            });
            scope.spawn(move || {
                let (body, footer) = parts(token);
                for at in 0..8 * body.len() {
                    let mut body = body.clone();
                    body[at / 8] ^= 1 << (at % 8);
                    forged(hop, joined(&body, &footer));
                }
            });
        }
    });
}

#[test]
fn what_a_hop_may_not_change() {
    let other_human = json!(HumanId::from_bytes([2; 16]).to_string());
    let other_task = json!(TaskId::from_bytes([2; 16]).to_string());
    let refused = |code: &'static str, edit: &dyn Fn(&mut Json)| {
        for hop in [1, 2] {
            assert_eq!(edited(hop, edit), (hop, code), "hop {hop}");
        }
    };
    refused("human_changed", &|p| p["human"] = other_human.clone());
    refused("assurance_changed", &|p| p["assurance"] = json!("signed"));
    refused("assurance_changed", &|p| p["assurance"] = json!("asserted"));
    refused("task_changed", &|p| p["task"]["id"] = other_task.clone());
    refused("task_changed", &|p| p["task"]["commitment"] = json!(b64(&[0; 32])));
    refused("time_extended", &|p| p["exp"] = json!("2026-11-24T09:00:01Z"));
    refused("time_extended", &|p| p["exp"] = json!("9999-12-31T23:59:59Z"));
    refused("time_extended", &|p| p["iat"] = json!("2026-11-24T07:59:59Z"));
    refused("time_reversed", &|p| p["exp"] = p["iat"].clone());
    refused("time_reversed", &|p| p["exp"] = json!("2026-11-24T07:59:59Z"));
    refused("depth_raised", &|p| p["max_depth"] = json!(3));
    refused("depth_raised", &|p| p["max_depth"] = json!(255));
    refused("depth_mismatch", &|p| p["depth"] = json!(p["depth"].as_u64().unwrap() - 1));
    refused("too_deep", &|p| p["depth"] = json!(3));
    refused("depth_mismatch", &|p| {
        p["depth"] = json!(7);
        p["max_depth"] = json!(7);
    });
    refused("parent_mismatch", &|p| p["parent"] = json!(b64(&[0; 32])));
    refused("parent_mismatch", &|p| p["parent"] = json!(b64(&Forge::new().digest(2))));
    refused("parent_mismatch", &|p| {
        p.as_object_mut().unwrap().remove("parent");
    });
    refused("limit_raised", &|p| p["limits"] = json!([{ "calls": 21 }]));
    refused("limit_raised", &|p| {
        p["limits"] = json!([{ "total": { "argument": "amount", "max": 1 } }, { "calls": 21 }]);
    });
    let widened: [fn(&mut Json); 17] = [
        |c| c["tool"] = json!("**"),
        |c| c["tool"] = json!("mail.*"),
        |c| c["tool"] = json!("pay.**"),
        |c| c["tool"] = json!("Pay.*"),
        |c| c["resource"] = json!(["**"]),
        |c| c["resource"] = json!(["account/*"]),
        |c| c["resource"] = json!(["account/travel-*", "account/other"]),
        |c| c["resource"] = json!(["account/travel-*/x"]),
        |c| drop(c.as_object_mut().unwrap().remove("resource")),
        |c| drop(c.as_object_mut().unwrap().remove("where")),
        |c| drop(c["where"].as_object_mut().unwrap().remove("amount")),
        |c| c["where"]["amount"] = json!({ "at_most": 501 }),
        |c| c["where"]["amount"] = json!({ "at_most": 500.5 }),
        |c| c["where"]["amount"] = json!({ "any": true }),
        |c| c["where"]["amount"] = json!({ "at_least": 1 }),
        |c| c["where"]["extra"] = json!({ "any": true }),
        |c| c["limits"] = json!([{ "calls": 11 }]),
    ];
    for edit in widened {
        refused("scope_widened", &|p| edit(&mut p["scope"][0]));
        // Beside one that is within, too.
        refused("scope_widened", &|p| {
            let mut wide = p["scope"][0].clone();
            edit(&mut wide);
            p["scope"].as_array_mut().unwrap().push(wide);
        });
    }
    // A union of what two capabilities allow is not within either.
    refused("scope_widened", &|p| {
        p["scope"] = json!([{ "tool": "pay.*", "resource": ["account/travel-*", "account/b"] }]);
    });
}

#[test]
fn what_a_hop_may_change() {
    let forge = Forge::new();
    for edit in [
        (|p| p["scope"] = json!([])) as fn(&mut Json),
        |p| p["exp"] = json!("2026-11-24T08:00:01Z"),
        |p| p["iat"] = json!("2026-11-24T08:59:59Z"),
        |p| drop(p.as_object_mut().unwrap().remove("limits")),
        |p| p["limits"] = json!([{ "calls": 1 }, { "rate": { "calls": 1, "per_us": 1 } }]),
        |p| p["scope"][0]["limits"] = json!([{ "calls": 1 }]),
        |p| p["statement"] = json!(b64(&[5; 32])),
        |p| p["max_depth"] = p["depth"].clone(),
    ] {
        for hop in [1, 2] {
            let mut payload = forge.payload(hop);
            edit(&mut payload);
            let tokens = with(&forge, hop, &payload.to_string());
            verify(&tokens[..=hop]).unwrap();
        }
    }
}

#[test]
fn depth_is_bounded_by_every_hop_above() {
    // The root allows one hop: its child is sound, the child's child is not, whatever it states.
    let mut root = root_payload(2);
    root["max_depth"] = json!(1);
    let (top, digest) = sign_root(&secret(AUTHORITY), &root.to_string());
    let child = child_payload(&root, &digest, 3);
    let (middle, digest) = sign_child(&secret(2), &child.to_string());
    let mut last = child_payload(&child, &digest, 4);
    assert!(verify(&[top.clone(), middle.clone()]).is_ok());
    for (max_depth, code) in [(1, "too_deep"), (2, "too_deep"), (255, "too_deep")] {
        last["max_depth"] = json!(max_depth);
        let (leaf, _) = sign_child(&secret(3), &last.to_string());
        assert_eq!(refusal(&[top.clone(), middle.clone(), leaf]), (2, code));
    }
    last["depth"] = json!(1);
    last["max_depth"] = json!(1);
    let (leaf, _) = sign_child(&secret(3), &last.to_string());
    assert_eq!(refusal(&[top, middle, leaf]), (2, "depth_mismatch"));
}

#[test]
fn hops_cannot_be_moved() {
    let forge = Forge::new();
    let hops = forge.tokens();
    let pick = |order: &[usize]| order.iter().map(|at| hops[*at].clone()).collect::<Vec<_>>();
    // A middle hop left out, hops in another order, one hop twice, no root.
    assert_eq!(refusal(&pick(&[0, 2])), (1, "signature"));
    assert_eq!(refusal(&pick(&[0, 2, 1])), (1, "signature"));
    assert_eq!(refusal(&pick(&[1, 0, 2])), (0, "malformed"));
    assert_eq!(refusal(&pick(&[1, 2])), (0, "malformed"));
    assert_eq!(refusal(&pick(&[0, 0])), (1, "signature"));
    assert_eq!(refusal(&pick(&[0, 1, 1])), (2, "signature"));
    assert_eq!(refusal(&pick(&[0, 1, 2, 2])), (3, "signature"));
    assert_eq!(refusal(&pick(&[0, 1, 2, 0])), (3, "signature"));

    // The same holder all the way, so that every signature verifies: the links still do not.
    let root = root_payload(2);
    let (top, top_digest) = sign_root(&secret(AUTHORITY), &root.to_string());
    let child = child_payload(&root, &top_digest, 2);
    let (middle, digest) = sign_child(&secret(2), &child.to_string());
    let (leaf, _) = sign_child(&secret(2), &child_payload(&child, &digest, 2).to_string());
    assert!(verify(&[top.clone(), middle.clone(), leaf.clone()]).is_ok());
    assert_eq!(refusal(&[top.clone(), leaf.clone()]), (1, "parent_mismatch"));
    assert_eq!(refusal(&[top.clone(), middle.clone(), middle.clone()]), (2, "parent_mismatch"));
    assert_eq!(refusal(&[top.clone(), leaf, middle.clone()]), (1, "parent_mismatch"));

    // Spliced: the child of one root under another of the same holder, wider or only other.
    let mut wide = root_payload(2);
    wide["id"] = json!(GrantId::from_bytes([99; 16]).to_string());
    wide["scope"] = json!([{ "tool": "**" }]);
    let (other, _) = sign_root(&secret(AUTHORITY), &wide.to_string());
    assert_eq!(refusal(&[other, middle]), (1, "parent_mismatch"));
    // And with a token that the authority signed for the same payload in another spelling.
    let pretty = serde_json::to_string_pretty(&root).unwrap();
    let (other, other_digest) = sign_root(&secret(AUTHORITY), &pretty);
    assert_ne!(other_digest, top_digest);
    let (middle, _) = sign_child(&secret(2), &child.to_string());
    assert_eq!(refusal(&[other, middle]), (1, "parent_mismatch"));
}

#[test]
fn the_cache_keeps_only_what_was_verified_for_that_place() {
    let forge = Forge::new();
    let tokens = forge.tokens();
    let cache = HopCache::default();
    let verify = |tokens: &[String], anchors: &Anchors| {
        let parsed = UnverifiedChain::parse(&tokens.join("~"), MAX_HOPS).unwrap();
        parsed.verify(anchors, &cache).map_err(|refused| (refused.hop, refused.error.code()))
    };
    let ours = forge.anchors();
    // A failure is not remembered, in either order.
    let mut forged = tokens.clone();
    let (mut body, footer) = parts(&forged[1]);
    let at = body.len() - 40;
    body[at] ^= 1;
    forged[1] = joined(&body, &footer);
    assert_eq!(verify(&forged, &ours).unwrap_err(), (1, "signature"));
    for _ in 0..2 {
        assert!(verify(&tokens, &ours).is_ok());
        // The payload is the cached one, the signature is not.
        assert_eq!(verify(&forged, &ours).unwrap_err(), (1, "signature"));
    }
    // Cached under one authority, asked under another: also one that has taken the same name.
    let them = secret(OTHER_AUTHORITY);
    let theirs = Anchors::one(them.public());
    assert_eq!(verify(&tokens, &theirs).unwrap_err(), (0, "unknown_authority"));
    // A cached child whose parent is now another one, of another key.
    let mut root = root_payload(2);
    root["holder"]["key"] = json!(secret(7).public().paserk());
    let (top, _) = sign_root(&secret(AUTHORITY), &root.to_string());
    assert_eq!(verify(&[top, tokens[1].clone()], &ours).unwrap_err(), (1, "signature"));
    // Or of the same key, where it verifies and is not linked.
    let mut root = root_payload(2);
    root["exp"] = json!("2026-11-24T10:00:00Z");
    let (top, _) = sign_root(&secret(AUTHORITY), &root.to_string());
    assert_eq!(verify(&[top, tokens[1].clone()], &ours).unwrap_err(), (1, "parent_mismatch"));
    // One token as root and as child of a root that the authority's own key holds.
    let mut root = root_payload(2);
    root["holder"]["key"] = json!(secret(AUTHORITY).public().paserk());
    let (top, _) = sign_root(&secret(AUTHORITY), &root.to_string());
    assert!(verify(std::slice::from_ref(&top), &ours).is_ok());
    assert_eq!(verify(&[top.clone(), top.clone()], &ours).unwrap_err(), (1, "malformed"));
    assert!(verify(std::slice::from_ref(&top), &ours).is_ok());
}

#[test]
fn delegation_refuses_what_verification_would() {
    let forge = Forge::new();
    let tokens = forge.tokens();
    let chain = verify(&tokens[..1]).unwrap();
    let terms = || Terms {
        holder: Holder { agent: AgentId::from_bytes([3; 16]), key: secret(3).public() },
        scope: chain.leaf().payload.scope.clone(),
        limits: vec![],
        from: chain.leaf().payload.iat,
        until: chain.leaf().payload.exp,
        further_hops: 1,
        statement: None,
    };
    let refused = |key: u8, terms: Terms| {
        let refused = chain.delegate(&secret(key), terms, MAX_HOPS).unwrap_err();
        (refused.hop, refused.error.code())
    };
    assert!(chain.delegate(&secret(2), terms(), MAX_HOPS).is_ok());
    assert_eq!(refused(3, terms()), (1, "signature"));
    let wide: Scope = serde_json::from_str(r#"[{"tool":"**"}]"#).unwrap();
    assert_eq!(refused(2, Terms { scope: wide, ..terms() }), (1, "scope_widened"));
    let until = terms().until + 1_000_000;
    assert_eq!(refused(2, Terms { until, ..terms() }), (1, "time_extended"));
    assert_eq!(refused(2, Terms { until: terms().from, ..terms() }), (1, "time_reversed"));
    assert_eq!(refused(2, Terms { further_hops: 2, ..terms() }), (1, "depth_raised"));
    assert_eq!(refused(2, Terms { further_hops: 255, ..terms() }), (1, "depth_raised"));
    let limits = vec![Limit::calls(21).unwrap()];
    assert_eq!(refused(2, Terms { limits, ..terms() }), (1, "limit_raised"));
    let limits = vec![Limit::calls(2).unwrap(), Limit::calls(3).unwrap()];
    assert_eq!(refused(2, Terms { limits, ..terms() }), (1, "malformed"));
    let statement = Some("x".repeat(5_000));
    assert_eq!(refused(2, Terms { statement, ..terms() }), (1, "too_large"));
    assert_eq!(chain.delegate(&secret(2), terms(), 1).unwrap_err().error.code(), "too_large");
    let full = verify(&tokens).unwrap();
    let deeper = full.delegate(&secret(4), Terms { further_hops: 0, ..terms() }, MAX_HOPS);
    assert_eq!(deeper.unwrap_err().error.code(), "too_deep");
}
