//! Keys, algorithms and signatures: whose they are, and the one form that each has.

use super::*;

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
