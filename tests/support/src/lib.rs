//! Servers, clients and suites that Bartizan's tests share.
//!
//! Everything runs on loopback, on ports that the system gives, and ends when it is dropped.
//!
//! Tests that follow a table of a specification name its rows, such as `SM-13`; `tests/ROWS.md` explains them.
#![allow(
    missing_docs,
    clippy::exhaustive_enums,
    clippy::exhaustive_structs,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::missing_errors_doc,
    clippy::missing_panics_doc,
    clippy::must_use_candidate,
    clippy::panic,
    clippy::unwrap_used,
    reason = "test support: a failure here is a failed test"
)]

pub mod client;
pub mod counter;
pub mod eventually;
pub mod process;
pub mod raw;
pub mod recording;
pub mod redis;
pub mod server;
pub mod silent;
pub mod wire;

pub use counter::CounterServer;
pub use eventually::eventually;
pub use recording::{Recorder, Script};
pub use redis::RedisServer;
pub use server::{BoxBody, Server, serve};
pub use silent::Silent;
pub use wire::Wire;
