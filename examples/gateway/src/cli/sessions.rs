//! What identifies a session and its owner, and how many sessions there may be.

use std::{num::NonZeroUsize, time::Duration};

use clap::{Args, ValueEnum};
use http::HeaderName;

use super::values::{self, Limit, Principal};

/// What identifies a session and its owner, and how many sessions there may be.
#[derive(Args, Clone, Debug)]
#[command(next_help_heading = "Sessions")]
pub(crate) struct SessionOptions {
    /// Header field with the session id, for HTTP services other than MCP
    #[arg(
        long,
        env = "BARTIZAN_SESSION_HEADER",
        value_name = "NAME",
        value_parser = values::session_header
    )]
    pub(crate) session_header: Option<HeaderName>,

    /// Path at which the servers speak MCP, or * for every path. Repeat the option, or separate with
    /// commas. Other requests are forwarded as plain HTTP, unless they have a session id or an MCP version,
    /// or accept text/event-stream
    #[arg(
        long = "endpoint",
        env = "BARTIZAN_ENDPOINT",
        value_name = "PATH",
        default_value = "/mcp",
        value_delimiter = ',',
        value_parser = values::endpoint,
        conflicts_with = "session_header"
    )]
    pub(crate) endpoints: Vec<String>,

    /// What to do with a request that needs a session id and has none. By default it is refused for MCP,
    /// and forwarded with --session-header
    #[arg(long, env = "BARTIZAN_SESSIONLESS", value_name = "CHOICE")]
    pub(crate) sessionless: Option<Sessionless>,

    /// What identifies the client that owns a session; for other clients the session is unknown.
    /// jwt: issuer and subject of the bearer token, which the gateway does not verify (the backend must);
    /// other credentials as with authorization. authorization: the value of that header; a new token is a
    /// new client. header:NAME: the value of that header, which a trusted proxy sets. none: only the
    /// session id counts
    #[arg(
        long,
        env = "BARTIZAN_PRINCIPAL",
        value_name = "none|jwt|authorization|header:NAME",
        default_value = "none",
        value_parser = values::principal
    )]
    pub(crate) principal: Principal,

    /// Give clients session ids made by the gateway, so that they never see those of the backends
    #[arg(long, env = "BARTIZAN_MINT_IDS")]
    pub(crate) mint_ids: bool,

    /// Keep the requests of one OAuth client on one backend, for authorization servers that keep their
    /// state in memory. Follows client, code, transaction and token in queries, forms and credentials
    #[arg(long, env = "BARTIZAN_PIN_OAUTH", conflicts_with = "session_header")]
    pub(crate) pin_oauth: bool,

    /// How long a session may stay unused; open calls and streams count as use
    #[arg(
        long,
        env = "BARTIZAN_IDLE",
        value_name = "DURATION",
        default_value = "2h",
        value_parser = values::session_time
    )]
    pub(crate) idle: Duration,

    /// How long a session may exist, used or not
    #[arg(
        long,
        env = "BARTIZAN_LIFETIME",
        value_name = "DURATION",
        default_value = "24h",
        value_parser = values::session_time
    )]
    pub(crate) lifetime: Duration,

    /// How many sessions there may be at once, including those that are being opened. At 80 % of this number, a new
    /// session evicts the oldest MCP session that got no second request within 60s; at the limit, the oldest one that
    /// got no second request. If all sessions got one, the new session is refused with 503
    #[arg(
        long,
        env = "BARTIZAN_MAX_SESSIONS",
        value_name = "N",
        default_value = "1000000",
        value_parser = values::count
    )]
    pub(crate) max_sessions: NonZeroUsize,

    /// Maximum number of sessions of one client (see --principal), or none; further ones are refused with
    /// 503. Sessions without an owner do not count
    #[arg(
        long,
        env = "BARTIZAN_MAX_SESSIONS_PER_PRINCIPAL",
        value_name = "N|none",
        default_value = "none",
        value_parser = values::count_or_none
    )]
    pub(crate) max_sessions_per_principal: Limit<NonZeroUsize>,

    /// How many sessions one client may have at once, by its IPv4 address or IPv6 /64, or none; further ones are
    /// refused with 503. Behind a proxy, also set --trust or --trust-count: otherwise all clients have the proxy's
    /// address and share one limit
    #[arg(
        long,
        env = "BARTIZAN_MAX_SESSIONS_PER_CLIENT",
        value_name = "N|none",
        default_value = "none",
        value_parser = values::count_or_none
    )]
    pub(crate) max_sessions_per_client: Limit<NonZeroUsize>,

    /// Maximum number of event streams that clients listen on; further ones are refused with 503
    #[arg(
        long,
        env = "BARTIZAN_MAX_STREAMS",
        value_name = "N",
        default_value = "100000",
        value_parser = values::count
    )]
    pub(crate) max_streams: NonZeroUsize,

    /// Send a comment on an event stream that has been silent this long, so that intermediaries do not
    /// close idle connections; at least 100ms, or none
    #[arg(
        long,
        env = "BARTIZAN_STREAM_KEEPALIVE",
        value_name = "DURATION|none",
        default_value = "none",
        value_parser = values::keepalive
    )]
    pub(crate) stream_keepalive: Limit<Duration>,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Sessionless {
    /// Refuse it with 400
    Refuse,
    /// Forward it to any backend
    Forward,
}
