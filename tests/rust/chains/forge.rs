//! A sound chain of three hops, and the means to forge others.

use super::*;

/// The authority's key, another authority's, and those of three agents.
pub(crate) fn secret(seed: u8) -> SecretKey {
    SecretKey::from_seed(&[seed; 32]).unwrap()
}

pub(crate) const AUTHORITY: u8 = 1;
pub(crate) const OTHER_AUTHORITY: u8 = 9;

pub(crate) struct Forge {
    payloads: Vec<Json>,
    signed: Vec<(String, Digest)>,
}

pub(crate) fn b64(bytes: &[u8]) -> String {
    BASE64URL_NOPAD.encode(bytes)
}

pub(crate) fn footer(authority: &SecretKey) -> Vec<u8> {
    format!(r#"{{"kid":"{}"}}"#, authority.public().id()).into_bytes()
}

pub(crate) fn agent(n: u8) -> String {
    AgentId::from_bytes([n; 16]).to_string()
}

pub(crate) fn root_payload(holder: u8) -> Json {
    json!({
        "v": 1,
        "id": GrantId::from_bytes([16; 16]).to_string(),
        "nonce": b64(&[32; 16]),
        "human": HumanId::from_bytes([1; 16]).to_string(),
        "assurance": "oidc",
        "task": {
            "id": TaskId::from_bytes([1; 16]).to_string(),
            "commitment": b64(&statement_commitment(&[32; 16], "Book the offsite")),
        },
        "holder": { "agent": agent(holder), "key": secret(holder).public().paserk() },
        "depth": 0,
        "max_depth": 2,
        "iat": "2026-11-24T08:00:00Z",
        "exp": "2026-11-24T09:00:00Z",
        "scope": [{
            "tool": "pay.*",
            "resource": ["account/travel-*"],
            "where": { "amount": { "at_most": 500 }, "memo": { "any": true } },
            "limits": [{ "calls": 10 }],
        }],
        "limits": [{ "calls": 20 }],
    })
}

/// A payload below another: the same terms one hop deeper.
pub(crate) fn child_payload(parent: &Json, digest: &Digest, holder: u8) -> Json {
    let mut child = parent.clone();
    let depth = parent["depth"].as_u64().unwrap() + 1;
    child["id"] = json!(GrantId::from_bytes([16 + depth as u8; 16]).to_string());
    child["nonce"] = json!(b64(&[32 + depth as u8; 16]));
    child["parent"] = json!(b64(digest));
    child["holder"] = json!({ "agent": agent(holder), "key": secret(holder).public().paserk() });
    child["depth"] = json!(depth);
    child
}

pub(crate) fn sign_root(authority: &SecretKey, text: &str) -> (String, Digest) {
    let id = authority.public().id();
    keys::sign(authority, text, &footer(authority), &assertion(&id)).unwrap()
}

pub(crate) fn sign_child(key: &SecretKey, text: &str) -> (String, Digest) {
    keys::sign(key, text, b"", &assertion(&secret(AUTHORITY).public().id())).unwrap()
}

impl Forge {
    /// The authority grants to agent 2, who delegates to agent 3, who delegates to agent 4.
    pub(crate) fn new() -> Self {
        let root = root_payload(2);
        let mut forge = Self { payloads: vec![root], signed: Vec::new() };
        forge.signed.push(forge.sign(0, &forge.payloads[0].to_string()));
        for hop in 1..3 {
            let parent = &forge.payloads[hop - 1];
            let child = child_payload(parent, &forge.signed[hop - 1].1, 2 + hop as u8);
            forge.signed.push(forge.sign(hop, &child.to_string()));
            forge.payloads.push(child);
        }
        forge
    }

    pub(crate) fn payload(&self, hop: usize) -> Json {
        self.payloads[hop].clone()
    }

    pub(crate) fn digest(&self, hop: usize) -> Digest {
        self.signed[hop].1
    }

    pub(crate) fn tokens(&self) -> Vec<String> {
        self.signed.iter().map(|(token, _)| token.clone()).collect()
    }

    pub(crate) fn anchors(&self) -> Anchors {
        Anchors::one(secret(AUTHORITY).public())
    }

    /// Signs a payload's text with the key that must sign at a hop.
    pub(crate) fn sign(&self, hop: usize, text: &str) -> (String, Digest) {
        match hop {
            0 => sign_root(&secret(AUTHORITY), text),
            _ => sign_child(&secret(1 + hop as u8), text),
        }
    }
}

/// The tokens of the sound chain with another payload at a hop.
pub(crate) fn with(forge: &Forge, hop: usize, text: &str) -> Vec<String> {
    let mut tokens = forge.tokens();
    tokens[hop] = forge.sign(hop, text).0;
    tokens
}

pub(crate) fn verify(tokens: &[String]) -> Result<Chain, InvalidGrant> {
    verify_text(&tokens.join("~"))
}

pub(crate) fn verify_text(text: &str) -> Result<Chain, InvalidGrant> {
    let anchors = Anchors::one(secret(AUTHORITY).public());
    UnverifiedChain::parse(text, MAX_HOPS)?.verify(&anchors, &HopCache::default())
}

/// The hop and code that a chain is refused with.
pub(crate) fn refusal(tokens: &[String]) -> (usize, &'static str) {
    refusal_of(&tokens.join("~"))
}

pub(crate) fn refusal_of(text: &str) -> (usize, &'static str) {
    let refused = verify_text(text).expect_err("it must be refused");
    (refused.hop, refused.error.code())
}

/// A token's body (payload and signature) and footer.
pub(crate) fn parts(token: &str) -> (Vec<u8>, Option<Vec<u8>>) {
    let rest = token.strip_prefix("v4.public.").unwrap();
    let mut parts = rest.split('.').map(|part| BASE64URL_NOPAD.decode(part.as_bytes()).unwrap());
    (parts.next().unwrap(), parts.next())
}

pub(crate) fn joined(body: &[u8], footer: &Option<Vec<u8>>) -> String {
    match footer {
        Some(footer) => format!("v4.public.{}.{}", b64(body), b64(footer)),
        None => format!("v4.public.{}", b64(body)),
    }
}
