//! The trail: the append-only record. Leaf bytes, packed blocks, the RFC 6962 tree, signed
//! checkpoints, proofs, and a verifier that shares no path with the writer.

pub mod block;
pub mod checkpoint;
pub mod entry;
pub mod merkle;
pub mod proof;
