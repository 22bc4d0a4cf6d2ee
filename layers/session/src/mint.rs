//! Session ids that the proxy makes.

use std::fmt;

use bartizan_core::{
    Answer, BackendId, Key, Record, SessionId, SessionStore, StoreError,
    gauges::{Gauges, Reading},
    store::{CountSessions, Inserted, StoreErrorKind},
};

/// A store that makes a new id for each session. The client only gets this id; the backend's id stays in the record. So
/// the ids of a backend cannot reveal anything or be guessed, and a session can continue under another id of a backend.
///
/// The ids are UUIDs of 122 random bits from the system
/// ([RFC 9562 §5.4](https://www.rfc-editor.org/rfc/rfc9562#section-5.4)).
///
/// ```
/// use bartizan_memory::MemoryStore;
/// use bartizan_session::{MintIds, ValidateSessionLayer};
///
/// let layer = ValidateSessionLayer::mcp(MintIds::new(MemoryStore::new()));
/// # let _ = layer;
/// ```
#[derive(Clone)]
pub struct MintIds<T> {
    store: T,
    mints: bool,
}

impl<T> MintIds<T> {
    /// Keeps sessions in `store`, under new ids.
    #[must_use]
    pub const fn new(store: T) -> Self {
        Self { store, mints: true }
    }

    /// Whether new sessions get ids of this store; otherwise they keep the ids of their backends. Sessions that exist
    /// keep their ids. Default: yes.
    #[must_use]
    pub fn only_if(self, mints: bool) -> Self {
        Self { mints, ..self }
    }
}

impl<T: SessionStore> MintIds<T> {
    /// Calls `insert` with a new id for the session, unless minting is off.
    fn under_own_id(
        &self,
        key: Key<'_>,
        record: Record,
        insert: fn(&T, Key<'_>, Record) -> Answer<Result<Inserted, StoreError>, T::Insert>,
    ) -> Answer<Result<Inserted, StoreError>, T::Insert> {
        if !self.mints {
            return insert(&self.store, key, record);
        }
        let minted = mint().zip(SessionId::from_bytes(key.id).ok());
        let Some((id, upstream_id)) = minted else {
            // Better to fail than to use an id that could be guessed.
            return Answer::Now(Err(StoreError::new(StoreErrorKind::Unavailable)));
        };
        let key = Key::new(key.route, key.principal, id.as_bytes());
        insert(&self.store, key, record.with_upstream_id(upstream_id))
    }
}

impl<T: SessionStore> SessionStore for MintIds<T> {
    bartizan_core::store_parts!(futures of T);
    bartizan_core::store_parts!(store: get take_evicted replace remove remove_if_unchanged touch);
    bartizan_core::store_parts!(store: has_room reserve counts_clients answers);

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, T::Insert> {
        self.under_own_id(key, record, T::insert_if_absent)
    }

    fn insert_unconfirmed(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, T::Insert> {
        self.under_own_id(key, record, T::insert_unconfirmed)
    }
}

impl<T: CountSessions> CountSessions for MintIds<T> {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        self.store.sessions_on(backend)
    }
}

impl<T: Gauges> Gauges for MintIds<T> {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        self.store.read(out);
    }
}

impl<T: fmt::Debug> fmt::Debug for MintIds<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MintIds").field("store", &self.store).field("mints", &self.mints).finish()
    }
}

/// A UUID of version 4; `None` if the system has no randomness.
fn mint() -> Option<String> {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).ok()?;
    let random = u128::from_be_bytes(bytes);
    let version = random & !(0xf << 76) | 4 << 76;
    let variant = version & !(0b11 << 62) | 0b10 << 62;
    let group = |shift: u32, bits: u32| variant >> shift & ((1 << bits) - 1);
    Some(format!(
        "{:08x}-{:04x}-{:04x}-{:04x}-{:012x}",
        group(96, 32),
        group(80, 16),
        group(64, 16),
        group(48, 16),
        group(0, 48)
    ))
}

#[cfg(test)]
mod tests {
    use bartizan_core::Route;
    use bartizan_memory::MemoryStore;

    use super::*;

    #[test]
    fn an_id_is_a_uuid_of_version_4_and_no_two_are_alike() {
        let (one, two) = (mint().unwrap(), mint().unwrap());
        assert_ne!(one, two);
        let parts: Vec<_> = one.split('-').collect();
        assert_eq!(parts.iter().map(|part| part.len()).collect::<Vec<_>>(), [8, 4, 4, 4, 12]);
        assert!(parts[2].starts_with('4') && "89ab".contains(&parts[3][..1]), "{one}");
        assert!(one.bytes().all(|byte| byte == b'-' || byte.is_ascii_hexdigit()));
    }

    #[tokio::test]
    async fn a_session_is_found_by_its_minted_id_and_by_no_other() {
        let (store, route) = (MemoryStore::new(), Route::default());
        let mints = MintIds::new(store.clone());
        let key = Key::new(&route, None, b"the-backends");
        let record = || Record::new(Record::IDLE, Record::LIFETIME);
        let Ok(Inserted::Inserted(session)) = mints.insert_if_absent(key, record()).wait().await
        else {
            panic!("it is new")
        };
        assert_eq!(session.record().upstream_id().unwrap().as_bytes(), key.id);
        assert!(mints.get(session.key()).wait().await.unwrap().is_some());
        assert!(mints.get(key).wait().await.unwrap().is_none());
        // The same backend id, inserted again, makes another session.
        let again = mints.insert_if_absent(key, record()).wait().await;
        assert!(matches!(again, Ok(Inserted::Inserted(_))));
        let plain = MintIds::new(store).only_if(false);
        let Ok(Inserted::Inserted(session)) = plain.insert_if_absent(key, record()).wait().await
        else {
            panic!("it is new")
        };
        assert_eq!((session.id(), session.record().upstream_id()), (key.id, None));
    }
}
