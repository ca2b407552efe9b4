//! The engine of answerable: every action of an AI agent, answerable to a human.
//!
//! Layers, from the bottom up; a file imports only from layers above it in this list, or from
//! files named earlier in its own line:
//!
//! 0. [`clock`], [`canonical`], [`keys`]
//! 1. [`principal`], [`request`], [`scope`]
//! 2. [`grant`], [`chain`], [`policy`]
//! 3. [`decision`], [`authorizer`], [`trail`], [`vault`]
//! 4. [`store`]
//! 5. [`registry`], [`recorder`], [`engine`]
//! 6. `python`, behind the feature of that name
#![forbid(unsafe_code)]

pub mod authorizer;
pub mod canonical;
pub mod chain;
pub mod clock;
pub mod decision;
pub mod engine;
pub mod grant;
pub mod keys;
pub mod policy;
pub mod principal;
#[cfg(feature = "python")]
mod python;
pub mod recorder;
pub mod registry;
pub mod request;
pub mod scope;
pub mod store;
pub mod trail;
pub mod vault;
