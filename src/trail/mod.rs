//! The trail: an append-only record under an RFC 6962 tree, signed checkpoints, and the verifier.
//!
//! `merkle`, `checkpoint` and `proof` are the writer's and the reader's; `verify` shares no path
//! with them. `docs/formats.md` is normative for all the bytes.

pub mod amend;
pub mod block;
pub mod checkpoint;
pub mod entry;
pub mod index;
pub mod merkle;
pub mod proof;
mod sealed;
pub mod tiles;
pub mod verify;
pub mod witness;

#[cfg(test)]
mod tests;
