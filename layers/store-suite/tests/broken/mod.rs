//! A correct store that is broken in one way.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex, MutexGuard},
    time::Duration,
};

use bartizan_core::{
    Answer, Key, Principal, Record, Route, Session, SessionStore, StoreError,
    store::{Applicant, Inserted, Never, OwnedKey, Place, RecordVersion, Replaced, StoredSession},
};
use bartizan_memory::MemoryStore;
use bartizan_store_suite::{Caps, Features, Harness};
use tokio::time::Instant;

/// The fault of a store.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Fault {
    None,
    LosesFields,
    LosesLaterParts,
    UnconfirmedIsLost,
    LastInsertStays,
    IgnoresRoutes,
    IgnoresPrincipals,
    IgnoresCase,
    ReplacesAnyVersion,
    ReplaceCreates,
    ReplaceIsAnEnd,
    ReplaceIsABirth,
    ReplaceForgetsHolds,
    RemovesAnyVersion,
    RemovalAlwaysWins,
    RemovalEndsAllPrincipals,
    NoTombstone,
    BriefTombstone,
    EternalTombstone,
    SilentRemoval,
    SilentExpiry,
    NeverIdlesOut,
    IdlesOutEarly,
    LookupIsNoUse,
    TouchIsNoUse,
    HeldIdlesOut,
    LivesForEver,
    ExpiryLeavesATombstone,
    NeverFull,
    EndedCount,
    ExpiredCount,
    PrincipalsAreNotCapped,
    ClientsAreNotCapped,
    EvictsNothing,
    EvictsAndTellsNoOne,
    OpeningsAreNotCounted,
}

/// Opens stores with one fault.
pub(crate) struct WithFault(pub(crate) Fault);

#[derive(Clone)]
pub(crate) struct Broken {
    inner: MemoryStore,
    fault: Fault,
    cap: usize,
    notes: Arc<Mutex<Notes>>,
}

/// The state that the broken store adds.
#[derive(Default)]
struct Notes {
    by_id: HashMap<Vec<u8>, Note>,
    inserted: usize,
}

/// The state for one id.
#[derive(Clone)]
struct Note {
    /// How often it was opened again; each time it gets another id.
    generation: u8,
    idle: Duration,
    lifetime: Duration,
    born: Instant,
    used: Instant,
    ended: Option<Instant>,
}

impl Harness for WithFault {
    type Store = Broken;

    async fn open(&self, caps: Caps) -> Broken {
        let unless = |fault, cap| if self.0 == fault { usize::MAX } else { cap };
        let counts_itself = matches!(self.0, Fault::EndedCount | Fault::ExpiredCount);
        let total = if counts_itself { usize::MAX } else { unless(Fault::NeverFull, caps.total) };
        let inner = MemoryStore::builder()
            .max_sessions(total)
            .max_sessions_per_principal(unless(Fault::PrincipalsAreNotCapped, caps.per_principal))
            .max_sessions_per_client(unless(Fault::ClientsAreNotCapped, caps.per_client))
            .build();
        Broken { inner, fault: self.0, cap: caps.total, notes: Arc::default() }
    }

    fn is_tokio_paused(&self) -> bool {
        true
    }

    async fn advance(&self, by: Duration) {
        tokio::time::advance(by).await;
    }

    fn features(&self) -> Features {
        Features::none().caps_principals().caps_clients().evicts_unconfirmed().counts_openings()
    }
}

/// The same session, but no other handle learns of its end.
fn detached(session: &Session) -> Session {
    Session::new(session.key(), session.record().clone(), session.version(), session.born_ms())
}

/// A record with other times, and only the fields that pass the filter.
fn remade(of: &Record, idle: Duration, lifetime: Duration, keep: fn(&str) -> bool) -> Record {
    let mut record = Record::new(idle, lifetime);
    if let Some(backend) = of.backend() {
        record = record.with_backend(backend.clone());
    }
    if let Some(id) = of.upstream_id() {
        record = record.with_upstream_id(id.clone());
    }
    of.fields()
        .filter(|(name, _)| keep(name))
        .fold(record, |it, (name, value)| it.with_field(name, value))
}

impl Broken {
    fn notes(&self) -> MutexGuard<'_, Notes> {
        self.notes.lock().unwrap()
    }

    fn is(&self, fault: Fault) -> bool {
        self.fault == fault
    }

    fn note(&self, key: Key<'_>) -> Option<Note> {
        self.notes().by_id.get(key.id).cloned()
    }

    fn change(&self, key: Key<'_>, change: impl FnOnce(&mut Note)) {
        if let Some(note) = self.notes().by_id.get_mut(key.id) {
            change(note);
        }
    }

    /// The key as the store takes it.
    fn take(&self, key: Key<'_>) -> OwnedKey {
        let route =
            if self.is(Fault::IgnoresRoutes) { Route::default() } else { key.route.clone() };
        let principal = key.principal.filter(|_| !self.is(Fault::IgnoresPrincipals)).cloned();
        let mut id = key.id.to_vec();
        if self.is(Fault::IgnoresCase) {
            id.make_ascii_lowercase();
        }
        if let Some(Note { generation: generation @ 1.., .. }) = self.note(key) {
            id.push(generation);
        }
        Key::new(&route, principal.as_ref(), &id).into()
    }

    /// The record as it is stored.
    fn stored(&self, record: Record) -> Record {
        let (idle, lifetime) = (record.idle(), record.lifetime());
        match self.fault {
            Fault::LosesFields => remade(&record, idle, lifetime, |_| false),
            Fault::NeverIdlesOut => remade(&record, idle * 1_000, lifetime, |_| true),
            Fault::IdlesOutEarly => remade(&record, idle / 2, lifetime, |_| true),
            Fault::LivesForEver | Fault::SilentExpiry => {
                remade(&record, idle, lifetime * 1_000, |_| true)
            }
            _ => record,
        }
    }

    fn is_over(&self, note: &Note) -> bool {
        let now = Instant::now();
        match self.fault {
            Fault::LookupIsNoUse | Fault::HeldIdlesOut => now - note.used >= note.idle,
            Fault::SilentExpiry => now - note.born >= note.lifetime,
            _ => false,
        }
    }

    fn found(&self, session: Session) -> Session {
        let forgets =
            self.is(Fault::ReplaceForgetsHolds) && session.version() > RecordVersion::FIRST;
        if forgets || self.is(Fault::SilentRemoval) { detached(&session) } else { session }
    }

    fn here<T, F: Future<Output = T>>(answer: Answer<T, F>) -> T {
        match answer {
            Answer::Now(answer) => answer,
            Answer::Later(_) => panic!("it is in memory"),
        }
    }

    fn lookup(&self, key: Key<'_>) -> Option<Session> {
        if self.note(key).is_some_and(|note| self.is_over(&note)) {
            return None;
        }
        let session = Self::here(self.inner.get(self.take(key).as_key())).unwrap()?;
        if !self.is(Fault::LookupIsNoUse) {
            self.change(key, |note| note.used = Instant::now());
        }
        Some(self.found(session))
    }

    fn is_full(&self) -> bool {
        match self.fault {
            Fault::EndedCount => self.notes().inserted >= self.cap,
            Fault::ExpiredCount => {
                self.notes().by_id.values().filter(|note| note.ended.is_none()).count() >= self.cap
            }
            _ => false,
        }
    }

    fn insert(&self, key: Key<'_>, record: Record, is_unconfirmed: bool) -> Inserted {
        let now = Instant::now();
        if let Some(note) = self.note(key) {
            let since_end = note.ended.map(|ended| now - ended);
            match self.fault {
                Fault::EternalTombstone if since_end.is_some() => return Inserted::Ended,
                Fault::BriefTombstone if since_end >= Some(Duration::from_secs(30)) => {
                    self.change(key, |note| note.generation += 1);
                }
                Fault::ExpiryLeavesATombstone if now - note.used >= note.idle => {
                    return Inserted::Ended;
                }
                _ => {}
            }
        }
        if self.is_full() && self.lookup(key).is_none() {
            return Inserted::Full;
        }
        let (idle, lifetime) = (record.idle(), record.lifetime());
        let (taken, stored) = (self.take(key), self.stored(record.clone()));
        if is_unconfirmed && self.is(Fault::UnconfirmedIsLost) {
            return Inserted::Inserted(Session::new(key, record, RecordVersion::FIRST, 0));
        }
        let inserted = if is_unconfirmed && !self.is(Fault::EvictsNothing) {
            self.inner.insert_unconfirmed(taken.as_key(), stored.clone())
        } else {
            self.inner.insert_if_absent(taken.as_key(), stored.clone())
        };
        match Self::here(inserted).unwrap() {
            Inserted::Inserted(session) => {
                let mut notes = self.notes();
                notes.inserted += 1;
                let generation = notes.by_id.get(key.id).map_or(0, |note| note.generation);
                let note = Note { generation, idle, lifetime, born: now, used: now, ended: None };
                notes.by_id.insert(key.id.to_vec(), note);
                drop(notes);
                Inserted::Inserted(self.found(session))
            }
            Inserted::Exists(session) if self.is(Fault::LastInsertStays) => {
                let replaced = self.inner.replace(taken.as_key(), session.version(), stored);
                drop(Self::here(replaced).unwrap());
                Inserted::Inserted(session)
            }
            Inserted::Exists(session) => Inserted::Exists(self.found(session)),
            other => other,
        }
    }

    fn end(&self, key: Key<'_>) {
        self.change(key, |note| {
            note.ended = Some(Instant::now());
            if self.is(Fault::NoTombstone) {
                note.generation += 1;
            }
        });
    }

    fn change_record(&self, key: Key<'_>, seen: RecordVersion, mut record: Record) -> Replaced {
        let taken = self.take(key);
        let seen = match self.lookup(key) {
            Some(session) if self.is(Fault::ReplacesAnyVersion) => session.version(),
            Some(session) if self.is(Fault::ReplaceIsABirth) && session.version() == seen => {
                // Under a new id, with a new age.
                self.change(key, |note| note.generation += 1);
                let taken = self.take(key);
                return match Self::here(self.inner.insert_if_absent(taken.as_key(), record))
                    .unwrap()
                {
                    Inserted::Inserted(session) => Replaced::Replaced(session),
                    other => panic!("{other:?}"),
                };
            }
            _ => seen,
        };
        if self.is(Fault::LosesLaterParts) {
            record = remade(&record, record.idle(), record.lifetime(), |it| !it.starts_with('\0'));
        }
        let record = self.stored(record);
        match Self::here(self.inner.replace(taken.as_key(), seen, record.clone())).unwrap() {
            Replaced::Gone if self.is(Fault::ReplaceCreates) => {
                let taken = taken.as_key();
                let unseen = [taken.id, b" again"].concat();
                let again = Key::new(taken.route, taken.principal, &unseen);
                match Self::here(self.inner.insert_if_absent(again, record)).unwrap() {
                    Inserted::Inserted(session) => Replaced::Replaced(session),
                    _ => Replaced::Gone,
                }
            }
            Replaced::Replaced(session) => {
                if self.is(Fault::ReplaceIsAnEnd) {
                    session.end();
                }
                Replaced::Replaced(self.found(session))
            }
            Replaced::Changed(session) => Replaced::Changed(self.found(session)),
            other => other,
        }
    }
}

impl SessionStore for Broken {
    bartizan_core::store_parts!(futures Never);
    bartizan_core::store_parts!(inner: counts_clients answers);

    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        Answer::Now(Ok(self.lookup(key)))
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        Answer::Now(Ok(self.insert(key, record, false)))
    }

    fn insert_unconfirmed(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        Answer::Now(Ok(self.insert(key, record, true)))
    }

    fn take_evicted(&self, route: &Route) -> Option<Session> {
        self.inner.take_evicted(route).filter(|_| !self.is(Fault::EvictsAndTellsNoOne))
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        Answer::Now(Ok(self.change_record(key, seen, record)))
    }

    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        let taken = self.take(key);
        self.end(key);
        if self.is(Fault::RemovalEndsAllPrincipals) {
            let Key { route, id, .. } = taken.as_key();
            Self::here(self.inner.remove(Key::new(route, None, id))).unwrap();
        }
        self.inner.remove(taken.as_key())
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        let taken = self.take(key);
        let seen = match self.lookup(key) {
            Some(session) if self.is(Fault::RemovesAnyVersion) => session.version(),
            _ => seen,
        };
        let is_removed = Self::here(self.inner.remove_if_unchanged(taken.as_key(), seen)).unwrap();
        if is_removed {
            self.end(key);
        }
        Answer::Now(Ok(is_removed || self.is(Fault::RemovalAlwaysWins)))
    }

    fn touch(&self, session: &Session) {
        if self.is(Fault::TouchIsNoUse) {
            return;
        }
        self.change(session.key(), |note| note.used = Instant::now());
        self.inner.touch(session);
    }

    fn has_room(&self, route: &Route, principal: Option<&Principal>) -> bool {
        !self.is_full() && self.inner.has_room(route, principal)
    }

    fn reserve(&self, applicant: Applicant<'_>) -> Option<Place> {
        if self.is(Fault::OpeningsAreNotCounted) {
            return self.has_room(applicant.route, applicant.principal).then(Place::uncounted);
        }
        self.inner.reserve(applicant)
    }
}
