//! A store that answers later, as a network store does, but is ready at the first poll.

use std::future::{Ready, ready};

use bartizan::{
    core::{
        Answer, Key, Principal, Record, Route, Session, SessionStore, StoreError,
        store::{Inserted, RecordVersion, Replaced},
    },
    memory::MemoryStore,
};

/// Looks sessions up later; all else at once.
#[derive(Clone, Debug)]
pub struct Later(pub MemoryStore);

type Told<T> = Result<T, StoreError>;

impl SessionStore for Later {
    type Get = Ready<Told<Option<Session>>>;
    type Insert = <MemoryStore as SessionStore>::Insert;
    type Replace = <MemoryStore as SessionStore>::Replace;
    type Remove = <MemoryStore as SessionStore>::Remove;
    type RemoveIfUnchanged = <MemoryStore as SessionStore>::RemoveIfUnchanged;

    fn get(&self, key: Key<'_>) -> Answer<Told<Option<Session>>, Self::Get> {
        match self.0.get(key) {
            Answer::Now(found) => Answer::Later(ready(found)),
            Answer::Later(_) => unreachable!("the memory store answers now"),
        }
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Told<Inserted>, Self::Insert> {
        self.0.insert_if_absent(key, record)
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Told<Replaced>, Self::Replace> {
        self.0.replace(key, seen, record)
    }

    fn remove(&self, key: Key<'_>) -> Answer<Told<()>, Self::Remove> {
        self.0.remove(key)
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Told<bool>, Self::RemoveIfUnchanged> {
        self.0.remove_if_unchanged(key, seen)
    }

    fn touch(&self, session: &Session) {
        self.0.touch(session);
    }

    fn has_room(&self, route: &Route, principal: Option<&Principal>) -> bool {
        self.0.has_room(route, principal)
    }
}
