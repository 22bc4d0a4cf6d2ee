//! A store that answers later, as a network store does, but is ready at the first poll.

use std::future::{Ready, ready};

use bartizan::{
    core::{Answer, Key, Session, SessionStore, StoreError, store_parts},
    memory::MemoryStore,
};

/// Looks sessions up later; all else at once.
#[derive(Clone, Debug)]
pub struct Later(pub MemoryStore);

impl SessionStore for Later {
    type Get = Ready<Result<Option<Session>, StoreError>>;
    type Insert = <MemoryStore as SessionStore>::Insert;
    type Replace = <MemoryStore as SessionStore>::Replace;
    type Remove = <MemoryStore as SessionStore>::Remove;
    type RemoveIfUnchanged = <MemoryStore as SessionStore>::RemoveIfUnchanged;

    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        match self.0.get(key) {
            Answer::Now(found) => Answer::Later(ready(found)),
            Answer::Later(_) => unreachable!("the memory store answers now"),
        }
    }

    store_parts!(0: insert_if_absent insert_unconfirmed take_evicted replace remove);
    store_parts!(0: remove_if_unchanged touch has_room reserve counts_clients answers);
}
