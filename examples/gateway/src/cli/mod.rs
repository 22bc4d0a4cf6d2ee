//! The command line: every option, its environment variable and its default.

mod checks;
mod descriptors;
mod values;
mod web;

use std::{
    env,
    ffi::OsString,
    net::SocketAddr,
    num::{NonZeroU8, NonZeroU32, NonZeroUsize},
    path::PathBuf,
    time::Duration,
};

use bartizan::{
    core::{Backend, ProxyName, Route},
    forwarded::{ClientIpHeader, KeptField, Network},
    hops::HopHeader,
    pin::Probe,
};
use clap::{
    ArgMatches, Args, CommandFactory, FromArgMatches, Parser, Subcommand, ValueEnum,
    builder::Resettable, error::ErrorKind, parser::ValueSource,
};
use http::HeaderName;

use crate::access_log::Target;

use checks::Chosen;
pub(crate) use checks::STORE_PASSWORD;
pub(crate) use values::{Limit, LogFilter, Principal, Store};
pub(crate) use web::WebOptions;

/// What was read of the command line and the environment.
#[derive(Clone, Debug)]
pub(crate) struct Given {
    pub(crate) cli: Cli,
    /// Whether `--log` is more than its default.
    pub(crate) chooses_log: bool,
    pub(crate) warnings: Vec<String>,
}

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
        /// Exit after the check: status 0 if every session counted correctly, otherwise 1
        #[arg(long)]
        once: bool,
    },
}

/// The settings of a gateway.
#[derive(Args, Clone, Debug)]
pub(crate) struct Options {
    /// Address and port to listen on; port 0 picks a free one
    #[arg(
        long,
        env = "BARTIZAN_LISTEN",
        value_name = "ADDR",
        default_value = "127.0.0.1:8080",
        value_parser = values::socket_addr
    )]
    pub(crate) listen: SocketAddr,

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

    /// Session store: memory (of this process), or a Redis or Valkey server that replicas share:
    /// redis://user@host:port/database, redis-sentinel://… or redis-cluster://…; rediss for TLS. Pass the
    /// password in the environment variable BARTIZAN_STORE_PASSWORD
    #[arg(
        long,
        env = "BARTIZAN_STORE",
        value_name = "STORE",
        default_value = "memory",
        hide_env_values = true,
        value_parser = values::store
    )]
    pub(crate) store: Store,

    /// Timeout of each store operation
    #[arg(
        long,
        env = "BARTIZAN_STORE_TIMEOUT",
        value_name = "DURATION",
        default_value = "250ms",
        value_parser = values::duration
    )]
    pub(crate) store_timeout: Duration,

    /// How long recently used sessions keep working while the store does not answer, or 0s
    #[arg(
        long,
        env = "BARTIZAN_STORE_GRACE",
        value_name = "DURATION",
        default_value = "30s",
        value_parser = values::duration_or_zero
    )]
    pub(crate) store_grace: Duration,

    /// Number of sessions of a shared store to cache in this process, or off
    #[arg(
        long,
        env = "BARTIZAN_NEAR_CACHE",
        value_name = "N|off",
        default_value = "100000",
        value_parser = values::near_cache
    )]
    pub(crate) near_cache: usize,

    /// Address and port for /healthz (200 while the process runs) and /readyz (503 until the store and the
    /// backends have been reachable once, and during a shutdown; otherwise 200, with what is missing). Off
    /// by default
    #[arg(long, env = "BARTIZAN_ADMIN", value_name = "ADDR", value_parser = values::socket_addr)]
    pub(crate) admin: Option<SocketAddr>,

    /// Name of this gateway's sessions in a shared store. Sessions of another route are unknown here
    #[arg(
        long,
        env = "BARTIZAN_ROUTE",
        value_name = "NAME",
        default_value = "default",
        value_parser = values::route
    )]
    pub(crate) route: Route,

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

    /// Keep the requests of one OAuth client on one backend, for authorization servers that keep their
    /// state in memory. Follows client, code, transaction and token in queries, forms and credentials
    #[arg(long, env = "BARTIZAN_PIN_OAUTH", conflicts_with = "session_header")]
    pub(crate) pin_oauth: bool,

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

    /// How many sessions there may be at once, including those that are being opened. From 80 % of it on, a
    /// new session evicts the oldest MCP session that has had no second request within 60s; at the limit, the
    /// oldest that has had no second request. If each has had one, the new session is refused with 503
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

    /// How many sessions one client may have at once, by its IPv4 address or IPv6 /64, or none for no limit of
    /// its own; past it, its new sessions are refused with 503. Behind a proxy, also set --trust or
    /// --trust-count: otherwise all clients have the proxy's address and share one limit
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

    /// Trust forwarding headers from proxies in this network, such as 10.0.0.0/8, or at this address.
    /// Repeat the option, or separate with commas. By default no proxy is trusted
    #[arg(
        long,
        env = "BARTIZAN_TRUST",
        value_name = "CIDR",
        value_delimiter = ',',
        value_parser = values::network
    )]
    pub(crate) trust: Vec<Network>,

    /// Number of trusted proxies in front of the gateway, at any address. Clients must not be able to
    /// reach the gateway directly
    #[arg(
        long,
        env = "BARTIZAN_TRUST_COUNT",
        value_name = "N",
        conflicts_with = "trust",
        value_parser = values::proxies
    )]
    pub(crate) trust_count: Option<NonZeroU8>,

    /// What to send to backends about the client. Forwarding headers from untrusted peers are dropped in
    /// any case
    #[arg(long, env = "BARTIZAN_FORWARDED", value_name = "CHOICE", default_value = "append")]
    pub(crate) forwarded: Forwarded,

    /// Which forwarding headers to write
    #[arg(
        long,
        env = "BARTIZAN_FORWARDED_FIELDS",
        value_name = "FIELDS",
        value_delimiter = ',',
        default_value = "x-forwarded-for,x-forwarded-proto,x-forwarded-host"
    )]
    pub(crate) forwarded_fields: Vec<ForwardedField>,

    /// Read the client's address from this header of a trusted proxy, such as CF-Connecting-IP, instead of
    /// the chain in X-Forwarded-For. The proxy must always set or remove it; from other peers it is dropped
    #[arg(
        long,
        env = "BARTIZAN_CLIENT_IP_HEADER",
        value_name = "NAME",
        value_parser = values::client_ip_header
    )]
    pub(crate) client_ip_header: Option<ClientIpHeader>,

    /// Let this header pass from any peer although it is dropped by default, such as X-Host; repeat the
    /// option or separate with commas
    #[arg(
        long = "keep-field",
        env = "BARTIZAN_KEEP_FIELD",
        value_name = "NAME",
        value_delimiter = ',',
        value_parser = values::kept_field
    )]
    pub(crate) kept_fields: Vec<KeptField>,

    /// Name of this gateway in Via, by which it detects loops. Give all replicas of one gateway the same
    /// name. By default bartizan- and eight random digits for each process
    #[arg(long, env = "BARTIZAN_VIA", value_name = "NAME", value_parser = values::proxy_name)]
    pub(crate) via: Option<ProxyName>,

    /// Maximum number of gateways that a request may cross, this one included; one that crosses more is
    /// refused with 508
    #[arg(
        long,
        env = "BARTIZAN_MAX_HOPS",
        value_name = "N",
        default_value = "10",
        value_parser = values::hops
    )]
    pub(crate) max_hops: NonZeroU32,

    /// Header field with the hop count; all gateways that may forward to each other need the same
    #[arg(
        long,
        env = "BARTIZAN_HOP_HEADER",
        value_name = "NAME",
        default_value = "x-hop-count",
        value_parser = values::hop_header
    )]
    pub(crate) hop_header: HopHeader,

    /// How to choose a backend for a new session. A backend that fails to open sessions, or takes longer
    /// than 2s, gets no new ones for a while; at least half of the backends stay in service
    #[arg(long, env = "BARTIZAN_POLICY", value_name = "POLICY", default_value = "least-sessions")]
    pub(crate) policy: Policy,

    /// What to do with a session whose backend is lost. resume: open it on another backend as the client
    /// opened it, under the same id; what the server kept in memory is gone. repin: send it to another
    /// backend unchanged, once its own was away for --lost-after; for servers that share their state
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

    /// Give clients session ids made by the gateway, so that they never see those of the backends
    #[arg(long, env = "BARTIZAN_MINT_IDS")]
    pub(crate) mint_ids: bool,

    /// Timeout for connecting to a backend
    #[arg(
        long,
        env = "BARTIZAN_CONNECT_TIMEOUT",
        value_name = "DURATION",
        default_value = "5s",
        value_parser = values::duration
    )]
    pub(crate) connect_timeout: Duration,

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

    /// Maximum size of a request body, such as 65536, 10MiB or 1GB, or none; a larger one is refused with
    /// 413
    #[arg(
        long,
        env = "BARTIZAN_MAX_BODY",
        value_name = "BYTES|none",
        default_value = "none",
        value_parser = values::bytes_or_none
    )]
    pub(crate) max_body: Limit<u64>,

    #[command(flatten)]
    pub(crate) web: WebOptions,

    /// How long a shutdown may take in total: the drain delay, then the calls in flight. Calls that are
    /// still unfinished are cut, and the exit status is 1
    #[arg(
        long,
        env = "BARTIZAN_SHUTDOWN_TIMEOUT",
        value_name = "DURATION",
        default_value = "25s",
        value_parser = values::duration
    )]
    pub(crate) shutdown_timeout: Duration,

    /// How long to keep accepting connections after SIGTERM while /readyz is already 503, so that load
    /// balancers stop sending requests before the port closes, or 0s
    #[arg(
        long,
        env = "BARTIZAN_DRAIN_DELAY",
        value_name = "DURATION",
        default_value = "3s",
        value_parser = values::duration_or_zero
    )]
    pub(crate) drain_delay: Duration,

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
        long,
        env = "BARTIZAN_LOG_FORMAT",
        value_name = "FORMAT",
        default_value = "text",
        global = true
    )]
    pub(crate) log_format: LogFormat,
    /// The maximum number of client connections. At the limit, the connection that has been idle the longest is closed
    /// for a new one; if none is idle, the new one waits. By default half of the file descriptors that the process
    /// may open (ulimit -Hn) minus 32: a call also needs a connection to its backend
    #[arg(
        long,
        env = "BARTIZAN_MAX_CONNECTIONS",
        value_name = "N",
        value_parser = values::count
    )]
    pub(crate) max_connections: Option<NonZeroUsize>,

    /// How long a client may read nothing of a response while there is more to write, and a backend nothing of a
    /// request; then the connection is closed, or the HTTP/2 stream is reset. Silent event streams are not affected
    #[arg(
        long,
        env = "BARTIZAN_STALL_TIMEOUT",
        value_name = "DURATION",
        default_value = "60s",
        value_parser = values::duration
    )]
    pub(crate) stall_timeout: Duration,

    /// What to log to standard error: error, warn, info, debug (every refusal), trace, or a tracing
    /// filter such as info,bartizan::session=debug. Takes precedence over RUST_LOG
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
    /// Of two random backends, the one with fewer sessions
    LeastSessions,
    /// Each backend in turn
    RoundRobin,
    /// A random backend
    Random,
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

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Forwarded {
    /// The chain of trusted proxies, with the peer appended
    Append,
    /// Only the client
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
pub(crate) enum LogFormat {
    /// Lines for people
    Text,
    /// A JSON object per line
    Json,
}

#[derive(Clone, Copy, Debug, Eq, PartialEq, ValueEnum)]
pub(crate) enum Sessionless {
    /// Refuse it with 400
    Refuse,
    /// Forward it to any backend
    Forward,
}

impl Cli {
    /// Reads the command line and the environment. A mistake is reported, and ends the process.
    pub(crate) fn read() -> Given {
        let variables = env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        Self::try_read(Self::command(), env::args_os(), variables)
            .unwrap_or_else(|error| error.exit())
    }

    /// The same, of the arguments `args` and an environment with `variables`.
    fn try_read(
        mut command: clap::Command,
        args: impl IntoIterator<Item = impl Into<OsString> + Clone>,
        variables: impl IntoIterator<Item = String>,
    ) -> Result<Given, clap::Error> {
        let matches = command.try_get_matches_from_mut(args)?;
        let cli = Self::from_arg_matches(&matches)?;
        let mut chosen = chosen(&command, &matches);
        chosen.environment =
            variables.into_iter().filter(|name| name.starts_with("BARTIZAN_")).collect();
        let own = command.get_arguments().filter_map(|arg| arg.get_long());
        let own = own.filter(|long| !["help", "version"].contains(long));
        let known = own.map(checks::variable).collect();
        let checked = match cli.command {
            Some(Command::Demo { .. }) => checks::demo(&chosen),
            None => checks::gateway(&cli.options, &chosen),
        };
        let warnings = checked.map_err(|why| command.error(ErrorKind::ArgumentConflict, why))?;
        let is_default = matches.value_source("log") == Some(ValueSource::DefaultValue);
        let warnings = [checks::environment(&chosen, &known), warnings].concat();
        Ok(Given { cli, chooses_log: !is_default, warnings })
    }
}

/// What was set of the options of the gateway alone.
fn chosen(command: &clap::Command, matches: &ArgMatches) -> Chosen {
    let mut chosen = Chosen::default();
    for arg in command.get_arguments().filter(|arg| !arg.is_global_set()) {
        let Some(long) = arg.get_long() else { continue };
        // Those that clap adds have no value.
        let source = matches.try_contains_id(arg.get_id().as_str()).ok();
        match source.and_then(|_| matches.value_source(arg.get_id().as_str())) {
            Some(ValueSource::CommandLine) => chosen.options.insert(format!("--{long}")),
            Some(ValueSource::EnvVariable) => chosen.variables.insert(checks::variable(long)),
            _ => false,
        };
    }
    chosen
}

impl Options {
    /// How many client connections there may be at once.
    pub(crate) fn max_connections(&self) -> usize {
        self.max_connections.map_or_else(descriptors::for_clients, NonZeroUsize::get)
    }

    /// The defaults, ignoring the environment, for a gateway in front of `backends` on a free port.
    ///
    /// # Errors
    ///
    /// If a default of this module is not a valid value.
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
