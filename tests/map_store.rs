//! The store in the guide passes the tests that every store must pass.
#![allow(clippy::unwrap_used, clippy::panic, missing_docs, reason = "test")]
#![allow(
    clippy::disallowed_types,
    reason = "a reader of the guide has no reason to use tokio's clock"
)]
#![allow(clippy::must_use_candidate, reason = "it is shown in the guide as it is")]
#![allow(
    missing_debug_implementations,
    unreachable_pub,
    reason = "it is shown in the guide as it is"
)]

#[path = "../src/guide/map_store.rs"]
mod map_store;

use map_store::MapStore;

bartizan_testkit::store_suite!((MapStore::new(1000), ()));
