//! The command line: every option, its environment variable and its default.

mod values;

use std::{
    net::SocketAddr,
    num::{NonZeroU8, NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use bartizan::{
    core::{Backend, ProxyName, Route},
    forwarded::Network,
    hops::HopHeader,
    pin::Probe,
};
use clap::{
    Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum, builder::Resettable,
};
use http::HeaderName;

pub(crate) use values::{Limit, LogFilter, Principal, Store};

/// A reverse proxy that keeps each session on the backend that opened it.
///
/// Options are read from the command line, then from the environment.
#[derive(Clone, Debug, Parser)]
#[command(name = "bartizan-gateway", version, max_term_width = 100, subcommand_negates_reqs = true)]
pub(crate) struct Cli {
    #[command(flatten)]
    pub(crate) options: Options,
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
}

#[derive(Clone, Debug, Subcommand)]
pub(crate) enum Command {
    /// Start three counter servers, the gateway and a client in one process, and show that each
    /// session keeps its backend
    Demo {
        /// Leave after the check: with 0 if every session counted right, else with 1
        #[arg(long)]
        once: bool,
    },
}

/// The settings of a gateway.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Where to accept connections: an IP address and a port; port 0 takes a free one
    #[arg(
        long,
        env = "BARTIZAN_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        value_parser = values::socket_addr
    )]
    pub(crate) listen: SocketAddr,

    /// A server to forward to: http://, https:// or h2c:// (HTTP/2 in clear text), with host and
    /// port; repeat the option or separate with commas
    #[arg(
        long = "backend",
        env = "BARTIZAN_BACKEND",
        value_name = "URI",
        required = true,
        value_delimiter = ',',
        value_parser = values::backend
    )]
    pub(crate) backends: Vec<Backend>,

    /// Where session records live: memory (of this process), or a server that replicas share, by
    /// redis://user@host:port/database, redis-sentinel://… or redis-cluster://…, and with TLS by rediss;
    /// its password is best given by the environment variable BARTIZAN_STORE_PASSWORD
    #[arg(
        long,
        env = "BARTIZAN_STORE",
        value_name = "STORE",
        default_value = "memory",
        hide_env_values = true,
        value_parser = values::store
    )]
    pub(crate) store: Store,

    /// How long the store may take to answer
    #[arg(
        long,
        env = "BARTIZAN_STORE_TIMEOUT",
        value_name = "DURATION",
        default_value = "250ms",
        value_parser = values::duration
    )]
    pub(crate) store_timeout: Duration,

    /// How long sessions that were read lately are served while the store does not answer, or 0s
    #[arg(
        long,
        env = "BARTIZAN_STORE_GRACE",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = values::duration_or_zero
    )]
    pub(crate) store_grace: Duration,

    /// How many sessions of a shared store are kept near, or off
    #[arg(
        long,
        env = "BARTIZAN_NEAR_CACHE",
        value_name = "N|off",
        default_value = "100000",
        value_parser = values::near_cache
    )]
    pub(crate) near_cache: usize,

    /// Where to answer /healthz (200 while the process serves) and /readyz (200 while the store answers
    /// and the gateway is not leaving, else 503); by default nowhere
    #[arg(long, env = "BARTIZAN_ADMIN", value_name = "ADDR", value_parser = values::socket_addr)]
    pub(crate) admin: Option<SocketAddr>,

    /// The name of this gateway's sessions in the store: those of another route are unknown here
    #[arg(
        long,
        env = "BARTIZAN_ROUTE",
        value_name = "NAME",
        default_value = "default",
        value_parser = values::route
    )]
    pub(crate) route: Route,

    /// Keep sessions of any HTTP service whose ids are in this header field, instead of MCP sessions
    #[arg(
        long,
        env = "BARTIZAN_SESSION_HEADER",
        value_name = "NAME",
        value_parser = values::session_header
    )]
    pub(crate) session_header: Option<HeaderName>,

    /// The path at which the servers speak MCP, or * for every path; repeat the option or separate with
    /// commas. Requests elsewhere are forwarded as plain HTTP, unless they show a session id or an MCP
    /// version, or accept text/event-stream
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

    /// Keep the requests of one OAuth client on one backend, for authorization servers that keep clients,
    /// codes and tokens in memory: by client, code, transaction and token, in queries, forms and credentials
    #[arg(long, env = "BARTIZAN_PIN_OAUTH", conflicts_with = "session_header")]
    pub(crate) pin_oauth: bool,

    /// What becomes of a request that shows no session id where it should; by default it is refused
    /// for MCP, and forwarded with --session-header
    #[arg(long, env = "BARTIZAN_SESSIONLESS", value_name = "CHOICE")]
    pub(crate) sessionless: Option<Sessionless>,

    /// What identifies the client that a session belongs to; to any other client, the session is unknown.
    /// jwt: issuer and subject of the bearer token, which the gateway does not verify (the backend must);
    /// other credentials as with authorization. authorization: the value of that header; a new token is a
    /// new client. header:NAME: the value of that header, which a trusted proxy sets. none: the session id
    /// alone
    #[arg(
        long,
        env = "BARTIZAN_PRINCIPAL",
        value_name = "none|jwt|authorization|header:NAME",
        default_value = "none",
        value_parser = values::principal
    )]
    pub(crate) principal: Principal,

    /// How long a session may stay unused; calls in flight and open streams are use
    #[arg(
        long,
        env = "BARTIZAN_IDLE",
        value_name = "DURATION",
        default_value = "2h",
        value_parser = values::session_time
    )]
    pub(crate) idle: Duration,

    /// How long a session may live, used or not
    #[arg(
        long,
        env = "BARTIZAN_LIFETIME",
        value_name = "DURATION",
        default_value = "24h",
        value_parser = values::session_time
    )]
    pub(crate) lifetime: Duration,

    /// How many sessions there may be at once; past it, new ones are refused with 503
    #[arg(
        long,
        env = "BARTIZAN_MAX_SESSIONS",
        value_name = "N",
        default_value = "1000000",
        value_parser = values::count
    )]
    pub(crate) max_sessions: NonZeroUsize,

    /// How many sessions one principal may have at once, or none for no limit of its own; past it, its new ones are
    /// refused with 503. A session without a principal does not count
    #[arg(
        long,
        env = "BARTIZAN_MAX_SESSIONS_PER_PRINCIPAL",
        value_name = "N|none",
        default_value = "none",
        value_parser = values::count_or_none
    )]
    pub(crate) max_sessions_per_principal: Limit<NonZeroUsize>,

    /// How many event streams clients may listen on at once; past it, new ones are refused with 503
    #[arg(
        long,
        env = "BARTIZAN_MAX_STREAMS",
        value_name = "N",
        default_value = "100000",
        value_parser = values::count
    )]
    pub(crate) max_streams: NonZeroUsize,

    /// After how long a silent event stream gets a comment, for what stands between and closes idle
    /// connections, or none; at least 100ms
    #[arg(
        long,
        env = "BARTIZAN_STREAM_KEEPALIVE",
        value_name = "DURATION|none",
        default_value = "none",
        value_parser = values::duration_or_none
    )]
    pub(crate) stream_keepalive: Limit<Duration>,

    /// Whose word about the client is taken: proxies in this network, such as 10.0.0.0/8, or at this
    /// address; repeat the option or separate with commas. By default nobody's
    #[arg(
        long,
        env = "BARTIZAN_TRUST",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = values::network
    )]
    pub(crate) trust: Vec<Network>,

    /// How many proxies stand before this gateway, wherever they are: their word is taken, and nobody
    /// may reach the gateway past them
    #[arg(
        long,
        env = "BARTIZAN_TRUST_COUNT",
        value_name = "N",
        conflicts_with = "trust",
        value_parser = values::proxies
    )]
    pub(crate) trust_count: Option<NonZeroU8>,

    /// What backends are told of the client: the chain of trusted proxies with the peer appended, the
    /// client alone, or nothing; what others made up is dropped in any case
    #[arg(long, env = "BARTIZAN_FORWARDED", value_name = "CHOICE", default_value = "append")]
    pub(crate) forwarded: Forwarded,

    /// In which fields they are told
    #[arg(
        long,
        env = "BARTIZAN_FORWARDED_FIELDS",
        value_name = "FIELDS",
        value_delimiter = ',',
        default_value = "x-forwarded-for,x-forwarded-proto,x-forwarded-host"
    )]
    pub(crate) forwarded_fields: Vec<ForwardedField>,

    /// The name of this gateway in Via, by which it detects loops; replicas that are one gateway share a
    /// name. By default bartizan- and eight random digits for each process
    #[arg(long, env = "BARTIZAN_VIA", value_name = "NAME", value_parser = values::proxy_name)]
    pub(crate) via: Option<ProxyName>,

    /// How many gateways a request may cross, this one and the last one included; past it, it is refused
    /// with 508
    #[arg(
        long,
        env = "BARTIZAN_MAX_HOPS",
        value_name = "N",
        default_value = "10",
        value_parser = values::hops
    )]
    pub(crate) max_hops: NonZeroU32,

    /// The header field that gateways are counted in, the same for all that know each other
    #[arg(
        long,
        env = "BARTIZAN_HOP_HEADER",
        value_name = "NAME",
        default_value = "x-hop-count",
        value_parser = values::hop_header
    )]
    pub(crate) hop_header: HopHeader,

    /// How a backend is chosen for a new session, among those where new sessions succeed: a backend that
    /// fails to open them, or takes longer than 2s, gets none for a while, as long as at least half of the
    /// backends are left
    #[arg(long, env = "BARTIZAN_POLICY", value_name = "POLICY", default_value = "least-sessions")]
    pub(crate) policy: Policy,

    /// What becomes of a session whose backend is lost. With resume, it is opened on another backend as
    /// the client opened it, and keeps its id: what the server kept in memory is gone all the same.
    /// With repin, it is sent to another backend as it is, once its own was away for --lost-after: for
    /// servers that share their state
    #[arg(long, env = "BARTIZAN_ON_LOST", value_name = "CHOICE", default_value = "fail")]
    pub(crate) on_lost: OnLost,

    /// For how long a backend must refuse every connection before its sessions count as lost; longer than
    /// a restart takes, where an address refuses for servers that are merely not ready
    #[arg(
        long,
        env = "BARTIZAN_LOST_AFTER",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = values::duration
    )]
    pub(crate) lost_after: Duration,

    /// How long a session waits, with 503, for a backend that is not on this gateway's list and may be on
    /// another's; then it is answered 404 here, and stays in the store
    #[arg(
        long,
        env = "BARTIZAN_SETTLE",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = values::duration_or_zero
    )]
    pub(crate) settle: Duration,

    /// How long it may take to resume a session
    #[arg(
        long,
        env = "BARTIZAN_RESUME_TIMEOUT",
        value_name = "DURATION",
        default_value = "10s",
        value_parser = values::duration
    )]
    pub(crate) resume_timeout: Duration,

    /// A file of keys that seal what is recorded of sessions that are to be resumed: per line an id from
    /// 0 to 255 and 64 hexadecimal digits, the same for all replicas. The first key seals, all of them
    /// open. By default nothing is sealed
    #[arg(long, env = "BARTIZAN_RECORD_KEYS", value_name = "FILE")]
    pub(crate) record_keys: Option<PathBuf>,

    /// Give clients session ids of this gateway's own; those of the backends stay inside
    #[arg(long, env = "BARTIZAN_MINT_IDS")]
    pub(crate) mint_ids: bool,

    /// How long a backend may take to accept a connection
    #[arg(
        long,
        env = "BARTIZAN_CONNECT_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = values::duration
    )]
    pub(crate) connect_timeout: Duration,

    /// How long a backend may take until its response begins, or none; a response that has begun has
    /// no time limit, and one that opens a session has 30s in any case
    #[arg(
        long,
        env = "BARTIZAN_RESPONSE_TIMEOUT",
        value_name = "DURATION|none",
        default_value = "none",
        value_parser = values::duration_or_none
    )]
    pub(crate) response_timeout: Limit<Duration>,

    /// A path, such as /healthz, that each backend is asked for from time to time, or off. A backend that
    /// answers two probes in a row with neither 2xx nor 3xx, or not in time, gets no new sessions until it
    /// answers one well; sessions that it has are still sent to it. With off, only the sessions that
    /// clients ask for show whether a backend works
    #[arg(
        long,
        env = "BARTIZAN_PROBE",
        value_name = "PATH|off",
        default_value = "off",
        value_parser = values::probe
    )]
    pub(crate) probe: Limit<Probe>,

    /// How long from one probe of a backend to the next, give or take 10 %
    #[arg(
        long,
        env = "BARTIZAN_PROBE_INTERVAL",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = values::duration
    )]
    pub(crate) probe_interval: Duration,

    /// How long a backend may take to answer a probe
    #[arg(
        long,
        env = "BARTIZAN_PROBE_TIMEOUT",
        value_name = "DURATION",
        default_value = "2s",
        value_parser = values::duration
    )]
    pub(crate) probe_timeout: Duration,

    /// How large a request body may be, such as 65536, 10MiB or 1GB, or none; a larger one is
    /// refused with 413
    #[arg(
        long,
        env = "BARTIZAN_MAX_BODY",
        value_name = "BYTES|none",
        default_value = "none",
        value_parser = values::bytes_or_none
    )]
    pub(crate) max_body: Limit<u64>,

    /// What is logged to standard error: error, warn, info, debug (every refusal), trace, or a
    /// tracing filter such as info,bartizan_session=debug
    #[arg(
        long,
        env = "BARTIZAN_LOG",
        value_name = "LEVEL",
        default_value = "info",
        global = true,
        value_parser = values::log_filter
    )]
    pub(crate) log: LogFilter,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Policy {
    /// The backend with fewer sessions of two that are drawn at random
    LeastSessions,
    /// One after the other
    RoundRobin,
    /// Any
    Random,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum OnLost {
    /// It ends: the client is answered 404 and opens a new one
    Fail,
    /// It goes on at another backend, with a new handshake
    Resume,
    /// It goes on at another backend, as if nothing had been
    Repin,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Forwarded {
    /// The hops that trusted proxies vouched for, and the peer
    Append,
    /// The client alone
    Replace,
    /// Nothing
    Off,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum ForwardedField {
    XForwardedFor,
    XForwardedProto,
    XForwardedHost,
    XForwardedPort,
    XRealIp,
    Forwarded,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Sessionless {
    /// It is refused with 400
    Refuse,
    /// It is forwarded to any backend
    Forward,
}

impl Options {
    /// The defaults, whatever the environment says, for a gateway before `backends` on a free port.
    ///
    /// # Errors
    ///
    /// If a default of this module is no valid value.
    pub(crate) fn standard(backends: Vec<Backend>) -> Result<Self, clap::Error> {
        let command = Cli::command().mut_args(|arg| arg.env(Resettable::Reset));
        // A subcommand stands in for the required `--backend`.
        let matches = command.try_get_matches_from(["bartizan-gateway", "demo"])?;
        let options = Cli::from_arg_matches(&matches)?.options;
        Ok(Self { listen: SocketAddr::from(([127, 0, 0, 1], 0)), backends, ..options })
    }
}

#[cfg(test)]
mod tests;
