//! Configuration of [`ValidateSession`] services.

use std::{fmt, sync::Arc, time::Duration};

use bartizan_core::{Dialect, Record, Route, SessionStore, mcp};
use http::HeaderName;
use tower_layer::Layer;

use crate::{
    config::{Config, Protocol, Sessionless},
    endpoints::Endpoints,
    evicted::Ending,
    gauges::SessionCounts,
    paths::Paths,
    run_on::Abandoned,
    service::ValidateSession,
};

/// Builds [`ValidateSession`] services; see the [crate docs](crate).
///
/// ```
/// use std::time::Duration;
///
/// use bartizan_memory::MemoryStore;
/// use bartizan_session::ValidateSessionLayer;
///
/// let mcp = ValidateSessionLayer::mcp(MemoryStore::new()).endpoint("/mcp").endpoint("/api/mcp");
/// let other = ValidateSessionLayer::header("x-session-id".parse()?, MemoryStore::new())
///     .idle(Duration::from_secs(30 * 60));
/// # let _ = (mcp, other);
/// # Ok::<(), http::header::InvalidHeaderName>(())
/// ```
#[must_use]
#[derive(Clone)]
pub struct ValidateSessionLayer<T> {
    config: Config<T>,
}

impl<T: SessionStore> ValidateSessionLayer<T> {
    /// Guards sessions of the Model Context Protocol, whose ids are in `Mcp-Session-Id`.
    pub fn mcp(store: T) -> Self {
        Self::new(store, Protocol::Mcp, mcp::SESSION_ID.clone(), Sessionless::Refuse)
    }

    /// Guards sessions of any HTTP service whose ids are in the field `name`, both in requests and in the
    /// response that opens a session. Requests without an id are forwarded, unless
    /// [`sessionless`](Self::sessionless) is set.
    pub fn header(name: HeaderName, store: T) -> Self {
        Self::new(store, Protocol::Header, name, Sessionless::Forward)
    }

    fn new(store: T, protocol: Protocol, header: HeaderName, sessionless: Sessionless) -> Self {
        let config = Config {
            store,
            protocol,
            header,
            route: Route::default(),
            sessionless,
            endpoints: Endpoints::Default,
            idle: Record::IDLE,
            lifetime: Record::LIFETIME,
            peek_limit_bytes: 64 * 1024,
            peek_timeout: Duration::from_secs(10),
            store_timeout: Duration::from_millis(250),
            paths: Paths::default(),
            abandoned: Abandoned::default(),
            ending: Ending::default(),
            counts: SessionCounts::default(),
        };
        Self { config }
    }

    /// The store in which sessions are kept.
    #[must_use]
    pub fn store(&self) -> &T {
        &self.config.store
    }

    /// How many sessions the services of this layer and its clones have opened and ended, and why, for metrics.
    #[must_use]
    pub fn counts(&self) -> SessionCounts {
        self.config.counts.clone()
    }

    /// The format of all refusals of this layer, except for gRPC; `None` if it depends on the request.
    #[must_use]
    pub fn dialect(&self) -> Option<Dialect> {
        (self.config.protocol == Protocol::Mcp).then_some(Dialect::JsonRpc(None))
    }

    /// Names this stack: sessions of another route are unknown here. Default: `default`.
    pub fn route(mut self, route: impl Into<Route>) -> Self {
        self.config.route = route.into();
        self
    }

    /// What to do with a request that needs a session id and has none. Default: refused for MCP, forwarded
    /// otherwise.
    pub fn sessionless(mut self, choice: Sessionless) -> Self {
        self.config.sessionless = choice;
        self
    }

    /// Adds a path at which the server speaks MCP, as this layer sees it: without a query, and without a
    /// prefix that an outer router has stripped. Call it once for each path; `*` is every path. Default:
    /// `/mcp`.
    ///
    /// Requests to other paths are plain HTTP, which is forwarded without session rules, unless they have a
    /// session id or an `MCP-Protocol-Version`, or accept `text/event-stream`. Other spellings of a path are
    /// the same path: `/mcp/`, `//MCP`, `/%6dcp` and `/mcp;x` are `/mcp`. Has no effect with
    /// [`Self::header`].
    pub fn endpoint(mut self, path: &str) -> Self {
        self.config.endpoints = self.config.endpoints.with(path);
        self
    }

    /// How long a session may stay unused. Open calls and streams count as use. Default: 2 h.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.config.idle = idle;
        self
    }

    /// How long a session may exist, used or not. Default: 24 h.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.config.lifetime = lifetime;
        self
    }

    /// How much of a body is read, in bytes, if it has to be read; a larger one is refused with 413. Default:
    /// 64 KiB.
    pub fn peek_limit(mut self, bytes: usize) -> Self {
        self.config.peek_limit_bytes = bytes;
        self
    }

    /// How long a body that has to be read may take to arrive; otherwise the request is refused with 408.
    /// Default: 10 s. A refusal waits for the body at most 1 s, to echo the request's id.
    pub fn peek_timeout(mut self, timeout: Duration) -> Self {
        self.config.peek_timeout = timeout;
        self
    }

    /// The timeout of each store operation; after it, the request is refused with 503. Costs nothing with a
    /// store that answers at once. Default: 250 ms.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.config.store_timeout = timeout;
        self
    }
}

impl<S, T: SessionStore> Layer<S> for ValidateSessionLayer<T> {
    type Service = ValidateSession<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        ValidateSession::new(inner, Arc::new(self.config.clone()))
    }
}

impl<T> fmt::Debug for ValidateSessionLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("ValidateSessionLayer");
        self.config.debug(&mut debug);
        debug.finish_non_exhaustive()
    }
}
