//! The vectors in `tests/vectors`, which `tests/python` reads too: the files must be what this
//! generator writes, and this implementation must give the verdicts in them.
//!
//! `ANSWERABLE_WRITE_VECTORS=1 cargo test --test vectors` writes them anew.
#![allow(missing_docs)]
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

#[path = "vectors/export.rs"]
mod export;
#[path = "vectors/formats.rs"]
mod formats;
#[path = "vectors/trail.rs"]
mod trail;

use std::path::PathBuf;

use serde_json::Value as Json;

/// Reads a committed vector file after checking that it is what the generator writes.
fn committed(name: &str, generated: &str) -> String {
    let path: PathBuf = [env!("CARGO_MANIFEST_DIR"), "tests", "vectors", name].iter().collect();
    if std::env::var_os("ANSWERABLE_WRITE_VECTORS").is_some() {
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(&path, generated).unwrap();
    }
    let there = std::fs::read_to_string(&path).unwrap_or_else(|error| {
        panic!("{name}: {error}; write it with ANSWERABLE_WRITE_VECTORS=1")
    });
    assert!(there == generated, "{name} is not what the generator writes");
    there
}

fn committed_json(name: &str, generated: &Json) -> Json {
    // Whether objects keep their order depends on the features of all dependencies together.
    let mut sorted = generated.clone();
    sorted.sort_all_objects();
    let text = serde_json::to_string_pretty(&sorted).unwrap() + "\n";
    serde_json::from_str(&committed(name, &text)).unwrap()
}
