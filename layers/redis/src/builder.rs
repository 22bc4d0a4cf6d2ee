//! Configuration of [`RedisStore`].

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use bartizan_core::{ConfigError, store::Evicted};
use fred::{
    clients::Client,
    types::{
        RespVersion,
        config::{
            Config, ConnectionConfig, Options, PerformanceConfig, ReconnectPolicy,
            UnresponsiveConfig,
        },
    },
};
use tokio::runtime::Handle;

use crate::{
    clock::Clock,
    codec,
    counts::Counts,
    first_try::FirstTry,
    gauges::StoreCounts,
    near::{Near, Trust},
    outage::Outage,
    room::{Caps, Room},
    salt::Salt,
    script::Scripts,
    shared::Shared,
    status::Status,
    store::RedisStore,
    unreadable::Reports,
};

/// Builds a [`RedisStore`].
#[must_use]
#[derive(Clone)]
pub struct RedisStoreBuilder {
    // May contain a password.
    server: Server,
    user: Option<String>,
    password: Option<String>,
    prefix: String,
    timeout: Duration,
    grace: Duration,
    near_cache: usize,
    near_bound: Duration,
    max_sessions: usize,
    max_sessions_per_principal: Option<usize>,
    max_sessions_per_client: Option<usize>,
}

#[derive(Clone)]
enum Server {
    Url(String),
    Config(Box<Config>),
}

/// The connect timeout.
pub(crate) const CONNECT: Duration = Duration::from_secs(1);
/// How long a cached "absent" is valid.
const ABSENT_BOUND: Duration = Duration::from_secs(5);
/// How many commands may wait for the connection.
const QUEUE: usize = 10_000;

// Implemented here, so that the store does not depend on its builder.
impl RedisStore {
    /// Starts to configure a store on the server at `url`: `redis://[user:password@]host[:port][/database]`,
    /// `redis-sentinel://…?sentinelServiceName=…`, `redis-cluster://…`, and with the feature `tls` the same
    /// with `rediss`.
    pub fn builder(url: &str) -> RedisStoreBuilder {
        RedisStoreBuilder::new(url)
    }

    /// Starts to configure a store on the server that `config` names, for settings that a URL cannot hold,
    /// such as a certificate authority of your own. The store sets the protocol version and the behaviour
    /// when the first connection fails.
    pub fn from_config(config: Config) -> RedisStoreBuilder {
        RedisStoreBuilder::with_config(config)
    }
}

impl RedisStoreBuilder {
    fn new(url: &str) -> Self {
        Self::on(Server::Url(url.to_owned()))
    }

    fn with_config(config: Config) -> Self {
        Self::on(Server::Config(Box::new(config)))
    }

    fn on(server: Server) -> Self {
        Self {
            server,
            user: None,
            password: None,
            prefix: "bartizan".to_owned(),
            timeout: Duration::from_millis(250),
            grace: Duration::from_secs(30),
            near_cache: 100_000,
            near_bound: Duration::from_secs(30),
            max_sessions: 1_000_000,
            max_sessions_per_principal: None,
            max_sessions_per_client: None,
        }
    }

    /// Logs in as `user` with `password`, overriding the URL. Neither is ever printed.
    pub fn credentials(mut self, user: Option<&str>, password: &str) -> Self {
        self.user = user.map(str::to_owned);
        self.password = Some(password.to_owned());
        self
    }

    /// The prefix of every key. Default: `bartizan`.
    pub fn prefix(mut self, prefix: &str) -> Self {
        self.prefix = prefix.to_owned();
        self
    }

    /// How long one operation may take. Default: 250 ms.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// How long recently read sessions are served while the server does not answer; zero switches that off. During
    /// that time, this replica may not notice that another one has ended a session. Default: 30 s.
    pub fn grace(mut self, grace: Duration) -> Self {
        self.grace = grace;
        self
    }

    /// How many sessions the near-cache holds, at some 300 bytes each; zero switches it off, and with it
    /// the grace. Default: 100,000.
    pub fn near_cache(mut self, sessions: usize) -> Self {
        self.near_cache = sessions;
        self
    }

    /// How long a cached session is valid without being read again. Default: 30 s.
    pub fn near_bound(mut self, bound: Duration) -> Self {
        self.near_bound = bound;
        self
    }

    /// The maximum number of sessions over all replicas. From 80 % of this number on, new sessions evict those that
    /// are [to be confirmed](bartizan_core::SessionStore::insert_unconfirmed); if there are none, further sessions
    /// are refused. The server counts in the same step as it inserts, so that several replicas together do not exceed
    /// the cap. Default: 1,000,000.
    pub fn max_sessions(mut self, sessions: usize) -> Self {
        self.max_sessions = sessions;
        self
    }

    /// How many sessions one principal may have over all replicas; sessions without a principal are not counted.
    /// Default: no limit.
    pub fn max_sessions_per_principal(mut self, sessions: usize) -> Self {
        self.max_sessions_per_principal = Some(sessions);
        self
    }

    /// How many sessions one client may have over all replicas, by the [network in their
    /// records](bartizan_core::Record::with_client): an IPv4 address, or an IPv6 /64; sessions without one are not
    /// counted. Default: no limit.
    pub fn max_sessions_per_client(mut self, sessions: usize) -> Self {
        self.max_sessions_per_client = Some(sessions);
        self
    }

    /// Makes the store, and begins to connect. The server need not be there yet: until it answers, every
    /// operation is an error. Its tasks run in the tokio runtime that this is called in.
    ///
    /// # Errors
    ///
    /// If the URL or the prefix is invalid, or there is no tokio runtime. The message does not contain the URL, which
    /// may have a password.
    pub fn build(self) -> Result<RedisStore, ConfigError> {
        if self.prefix.is_empty() || !self.prefix.bytes().all(|byte| byte.is_ascii_graphic()) {
            return Err(ConfigError::new(
                "the prefix must be one or more visible ASCII characters",
            ));
        }
        let runtime = Handle::try_current()
            .map_err(|_| ConfigError::new("the store must be built within a tokio runtime"))?;
        let config = self.config()?;
        let is_cached = self.near_cache > 0;
        let trust = Trust {
            bound_ms: if is_cached { codec::millis(self.near_bound) } else { 0 },
            absent_bound_ms: codec::millis(ABSENT_BOUND.min(self.near_bound)),
            grace_ms: if self.grace.is_zero() { 0 } else { codec::millis(self.grace) },
        };
        let options = Options {
            timeout: Some(self.timeout),
            // A command that was in flight when the connection broke is not sent again, because it may have taken
            // effect. The attempts are for redirections in a cluster.
            fail_fast: true,
            max_attempts: Some(4),
            ..Options::default()
        };
        Ok(RedisStore::start(Shared {
            runtime,
            options,
            timeout: self.timeout,
            own_key: own_key(&self.prefix),
            is_cached,
            is_clustered: config.server.is_clustered(),
            room: Room::new(
                &self.prefix,
                Caps {
                    all: self.max_sessions,
                    per_principal: self.max_sessions_per_principal,
                    per_client: self.max_sessions_per_client,
                },
            ),
            // Even without a cache, held sessions must be kept.
            near: Near::new(self.near_cache.max(1_000), trust),
            status: Status::new(),
            clock: Clock::start(),
            counts: Counts::default(),
            evicted: Evicted::default(),
            scripts: Scripts::new(),
            reports: Reports::new(),
            first_try: FirstTry::new(),
            outage: Outage::default(),
            numbers: StoreCounts::new(),
            salt: Salt::default(),
            prefix: self.prefix,
            client: client(config),
        }))
    }

    fn config(&self) -> Result<Config, ConfigError> {
        let expected = "expected redis://host:port, or redis-sentinel, redis-cluster or rediss";
        let config = match &self.server {
            Server::Config(config) => (**config).clone(),
            Server::Url(url) => Config::from_url(url)
                .map_err(|_| ConfigError::new(format!("invalid store URL: {expected}")))?,
        };
        Ok(Config {
            // Makes the first attempt at once; otherwise it would be delayed like a reconnect. If it fails, the
            // watching task tries again.
            fail_fast: true,
            version: RespVersion::RESP3,
            username: self.user.clone().or(config.username.clone()),
            password: self.password.clone().or(config.password.clone()),
            ..config
        })
    }
}

/// A name that is unique to this store.
fn own_key(prefix: &str) -> String {
    // Its keys come from the system's source of randomness.
    let random = RandomState::new();
    format!("{prefix}:store:{:016x}{:016x}", random.hash_one(0), random.hash_one(1))
}

fn client(config: Config) -> Client {
    let second = CONNECT;
    let connection = ConnectionConfig {
        connection_timeout: second,
        internal_command_timeout: second,
        max_command_buffer_len: QUEUE,
        unresponsive: UnresponsiveConfig {
            max_timeout: Some(second),
            interval: Duration::from_millis(250),
        },
        ..ConnectionConfig::default()
    };
    let performance = PerformanceConfig {
        // Invalidations may come in bursts.
        broadcast_channel_capacity: 4_096,
        ..PerformanceConfig::default()
    };
    let mut policy = ReconnectPolicy::new_exponential(0, 50, 1_000, 2);
    policy.set_jitter(100);
    Client::new(config, Some(performance), Some(connection), Some(policy))
}

impl fmt::Debug for RedisStoreBuilder {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RedisStoreBuilder")
            .field("prefix", &self.prefix)
            .field("timeout", &self.timeout)
            .field("grace", &self.grace)
            .field("near_cache", &self.near_cache)
            .field("near_bound", &self.near_bound)
            .field("max_sessions", &self.max_sessions)
            .field("max_sessions_per_principal", &self.max_sessions_per_principal)
            .field("max_sessions_per_client", &self.max_sessions_per_client)
            .finish_non_exhaustive()
    }
}
