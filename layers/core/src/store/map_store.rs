use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use bartizan_core::{
    Answer, BackendId, Key, Principal, Record, Route, Session, SessionStore, StoreError,
    store::{CountSessions, Inserted, Never, OwnedKey, RecordVersion, Replaced, StoredSession},
};
use tokio::time::Instant;

/// Sessions in a `HashMap`. Clones share it.
#[derive(Clone)]
pub struct MapStore(Arc<Shared>);

struct Shared {
    start: Instant,
    max_sessions: usize,
    slots: Mutex<Slots>,
}

type Slots = HashMap<OwnedKey, Slot>;

enum Slot {
    Live(Session),
    /// A tombstone: for a minute, a late insert must not bring the session back.
    Ended {
        until_ms: u64,
    },
}

impl MapStore {
    pub fn new(max_sessions: usize) -> Self {
        let (start, slots) = (Instant::now(), Mutex::default());
        Self(Arc::new(Shared { start, max_sessions, slots }))
    }

    /// The table without expired sessions and old tombstones, and the time: milliseconds on the store's own clock.
    fn slots(&self) -> (MutexGuard<'_, Slots>, u64) {
        let now_ms = u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX);
        let mut slots = self.0.slots.lock().unwrap_or_else(PoisonError::into_inner);
        slots.retain(|_, slot| match slot {
            // The streams that hold it learn of its end.
            Slot::Live(session) if session.is_expired(now_ms) => {
                session.end();
                false
            }
            Slot::Live(_) => true,
            Slot::Ended { until_ms } => now_ms < *until_ms,
        });
        (slots, now_ms)
    }
}

fn find<'a>(slots: &'a mut Slots, key: Key<'_>) -> Option<&'a mut Session> {
    match slots.get_mut(&OwnedKey::from(key)) {
        Some(Slot::Live(session)) => Some(session),
        _ => None,
    }
}

fn live(slots: &Slots) -> impl Iterator<Item = &Session> {
    slots.values().filter_map(|slot| match slot {
        Slot::Live(session) => Some(session),
        Slot::Ended { .. } => None,
    })
}

fn end(slots: &mut Slots, key: Key<'_>, now_ms: u64) {
    let ended = Slot::Ended { until_ms: now_ms + 60_000 };
    if let Some(Slot::Live(session)) = slots.insert(key.into(), ended) {
        session.end();
    }
}

impl SessionStore for MapStore {
    // It always answers at once, so these futures are never constructed.
    type Get = Never<Result<Option<Session>, StoreError>>;
    type Insert = Never<Result<Inserted, StoreError>>;
    type Replace = Never<Result<Replaced, StoreError>>;
    type Remove = Never<Result<(), StoreError>>;
    type RemoveIfUnchanged = Never<Result<bool, StoreError>>;

    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        let (mut slots, now_ms) = self.slots();
        let found = find(&mut slots, key).cloned();
        found.iter().for_each(|session| session.set_used_ms(now_ms));
        Answer::Now(Ok(found))
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        let (mut slots, now_ms) = self.slots();
        let is_full = live(&slots).count() >= self.0.max_sessions;
        Answer::Now(Ok(match slots.get(&OwnedKey::from(key)) {
            Some(Slot::Live(session)) => Inserted::Exists(session.clone()),
            Some(Slot::Ended { .. }) => Inserted::Ended,
            None if is_full => Inserted::Full,
            None => {
                let session = Session::new(key, record, RecordVersion::FIRST, now_ms);
                slots.insert(key.into(), Slot::Live(session.clone()));
                Inserted::Inserted(session)
            }
        }))
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        Answer::Now(Ok(match find(&mut self.slots().0, key) {
            None => Replaced::Gone,
            Some(session) if session.version() != seen => Replaced::Changed(session.clone()),
            Some(session) => {
                *session = session.next_version(record);
                Replaced::Replaced(session.clone())
            }
        }))
    }

    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        let (mut slots, now_ms) = self.slots();
        end(&mut slots, key, now_ms);
        Answer::Now(Ok(()))
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        let (mut slots, now_ms) = self.slots();
        let is_unchanged = find(&mut slots, key).is_some_and(|session| session.version() == seen);
        if is_unchanged {
            end(&mut slots, key, now_ms);
        }
        Answer::Now(Ok(is_unchanged))
    }

    fn touch(&self, session: &Session) {
        let (_slots, now_ms) = self.slots();
        session.set_used_ms(now_ms);
    }

    fn has_room(&self, _: &Route, _: Option<&Principal>) -> bool {
        live(&self.slots().0).count() < self.0.max_sessions
    }
}

/// For balancing by sessions, and for draining.
impl CountSessions for MapStore {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        let (slots, _) = self.slots();
        live(&slots).filter(|session| session.record().backend() == Some(backend)).count()
    }
}
