//! The sessions that are open at gateways, for the operator.

use std::{fmt, sync::Arc};

use bartizan_core::Key;

use super::{
    status::SplitStatus,
    table::{Table, close},
};

/// The sessions at gateways that a layer of this process knows of: those that its requests have used.
///
/// What is ended here is ended for all replicas that share a store; their next request opens it again. A replica that
/// only leaves should end nothing.
#[derive(Clone)]
pub struct SplitSessions(pub(super) Arc<Table>);

impl SplitSessions {
    /// Ends what is open for a client session, at every gateway at once. Returns how many those were.
    pub async fn evict_session(&self, session: Key<'_>) -> usize {
        let taken = self.0.take(|other, _| other.key() == session);
        close(taken).await
    }

    /// Ends what is open at `gateway`, all at once. Returns how many those were.
    pub async fn evict_gateway(&self, gateway: &str) -> usize {
        let taken = self.0.take(|_, name| name == gateway);
        close(taken).await
    }

    /// Ends all that is open, all at once; each has its own deadline, and none waits for another.
    pub async fn close_all(&self) -> usize {
        let taken = self.0.take(|_, _| true);
        close(taken).await
    }

    /// What this process knows to be open.
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
