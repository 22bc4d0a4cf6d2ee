//! A store that cannot write at the wrong moment.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bartizan_core::{
    Answer, Key, Record, SessionStore, StoreError,
    store::{RecordVersion, Replaced, StoreErrorKind},
};
use bartizan_memory::MemoryStore;

/// The memory store, of which one operation can be made to fail.
#[derive(Clone, Default)]
pub struct Flaky {
    pub inner: MemoryStore,
    pub cannot_replace: Arc<AtomicBool>,
}

impl SessionStore for Flaky {
    bartizan_core::store_parts!(futures of MemoryStore);
    bartizan_core::store_parts!(inner: get insert_if_absent insert_unconfirmed take_evicted remove);
    bartizan_core::store_parts!(inner: remove_if_unchanged touch has_room reserve counts_clients);
    bartizan_core::store_parts!(inner: answers);

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        if self.cannot_replace.load(Ordering::Relaxed) {
            return Answer::Now(Err(StoreError::new(StoreErrorKind::Unavailable)));
        }
        self.inner.replace(key, seen, record)
    }
}
