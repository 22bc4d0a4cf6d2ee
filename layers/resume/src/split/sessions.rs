//! The sessions that are open at gateways, for the operator.

use std::{fmt, sync::Arc};

use bartizan_core::Key;

use super::{
    status::SplitStatus,
    table::{Table, close},
};

/// A handle on the sessions at gateways that requests of this process have used.
///
/// Ending a session through this handle ends it for all replicas that share a store; the next request opens it again.
/// When one of several replicas shuts down, it should not end any.
#[derive(Clone)]
pub struct SplitSessions(pub(super) Arc<Table>);

impl SplitSessions {
    /// Ends the sessions of a client session at all gateways, at the same time. Returns how many there were.
    pub async fn evict_session(&self, session: Key<'_>) -> usize {
        let taken = self.0.take(|other, _| other.key() == session);
        close(taken).await
    }

    /// Ends all sessions at `gateway`, at the same time. Returns how many there were.
    pub async fn evict_gateway(&self, gateway: &str) -> usize {
        let taken = self.0.take(|_, name| name == gateway);
        close(taken).await
    }

    /// Ends all sessions at all gateways, at the same time, each with its own timeout.
    pub async fn close_all(&self) -> usize {
        let taken = self.0.take(|_, _| true);
        close(taken).await
    }

    /// The sessions at gateways that this process knows.
    #[must_use]
    pub fn snapshot(&self) -> Vec<SplitStatus> {
        self.0.statuses()
    }
}

impl fmt::Debug for SplitSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.snapshot()).finish()
    }
}
