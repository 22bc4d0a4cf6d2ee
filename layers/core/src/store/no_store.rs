//! A store that stores nothing.

use super::{Answer, Inserted, Key, Never, RecordVersion, Replaced, SessionStore, StoreError};
use crate::{Principal, Record, Route, Session};

/// A store that stores nothing: the default where a store is optional.
///
/// It is always full, so that an insert fails visibly.
#[derive(Clone, Copy, Debug, Default)]
pub struct NoStore(());

impl SessionStore for NoStore {
    crate::store_parts!(futures Never);

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

    fn remove_if_unchanged(
        &self,
        _: Key<'_>,
        _: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        Answer::Now(Ok(false))
    }

    fn touch(&self, _: &Session) {}

    fn has_room(&self, _: &Route, _: Option<&Principal>) -> bool {
        false
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_is_found_and_who_would_keep_something_is_told() {
        let (store, route) = (NoStore::default(), Route::default());
        let key = Key::new(&route, None, b"id");
        let record = || Record::new(Record::IDLE, Record::LIFETIME);
        assert!(!store.has_room(&route, None));
        let inserted = store.insert_if_absent(key, record());
        assert!(matches!(inserted, Answer::Now(Ok(Inserted::Full))));
        assert!(matches!(store.get(key), Answer::Now(Ok(None))));
        let replaced = store.replace(key, RecordVersion::FIRST, record());
        assert!(matches!(replaced, Answer::Now(Ok(Replaced::Gone))));
        assert!(matches!(store.remove(key), Answer::Now(Ok(()))));
        let removed = store.remove_if_unchanged(key, RecordVersion::FIRST);
        assert!(matches!(removed, Answer::Now(Ok(false))));
    }
}
