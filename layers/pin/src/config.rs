//! What the layer and its services are configured with.

use std::{fmt::DebugStruct, sync::Arc, time::Duration};

use bartizan_core::{Answer, Route, SessionStore, StoreError, store::StoreErrorKind};

use crate::{backends::Backends, balance::Balance, within::within};

/// What becomes of work whose backend is lost: it has left the set, or has refused connections for too long.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum OnLost {
    /// It is refused with 404, which makes an MCP client open a new session; the pin goes. A key that
    /// the client has made moves even so, since it could not make another. A layer above may resume the
    /// session elsewhere, with a handshake of its own.
    Fail,
    /// Another backend is chosen and the pin moves there: for servers that share their state. A
    /// session's new backend is named in the extensions of the response, for the layer that guards
    /// sessions to write it down.
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
    pub(crate) extract: K,
    pub(crate) store: T,
    pub(crate) route: Route,
    pub(crate) idle: Duration,
    pub(crate) lifetime: Duration,
    pub(crate) store_timeout: Duration,
}

impl<K, T> Config<K, T> {
    /// Adds the fields that may be printed.
    pub(crate) fn debug(&self, f: &mut DebugStruct<'_, '_>) {
        f.field("backends", &self.backends)
            .field("on_lost", &self.on_lost)
            .field("lost_after", &self.lost_after)
            .field("failover_within", &self.failover_within);
    }
}

impl<K, T: SessionStore> Config<K, T> {
    /// Waits for an answer of the store, if it must, and not for longer than the store may take.
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
