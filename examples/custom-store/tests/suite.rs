//! What every session store must do.
#![allow(clippy::unwrap_used, reason = "test")]

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bartizan_example_custom_store::SqliteStore;
use bartizan_store_suite::{Caps, Harness};
use tempfile::TempDir;

/// A database in its own directory, and the clock of its store.
struct OnSqlite {
    directory: TempDir,
    now_ms: Arc<AtomicU64>,
    store: std::sync::Mutex<Option<SqliteStore>>,
}

impl OnSqlite {
    fn new() -> Self {
        let now_ms = Arc::new(AtomicU64::new(1_700_000_000_000));
        Self { directory: tempfile::tempdir().unwrap(), now_ms, store: Default::default() }
    }
}

impl Harness for OnSqlite {
    type Store = SqliteStore;

    async fn open(&self, caps: Caps) -> SqliteStore {
        let now_ms = Arc::clone(&self.now_ms);
        // A check may open more than one.
        let number = now_ms.fetch_add(1, Ordering::Relaxed);
        let path = self.directory.path().join(format!("{number}.db"));
        let clock = move || now_ms.load(Ordering::Relaxed);
        let store = SqliteStore::with_clock(&path, caps.total, clock).unwrap();
        *self.store.lock().unwrap() = Some(store.clone());
        store
    }

    async fn advance(&self, by: Duration) {
        self.now_ms.fetch_add(u64::try_from(by.as_millis()).unwrap(), Ordering::Relaxed);
        // What the program does once a second.
        let store = self.store.lock().unwrap().clone();
        store.unwrap().sweep().await.unwrap();
    }
}

bartizan_store_suite::store_suite!(OnSqlite::new());
