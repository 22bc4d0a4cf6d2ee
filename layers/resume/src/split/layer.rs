//! Configuration of [`SplitSession`] services.

use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{Gateways, SplitSession, SplitSessions, table::Table};
use crate::{entry::Entries, flow::Recording};

/// Builds [`SplitSession`] services; see the [module docs](super).
#[must_use]
pub struct SplitSessionLayer<N> {
    config: Config<N>,
}

pub(super) struct Config<N> {
    pub(super) names: Arc<N>,
    pub(super) gateways: Gateways,
    pub(super) sessions: Arc<Table>,
    pub(super) entries: Entries,
}

/// The longest that a gateway may take to open a session.
pub(super) const OPEN_DEADLINE: Duration = Duration::from_secs(10);

/// How long a gateway may take to end one.
const CLOSE_DEADLINE: Duration = Duration::from_secs(5);

/// How many sessions may be open at gateways.
const LIMIT: usize = 100_000;

pub(super) const RECORD_LIMIT_BYTES: usize = 16 * 1024;
pub(super) const KEEP_LIMIT_BYTES: usize = 64 * 1024;

impl<N> SplitSessionLayer<N> {
    /// Finds the gateway of a request by `names`, among `gateways`. At most 100,000 sessions are open at
    /// them, each opened within 10 s and ended within 5 s.
    pub fn new(names: N, gateways: Gateways) -> Self {
        Self::with_close_timeout(names, gateways, CLOSE_DEADLINE)
    }

    /// The same, where a gateway may take so long to end a session.
    pub fn with_close_timeout(names: N, gateways: Gateways, deadline: Duration) -> Self {
        let sessions = Arc::new(Table::new(LIMIT, deadline));
        gateways.attach(Arc::clone(&sessions));
        let entries = Entries::default();
        let names = Arc::new(names);
        Self { config: Config { names, gateways, sessions, entries } }
    }

    /// Seals what is recorded of a session's opening with `keys`, for its principal. Default: it is
    /// recorded as it is.
    #[cfg(feature = "seal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
    pub fn seal(mut self, keys: crate::KeyRing) -> Self {
        self.config.entries.keys = Some(keys);
        self
    }

    /// The sessions that are open at gateways.
    #[must_use]
    pub fn sessions(&self) -> SplitSessions {
        SplitSessions(Arc::clone(&self.config.sessions))
    }
}

impl<N> Config<N> {
    pub(super) fn recording(&self) -> Recording {
        Recording {
            entries: self.entries.clone(),
            limit_bytes: RECORD_LIMIT_BYTES,
            timeout: OPEN_DEADLINE,
        }
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

impl<N> Clone for Config<N> {
    fn clone(&self) -> Self {
        Self {
            names: Arc::clone(&self.names),
            gateways: self.gateways.clone(),
            sessions: Arc::clone(&self.sessions),
            entries: self.entries.clone(),
        }
    }
}

impl<N> fmt::Debug for SplitSessionLayer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitSession")
            .field("gateways", &self.config.gateways)
            .finish_non_exhaustive()
    }
}
