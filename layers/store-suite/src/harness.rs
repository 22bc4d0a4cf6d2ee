//! What the author of a store provides: new stores, and a way to let time pass.

use std::time::Duration;

use bartizan_core::SessionStore;

/// Opens stores for the checks, and lets time pass.
///
/// A harness also owns everything that must live as long as the store, such as the database server.
pub trait Harness: Sized + 'static {
    /// The store under test.
    type Store: SessionStore;

    /// Opens a new, empty store with these limits. Runs in the tokio runtime of the check.
    fn open(&self, caps: Caps) -> impl Future<Output = Self::Store>;

    /// Lets `by` pass for all stores that were opened, and does what they would do in the background during that time.
    /// If time cannot be moved, wait, and choose a short [`Self::idle`].
    ///
    /// Steps are at most twice the idle time, except for two of 50 s and 20 s, in which only ended sessions matter.
    fn advance(&self, by: Duration) -> impl Future<Output = ()>;

    /// Whether the checks that move time run with tokio's clock paused: for a store that measures time by it and waits
    /// for nothing else. `advance` is `tokio::time::advance` then. Default: no.
    fn is_tokio_paused(&self) -> bool {
        false
    }

    /// The idle time of sessions in checks about time; their lifetime is three times as long. Checks look at three and
    /// at five quarters of it. Default: 100 s.
    fn idle(&self) -> Duration {
        Duration::from_secs(100)
    }

    /// The optional features of the store. Default: none.
    fn features(&self) -> Features {
        Features::none()
    }
}

/// How many sessions a store may have.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Caps {
    /// In total. Every store has this limit.
    pub total: usize,
    /// For one principal; the largest number if there is no limit. For stores that [support](Features::caps_principals)
    /// it.
    pub per_principal: usize,
    /// For one client; the largest number if there is no limit. For stores that [support](Features::caps_clients) it.
    pub per_client: usize,
}

/// The optional features that a store supports.
#[must_use]
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub struct Features {
    pub(crate) caps_principals: bool,
    pub(crate) caps_clients: bool,
    pub(crate) evicts_unconfirmed: bool,
    pub(crate) counts_openings: bool,
}

impl Caps {
    /// Room for 1,000 sessions, and no other limit.
    pub(crate) const ROOMY: Self =
        Self { total: 1_000, per_principal: usize::MAX, per_client: usize::MAX };

    pub(crate) const fn of(total: usize) -> Self {
        Self { total, ..Self::ROOMY }
    }
}

impl Features {
    /// No optional features.
    pub const fn none() -> Self {
        Self {
            caps_principals: false,
            caps_clients: false,
            evicts_unconfirmed: false,
            counts_openings: false,
        }
    }

    /// The store limits the sessions of one principal.
    pub const fn caps_principals(self) -> Self {
        Self { caps_principals: true, ..self }
    }

    /// The store limits the sessions of one client, and [reports](bartizan_core::SessionStore::counts_clients)
    /// whether it has such a limit.
    pub const fn caps_clients(self) -> Self {
        Self { caps_clients: true, ..self }
    }

    /// The store evicts sessions that were never confirmed
    /// ([`insert_unconfirmed`](bartizan_core::SessionStore::insert_unconfirmed)).
    pub const fn evicts_unconfirmed(self) -> Self {
        Self { evicts_unconfirmed: true, ..self }
    }

    /// The store counts openings in flight ([`reserve`](bartizan_core::SessionStore::reserve)).
    pub const fn counts_openings(self) -> Self {
        Self { counts_openings: true, ..self }
    }
}
