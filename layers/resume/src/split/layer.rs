//! Configuration of [`SplitSession`] services.

use std::{fmt, sync::Arc, time::Duration};

use bartizan_core::SessionStore;
use tower_layer::Layer;

use super::{config::Config, gateways::Gateways, service::SplitSession, sessions::SplitSessions};
use crate::replay::budget::Budget;

/// Builds [`SplitSession`] services; see the [module docs](super).
#[must_use]
pub struct SplitSessionLayer<N, T> {
    config: Config<N, T>,
}

impl<N, T: SessionStore> SplitSessionLayer<N, T> {
    /// Finds the gateway of a request with `names`, among `gateways`. The sessions at gateways are listed in the records
    /// of `store`, which must be the store of the layer that validates sessions. A client session can have sessions at up
    /// to 64 gateways, whose list takes up to 16 KiB; this process handles up to 100,000 sessions at gateways. A gateway
    /// has 10 s to open one.
    pub fn new(store: T, names: N, gateways: Gateways) -> Self {
        Self { config: Config::new(store, names, gateways) }
    }

    /// How long the store may take for one operation. Default: 250 ms.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.config.store_timeout = timeout;
        self
    }

    /// How long a gateway may take to end a session. It holds for the sessions that are opened from then on.
    /// Default: 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.config.close_timeout = timeout;
        self
    }

    /// How many bytes the records of all openings together may take in this process. A session that is opened when
    /// there is no space left works only at the gateway where it was opened; requests for other gateways get 503. One
    /// WARN event a minute reports such sessions. Default: 256 MiB.
    pub fn total_record_limit(mut self, bytes: usize) -> Self {
        self.config.budget = Arc::new(Budget::new(bytes, Arc::default()));
        self
    }

    /// Seals what is recorded of a session's opening, and of its sessions at gateways, with `keys`, for its principal. Default: it is
    /// recorded as it is.
    #[cfg(feature = "seal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
    pub fn seal(mut self, keys: bartizan_core::seal::KeyRing) -> Self {
        self.config.entries.keys = Some(keys);
        self
    }

    /// The sessions at gateways that this process knows of.
    #[must_use]
    pub fn sessions(&self) -> SplitSessions {
        SplitSessions(Arc::clone(&self.config.sessions))
    }
}

impl<S: Clone, N, T: Clone> Layer<S> for SplitSessionLayer<N, T> {
    type Service = SplitSession<S, N, T>;

    fn layer(&self, inner: S) -> Self::Service {
        SplitSession::new(inner, self.config.clone())
    }
}

// Written by hand, because the naming strategy is shared, not cloned.
impl<N, T: Clone> Clone for SplitSessionLayer<N, T> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<N, T> fmt::Debug for SplitSessionLayer<N, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitSessionLayer")
            .field("gateways", &self.config.gateways)
            .field("close_timeout", &self.config.close_timeout)
            .finish_non_exhaustive()
    }
}
