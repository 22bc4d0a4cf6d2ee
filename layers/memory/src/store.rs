//! The store: a handle on 64 shards.

use std::{
    fmt,
    hash::BuildHasher,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, AtomicUsize, Ordering},
    },
};

use bartizan_core::{
    Answer, BackendId, Key, Principal, Record, Route, Session, SessionStore, StoreError,
    store::{
        Applicant, CountSessions, Evicted, Inserted, Never, Place, RecordVersion, Replaced,
        StoredSession,
    },
};
use foldhash::quality::RandomState;

use crate::{
    clock::Clock,
    counts::{Caps, Counts, Reserved, Vacancy, Whose},
    fresh::Fresh,
    shard::Shard,
    tombstones::KeyHash,
};

const SHARDS: usize = 64;
/// How many places of a shard one insert sweeps.
const SWEEP_PLACES: usize = 64;
/// The minimum interval between two sweeps of every shard in a full store.
const MAKE_ROOM_MS: u64 = 10;
/// The age from which an unconfirmed session may be evicted from a nearly full store.
const CONFIRM_WITHIN_MS: u64 = 60_000;

/// A session store for one process; see the [crate docs](crate). Clones share one table.
///
/// ```
/// use bartizan_memory::MemoryStore;
///
/// let store = MemoryStore::builder().max_sessions(10_000).max_sessions_per_principal(100).build();
/// assert!(store.is_empty());
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<Table>);

struct Table {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
    tombstone_hasher: RandomState,
    counts: Counts,
    // Locked before a shard, never while a shard is locked.
    fresh: Mutex<Fresh>,
    evicted: Evicted,
    clock: Clock,
    next_to_sweep: AtomicUsize,
    room_made_ms: AtomicU64,
}

impl MemoryStore {
    pub(crate) fn with_caps(caps: Caps) -> Self {
        Self(Arc::new(Table {
            shards: std::array::from_fn(|_| Mutex::default()),
            hasher: RandomState::default(),
            tombstone_hasher: RandomState::default(),
            counts: Counts::new(caps),
            fresh: Mutex::default(),
            evicted: Evicted::default(),
            clock: Clock::start(),
            next_to_sweep: AtomicUsize::new(0),
            room_made_ms: AtomicU64::new(0),
        }))
    }

    /// How many sessions there are; expired ones count until they are swept.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.counts.total()
    }

    /// Whether there are no sessions.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Removes all expired sessions, and returns their number. Inserts sweep a part of the table each; call this if
    /// exact counts matter, or if inserts may stop and memory should be released. Costs a pass over the table, one
    /// shard locked at a time.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn sweep(&self) -> usize {
        let table = &*self.0;
        let now_ms = table.clock.now_ms();
        let rehash = |session: &Session| table.hash(session.key());
        (0..SHARDS).map(|i| lock(&table.shards, i).sweep(now_ms, &table.counts, rehash)).sum()
    }

    pub(crate) fn counts(&self) -> &Counts {
        &self.0.counts
    }

    fn insert(&self, key: Key<'_>, record: &Record, is_to_be_confirmed: bool) -> Inserted {
        let table = &*self.0;
        let now_ms = table.clock.now_ms();
        let whose = Whose { principal: key.principal, client: record.client() };
        table.sweep_some(now_ms);
        let owner_has_room = table.counts.owner_has_room(whose);
        if !owner_has_room || table.counts.is_pressed() {
            table.make_room();
        }
        if owner_has_room && table.counts.is_pressed() {
            drop(table.evict(now_ms, CONFIRM_WITHIN_MS));
        }
        let insert = |vacancy| self.try_insert(key, record, is_to_be_confirmed, now_ms, vacancy);
        insert(None)
            // The place of the evicted session is passed on, so that concurrent inserts cannot take it.
            .or_else(|| insert(Some(table.evict(now_ms, 0)?)))
            .unwrap_or(Inserted::Full)
    }

    /// Inserts, in the place of a `vacancy` if there is one. If there is no place at all, nothing changes.
    fn try_insert(
        &self,
        key: Key<'_>,
        record: &Record,
        is_to_be_confirmed: bool,
        now_ms: u64,
        vacancy: Option<Vacancy<'_>>,
    ) -> Option<Inserted> {
        let table = &*self.0;
        let hash = table.hash(key);
        let mut shard = table.shard(hash);
        if let Some(session) = shard.find(hash, key, now_ms, &table.counts) {
            return Some(Inserted::Exists(session.clone()));
        }
        if shard.tombstones.contains(table.tombstone(hash, key), now_ms) {
            return Some(Inserted::Ended);
        }
        let whose = Whose { principal: key.principal, client: record.client() };
        match table.counts.reserve(whose, vacancy) {
            Reserved::Yes => {}
            Reserved::OwnerFull => return Some(Inserted::Full),
            Reserved::Full => return None,
        }
        let session = Session::new(key, record.clone(), RecordVersion::FIRST, now_ms);
        table.counts.bind(&session);
        if is_to_be_confirmed {
            table.counts.await_confirmation(&session);
        }
        shard.insert(hash, session.clone(), |session| table.hash(session.key()));
        drop(shard);
        if is_to_be_confirmed {
            table.await_confirmation(hash);
        }
        Some(Inserted::Inserted(session))
    }
}

impl SessionStore for MemoryStore {
    bartizan_core::store_parts!(futures Never);

    fn get(&self, key: Key<'_>) -> Answer<Result<Option<Session>, StoreError>, Self::Get> {
        let table = &*self.0;
        let hash = table.hash(key);
        let now_ms = table.clock.now_ms();
        let mut shard = table.shard(hash);
        let found = shard.find(hash, key, now_ms, &table.counts);
        Answer::Now(Ok(found.map(|session| {
            session.set_used_ms(now_ms);
            table.counts.confirm(session);
            session.clone()
        })))
    }

    fn insert_if_absent(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        Answer::Now(Ok(self.insert(key, &record, false)))
    }

    fn insert_unconfirmed(
        &self,
        key: Key<'_>,
        record: Record,
    ) -> Answer<Result<Inserted, StoreError>, Self::Insert> {
        Answer::Now(Ok(self.insert(key, &record, true)))
    }

    fn take_evicted(&self, route: &Route) -> Option<Session> {
        self.0.evicted.take(route)
    }

    fn replace(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
        record: Record,
    ) -> Answer<Result<Replaced, StoreError>, Self::Replace> {
        let table = &*self.0;
        let hash = table.hash(key);
        let mut shard = table.shard(hash);
        let replaced = match shard.find(hash, key, table.clock.now_ms(), &table.counts) {
            None => Replaced::Gone,
            Some(session) if session.version() != seen => Replaced::Changed(session.clone()),
            Some(session) => {
                let next = session.next_version(record);
                table.counts.unbind(session);
                table.counts.bind(&next);
                *session = next.clone();
                Replaced::Replaced(next)
            }
        };
        Answer::Now(Ok(replaced))
    }

    fn remove(&self, key: Key<'_>) -> Answer<Result<(), StoreError>, Self::Remove> {
        let table = &*self.0;
        let hash = table.hash(key);
        table.end(hash, key, table.shard(hash));
        Answer::Now(Ok(()))
    }

    fn remove_if_unchanged(
        &self,
        key: Key<'_>,
        seen: RecordVersion,
    ) -> Answer<Result<bool, StoreError>, Self::RemoveIfUnchanged> {
        let table = &*self.0;
        let hash = table.hash(key);
        let mut shard = table.shard(hash);
        let there = shard.find(hash, key, table.clock.now_ms(), &table.counts);
        let is_unchanged = there.is_some_and(|session| session.version() == seen);
        if is_unchanged {
            table.end(hash, key, shard);
        }
        Answer::Now(Ok(is_unchanged))
    }

    fn touch(&self, session: &Session) {
        session.set_used_ms(self.0.clock.now_ms());
    }

    fn has_room(&self, _: &Route, principal: Option<&Principal>) -> bool {
        let whose = Whose { principal, client: None };
        if self.0.counts.has_room(whose) {
            return true;
        }
        self.0.make_room();
        self.0.counts.has_room(whose)
    }

    fn reserve(&self, applicant: Applicant<'_>) -> Option<Place> {
        let whose = Whose { principal: applicant.principal, client: applicant.client };
        self.0.counts.place(whose).or_else(|| {
            self.0.make_room();
            self.0.counts.place(whose)
        })
    }

    fn counts_clients(&self) -> bool {
        self.0.counts.counts_clients()
    }
}

impl CountSessions for MemoryStore {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        self.0.counts.on_backend(backend)
    }
}

impl Table {
    fn hash(&self, key: Key<'_>) -> u64 {
        self.hasher.hash_one((key.route, key.principal, key.id))
    }

    fn tombstone(&self, hash: u64, key: Key<'_>) -> KeyHash {
        let other = self.tombstone_hasher.hash_one((key.route, key.principal, key.id));
        u128::from(hash) << 64 | u128::from(other)
    }

    fn shard(&self, hash: u64) -> MutexGuard<'_, Shard> {
        // The hash table of a shard uses the upper and the lowest bits.
        let index = (hash >> 32) as usize % SHARDS;
        lock(&self.shards, index)
    }

    /// Ends the session of `key` in its `shard`.
    fn end(&self, hash: u64, key: Key<'_>, mut shard: MutexGuard<'_, Shard>) {
        shard.tombstones.add(self.tombstone(hash, key), self.clock.now_ms());
        let removed = shard.remove(hash, key);
        drop(shard);
        if let Some(session) = removed {
            self.counts.release(&session);
            session.end();
        }
    }

    /// Records that the session whose key has this `hash` may be evicted until it is confirmed.
    fn await_confirmation(&self, hash: u64) {
        let rehash = |session: &Session| self.hash(session.key());
        let is_fresh = |hash| self.shard(hash).has_unconfirmed(hash, rehash);
        self.fresh().add(hash, is_fresh);
    }

    /// Evicts the oldest unconfirmed session, if it is old enough, and returns its place.
    fn evict(&self, now_ms: u64, age_ms: u64) -> Option<Vacancy<'_>> {
        if !self.counts.has_unconfirmed() {
            return None;
        }
        let rehash = |session: &Session| self.hash(session.key());
        let may_go = |session: &Session| now_ms.saturating_sub(session.born_ms()) >= age_ms;
        let look = |hash| self.shard(hash).take_unconfirmed(hash, rehash, may_go);
        let session = self.fresh().take_oldest(look)?;
        let vacancy = self.counts.vacate(&session);
        self.counts.ends().evicted(&session);
        session.end();
        self.evicted.add(session);
        Some(vacancy)
    }

    fn fresh(&self) -> MutexGuard<'_, Fresh> {
        // A panic while the lock was held leaves consistent data, because each change is one step.
        self.fresh.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Sweeps some places of the next shard in turn.
    fn sweep_some(&self, now_ms: u64) {
        let index = self.next_to_sweep.fetch_add(1, Ordering::Relaxed) % SHARDS;
        let rehash = |session: &Session| self.hash(session.key());
        lock(&self.shards, index).sweep_some(SWEEP_PLACES, now_ms, &self.counts, rehash);
    }

    /// Sweeps some places of every shard, unless that was done a moment ago: a refused caller must not cause a pass
    /// over the whole table with each attempt.
    fn make_room(&self) {
        let now_ms = self.clock.now_ms();
        if is_due(&self.room_made_ms, now_ms, MAKE_ROOM_MS) {
            (0..SHARDS).for_each(|_| self.sweep_some(now_ms));
        }
    }
}

#[allow(clippy::indexing_slicing, reason = "both callers reduce the index modulo SHARDS")]
fn lock(shards: &[Mutex<Shard>; SHARDS], index: usize) -> MutexGuard<'_, Shard> {
    // A panic while the lock was held cannot leave an incomplete entry.
    shards[index].lock().unwrap_or_else(PoisonError::into_inner)
}

/// Whether `every_ms` has passed since `last_ms`; returns true to only one of several concurrent
/// callers.
fn is_due(last_ms: &AtomicU64, now_ms: u64, every_ms: u64) -> bool {
    let last = last_ms.load(Ordering::Relaxed);
    now_ms.saturating_sub(last) >= every_ms
        && last_ms.compare_exchange(last, now_ms, Ordering::Relaxed, Ordering::Relaxed).is_ok()
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("sessions", &self.len()).finish_non_exhaustive()
    }
}
