//! Configuration of [`SplitSession`] services.

use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{config::Config, gateways::Gateways, service::SplitSession, sessions::SplitSessions};

/// Builds [`SplitSession`] services; see the [module docs](super).
#[must_use]
pub struct SplitSessionLayer<N> {
    config: Config<N>,
}

impl<N> SplitSessionLayer<N> {
    /// Finds the gateway of a request by `names`, among `gateways`. At most 100,000 sessions are open at
    /// them, each opened within 10 s.
    pub fn new(names: N, gateways: Gateways) -> Self {
        Self { config: Config::new(names, gateways) }
    }

    /// How long a gateway may take to end a session. It holds for the sessions that are opened from then on.
    /// Default: 5 s.
    pub fn close_timeout(mut self, timeout: Duration) -> Self {
        self.config.close_timeout = timeout;
        self
    }

    /// Seals what is recorded of a session's opening with `keys`, for its principal. Default: it is
    /// recorded as it is.
    #[cfg(feature = "seal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
    pub fn seal(mut self, keys: bartizan_core::seal::KeyRing) -> Self {
        self.config.entries.keys = Some(keys);
        self
    }

    /// The sessions that are open at gateways.
    #[must_use]
    pub fn sessions(&self) -> SplitSessions {
        SplitSessions(Arc::clone(&self.config.sessions))
    }
}

impl<S: Clone, N> Layer<S> for SplitSessionLayer<N> {
    type Service = SplitSession<S, N>;

    fn layer(&self, inner: S) -> Self::Service {
        SplitSession::new(inner, self.config.clone())
    }
}

// By hand: what names gateways is shared, not cloned.
impl<N> Clone for SplitSessionLayer<N> {
    fn clone(&self) -> Self {
        Self { config: self.config.clone() }
    }
}

impl<N> fmt::Debug for SplitSessionLayer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitSessionLayer")
            .field("gateways", &self.config.gateways)
            .field("close_timeout", &self.config.close_timeout)
            .finish_non_exhaustive()
    }
}
