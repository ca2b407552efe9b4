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
fn the_authority_is_one_key() {
    let forge = Forge::new();
    let tokens = forge.tokens();
    let payload = forge.payload(0).to_string();
    let us = secret(AUTHORITY).public().id();
    let them = secret(OTHER_AUTHORITY);
    let refused = |token: String| refusal(&[token, tokens[1].clone()]);
    let sign = |key: &SecretKey, footer: &[u8], purpose: &str| {
        keys::sign(key, &payload, footer, purpose).unwrap().0
    };
    // Another authority's root, with the same ids, and an agent's key in the authority's place.
    assert_eq!(refused(sign_root(&them, &payload).0), (0, "unknown_authority"));
    assert_eq!(refused(sign_root(&secret(2), &payload).0), (0, "unknown_authority"));
    let ours = footer(&secret(AUTHORITY));
    for forger in [secret(OTHER_AUTHORITY), secret(2)] {
        assert_eq!(refused(sign(&forger, &ours, &assertion(&us))), (0, "signature"));
    }
    // Ours, but for another authority's purpose, and a footer put on after signing.
    let purpose = assertion(&them.public().id());
    assert_eq!(refused(sign(&secret(AUTHORITY), &ours, &purpose)), (0, "signature"));
    let (body, _) = parts(&sign_root(&them, &payload).0);
    assert_eq!(refused(joined(&body, &Some(ours.clone()))), (0, "signature"));
    // Two authorities trusted: a child of one's root is not one of the other's.
    let mut both = forge.anchors();
    both.add(them.public(), &them.public().id());
    let theirs = sign_root(&them, &payload).0;
    let text = [theirs, tokens[1].clone()].join("~");
    let parsed = UnverifiedChain::parse(&text, MAX_HOPS).unwrap();
    let refused_by_both = parsed.verify(&both, &HopCache::default()).unwrap_err();
    assert_eq!((refused_by_both.hop, refused_by_both.error.code()), (1, "signature"));

    // The footer is exact: no other spelling, key or length.
    let id = &us;
    for footer in [
        format!(r#"{{"kid": "{id}"}}"#),
        format!(r#" {{"kid":"{id}"}}"#),
        format!(r#"{{"kid":"{id}","x":1}}"#),
        format!(r#"{{"KID":"{id}"}}"#),
        id.clone(),
        "{}".to_owned(),
        r#"{"kid":""}"#.to_owned(),
    ] {
        let token = sign(&secret(AUTHORITY), footer.as_bytes(), &assertion(id));
        assert_eq!(refused(token), (0, "malformed"), "{footer}");
    }
    assert_eq!(refused(sign(&secret(AUTHORITY), b"", &assertion(id))), (0, "malformed"));
    assert_eq!(refused(sign(&secret(AUTHORITY), &[0xff; 61], &assertion(id))), (0, "malformed"));

    // No child has a footer, not the authority's and not an empty one.
    let child = forge.payload(1).to_string();
    for footer in [&ours[..], b"{}"] {
        let token = keys::sign(&secret(2), &child, footer, &assertion(id)).unwrap().0;
        assert_eq!(refusal(&[tokens[0].clone(), token]), (1, "malformed"));
    }
    for hop in 0..3 {
        let mut tokens = tokens.clone();
        tokens[hop] += ".";
        assert_eq!(refusal(&tokens), (hop, "malformed"));
        tokens[hop] += "e30";
        assert_eq!(refusal(&tokens).0, hop);
    }
}

#[test]
fn keys_are_not_confused() {
    let forge = Forge::new();
    let tokens = forge.tokens();
    let us = secret(AUTHORITY).public().id();
    // A child signed by anybody but its parent's holder: itself, the root, a stranger.
    for forger in [AUTHORITY, 3, 4, 7] {
        let token = sign_child(&secret(forger), &forge.payload(1).to_string()).0;
        assert_eq!(refusal(&[tokens[0].clone(), token]), (1, "signature"), "{forger}");
    }
    // The authority's key as an agent's: its root is no child, and its child is no root.
    let mut root = root_payload(2);
    root["holder"]["key"] = json!(secret(AUTHORITY).public().paserk());
    let (top, digest) = sign_root(&secret(AUTHORITY), &root.to_string());
    let child = child_payload(&root, &digest, 3);
    let (middle, _) = sign_child(&secret(AUTHORITY), &child.to_string());
    assert!(verify(&[top.clone(), middle.clone()]).is_ok());
    assert_eq!(refusal(&[top.clone(), top.clone()]), (1, "malformed"));
    assert_eq!(refusal(&[middle.clone(), top.clone()]), (0, "malformed"));
    let with_footer = sign_root(&secret(AUTHORITY), &child.to_string()).0;
    assert_eq!(refusal(std::slice::from_ref(&with_footer)), (0, "depth_mismatch"));
    assert_eq!(refusal(&[top, with_footer]), (1, "malformed"));
    let mut parentless = child.clone();
    parentless.as_object_mut().unwrap().remove("parent");
    let token = sign_root(&secret(AUTHORITY), &parentless.to_string()).0;
    assert_eq!(refusal(&[token]), (0, "depth_mismatch"));
    let mut shallow = child;
    shallow["depth"] = json!(0);
    let token = sign_root(&secret(AUTHORITY), &shallow.to_string()).0;
    assert_eq!(refusal(&[token]), (0, "depth_mismatch"));

    // Statements for other purposes, by the same key, are no grants.
    for purpose in [
        format!("answerable/v1/authority/{us}"),
        format!("answerable/v1/grants/{us}"),
        format!("answerable/v2/grant/{us}"),
        "answerable/v1/grant/".to_owned(),
        String::new(),
    ] {
        let text = forge.payload(0).to_string();
        let footer = footer(&secret(AUTHORITY));
        let token = keys::sign(&secret(AUTHORITY), &text, &footer, &purpose).unwrap().0;
        assert_eq!(refusal(&[token]), (0, "signature"), "{purpose}");
        let text = forge.payload(1).to_string();
        let token = keys::sign(&secret(2), &text, b"", &purpose).unwrap().0;
        assert_eq!(refusal(&[tokens[0].clone(), token]), (1, "signature"), "{purpose}");
    }
    // The authority's own statement as a root grant, and a grant as that statement.
    let key = CheckpointKey::from_seed(&origin_of(&secret(AUTHORITY).public()), &[8; 32]).unwrap();
    let statement =
        sign_authority_statement(&secret(AUTHORITY), key.verifier(), 1_764_000_000_000_000);
    assert_eq!(refusal(&[statement.unwrap()]), (0, "malformed"));
    let public = secret(AUTHORITY).public();
    assert!(keys::verify(&public, &tokens[0], &authority_assertion(&public)).is_err());
}

#[test]
fn other_algorithms_and_spellings_are_no_tokens() {
    let forge = Forge::new();
    let tokens = forge.tokens();
    for hop in 0..3 {
        let refused = |token: String| {
            let mut tokens = tokens.clone();
            tokens[hop] = token;
            assert_eq!(refusal(&tokens), (hop, "malformed"));
        };
        let token = &tokens[hop];
        let rest = token.strip_prefix("v4.public.").unwrap();
        for header in [
            "v1.public.",
            "v2.public.",
            "v3.public.",
            "v4.local.",
            "v5.public.",
            "V4.public.",
            "v4.Public.",
            "v4.public",
            "v4.public..",
            "v04.public.",
            "",
            "k4.public.",
            " v4.public.",
            "none.public.",
            "v4p.public.",
        ] {
            refused(format!("{header}{rest}"));
        }
        for tail in ["=", "==", " ", "\n", "\t", "\r\n", "\0", "A.A.A", ".A.A", "é"] {
            refused(format!("{token}{tail}"));
            refused(format!("{tail}{token}"));
        }
        refused(token.replace(['-', '_'], "+"));
        refused("v4.public.".to_owned());
        refused("v4.public.AAAA".to_owned());
        refused(format!("v4.public.{}", b64(&[0; 63])));
        let (body, footer) = parts(token);
        // Cut to the signature alone there is no payload left.
        refused(joined(&body[body.len() - 64..], &footer));
        // Between the characters of the text, too.
        refused(token.replacen("public.", "public.\n", 1));
        refused(format!("{} {}", &token[..40], &token[40..]));
        // Bits after the last byte: each token has one spelling.
        for part in [1, 2].into_iter().take(if footer.is_some() { 2 } else { 1 }) {
            let mut pieces: Vec<String> = rest.split('.').map(str::to_owned).collect();
            let piece = &mut pieces[part - 1];
            if !piece.len().is_multiple_of(4) {
                let last = piece.pop().unwrap();
                let alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
                let at = alphabet.find(last).unwrap();
                piece.push(alphabet.as_bytes()[at + 1] as char);
                refused(format!("v4.public.{}", pieces.join(".")));
            }
        }
    }
    // A signature over a PAE with another header, by the right key.
    let payload = forge.payload(1).to_string();
    let us = assertion(&secret(AUTHORITY).public().id());
    for header in ["v3.public.", "v4.local.", "v4.public", ""] {
        let body = raw_signed(&secret(2), header, payload.as_bytes(), b"", us.as_bytes());
        assert_eq!(refusal(&[tokens[0].clone(), joined(&body, &None)]), (1, "signature"));
    }
    let body = raw_signed(&secret(2), "v4.public.", payload.as_bytes(), b"", us.as_bytes());
    assert!(verify(&[tokens[0].clone(), joined(&body, &None)]).is_ok());
    // Bytes that are no UTF-8, rightly signed.
    let body = raw_signed(&secret(2), "v4.public.", b"{\"v\":1,\"\xff\":1}", b"", us.as_bytes());
    assert_eq!(refusal(&[tokens[0].clone(), joined(&body, &None)]).0, 1);
    // S plus the group's order is another spelling of the same signature.
    let mut body = raw_signed(&secret(2), "v4.public.", payload.as_bytes(), b"", us.as_bytes());
    let at = body.len() - 32;
    add_order(&mut body[at..]);
    assert_eq!(refusal(&[tokens[0].clone(), joined(&body, &None)]), (1, "signature"));
}

/// Payload and signature over any PAE.
fn raw_signed(key: &SecretKey, header: &str, payload: &[u8], footer: &[u8], i: &[u8]) -> Vec<u8> {
    use ed25519_dalek::Signer;
    let message = pae(&[header.as_bytes(), payload, footer, i]);
    let signature = ed25519_dalek::SigningKey::from_bytes(&key.expose_seed()).sign(&message);
    [payload, &signature.to_bytes()].concat()
}

/// Adds the order of the group to a little-endian number.
fn add_order(s: &mut [u8]) {
    let order = data_encoding::HEXLOWER
        .decode(b"edd3f55c1a631258d69cf7a2def9de1400000000000000000000000000000010")
        .unwrap();
    let mut carry = 0;
    for (byte, add) in s.iter_mut().zip(order) {
        let sum = u16::from(*byte) + u16::from(add) + carry;
        *byte = sum as u8;
        carry = sum >> 8;
    }
}

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
