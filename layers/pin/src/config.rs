//! What the layer and its services are configured with.

use std::{fmt::DebugStruct, sync::Arc, time::Duration};

use bartizan_core::{Answer, BackendId, Route, SessionStore, StoreError, store::StoreErrorKind};
use http::Response;

use crate::{
    affinity::{Affinity, SetCookie},
    backends::Backends,
    balance::Balance,
    within::within,
};

/// What to do with work whose backend is lost: it has left the set, or has refused connections for too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OnLost {
    /// Refuse it with 404, which makes an MCP client open a new session, and remove the pin. A key that the client has
    /// chosen moves to another backend anyway, because the client could not choose another key. A layer above may
    /// resume the session elsewhere, with its own handshake.
    Fail,
    /// Choose another backend and move the pin there, for servers that share their state. The response's extensions
    /// name the new backend of a session, so that the layer that validates sessions can record it.
    Repin,
}

#[derive(Clone)]
pub(crate) struct Config<K, T> {
    pub(crate) backends: Backends,
    pub(crate) balance: Arc<dyn Balance>,
    pub(crate) on_lost: OnLost,
    pub(crate) lost_after: Duration,
    pub(crate) lost_on_404: bool,
    pub(crate) failover_within: Duration,
    pub(crate) affinity: Option<Arc<Affinity>>,
    pub(crate) extract: K,
    pub(crate) store: T,
    pub(crate) route: Route,
    pub(crate) idle: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) store_timeout: Duration,
}

impl<K, T> Config<K, T> {
    /// Sets the cookie to the name of the backend that has responded.
    pub(crate) fn set_cookie<R>(
        &self,
        backend: &BackendId,
        cookie: SetCookie,
        response: &mut Response<R>,
    ) {
        if let Some(affinity) = &self.affinity {
            affinity.set(&self.backends, backend, cookie, response);
        }
    }

    /// Adds the fields that are safe to print.
    pub(crate) fn debug(&self, f: &mut DebugStruct<'_, '_>) {
        f.field("backends", &self.backends)
            .field("on_lost", &self.on_lost)
            .field("lost_after", &self.lost_after)
            .field("failover_within", &self.failover_within);
    }
}

impl<K, T: SessionStore> Config<K, T> {
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
