//! The memory of a [`TokenStore`](crate::TokenStore) that remembers no ends.

use bartizan_core::{
    Answer, Key, Principal, Record, Route, Session, SessionStore, StoreError,
    store::{Inserted, Never, RecordVersion, Replaced},
};

/// Remembers nothing.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoEnds(());

impl NoEnds {
    pub(crate) const fn new() -> Self {
        Self(())
    }
}

impl SessionStore for NoEnds {
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
        Answer::Now(Ok(Inserted::Ended))
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
        true
    }
}
