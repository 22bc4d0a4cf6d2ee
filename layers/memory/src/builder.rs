//! Configuration of [`MemoryStore`].

use crate::MemoryStore;

/// Builds a [`MemoryStore`].
#[must_use]
#[derive(Clone, Debug)]
pub struct MemoryStoreBuilder {
    max_sessions: usize,
    max_sessions_per_principal: usize,
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
        Self { max_sessions: 1_000_000, max_sessions_per_principal: usize::MAX }
    }

    /// The maximum number of sessions; further ones are refused. Default: 1,000,000.
    pub const fn max_sessions(self, sessions: usize) -> Self {
        Self { max_sessions: sessions, ..self }
    }

    /// How many sessions one principal may have; sessions without a principal are not counted.
    /// Default: no bound of its own.
    pub const fn max_sessions_per_principal(self, sessions: usize) -> Self {
        Self { max_sessions_per_principal: sessions, ..self }
    }

    /// Makes the store.
    #[must_use]
    pub fn build(self) -> MemoryStore {
        MemoryStore::with_caps(self.max_sessions, self.max_sessions_per_principal)
    }
}
