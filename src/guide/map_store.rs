use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::{Duration, Instant},
};

use bartizan::core::{
    Answer, BackendId, Key, Principal, Record, Route, Session, SessionStore, StoreError,
    store::{CountSessions, Inserted, Never, RecordVersion, Replaced, StoredSession},
};

/// Sessions in a `HashMap`. Clones share it.
#[derive(Clone)]
pub struct MapStore(Arc<Shared>);

struct Shared {
    start: Instant,
    max_sessions: usize,
    slots: Mutex<Slots>,
}

type Slots = HashMap<OwnedKey, Slot>;

/// All three parts count: an id is unknown to another principal and on another route.
#[derive(Eq, Hash, PartialEq)]
struct OwnedKey(Route, Option<Principal>, Box<[u8]>);

enum Slot {
    Live(Session),
    /// A tombstone: for a minute, a late insert must not bring the session back.
    Ended {
        at_ms: u64,
    },
}

const TOMBSTONE_MS: u64 = 60_000;

impl MapStore {
    pub fn new(max_sessions: usize) -> Self {
        let (start, slots) = (Instant::now(), Mutex::default());
        Self(Arc::new(Shared { start, max_sessions, slots }))
    }

    /// The store's own clock. Sessions keep times on it, in milliseconds.
    fn now_ms(&self) -> u64 {
        u64::try_from(self.0.start.elapsed().as_millis()).unwrap_or(u64::MAX)
    }

    fn lock(&self) -> MutexGuard<'_, Slots> {
        self.0.slots.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn owned(key: Key<'_>) -> OwnedKey {
    OwnedKey(key.route.clone(), key.principal.cloned(), key.id.into())
}

fn is_expired(session: &Session, now_ms: u64) -> bool {
    let since = |ms: u64| Duration::from_millis(now_ms.saturating_sub(ms));
    let record = session.record();
    // An open call or stream holds its session: it is in use, whatever the last request was.
    let is_idle = !session.is_held() && since(session.used_ms()) >= record.idle();
    is_idle || since(session.born_ms()) >= record.lifetime()
}

/// Forgets expired sessions and old tombstones. `end` wakes the streams that wait for the end.
fn sweep(slots: &mut Slots, now_ms: u64) {
    slots.retain(|_, slot| match slot {
        Slot::Live(session) if is_expired(session, now_ms) => {
            session.end();
            false
        }
        Slot::Live(_) => true,
        Slot::Ended { at_ms } => now_ms < *at_ms + TOMBSTONE_MS,
    });
}

fn find<'a>(slots: &'a mut Slots, key: Key<'_>, now_ms: u64) -> Option<&'a mut Session> {
    match slots.get_mut(&owned(key)) {
        Some(Slot::Live(session)) if !is_expired(session, now_ms) => Some(session),
        _ => None,
    }
}

impl SessionStore for MapStore {
    // It always answers at once: these futures are never made.
    type Get = Never<Result<Option<Session>, StoreError>>;
    type Insert = Never<Result<Inserted, StoreError>>;
    type Replace = Never<Result<Replaced, StoreError>>;
    type Remove = Never<Result<(), StoreError>>;
    type RemoveIfUnchanged = Never<Result<bool, StoreError>>;

    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        let now_ms = self.now_ms();
        let mut slots = self.lock();
        let found = find(&mut slots, key, now_ms);
        Answer::Now(Ok(found.map(|session| {
            session.set_used_ms(now_ms);
            session.clone()
        })))
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        let now_ms = self.now_ms();
        let mut slots = self.lock();
        sweep(&mut slots, now_ms);
        let is_full = slots.len() >= self.0.max_sessions;
        let inserted = match slots.get(&owned(key)) {
            Some(Slot::Live(session)) => Inserted::Exists(session.clone()),
            Some(Slot::Ended { .. }) => Inserted::Ended,
            None if is_full => Inserted::Full,
            None => {
                let session = Session::new(key, record, RecordVersion::FIRST, now_ms);
                slots.insert(owned(key), Slot::Live(session.clone()));
                Inserted::Inserted(session)
            }
        };
        Answer::Now(Ok(inserted))
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        let now_ms = self.now_ms();
        let mut slots = self.lock();
        let replaced = match find(&mut slots, key, now_ms) {
            None => Replaced::Gone,
            Some(session) if session.version() != seen => Replaced::Changed(session.clone()),
            Some(session) => {
                *session = session.next_version(record);
                Replaced::Replaced(session.clone())
            }
        };
        Answer::Now(Ok(replaced))
    }

    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        let ended = Slot::Ended { at_ms: self.now_ms() };
        if let Some(Slot::Live(session)) = self.lock().insert(owned(key), ended) {
            session.end();
        }
        Answer::Now(Ok(()))
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        let now_ms = self.now_ms();
        let mut slots = self.lock();
        let found = find(&mut slots, key, now_ms);
        let is_unchanged = found.is_some_and(|session| session.version() == seen);
        if is_unchanged
            && let Some(Slot::Live(session)) =
                slots.insert(owned(key), Slot::Ended { at_ms: now_ms })
        {
            session.end();
        }
        Answer::Now(Ok(is_unchanged))
    }

    fn touch(&self, session: &Session) {
        session.set_used_ms(self.now_ms());
    }

    fn has_room(&self, _: &Route, _: Option<&Principal>) -> bool {
        self.lock().len() < self.0.max_sessions
    }
}

/// For balancing by sessions, and for draining.
impl CountSessions for MapStore {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        let slots = self.lock();
        let is_there = |slot: &&Slot| matches!(slot, Slot::Live(session) if session.record().backend() == Some(backend));
        slots.values().filter(is_there).count()
    }
}
