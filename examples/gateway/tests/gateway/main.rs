//! The gateway as a process.
#![allow(
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod bounds;
mod browsers;
mod busy;
mod compat;
mod connections;
mod demo;
mod edges;
mod evidence;
mod fixtures;
mod http2;
mod lockout;
mod logs;
mod loops;
mod metrics;
#[cfg(target_os = "linux")]
mod names;
mod oauth;
mod oauth_replicas;
mod principal;
mod probes;
mod provenance;
mod refused;
mod replicas;
mod resume;
#[cfg(unix)]
mod shutdown;
mod smuggling;
mod streams;
mod tls;
mod traces;
mod trailers;
mod workers;
