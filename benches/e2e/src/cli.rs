//! The command line.

use std::path::PathBuf;

use clap::{Args, Parser, Subcommand};

use crate::contender::Contender;

/// Measures what requests, events, connections and sessions cost the gateway, compared with a plain forwarder and other
/// proxies.
#[derive(Debug, Parser)]
#[command(max_term_width = 100)]
pub(crate) struct Cli {
    /// What to measure; everything, if nothing is named
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) options: Options,
}

#[derive(Clone, Copy, Debug, Subcommand)]
pub(crate) enum Command {
    /// Whether each session stays on its backend, and whether a plain load balancer is found not to keep sessions
    Stickiness,
    /// CPU time per request
    Cpu,
    /// CPU time per forwarded server-sent event
    Events,
    /// CPU time per request with 1,000 and with 1,000,000 sessions open
    Sessions,
    /// Resident memory: fresh, per idle connection, per open stream, per stream that has ended, per session
    Memory,
    /// The backends themselves, for the programs that are measured
    #[command(hide = true)]
    Backends { count: u8 },
}

#[derive(Args, Debug)]
pub(crate) struct Options {
    /// Number of rounds; in each, every contender has its turn
    #[arg(long, global = true, default_value_t = 20)]
    pub(crate) rounds: usize,

    /// Length of a turn; a fifth of it is added before as a warm-up
    #[arg(long, global = true, value_name = "SECONDS", default_value_t = 1.5)]
    pub(crate) seconds: f64,

    /// Number of concurrent connections
    #[arg(long, global = true, value_name = "N", value_delimiter = ',', default_values_t = [1, 32, 256])]
    pub(crate) conns: Vec<usize>,

    /// Requests per second over 32 connections, for part load; 0 leaves it out
    #[arg(long, global = true, value_name = "N", default_value_t = 5_000)]
    pub(crate) rate: u32,

    /// Number of open sessions while requests are measured
    #[arg(long, global = true, value_name = "N", default_value_t = 512)]
    pub(crate) open: usize,

    /// Contenders in addition to the floor; by default all
    #[arg(long, global = true, value_name = "NAME", value_delimiter = ',', value_enum)]
    pub(crate) only: Vec<Contender>,

    /// Number of memory measurements, each in a fresh process
    #[arg(long, global = true, value_name = "N", default_value_t = 3)]
    pub(crate) repeats: usize,

    /// File to write the results to
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) json: Option<PathBuf>,

    /// Another build of bartizan-gateway, to compare with (gateway-before)
    #[arg(long, global = true, value_name = "FILE")]
    pub(crate) before: Option<PathBuf>,

    /// Path of the Envoy binary
    #[arg(long, global = true, value_name = "FILE", default_value = "envoy")]
    pub(crate) envoy: PathBuf,
}
