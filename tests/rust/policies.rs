//! The compiled policies beside stock Cedar.
#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing)]
#![allow(missing_docs, clippy::print_stdout, clippy::print_stderr)]

#[path = "policies/alike.rs"]
mod alike;
#[path = "policies/generate.rs"]
mod generate;
#[path = "policies/kinds.rs"]
mod kinds;
#[path = "policies/nasty.rs"]
mod nasty;
#[path = "policies/same.rs"]
mod same;
#[path = "policies/stock.rs"]
mod stock;
