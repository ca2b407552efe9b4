#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use std::io::{BufReader, Read};

use data_encoding::HEXLOWER;
use proptest::prelude::*;

use super::*;
use crate::canonical::tests::any_value;
use crate::canonical::{decode, from_json, to_json};
use crate::keys::SecretKey;
use crate::trail::merkle::{self, Frontier};

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1_000))]

    #[test]
    fn both_encoders_write_the_same_bytes(value in any_value()) {
        let bytes = bytes::encode(&json::parse(&to_json(&value)).unwrap()).unwrap();
        prop_assert_eq!(&bytes, &value.encode());
        bytes::check(&bytes).unwrap();
    }

    #[test]
    fn both_decoders_accept_the_same_bytes(bytes in proptest::collection::vec(0u8..20, 0..60)) {
        prop_assert_eq!(bytes::check(&bytes).is_ok(), decode(&bytes).is_ok());
    }

    #[test]
    fn both_readers_accept_the_same_text(
        text in "[\\[\\]{}:, $\"\\\\a-fintul0-9eE.+-]{0,24}",
        cut in 0usize..60,
        value in any_value(),
    ) {
        let read = |text: &str| json::parse(text).and_then(|value| bytes::encode(&value));
        prop_assert_eq!(read(&text).ok(), from_json(&text).ok().map(|value| value.encode()));
        let mut written = to_json(&value);
        let cut = (0..=cut.min(written.len())).rev().find(|at| written.is_char_boundary(*at));
        written.insert_str(cut.unwrap(), &text);
        let ours = from_json(&written).ok().map(|value| value.encode());
        prop_assert_eq!(read(&written).ok(), ours, "{}", written);
    }

    #[test]
    fn both_trees_have_the_same_roots(leaves in proptest::collection::vec(any::<[u8; 32]>(), 0..80)) {
        let sizes: Vec<u64> = (0..=leaves.len() as u64 + 1).collect();
        let mut frontier = Frontier::new();
        let mut expected = vec![Some(frontier.root())];
        for leaf in &leaves {
            frontier.append(*leaf).unwrap();
            expected.push(Some(frontier.root()));
        }
        expected.push(None);
        prop_assert_eq!(tree::roots(&leaves, &sizes), expected);
    }

    #[test]
    fn any_bytes_are_verified_without_a_panic(data in proptest::collection::vec(any::<u8>(), 0..300)) {
        let authority = SecretKey::from_seed(&[1; 32]).unwrap().public();
        let found = verify(data.as_slice(), &authority, &[], &mut |_, _| {});
        prop_assert!(found.is_err());
        let mut verifier = Verifier::new(&authority, &[]);
        verifier.leaf(u64::MAX, &data, &[]);
        verifier.leaf(u64::MAX, &data, &[]);
        prop_assert!(verifier.finish().fault_count > 0);
    }
}

#[test]
fn the_vectors_of_canonical_values() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/tests/vectors/canonical.json");
    let Ok(text) = std::fs::read_to_string(path) else { return };
    let vectors: serde_json::Value = serde_json::from_str(&text).unwrap();
    let list = |key: &str| vectors[key].as_array().unwrap().clone();
    let read = |one: &serde_json::Value| {
        json::parse(one["json"].as_str().unwrap()).and_then(|value| bytes::encode(&value))
    };
    let unhex =
        |one: &serde_json::Value| HEXLOWER.decode(one["hex"].as_str().unwrap().as_bytes()).unwrap();
    for one in list("values") {
        assert_eq!(read(&one).unwrap(), unhex(&one), "{one}");
        bytes::check(&unhex(&one)).unwrap();
    }
    for one in list("refused_json") {
        assert!(read(&one).is_err(), "{one}");
    }
    for one in list("refused_bytes") {
        assert!(bytes::check(&unhex(&one)).is_err(), "{one}");
    }
}

#[test]
fn a_line_that_never_ends_costs_bounded_memory() {
    let authority = SecretKey::from_seed(&[1; 32]).unwrap().public();
    let endless = std::io::repeat(b'[').take(8 << 20);
    let Err(VerifyError::Corrupted(report)) =
        verify(BufReader::new(endless), &authority, &[], &mut |_, _| {})
    else {
        panic!()
    };
    assert_eq!(report.faults[0].code, Code::BadHeader);
}

#[test]
fn faults_are_all_counted_and_some_kept() {
    let authority = SecretKey::from_seed(&[1; 32]).unwrap().public();
    let lines = "x\n".repeat(3_000);
    let Err(VerifyError::Corrupted(report)) =
        verify(lines.as_bytes(), &authority, &[], &mut |_, _| {})
    else {
        panic!()
    };
    assert_eq!((report.faults.len(), report.fault_count), (MAX_FAULTS, 3_000));
}

#[test]
fn the_hash_of_a_leaf_is_the_writers() {
    assert_eq!(tree::of_leaf(b"leaf"), merkle::leaf_hash(b"leaf"));
}
