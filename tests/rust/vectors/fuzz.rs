//! The strict parsers against bytes that nobody wrote: what is accepted is one spelling of one
//! thing, and what is changed is found.
//!
//! A few thousand cases run by default; `make fuzz` runs as many as `ANSWERABLE_FUZZ` says.

use std::fs;
use std::path::PathBuf;

use answerable::canonical::decode;
use answerable::chain::{Anchors, HopCache, UnverifiedChain};
use answerable::keys::PublicKey;
use answerable::trail::checkpoint::SignedCheckpoint;
use answerable::trail::verify::verify;
use serde_json::Value as Json;

/// A generator of our own: the same cases every time, and no clock in a test.
struct Chance(u64);

impl Chance {
    fn next(&mut self) -> u64 {
        // xorshift64*
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d)
    }

    fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % (end.max(1) as u64)).unwrap()
    }

    /// One to four small changes: a bit, a byte, a cut, a copy, a splice of another input.
    fn change(&mut self, seed: &[u8], other: &[u8]) -> Vec<u8> {
        let mut bytes = seed.to_vec();
        for _ in 0..=self.below(3) {
            let at = self.below(bytes.len());
            match self.below(6) {
                _ if bytes.is_empty() => bytes.extend_from_slice(other),
                0 => bytes[at] ^= 1 << self.below(8),
                1 => bytes[at] = u8::try_from(self.below(256)).unwrap(),
                2 => {
                    let end = (at + 1 + self.below(8)).min(bytes.len());
                    bytes.drain(at..end);
                }
                3 => {
                    let end = (at + 1 + self.below(8)).min(bytes.len());
                    let copy = bytes[at..end].to_vec();
                    bytes.splice(at..at, copy);
                }
                4 => bytes.insert(at, u8::try_from(self.below(256)).unwrap()),
                _ => {
                    let from = self.below(other.len());
                    let end = (from + 1 + self.below(24)).min(other.len());
                    bytes.splice(at..at, other[from.min(end)..end].to_vec());
                }
            }
        }
        bytes
    }
}

fn cases(usual: usize) -> usize {
    std::env::var("ANSWERABLE_FUZZ").ok().map_or(usual, |text| text.parse().unwrap())
}

fn vector(name: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "vectors", name].iter().collect();
    fs::read_to_string(path).unwrap()
}

/// Every text of a JSON document that holds.
fn texts(json: &Json, holds: &dyn Fn(&str) -> bool, into: &mut Vec<String>) {
    match json {
        Json::String(text) if holds(text) => into.push(text.clone()),
        Json::Array(items) => items.iter().for_each(|item| texts(item, holds, into)),
        Json::Object(map) => map.values().for_each(|item| texts(item, holds, into)),
        _ => {}
    }
}

#[test]
fn fuzz_canonical_bytes_have_one_spelling() {
    let json: Json = serde_json::from_str(&vector("canonical.json")).unwrap();
    let mut seeds = Vec::new();
    texts(&json, &|text| text.len() >= 2 && text.len() % 2 == 0, &mut seeds);
    let hex = |text: &String| data_encoding::HEXLOWER_PERMISSIVE.decode(text.as_bytes()).ok();
    let seeds: Vec<Vec<u8>> = seeds.iter().filter_map(hex).collect();
    let sound = seeds.iter().filter(|seed| decode(seed).is_ok()).count();
    assert!(sound > 20, "{sound} of {} are sound", seeds.len());
    let mut chance = Chance(1);
    let mut accepted = 0;
    for _ in 0..cases(20_000) {
        let (one, other) = (chance.below(seeds.len()), chance.below(seeds.len()));
        let bytes = chance.change(&seeds[one], &seeds[other]);
        if let Ok(value) = decode(&bytes) {
            accepted += 1;
            assert_eq!(value.encode(), bytes, "two spellings of {value:?}");
        }
    }
    assert!(accepted > 0, "nothing that was changed is ever sound: the changes are too coarse");
}

#[test]
fn fuzz_a_changed_token_is_never_verified() {
    let json: Json = serde_json::from_str(&vector("grants.json")).unwrap();
    let mut chains = Vec::new();
    texts(&json, &|text| text.starts_with("v4.public."), &mut chains);
    let mut keys = Vec::new();
    texts(&json, &|text| text.starts_with("k4.public."), &mut keys);
    let mut anchors = Anchors::default();
    for key in &keys {
        let key = PublicKey::parse(key).unwrap();
        anchors.add(key, &key.id());
    }
    assert!(chains.len() > 10);
    let mut chance = Chance(2);
    for _ in 0..cases(2_000) {
        let (one, other) = (chance.below(chains.len()), chance.below(chains.len()));
        let bytes = chance.change(chains[one].as_bytes(), chains[other].as_bytes());
        let Ok(text) = std::str::from_utf8(&bytes) else { continue };
        let Ok(chain) = UnverifiedChain::parse(text, 8) else { continue };
        let Ok(verified) = chain.verify(&anchors, &HopCache::default()) else { continue };
        assert_eq!(verified.text(), text, "two spellings of one chain");
        // Whole hops may be cut off or put together anew: each was signed as it stands.
        for hop in text.split('~') {
            assert!(chains.iter().any(|chain| chain.split('~').any(|known| known == hop)));
        }
    }
}

#[test]
fn fuzz_a_changed_export_is_found() {
    let cases_of: Json = serde_json::from_str(&vector("export/cases.json")).unwrap();
    let mut keys = Vec::new();
    texts(&cases_of, &|text| text.starts_with("k4.public."), &mut keys);
    let sound = vector("export/sound.jsonl");
    let key = keys
        .iter()
        .map(|key| PublicKey::parse(key).unwrap())
        .find(|key| verify(sound.as_bytes(), key, &[], &mut |_, _| {}).is_ok());
    let key = key.expect("the sound export verifies under one of the keys");
    let report = verify(sound.as_bytes(), &key, &[], &mut |_, _| {}).unwrap();
    let kept = sound
        .lines()
        .filter_map(|line| serde_json::from_str::<Json>(line).ok())
        .filter_map(|line| line["checkpoint"].as_str().map(str::to_owned))
        .next_back()
        .unwrap();
    assert!(SignedCheckpoint::parse(&kept).is_ok());
    let other = vector("export/another_trail.jsonl");
    let mut chance = Chance(3);
    for _ in 0..cases(1_500) {
        let bytes = chance.change(sound.as_bytes(), other.as_bytes());
        let Ok(verified) = verify(bytes.as_slice(), &key, &[&kept], &mut |_, _| {}) else {
            continue;
        };
        // Another spelling of the same JSON is the same trail; anything else is found.
        assert_eq!((verified.size, verified.root), (report.size, report.root));
        assert_eq!(verified.kinds, report.kinds);
    }
}
