//! Sessions that lose their backend: real servers (rmcp) behind the stack, and scripted ones.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "a failure is a failed test, and figures are printed"
)]

mod answers;
#[path = "../common/mod.rs"]
mod common;
mod counters;
mod races;
mod scripted;
mod split;
mod split_replicas;
mod writes;
