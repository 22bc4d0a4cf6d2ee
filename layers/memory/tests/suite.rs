//! The suite for every store.

use std::time::Duration;

use bartizan_memory::MemoryStore;
use bartizan_store_suite::{Caps, Features, Harness};

struct OnMemory;

impl Harness for OnMemory {
    type Store = MemoryStore;

    async fn open(&self, caps: Caps) -> MemoryStore {
        MemoryStore::builder()
            .max_sessions(caps.total)
            .max_sessions_per_principal(caps.per_principal)
            .max_sessions_per_client(caps.per_client)
            .build()
    }

    fn is_tokio_paused(&self) -> bool {
        true
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }

    fn features(&self) -> Features {
        Features::none().caps_principals().caps_clients().evicts_unconfirmed().counts_openings()
    }
}

bartizan_store_suite::store_suite!(OnMemory);
