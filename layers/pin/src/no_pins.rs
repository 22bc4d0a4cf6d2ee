//! The store of a layer that has no keys.

use bartizan_core::{
    Answer, Key, Principal, Record, Route, Session, SessionStore, StoreError,
    store::{Inserted, Never, RecordVersion, Replaced},
};

/// Holds nothing: work is pinned by its session alone.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoPins(());

impl SessionStore for NoPins {
    type Get = Never<Result<Option<Session>, StoreError>>;
    type Insert = Never<Result<Inserted, StoreError>>;
    type Replace = Never<Result<Replaced, StoreError>>;
    type Remove = Never<Result<(), StoreError>>;

    fn get(&self, _: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        Answer::Now(Ok(None))
    }

    fn insert_if_absent(
        &self,
        _: Key<'_>,
        _: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        Answer::Now(Ok(Inserted::Full))
    }

    fn replace(
        &self,
        _: Key<'_>,
        _: RecordVersion,
        _: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        Answer::Now(Ok(Replaced::Gone))
    }

    fn remove(&self, _: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        Answer::Now(Ok(()))
    }

    fn touch(&self, _: &Session) {}

    fn has_room(&self, _: &Route, _: Option<&Principal>) -> bool {
        false
    }
}
