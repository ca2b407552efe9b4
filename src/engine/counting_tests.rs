#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

use super::*;
use crate::engine::{Engine, Filter, Options};
use crate::principal::Assurance;
use crate::recorder::keyspace;
use crate::registry::NewHuman;
use crate::store::Batch;

#[test]
fn entries_are_counted_and_grouped_without_a_block() {
    let dir = tempfile::tempdir().unwrap();
    let engine = Engine::open(&dir.path().join("store"), Options::default()).unwrap();
    for number in 0..40 {
        let account = format!("h{number}@example.com");
        let new = NewHuman {
            account: &account,
            issuer: "local",
            name: None,
            assurance: Assurance::Asserted,
            by: None,
        };
        engine.register_human(&new).unwrap();
    }
    engine.library.settle().unwrap();
    let all = engine.query(&Filter::default(), None, None).unwrap();
    let some = Filter { kind: Some("identity".to_owned()), ..Filter::default() };
    let some = engine.query(&some, None, None).unwrap();
    let fields = [CountBy::Field(Field::Kind), CountBy::Field(Field::Human), CountBy::Time(1)];
    let counted = || {
        let groups: Vec<_> =
            fields.iter().map(|by| all.count_by(&engine.library, *by).unwrap()).collect();
        (all.count(&engine.library).unwrap(), some.count(&engine.library).unwrap(), groups)
    };
    let before = counted();
    // The account that registers them is one more.
    assert_eq!(before.1, 41);
    assert_eq!(before.2[0]["identity"], 41);
    // From here on whoever reads a block is told so.
    let mut batch = Batch::new();
    engine
        .library
        .each_block(0, &mut |_, block| {
            batch.put(keyspace::block(block.first()), "no block");
            Ok(true)
        })
        .unwrap();
    engine.library.forget_blocks();
    engine.store.commit(batch).unwrap();
    assert!(all.count_by(&engine.library, CountBy::Resource).is_err(), "its values are read");
    assert_eq!(counted(), before);
}
