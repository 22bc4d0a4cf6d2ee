//! Configuration of [`SplitSession`] services.

use std::{fmt, sync::Arc, time::Duration};

use tower_layer::Layer;

use super::{Gateways, SplitSession, SplitSessions, sessions::Table};
use crate::{entry::Entries, flow::Recording};

/// Builds [`SplitSession`] services; see the [module docs](super).
#[must_use]
pub struct SplitSessionLayer<N> {
    config: Arc<Config<N>>,
}

pub(super) struct Config<N> {
    pub(super) names: N,
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
        Self::with_close_deadline(names, gateways, CLOSE_DEADLINE)
    }

    /// The same, where a gateway may take so long to end a session.
    pub fn with_close_deadline(names: N, gateways: Gateways, deadline: Duration) -> Self {
        let sessions = Arc::new(Table::new(LIMIT, deadline));
        gateways.attach(Arc::clone(&sessions));
        let entries = Entries::default();
        Self { config: Arc::new(Config { names, gateways, sessions, entries }) }
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
            deadline: OPEN_DEADLINE,
        }
    }
}

impl<S: Clone, N> Layer<S> for SplitSessionLayer<N> {
    type Service = SplitSession<S, N>;

    fn layer(&self, inner: S) -> Self::Service {
        SplitSession::new(inner, Arc::clone(&self.config))
    }
}

// By hand: what names gateways is shared, not cloned.
impl<N> Clone for SplitSessionLayer<N> {
    fn clone(&self) -> Self {
        Self { config: Arc::clone(&self.config) }
    }
}

impl<N> fmt::Debug for SplitSessionLayer<N> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SplitSession")
            .field("gateways", &self.config.gateways)
            .finish_non_exhaustive()
    }
}
