//! The near-cache: what this replica has read, and whether it still holds.
//!
//! | the connection | an entry is trusted |
//! |---|---|
//! | up | if it was read in this era, is younger than the bound, and no change of it was told since |
//! | down | a live session: if it was read in the last era and the outage is younger than the grace |
//! | down | "absent": never |
//!
//! An entry that is not trusted stays where its session is held by a call or a stream, so that the use can
//! be told to the server; such entries do not fall out when the cache is full.
//!
//! **The race.** A reply and the news of a later change travel on one connection, in order; but the task
//! that waits for the reply may run after the one that takes the news, and would put back what is old.
//! So a read is announced before it is sent ([`Near::begin`]); news of its key spoils it
//! ([`Near::invalidate`]); and what a spoiled read brings is used once and not trusted
//! ([`Near::settle`]). Each of the three holds the same lock.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bartizan_core::{Session, StoreError};
use foldhash::quality::RandomState;
use futures_util::future::{BoxFuture, Shared};
use quick_cache::{Lifecycle, UnitWeighter, sync::Cache};

use crate::{codec, digest::Digest, status::Moment};

/// A read that is on its way, for all who wait for it.
pub(crate) type Reading = Shared<BoxFuture<'static, Result<Option<Session>, StoreError>>>;

/// How long what is read may be trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    /// How old an entry may be, in milliseconds; zero switches the cache off.
    pub(crate) bound_ms: u64,
    /// How old "absent" may be.
    pub(crate) absent_bound_ms: u64,
    /// How long an outage may last.
    pub(crate) grace_ms: u64,
}

/// What was read under a key.
pub(crate) struct Entry {
    session: Option<Session>,
    era: u64,
    /// When it was read, by the clock that never jumps; zero if it is not trusted.
    read_ms: AtomicU64,
    /// When the server was last told of a use, by the server's clock.
    told_ms: AtomicU64,
}

pub(crate) struct Near {
    trust: Trust,
    cache: Cache<Digest, Arc<Entry>, UnitWeighter, RandomState, KeepHeld>,
    flights: Mutex<HashMap<Digest, Flight, RandomState>>,
}

struct Flight {
    reading: Option<Reading>,
    is_spoiled: bool,
}

/// Keeps entries whose session is held.
#[derive(Clone, Debug)]
struct KeepHeld;

impl Lifecycle<Digest, Arc<Entry>> for KeepHeld {
    type RequestState = ();

    fn is_pinned(&self, _: &Digest, entry: &Arc<Entry>) -> bool {
        entry.session.as_ref().is_some_and(Session::is_held)
    }
}

impl Entry {
    /// The session; none if the key was absent.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Whether the server must be told of a use at `server_ms`: a quarter of the idle time has passed. One
    /// of several callers is told so.
    pub(crate) fn is_use_due(&self, server_ms: u64) -> bool {
        let Some(session) = &self.session else { return false };
        let told_ms = self.told_ms.load(Ordering::Relaxed);
        let quarter_ms = codec::millis(session.record().idle()) / 4;
        server_ms.saturating_sub(told_ms) >= quarter_ms
            && self
                .told_ms
                .compare_exchange(told_ms, server_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// The server was not told after all.
    pub(crate) fn use_was_not_told(&self) {
        self.told_ms.store(0, Ordering::Relaxed);
    }
}

impl Near {
    pub(crate) fn new(entries: usize, trust: Trust) -> Self {
        let cache =
            Cache::with(entries, entries as u64, UnitWeighter, RandomState::default(), KeepHeld);
        Self { trust, cache, flights: Mutex::default() }
    }

    /// What is known under `digest`, if that may be trusted at `now_ms` (`server_ms` by the server).
    pub(crate) fn look(
        &self,
        digest: &Digest,
        moment: Moment,
        (now_ms, server_ms): (u64, u64),
    ) -> Option<Arc<Entry>> {
        let entry = self.cache.get(digest)?;
        let read_ms = entry.read_ms.load(Ordering::Acquire);
        if read_ms == 0 || entry.era != moment.era || self.trust.bound_ms == 0 {
            return None;
        }
        let is_trusted = match (&entry.session, moment.down_since_ms) {
            (Some(session), None) => {
                now_ms.saturating_sub(read_ms) < self.trust.bound_ms && is_live(session, server_ms)
            }
            (None, None) => now_ms.saturating_sub(read_ms) < self.trust.absent_bound_ms,
            (Some(session), Some(down_ms)) => {
                now_ms.saturating_sub(down_ms) < self.trust.grace_ms && is_live(session, server_ms)
            }
            (None, Some(_)) => false,
        };
        is_trusted.then_some(entry)
    }

    /// Whatever is kept under `digest`, trusted or not.
    pub(crate) fn peek(&self, digest: &Digest) -> Option<Arc<Entry>> {
        self.cache.get(digest)
    }

    /// Joins the read of `digest` that is on its way, or announces the one that `read` makes.
    pub(crate) fn begin(&self, digest: Digest, read: impl FnOnce() -> Reading) -> Reading {
        let mut flights = self.flights();
        let flight = flights.entry(digest).or_insert(Flight { reading: None, is_spoiled: false });
        flight.reading.get_or_insert_with(read).clone()
    }

    /// The read of `digest` that began in `era` has brought `session` (with the time at which the server
    /// was last told of a use), or nothing.
    pub(crate) fn settle(
        &self,
        digest: Digest,
        era: u64,
        now_ms: u64,
        brought: Option<(Session, u64)>,
    ) {
        let mut flights = self.flights();
        let is_spoiled = flights.remove(&digest).is_none_or(|flight| flight.is_spoiled);
        // Zero means that it is not trusted.
        let read_ms = if is_spoiled { 0 } else { now_ms.max(1) };
        let (session, told_ms) = brought.map_or((None, 0), |(session, told)| (Some(session), told));
        self.put(digest, Entry { session, era, read_ms: read_ms.into(), told_ms: told_ms.into() });
    }

    /// The read of `digest` has failed, or nobody waits for it any more.
    pub(crate) fn give_up(&self, digest: &Digest) {
        self.flights().remove(digest);
    }

    /// Keeps `session`, which was written and not read, for the sake of those who hold it.
    pub(crate) fn keep(&self, digest: Digest, session: Session, told_ms: u64) {
        let _flights = self.flights();
        let told_ms = told_ms.into();
        self.put(digest, Entry { session: Some(session), era: 0, read_ms: 0.into(), told_ms });
    }

    /// What was read under `digest` no longer holds.
    pub(crate) fn invalidate(&self, digest: &Digest) {
        let mut flights = self.flights();
        if let Some(flight) = flights.get_mut(digest) {
            flight.is_spoiled = true;
        }
        if let Some(entry) = self.cache.get(digest) {
            entry.read_ms.store(0, Ordering::Release);
        }
    }

    /// Nothing that is on its way may be trusted; what was read in an earlier era is not, anyway.
    pub(crate) fn spoil_all(&self) {
        self.flights().values_mut().for_each(|flight| flight.is_spoiled = true);
    }

    /// The session under `digest` has ended.
    pub(crate) fn forget(&self, digest: &Digest) {
        let mut flights = self.flights();
        if let Some(flight) = flights.get_mut(digest) {
            flight.is_spoiled = true;
        }
        self.cache.remove(digest);
    }

    /// All entries whose session is held.
    pub(crate) fn held(&self) -> Vec<(Digest, Arc<Entry>)> {
        let is_held = |entry: &Arc<Entry>| entry.session.as_ref().is_some_and(Session::is_held);
        self.cache.iter().filter(|(_, entry)| is_held(entry)).collect()
    }

    fn put(&self, digest: Digest, entry: Entry) {
        self.cache.insert(digest, Arc::new(entry));
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<Digest, Flight, RandomState>> {
        // Each change is one step: what a panic elsewhere left behind is consistent.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Whether neither the idle time nor the lifetime of `session` is over. The server says so by the absence
/// of the key; this replica may have read it before.
fn is_live(session: &Session, server_ms: u64) -> bool {
    let (idle_ms, lifetime_ms) =
        (codec::millis(session.record().idle()), codec::millis(session.record().lifetime()));
    let age_ms = server_ms.saturating_sub(session.born_ms());
    let unused_ms = server_ms.saturating_sub(session.used_ms());
    age_ms < lifetime_ms && (unused_ms < idle_ms || session.is_held())
}

impl fmt::Debug for Near {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Near")
            .field("trust", &self.trust)
            .field("entries", &self.cache.len())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bartizan_core::{Key, Record, Route, store::RecordVersion};
    use futures_util::FutureExt;

    use super::*;

    const TRUST: Trust = Trust { bound_ms: 30_000, absent_bound_ms: 5_000, grace_ms: 10_000 };
    const UP: Moment = Moment { era: 1, down_since_ms: None };

    fn near() -> Near {
        Near::new(100, TRUST)
    }

    fn digest(id: &str) -> Digest {
        Digest::of(Key::new(&Route::default(), None, id.as_bytes()))
    }

    /// A session of one second idle time and ten seconds of life, born at 1,000 by the server.
    fn session(id: &str) -> Session {
        let record = Record::new(Duration::from_secs(1), Duration::from_secs(10));
        let route = Route::default();
        Session::new(Key::new(&route, None, id.as_bytes()), record, RecordVersion::FIRST, 1_000)
    }

    fn announce(near: &Near, digest: Digest) {
        drop(near.begin(digest, || async { Ok(None) }.boxed().shared()));
    }

    fn read(near: &Near, id: &str, now_ms: u64) {
        announce(near, digest(id));
        near.settle(digest(id), 1, now_ms, Some((session(id), 1_000)));
    }

    fn is_trusted(near: &Near, id: &str, moment: Moment, now: (u64, u64)) -> bool {
        near.look(&digest(id), moment, now).is_some()
    }

    #[test]
    fn what_was_read_is_trusted_within_its_era_its_bound_and_its_life() {
        let near = near();
        read(&near, "a", 100);
        assert!(is_trusted(&near, "a", UP, (100, 1_000)));
        assert!(!is_trusted(&near, "b", UP, (100, 1_000)));
        assert!(!is_trusted(&near, "a", Moment { era: 2, ..UP }, (100, 1_000)));
        assert!(is_trusted(&near, "a", UP, (30_099, 1_000)));
        assert!(!is_trusted(&near, "a", UP, (30_100, 1_000)), "past the bound");
        assert!(!is_trusted(&near, "a", UP, (100, 2_000)), "idled out");
        let hold = session("a").hold();
        drop(hold);
        near.look(&digest("a"), UP, (100, 1_500)).unwrap().session().unwrap().set_used_ms(10_500);
        assert!(is_trusted(&near, "a", UP, (100, 10_999)));
        assert!(!is_trusted(&near, "a", UP, (100, 11_000)), "past its lifetime");
        let off = Near::new(100, Trust { bound_ms: 0, ..TRUST });
        read(&off, "a", 100);
        assert!(!is_trusted(&off, "a", UP, (100, 1_000)), "switched off");
    }

    #[test]
    fn in_an_outage_live_sessions_are_trusted_for_a_while_and_absences_are_not() {
        let near = near();
        read(&near, "a", 100);
        announce(&near, digest("absent"));
        near.settle(digest("absent"), 1, 100, None);
        assert!(
            is_trusted(&near, "absent", UP, (5_099, 0))
                && !is_trusted(&near, "absent", UP, (5_100, 0))
        );
        let down = Moment { era: 1, down_since_ms: Some(200) };
        assert!(is_trusted(&near, "a", down, (10_199, 1_000)));
        assert!(!is_trusted(&near, "a", down, (10_200, 1_000)), "the grace is over");
        assert!(!is_trusted(&near, "absent", down, (200, 1_000)));
    }

    /// The news of a change overtakes the reply that was read before it.
    #[test]
    fn what_a_change_overtook_is_not_trusted() {
        let near = near();
        announce(&near, digest("a"));
        near.invalidate(&digest("a"));
        near.settle(digest("a"), 1, 100, Some((session("a"), 1_000)));
        assert!(!is_trusted(&near, "a", UP, (100, 1_000)));
        assert!(near.peek(&digest("a")).is_some(), "kept for those who hold it");
        // The other way round, and for all keys at once.
        read(&near, "a", 100);
        near.invalidate(&digest("a"));
        assert!(!is_trusted(&near, "a", UP, (100, 1_000)));
        announce(&near, digest("a"));
        near.spoil_all();
        near.settle(digest("a"), 1, 100, Some((session("a"), 1_000)));
        assert!(!is_trusted(&near, "a", UP, (100, 1_000)));
        // A removal here overtakes a read.
        announce(&near, digest("a"));
        near.forget(&digest("a"));
        near.settle(digest("a"), 1, 100, Some((session("a"), 1_000)));
        assert!(!is_trusted(&near, "a", UP, (100, 1_000)));
        // What was never announced may have missed its news.
        near.settle(digest("a"), 1, 100, Some((session("a"), 1_000)));
        assert!(!is_trusted(&near, "a", UP, (100, 1_000)));
    }

    #[test]
    fn what_is_held_does_not_fall_out() {
        let near = Near::new(10, TRUST);
        read(&near, "held", 100);
        let held = near.peek(&digest("held")).unwrap();
        let hold = held.session().unwrap().hold();
        for n in 0..1_000 {
            read(&near, &format!("other-{n}"), 100);
        }
        assert!(near.cache.len() <= 20, "{}", near.cache.len());
        assert_eq!(near.held().len(), 1);
        drop(hold);
        assert!(near.held().is_empty());
    }

    #[test]
    fn a_use_is_told_once_per_quarter_of_the_idle_time() {
        let near = near();
        read(&near, "a", 100);
        let entry = near.peek(&digest("a")).unwrap();
        assert!(!entry.is_use_due(1_249));
        assert!(entry.is_use_due(1_250) && !entry.is_use_due(1_250) && !entry.is_use_due(1_499));
        entry.use_was_not_told();
        assert!(entry.is_use_due(1_300));
    }
}
