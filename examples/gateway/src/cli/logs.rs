//! What is logged, and where.

use clap::{Args, ValueEnum};

use crate::access_log::Target;

use super::values::{self, LogFilter};

/// What is logged, and where.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Logs")]
pub(crate) struct LogOptions {
    /// Log each request as a line of JSON: append to this file, or write to standard output with -. Lines
    /// are dropped when the disk is too slow. Off by default
    #[arg(
        long,
        env = "BARTIZAN_ACCESS_LOG",
        value_name = "FILE|-",
        value_parser = values::access_log
    )]
    pub(crate) access_log: Option<Target>,

    /// Format of the log on standard error
    #[arg(
        long = "log-format",
        env = "BARTIZAN_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        global = true
    )]
    pub(crate) format: LogFormat,

    /// What to log to standard error: error, warn, info, debug (every refusal), trace, or a tracing
    /// filter such as info,bartizan::session=debug. Takes precedence over RUST_LOG
    #[arg(
        long = "log",
        env = "BARTIZAN_LOG",
        value_name = "LEVEL",
        default_value = "info",
        global = true,
        value_parser = values::log_filter
    )]
    pub(crate) filter: LogFilter,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// A JSON object per line
    Json,
}
