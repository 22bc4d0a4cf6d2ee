//! Which backends there are, and how they are chosen and reached.

use std::{num::NonZeroUsize, time::Duration};

use bartizan::{core::Backend, pin::Probe};
use clap::{Args, ValueEnum};

use super::values::{self, Limit};

/// Which backends there are, and how they are chosen and reached.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Backends")]
pub(crate) struct UpstreamOptions {
    /// Server to forward to: http://, https:// or h2c:// (HTTP/2 without TLS), with host and port.
    /// Repeat the option, or separate with commas
    #[arg(
        long = "backend",
        env = "BARTIZAN_BACKEND",
        value_name = "URI",
        required = true,
        value_delimiter = ',',
        value_parser = values::backend
    )]
    pub(crate) backends: Vec<Backend>,

    /// How to choose a backend for a new session. A backend that fails to open sessions, or takes longer
    /// than 2s, gets no new ones for a while; at least half of the backends stay in service
    #[arg(long, env = "BARTIZAN_POLICY", value_name = "POLICY", default_value = "least-sessions")]
    pub(crate) policy: Policy,

    /// Timeout for connecting to a backend
    #[arg(
        long,
        env = "BARTIZAN_CONNECT_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = values::duration
    )]
    pub(crate) connect_timeout: Duration,

    /// Maximum number of connections to one backend, or none. Over HTTP/1.1, every call and every event stream in flight
    /// occupies one; over HTTP/2, they share them, up to the number of streams that the backend allows. When the
    /// limit is reached, a call waits for up to 5s, and is then refused with 503. With none, the clients are the
    /// limit: --max-connections, and 100 calls on each HTTP/2 connection
    #[arg(
        long,
        env = "BARTIZAN_MAX_CONNECTIONS_PER_BACKEND",
        value_name = "N|none",
        default_value = "none",
        value_parser = values::count_or_none
    )]
    pub(crate) max_connections_per_backend: Limit<NonZeroUsize>,

    /// Timeout for the start of a backend's response, or none. A response that has started has no time
    /// limit; one that opens a session must start within 30s in any case
    #[arg(
        long,
        env = "BARTIZAN_RESPONSE_TIMEOUT",
        value_name = "DURATION|none",
        default_value = "none",
        value_parser = values::duration_or_none
    )]
    pub(crate) response_timeout: Limit<Duration>,

    /// Path, such as /healthz, to request from each backend at regular intervals, or off. A backend that
    /// fails two probes in a row (no 2xx or 3xx in time) gets no new sessions until it passes one; it
    /// keeps the sessions it has. With off, only clients' requests show whether a backend works
    #[arg(
        long,
        env = "BARTIZAN_PROBE",
        value_name = "PATH|off",
        default_value = "off",
        value_parser = values::probe
    )]
    pub(crate) probe: Limit<Probe>,

    /// Time between two probes of a backend, plus or minus 10 %
    #[arg(
        long,
        env = "BARTIZAN_PROBE_INTERVAL",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = values::duration
    )]
    pub(crate) probe_interval: Duration,

    /// Timeout of a probe
    #[arg(
        long,
        env = "BARTIZAN_PROBE_TIMEOUT",
        value_name = "DURATION",
        default_value = "2s",
        value_parser = values::duration
    )]
    pub(crate) probe_timeout: Duration,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Policy {
    /// Of two random backends, the one with fewer sessions
    LeastSessions,
    /// Each backend in turn
    RoundRobin,
    /// A random backend
    Random,
}
