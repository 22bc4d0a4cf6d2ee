//! Configuration of [`ValidateSession`] services.

use std::{fmt, sync::Arc, time::Duration};

use bartizan_core::{Dialect, Record, Route, SessionStore, mcp};
use http::HeaderName;
use tower_layer::Layer;

use crate::{
    config::{Config, Protocol, Sessionless},
    endpoints::Endpoints,
    paths::Paths,
    run_on::Abandoned,
    service::ValidateSession,
};

/// Builds [`ValidateSession`] services; see the [crate docs](crate).
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

    /// Guards sessions of any protocol over HTTP whose ids are in the field `name`, in requests as in
    /// the response that opens a session. Requests without an id are forwarded, unless
    /// [`sessionless`](Self::sessionless) says otherwise.
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
        };
        Self { config }
    }

    /// The store in which sessions are kept.
    #[must_use]
    pub fn store(&self) -> &T {
        &self.config.store
    }

    /// The form that all refusals take here, but for gRPC; none if each request tells its own.
    #[must_use]
    pub fn dialect(&self) -> Option<Dialect> {
        (self.config.protocol == Protocol::Mcp).then_some(Dialect::JsonRpc(None))
    }

    /// Names this stack: sessions of another route are unknown here. Default: `default`.
    pub fn route(mut self, route: impl Into<Route>) -> Self {
        self.config.route = route.into();
        self
    }

    /// Says what happens to a request that needs a session and shows none. Default: refused for MCP,
    /// forwarded otherwise.
    pub fn sessionless(mut self, choice: Sessionless) -> Self {
        self.config.sessionless = choice;
        self
    }

    /// Names a path at which the server speaks MCP, as the request names it: without a query, and with the prefix
    /// that a router in front has not removed. Call it once for each path; `*` is every path. Default: `/mcp`.
    ///
    /// Requests to other paths are plain HTTP, which is forwarded without session rules, unless they show a session
    /// id, claim an `MCP-Protocol-Version`, or accept `text/event-stream`. Other spellings of a path are the same
    /// path: `/mcp/`, `//MCP`, `/%6dcp` and `/mcp;x` are `/mcp`. Has no effect with [`Self::header`].
    pub fn endpoint(mut self, path: &str) -> Self {
        self.config.endpoints = self.config.endpoints.with(path);
        self
    }

    /// How long a session may stay unused. Calls in flight and open streams are use. Default: 2 h.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.config.idle = idle;
        self
    }

    /// How long a session may live, used or not. Default: 24 h.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.config.lifetime = lifetime;
        self
    }

    /// How far a body is looked into, in bytes; a larger one that must be looked into is refused with
    /// 413. Default: 64 KiB.
    pub fn peek_limit(mut self, bytes: usize) -> Self {
        self.config.peek_limit_bytes = bytes;
        self
    }

    /// How long a body that is looked into may take to arrive; past it, the request is refused with
    /// 408. Default: 10 s.
    pub fn peek_timeout(mut self, timeout: Duration) -> Self {
        self.config.peek_timeout = timeout;
        self
    }

    /// How long the store may take for one operation; past it, the request is refused with 503. Costs
    /// nothing with a store that answers at once. Default: 250 ms.
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
