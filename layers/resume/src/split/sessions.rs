//! The sessions that are open at gateways, for whoever runs them.

use std::{fmt, sync::Arc, time::Duration};

use bartizan_core::{Key, session::Fingerprint};

use super::table::Table;

/// The sessions that are open at gateways: a handle on those of one layer.
#[derive(Clone)]
pub struct SplitSessions(pub(super) Arc<Table>);

/// One session at a gateway.
#[derive(Clone, Debug)]
pub struct SplitStatus {
    pub(super) gateway: Box<str>,
    pub(super) session: Fingerprint,
    pub(super) age: Duration,
    pub(super) idle: Duration,
    pub(super) uses: u64,
}

impl SplitSessions {
    /// Ends what is open for a client session, at every gateway at once. Says how many that were.
    pub async fn evict_session(&self, session: Key<'_>) -> usize {
        let taken = self.0.take(|other, _| other.key() == session);
        self.0.close(taken).await
    }

    /// Ends what is open at `gateway`, all at once. Says how many that were.
    pub async fn evict_gateway(&self, gateway: &str) -> usize {
        let taken = self.0.take(|_, name| name == gateway);
        self.0.close(taken).await
    }

    /// Ends all that is open, all at once; each has its own deadline, and none waits for another.
    pub async fn close_all(&self) -> usize {
        let taken = self.0.take(|_, _| true);
        self.0.close(taken).await
    }

    /// What is open now.
    #[must_use]
    pub fn snapshot(&self) -> Vec<SplitStatus> {
        self.0.statuses()
    }
}

impl SplitStatus {
    /// The gateway.
    #[must_use]
    pub fn gateway(&self) -> &str {
        &self.gateway
    }

    /// The client session, as logs name it.
    #[must_use]
    pub fn session(&self) -> Fingerprint {
        self.session
    }

    /// How long it has been open.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
    }

    /// How long ago it was last used.
    #[must_use]
    pub fn idle(&self) -> Duration {
        self.idle
    }

    /// How many requests it has had.
    #[must_use]
    pub fn uses(&self) -> u64 {
        self.uses
    }
}

impl fmt::Debug for SplitSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.snapshot()).finish()
    }
}
