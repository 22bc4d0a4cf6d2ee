//! The store in the documentation of the trait passes.
#![allow(missing_docs, reason = "test")]
#![allow(
    clippy::must_use_candidate,
    missing_debug_implementations,
    unreachable_pub,
    reason = "it is shown in the documentation as it is"
)]

use std::time::Duration;

use bartizan_store_suite::{Caps, Harness};

#[path = "../../core/src/store/map_store.rs"]
mod map_store;

use map_store::MapStore;

struct OnMap;

impl Harness for OnMap {
    type Store = MapStore;

    async fn open(&self, caps: Caps) -> MapStore {
        MapStore::new(caps.total)
    }

    fn is_tokio_paused(&self) -> bool {
        true
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }
}

bartizan_store_suite::store_suite!(OnMap);
