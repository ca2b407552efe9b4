//! The engine under attack and under failure: forged holders, limits under threads and kills,
//! revocations in flight, stores that fail.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs)]

#[path = "support/memory.rs"]
mod memory;
#[path = "recording/world.rs"]
mod world;

#[path = "recording/failures.rs"]
mod failures;
#[path = "recording/forgeries.rs"]
mod forgeries;
#[path = "recording/limits.rs"]
mod limits;
#[path = "recording/revocations.rs"]
mod revocations;
#[path = "recording/vault.rs"]
mod vault;
