//! The engine of answerable: every action of an AI agent, answerable to a human.
//!
//! Layers, from the bottom up; a file imports only from layers above it in this list, or from
//! files named earlier in its own line:
//!
//! 0. `clock`, `canonical`, `keys`
//! 1. `principal`, `request`, `scope`
//! 3. `trail` (entry, block, merkle, checkpoint, proof, verify)
#![forbid(unsafe_code)]

pub mod canonical;
pub mod clock;
pub mod keys;
pub mod principal;
pub mod trail;
