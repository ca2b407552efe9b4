//! A small trail with fixed keys and times, and the lines of its export.

use std::collections::BTreeMap;

use answerable::canonical::{Map, Value, commitment, field_salt, from_json, to_json};
use answerable::clock::render_instant;
use answerable::keys::{PublicKey, SecretKey, sign};
use answerable::principal::{EntryId, HumanId};
use answerable::registry::statement_assertion;
use answerable::trail::checkpoint::{CheckpointKey, origin_of, sign_authority_statement};
use answerable::trail::merkle::{Frontier, leaf_hash};
use data_encoding::BASE64URL_NOPAD;
use serde_json::json;

pub(crate) const START: i64 = 1_795_482_123_000_000;

/// The keys of one deployment, from a byte.
pub(crate) struct Keys {
    pub(crate) root: SecretKey,
    pub(crate) first: CheckpointKey,
    pub(crate) second: CheckpointKey,
}

impl Keys {
    pub(crate) fn new(fill: u8) -> Self {
        let root = SecretKey::from_seed(&[fill; 32]).unwrap();
        let origin = origin_of(&root.public());
        let key = |fill| CheckpointKey::from_seed(&origin, &[fill; 32]).unwrap();
        Self { root, first: key(fill + 1), second: key(fill + 2) }
    }

    pub(crate) fn authority(&self) -> PublicKey {
        self.root.public()
    }

    pub(crate) fn statement(&self, key: &CheckpointKey, at: i64) -> Value {
        Value::str(&sign_authority_statement(&self.root, key.verifier(), at).unwrap())
    }
}

#[derive(Clone)]
pub(crate) struct Entry {
    pub(crate) leaf: Map,
    pub(crate) values: Vec<(&'static str, Value)>,
}

impl Entry {
    pub(crate) fn salt(&self, field: &str) -> [u8; 16] {
        let Some(Value::Str(id)) = self.leaf.get("id") else { panic!() };
        let id: EntryId = id.parse().unwrap();
        field_salt(id.as_bytes(), field)
    }
}

pub(crate) fn id(number: u8) -> String {
    EntryId::from_bytes([number + 1; 16]).to_string()
}

pub(crate) fn entry(
    number: u8,
    kind: &str,
    rest: &[(&str, Value)],
    values: &[(&'static str, &str)],
) -> Entry {
    let mut leaf = Map::new();
    leaf.insert("v", Value::int(1));
    leaf.insert("kind", Value::str(kind));
    leaf.insert("id", Value::str(&id(number)));
    leaf.insert("at", Value::Datetime(START + i64::from(number) * 250_000));
    for (key, value) in rest {
        leaf.insert(key, value.clone());
    }
    let values: Vec<_> =
        values.iter().map(|(field, text)| (*field, from_json(text).unwrap())).collect();
    let mut entry = Entry { leaf, values };
    if !entry.values.is_empty() {
        let mut commitments = Map::new();
        for (field, value) in &entry.values {
            let commitment = commitment(&entry.salt(field), field, value);
            commitments.insert(field, Value::bytes(&commitment));
        }
        entry.leaf.insert("commitments", Value::Map(commitments));
    }
    entry
}

pub(crate) fn entries(keys: &Keys) -> Vec<Entry> {
    let text = Value::str;
    let decision = |number, effect, tool| {
        entry(
            number,
            "decision",
            &[("effect", text(effect)), ("tool", text(tool))],
            &[
                ("arguments", r#"{"account":"travel-1","amount":80.0,"memo":"Lisbon"}"#),
                ("resource", r#""account/travel-1""#),
            ],
        )
    };
    let outcome = |number, of: u8| {
        entry(
            number,
            "outcome",
            &[("decision", text(&id(of))), ("status", text("returned"))],
            &[("result", r#"{"$decimal":"8E1"}"#)],
        )
    };
    vec![
        entry(0, "key", &[("statement", keys.statement(&keys.first, START))], &[]),
        entry(1, "identity", &[("human", text("hum"))], &[("name", r#""Alice""#)]),
        entry(2, "grant", &[("digest", Value::bytes(&[7; 32]))], &[]),
        decision(3, "allow", "pay.transfer"),
        outcome(4, 3),
        entry(5, "key", &[("statement", keys.statement(&keys.second, START + 1_000_000))], &[]),
        decision(6, "deny", "pay.transfer"),
        entry(7, "weather", &[("sky", text("grey"))], &[]),
        decision(8, "ask", "pay.refund"),
        decision(9, "allow", "travel.search"),
        decision(10, "allow", "travel.book"),
        outcome(11, 9),
        entry(12, "revocation", &revocation(&keys.root, 12, &[]), &[("reason", r#""done""#)]),
    ]
}

/// The fields of a revocation of a grant never seen, signed; `changes` are put into what is signed.
pub(crate) fn revocation(
    key: &SecretKey,
    number: u8,
    changes: &[(&str, &str)],
) -> Vec<(&'static str, Value)> {
    let by = HumanId::from_bytes([3; 16]).to_string();
    let mut signed = json!({
        "v": 1,
        "entry": id(number),
        "target": "grant",
        "digest": BASE64URL_NOPAD.encode(&[7; 32]),
        "by": by,
        "at": render_instant(START + i64::from(number) * 250_000).unwrap(),
    });
    for (field, text) in changes {
        signed[*field] = json!(text);
    }
    let assertion = statement_assertion("revocation", &key.public().id());
    // In one order, whatever order the JSON library keeps.
    let signed: BTreeMap<String, serde_json::Value> = serde_json::from_value(signed).unwrap();
    let signed = serde_json::to_string(&signed).unwrap();
    let (token, _) = sign(key, &signed, b"", &assertion).unwrap();
    vec![
        ("target", Value::str("grant")),
        ("digest", Value::bytes(&[7; 32])),
        ("by", Value::str(&by)),
        ("statement", Value::str(&token)),
    ]
}

/// The checkpoint at a size, by the key in force there.
pub(crate) fn checkpoint(keys: &Keys, entries: &[Entry], size: usize) -> String {
    let mut tree = Frontier::new();
    for entry in &entries[..size] {
        tree.append(leaf_hash(&Value::Map(entry.leaf.clone()).encode())).unwrap();
    }
    let key = if size > 5 { &keys.second } else { &keys.first };
    key.sign(tree.size(), tree.root()).text().to_owned()
}

pub(crate) fn line(index: usize, entry: &Entry) -> String {
    let leaf = Value::Map(entry.leaf.clone());
    let hash = BASE64URL_NOPAD.encode(&leaf_hash(&leaf.encode()));
    let mut values = String::new();
    for (field, value) in &entry.values {
        let comma = if values.is_empty() { "" } else { "," };
        let salt = BASE64URL_NOPAD.encode(&entry.salt(field));
        let value = to_json(value);
        values.push_str(&format!(r#"{comma}"{field}":{{"salt":"{salt}","value":{value}}}"#));
    }
    let values =
        if values.is_empty() { String::new() } else { format!(r#","values":{{{values}}}"#) };
    format!(r#"{{"index":{index},"leaf":{},"hash":"{hash}"{values}}}"#, to_json(&leaf))
}

pub(crate) fn header(keys: &Keys, size: usize, checkpoints: usize) -> String {
    let authority = keys.authority();
    let origin = origin_of(&authority);
    format!(
        r#"{{"answerable":"trail","format":1,"authority":"{authority}","origin":"{origin}","size":{size},"checkpoints":{checkpoints}}}"#
    )
}

pub(crate) fn checkpoint_line(note: &str) -> String {
    json!({ "checkpoint": note }).to_string()
}

/// The lines of an export, with checkpoints at these sizes.
pub(crate) fn lines(keys: &Keys, entries: &[Entry], sizes: &[usize]) -> Vec<String> {
    let mut lines = vec![header(keys, entries.len(), sizes.len())];
    lines.extend(entries.iter().enumerate().map(|(index, entry)| line(index, entry)));
    lines.extend(sizes.iter().map(|size| checkpoint_line(&checkpoint(keys, entries, *size))));
    lines
}
