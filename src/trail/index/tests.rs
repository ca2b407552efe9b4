#![allow(clippy::unwrap_used, clippy::indexing_slicing)]
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use proptest::prelude::*;

use super::*;
use crate::canonical::keyed_digest;

fn tagger(key: u8) -> Arc<Tagger> {
    Arc::new(move |parts| keyed_digest(&[key; 32], "test", parts)[..16].try_into().unwrap())
}

fn table(growing: &Growing, leaf: u8) -> Vec<u8> {
    growing.encode("k4.pid.x", &[leaf; 32], &*tagger(1))
}

fn open(bytes: Vec<u8>) -> Result<Table, TableError> {
    Table::open(Box::new(bytes), tagger(1), "k4.pid.x")
}

fn term(value: u8) -> Term {
    // Two fields, so that the one ends where the other begins.
    Term::new(if value.is_multiple_of(2) { Field::Tool } else { Field::Task }, &[value; 40])
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn tables_answer_what_was_put_in(
        entries in proptest::collection::vec((0i64..3, proptest::collection::vec(any::<u8>(), 0..6)), 1..600),
        cuts in proptest::collection::btree_set(1usize..600, 0..5),
        first in 0u64..1_000_000,
    ) {
        // The obvious answer, and tables of stretches that are then joined.
        let mut expected: BTreeMap<u8, BTreeSet<u32>> = BTreeMap::new();
        let (mut at, mut times, mut tables) = (0, Vec::new(), Vec::new());
        let mut growing = Growing::new(first);
        for (offset, (step, values)) in entries.iter().enumerate() {
            if cuts.contains(&offset) {
                tables.push(Arc::new(open(table(&growing, 1)).unwrap()));
                growing = Growing::new(growing.end());
            }
            at += step;
            times.push(at);
            growing.push(at, values.iter().map(|value| term(*value)));
            for value in values {
                expected.entry(*value).or_default().insert(offset as u32);
            }
        }
        tables.push(Arc::new(open(table(&growing, 9)).unwrap()));
        let joined = join(&tables, "k4.pid.x", &*tagger(1)).unwrap();
        let joined = open(joined).unwrap();
        prop_assert_eq!(joined.first(), first);
        prop_assert_eq!(joined.end(), first + entries.len() as u64);
        prop_assert_eq!(joined.last_leaf(), &[9; 32]);
        for value in 0..=u8::MAX {
            let want: Vec<u32> = expected.get(&value).into_iter().flatten().copied().collect();
            prop_assert_eq!(joined.count(&term(value)).unwrap() as usize, want.len());
            prop_assert_eq!(joined.find(&term(value)).unwrap(), want);
        }
        for (field, even) in [(Field::Tool, 0), (Field::Task, 1), (Field::Human, 2)] {
            let want: Vec<Term> = expected.keys().filter(|v| *v % 2 == even).map(|v| term(*v)).collect();
            let mut found = joined.values(field).unwrap();
            found.sort();
            prop_assert_eq!(found, want);
        }
        for time in -1..=at + 1 {
            let want = times.partition_point(|t| *t < time);
            prop_assert_eq!(joined.first_at(time).unwrap() as usize, want);
        }
    }

    #[test]
    fn a_changed_table_is_refused_not_believed(place in any::<proptest::sample::Index>(), bit in 0u8..8) {
        let mut growing = Growing::new(5);
        for value in 0..200u8 {
            growing.push(i64::from(value), [term(value), term(value / 2)]);
        }
        let mut bytes = table(&growing, 1);
        let sound = open(bytes.clone()).unwrap();
        let place = place.index(bytes.len());
        bytes[place] ^= 1 << bit;
        if let Ok(table) = open(bytes) {
            for value in 0..=u8::MAX {
                if let Ok(found) = table.find(&term(value)) {
                    prop_assert_eq!(found, sound.find(&term(value)).unwrap());
                }
            }
            let mut failed = table.first_at(150).is_err();
            failed |= (0..200).any(|value| table.find(&term(value)).is_err());
            prop_assert!(failed, "no part noticed");
        }
    }
}

#[test]
fn a_table_of_another_trail_or_key_is_refused() {
    let mut growing = Growing::new(0);
    growing.push(1, [term(1)]);
    let bytes = table(&growing, 1);
    assert!(open(bytes.clone()).is_ok());
    assert!(Table::open(Box::new(bytes.clone()), tagger(2), "k4.pid.x").is_err());
    assert!(Table::open(Box::new(bytes.clone()), tagger(1), "k4.pid.y").is_err());
    for length in 0..bytes.len() {
        assert!(open(bytes[..length].to_vec()).is_err(), "{length}");
    }
}
