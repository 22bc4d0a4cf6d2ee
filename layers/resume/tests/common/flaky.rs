//! A store that cannot write at the wrong moment.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bartizan_core::{
    Answer, Key, Principal, Record, Route, Session, SessionStore, StoreError,
    store::{Inserted, RecordVersion, Replaced, StoreErrorKind},
};
use bartizan_memory::MemoryStore;

/// The memory store, of which one operation can be made to fail.
#[derive(Clone, Default)]
pub struct Flaky {
    pub inner: MemoryStore,
    pub cannot_replace: Arc<AtomicBool>,
}

impl SessionStore for Flaky {
    type Get = <MemoryStore as SessionStore>::Get;
    type Insert = <MemoryStore as SessionStore>::Insert;
    type Replace = <MemoryStore as SessionStore>::Replace;
    type Remove = <MemoryStore as SessionStore>::Remove;
    type RemoveIfUnchanged = <MemoryStore as SessionStore>::RemoveIfUnchanged;

    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        self.inner.get(key)
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        self.inner.insert_if_absent(key, record)
    }

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

    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        self.inner.remove(key)
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        self.inner.remove_if_unchanged(key, seen)
    }

    fn touch(&self, session: &Session) {
        self.inner.touch(session);
    }

    fn has_room(&self, route: &Route, principal: Option<&Principal>) -> bool {
        self.inner.has_room(route, principal)
    }
}
