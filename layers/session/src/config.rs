//! What the layer and its services are configured with.

use std::{fmt::DebugStruct, time::Duration};

use bartizan_core::{Answer, Route, SessionStore, StoreError, store::StoreErrorKind};
use http::HeaderName;

use crate::{
    endpoints::Endpoints, evicted::Ending, gauges::SessionCounts, paths::Paths, run_on::Abandoned,
    within::within,
};

/// What to do with a request that needs a session id and has none.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum Sessionless {
    /// Refuse it with 400.
    Refuse,
    /// Forward it as new work: for servers that have no sessions, or not only sessions.
    Forward,
}

#[derive(Clone)]
pub(crate) struct Config<T> {
    pub(crate) store: T,
    pub(crate) protocol: Protocol,
    pub(crate) header: HeaderName,
    pub(crate) route: Route,
    pub(crate) sessionless: Sessionless,
    pub(crate) endpoints: Endpoints,
    pub(crate) idle: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) peek_limit_bytes: usize,
    pub(crate) peek_timeout: Duration,
    pub(crate) store_timeout: Duration,
    pub(crate) paths: Paths,
    pub(crate) abandoned: Abandoned,
    pub(crate) ending: Ending,
    pub(crate) counts: SessionCounts,
}

/// The rules for sessions.
#[allow(clippy::exhaustive_enums, reason = "public for the model of this workspace alone")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Protocol {
    /// The rules of MCP.
    Mcp,
    /// A session id in a header, without further rules.
    Header,
}

impl<T> Config<T> {
    /// Adds the fields that are safe to print.
    pub(crate) fn debug(&self, f: &mut DebugStruct<'_, '_>) {
        f.field("protocol", &self.protocol)
            .field("header", &self.header)
            .field("route", &self.route.as_str())
            .field("sessionless", &self.sessionless)
            .field("endpoints", &self.endpoints)
            .field("idle", &self.idle)
            .field("lifetime", &self.lifetime);
    }
}

impl<T: SessionStore> Config<T> {
    /// Waits for an answer of the store, if necessary, for at most the store timeout.
    pub(crate) async fn wait<V, F>(
        &self,
        answer: Answer<Result<V, StoreError>, F>,
    ) -> Result<V, StoreError>
    where
        F: Future<Output = Result<V, StoreError>>,
    {
        match answer {
            Answer::Now(answer) => answer,
            Answer::Later(answer) => within(self.store_timeout, answer)
                .await
                .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Timeout))),
        }
    }
}
