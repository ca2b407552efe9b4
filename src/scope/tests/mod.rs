#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]

mod caveats;
mod generate;
mod laws;
mod scopes;
mod wire;
