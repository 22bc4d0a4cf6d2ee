//! A store without optional features passes, if it does not claim to have them.

use std::time::Duration;

use bartizan_core::{
    Answer, Key, Principal, Record, Route, Session, SessionStore, StoreError,
    store::{Inserted, Never, RecordVersion, Replaced},
};
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
    type Get = Never<Result<Option<Session>, StoreError>>;
    type Insert = Never<Result<Inserted, StoreError>>;
    type Replace = Never<Result<Replaced, StoreError>>;
    type Remove = Never<Result<(), StoreError>>;
    type RemoveIfUnchanged = Never<Result<bool, StoreError>>;

    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        self.0.get(key)
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        self.0.insert_if_absent(key, record)
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        self.0.replace(key, seen, record)
    }

    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        self.0.remove(key)
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        self.0.remove_if_unchanged(key, seen)
    }

    fn touch(&self, session: &Session) {
        self.0.touch(session);
    }

    fn has_room(&self, route: &Route, principal: Option<&Principal>) -> bool {
        self.0.has_room(route, principal)
    }
}
