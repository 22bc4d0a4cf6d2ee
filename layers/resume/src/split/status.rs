//! The status of one session at a gateway.

use std::time::Duration;

use bartizan_core::session::Fingerprint;

/// One session at a gateway.
#[derive(Clone, Debug)]
pub struct SplitStatus {
    pub(super) gateway: Box<str>,
    pub(super) session: Fingerprint,
    pub(super) age: Duration,
    pub(super) idle: Duration,
    pub(super) uses: u64,
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
