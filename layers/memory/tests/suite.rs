//! What any store must do.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use bartizan_memory::MemoryStore;

bartizan_testkit::store_suite!((MemoryStore::new(), ()));
