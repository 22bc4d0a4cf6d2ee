//! A store without optional features passes, if it does not claim to have them.

use std::time::Duration;

use bartizan_core::{SessionStore, store::Never};
use bartizan_memory::MemoryStore;
use bartizan_store_suite::{Caps, Harness};

/// Only the required methods.
#[derive(Clone)]
struct Plain(MemoryStore);

struct OnPlain;

impl Harness for OnPlain {
    type Store = Plain;

    async fn open(&self, caps: Caps) -> Plain {
        Plain(MemoryStore::builder().max_sessions(caps.total).build())
    }

    fn is_tokio_paused(&self) -> bool {
        true
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}

bartizan_store_suite::store_suite!(OnPlain);

impl SessionStore for Plain {
    bartizan_core::store_parts!(futures Never);
    bartizan_core::store_parts!(0: get insert_if_absent replace remove remove_if_unchanged touch has_room);
}
