//! What becomes of sessions whose backend is lost.

use std::{path::PathBuf, time::Duration};

use clap::{Args, ValueEnum};

use super::values;

/// What becomes of sessions whose backend is lost.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Lost backends")]
pub(crate) struct RecoveryOptions {
    /// What to do with a session whose backend is lost. resume: open it on another backend as the client opened it,
    /// under the same id; what the server kept in memory is gone. repin: send it to another backend unchanged, after
    /// its own was unreachable for --lost-after; for servers that share their state
    #[arg(long, env = "BARTIZAN_ON_LOST", value_name = "CHOICE", default_value = "fail")]
    pub(crate) on_lost: OnLost,

    /// How long a backend must refuse every connection before its sessions count as lost. If connections
    /// are also refused while a server starts, set this longer than a restart takes
    #[arg(
        long,
        env = "BARTIZAN_LOST_AFTER",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = values::duration
    )]
    pub(crate) lost_after: Duration,

    /// How long to answer 503 for a session whose backend is not on this gateway's list but may be on
    /// another replica's; afterwards the answer is 404, and the session stays in the store
    #[arg(
        long,
        env = "BARTIZAN_SETTLE",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = values::duration_or_zero
    )]
    pub(crate) settle: Duration,

    /// Timeout for resuming a session
    #[arg(
        long,
        env = "BARTIZAN_RESUME_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = values::duration
    )]
    pub(crate) resume_timeout: Duration,

    /// File with the keys that seal what is recorded for resuming sessions. Each line has an id from 0 to
    /// 255 and 64 hexadecimal digits; all replicas need the same file. The first key seals, and every key
    /// opens. By default nothing is sealed
    #[arg(long, env = "BARTIZAN_RECORD_KEYS", value_name = "FILE")]
    pub(crate) record_keys: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum OnLost {
    /// End it: the client gets 404 and opens a new one
    Fail,
    /// Continue on another backend, with a new handshake
    Resume,
    /// Continue on another backend, without a handshake
    Repin,
}
