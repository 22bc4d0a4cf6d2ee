//! Configuration of [`MemoryStore`].

use crate::{MemoryStore, counts::Caps};

/// Builds a [`MemoryStore`].
#[must_use]
#[derive(Clone, Debug)]
pub struct MemoryStoreBuilder {
    max_sessions: usize,
    max_sessions_per_principal: usize,
    max_sessions_per_client: usize,
}

impl MemoryStore {
    /// Makes a store with the defaults of [`MemoryStoreBuilder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Starts to configure a store.
    pub const fn builder() -> MemoryStoreBuilder {
        MemoryStoreBuilder::new()
    }
}

impl MemoryStoreBuilder {
    pub(crate) const fn new() -> Self {
        Self {
            max_sessions: 1_000_000,
            max_sessions_per_principal: usize::MAX,
            max_sessions_per_client: usize::MAX,
        }
    }

    /// The maximum number of sessions. From 80 % of this number on, new sessions evict those that are [to be
    /// confirmed](bartizan_core::SessionStore::insert_unconfirmed); if there are none, further sessions are refused.
    /// Default: 1,000,000.
    pub const fn max_sessions(self, sessions: usize) -> Self {
        Self { max_sessions: sessions, ..self }
    }

    /// How many sessions one principal may have; sessions without a principal are not counted. Default: no limit.
    pub const fn max_sessions_per_principal(self, sessions: usize) -> Self {
        Self { max_sessions_per_principal: sessions, ..self }
    }

    /// How many sessions one client may have, by the [network in their records](bartizan_core::Record::with_client):
    /// an IPv4 address, or an IPv6 /64; sessions without one are not counted. A counted session takes some 72 bytes
    /// more. Default: no limit.
    pub const fn max_sessions_per_client(self, sessions: usize) -> Self {
        Self { max_sessions_per_client: sessions, ..self }
    }

    /// Makes the store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        MemoryStore::with_caps(Caps {
            total: self.max_sessions,
            per_principal: self.max_sessions_per_principal,
            per_client: self.max_sessions_per_client,
        })
    }
}
