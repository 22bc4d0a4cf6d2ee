//! The near-cache: what this replica has read, and whether it is still valid.
//!
//! | the connection | an entry is trusted |
//! |---|---|
//! | up | if it was read in this era, is younger than the bound, and was not invalidated since |
//! | down | a live session: if it was read in the last era and the outage is younger than the grace |
//! | down | "absent": never |
//!
//! An entry that is not trusted stays if its session is held by a call or a stream, so that the use can be reported to
//! the server. Such entries are not dropped when the cache is full.
//!
//! **The race.** A reply and a later invalidation travel on one connection, in order. But the task that waits for the
//! reply may run after the one that handles the invalidation, and would cache an old value. So a read is registered
//! before it is sent ([`Near::begin`]); an invalidation of its key spoils it ([`Near::invalidate`]); and the result of
//! a spoiled read is used by tasks that asked before the invalidation, but not trusted ([`Near::settle`]). All three
//! hold the same lock.
//!
//! **One session, one object.** All holders of a session must be visible when its use is reported. So a reply becomes a
//! later version of the session that is already known, under the same lock ([`Near::settle`], [`Near::keep`]): there
//! are never two independent objects for one session.

use std::{
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
};

use bartizan_core::{Key, Session, store::StoredSession};
use foldhash::quality::RandomState;
use quick_cache::{Lifecycle, UnitWeighter, sync::Cache};

use crate::{
    codec::{self, Live},
    digest::Digest,
    flights::{Flights, Reading, Ticket},
    status::Moment,
};

/// How a session is used.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Use {
    /// By a request with its id, which confirms it.
    Request,
    /// By an open response, which may be the one that opened the session.
    Hold,
}

/// How long entries may be trusted.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Trust {
    /// How old an entry may be, in milliseconds; zero switches the cache off.
    pub(crate) bound_ms: u64,
    /// How old "absent" may be.
    pub(crate) absent_bound_ms: u64,
    /// How long an outage may last.
    pub(crate) grace_ms: u64,
}

/// The entry of a key.
pub(crate) struct Entry {
    session: Option<Session>,
    era: u64,
    /// When it was read, on the monotonic clock; zero if it is not trusted.
    read_ms: AtomicU64,
    /// When a use was last reported to the server, on the server's clock.
    told_ms: AtomicU64,
}

pub(crate) struct Near {
    trust: Trust,
    cache: Cache<Digest, Arc<Entry>, UnitWeighter, RandomState, KeepHeld>,
    flights: Mutex<Flights>,
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
    fn new(session: Option<Session>, era: u64, read_ms: u64, told_ms: u64) -> Self {
        Self { session, era, read_ms: read_ms.into(), told_ms: told_ms.into() }
    }

    /// The session; `None` if the key was absent.
    pub(crate) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    /// Whether a use at `server_ms` must be reported to the server, because a quarter of the idle time has passed.
    /// Returns true to only one of several callers. The first request of an unconfirmed session must be reported at
    /// once, so the last report counts as made at time zero.
    pub(crate) fn is_use_due(&self, server_ms: u64, by: Use) -> bool {
        let Some(session) = &self.session else { return false };
        let told_ms = self.told_ms.load(Ordering::Relaxed);
        let since_ms = match by {
            Use::Request => told_ms,
            Use::Hold => told_ms.max(session.born_ms()),
        };
        let quarter_ms = codec::millis(session.record().idle()) / 4;
        server_ms.saturating_sub(since_ms) >= quarter_ms
            && self
                .told_ms
                .compare_exchange(told_ms, server_ms, Ordering::Relaxed, Ordering::Relaxed)
                .is_ok()
    }

    /// Records that the report at `server_ms` failed. The next attempt is in a sixteenth of the idle time, so that a
    /// server which does not accept writes is not asked with each call.
    pub(crate) fn use_was_not_told(&self, server_ms: u64) {
        let sixteenth_ms =
            self.session.as_ref().map_or(0, |it| codec::millis(it.record().idle()) / 16);
        self.told_ms.store(server_ms.saturating_sub(3 * sixteenth_ms), Ordering::Relaxed);
    }
}

impl Near {
    pub(crate) fn new(entries: usize, trust: Trust) -> Self {
        let cache =
            Cache::with(entries, entries as u64, UnitWeighter, RandomState::default(), KeepHeld);
        Self { trust, cache, flights: Mutex::default() }
    }

    /// The entry under `digest`, if it may be trusted at `now_ms` (`server_ms` on the server's clock).
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
        // The server says that a session has expired by the absence of its key; this replica may have read it before.
        let is_trusted = match (&entry.session, moment.down_since_ms) {
            (Some(session), None) => {
                now_ms.saturating_sub(read_ms) < self.trust.bound_ms
                    && !session.is_expired(server_ms)
            }
            (None, None) => now_ms.saturating_sub(read_ms) < self.trust.absent_bound_ms,
            (Some(session), Some(down_ms)) => {
                now_ms.saturating_sub(down_ms) < self.trust.grace_ms
                    && !session.is_expired(server_ms)
            }
            (None, Some(_)) => false,
        };
        is_trusted.then_some(entry)
    }

    /// The session under `digest`, trusted or not.
    pub(crate) fn peek(&self, digest: &Digest) -> Option<Arc<Entry>> {
        self.cache.get(digest)
    }

    /// Joins the read of `digest` that is in flight, or registers the one that `read` returns.
    pub(crate) fn begin(&self, digest: Digest, read: impl FnOnce(Ticket) -> Reading) -> Reading {
        self.flights().begin(digest, read)
    }

    /// Takes the result of the read of `digest` that began in `era`: a live session, or nothing. Returns its shared
    /// form.
    pub(crate) fn settle(
        &self,
        (digest, ticket): (Digest, Ticket),
        (era, now_ms): (u64, u64),
        brought: Option<(Key<'_>, Live)>,
    ) -> Option<Session> {
        let mut flights = self.flights();
        let is_sound = flights.end(&digest, ticket);
        let known = self.cache.get(&digest);
        let (session, told_ms) = match brought {
            None => (None, 0),
            Some((key, live)) => {
                let (session, told_ms) = adopt(known.as_deref(), era, key, live);
                (Some(session), told_ms)
            }
        };
        // A session that a spoiled read did not find may exist by now.
        let gone = known.as_ref().filter(|_| is_sound && session.is_none());
        let gone = gone.and_then(|entry| entry.session.clone());
        // The result of a spoiled read is kept only for tasks that will hold it; the known version may be newer.
        if is_sound || known.is_none() {
            // Zero means that it is not trusted.
            let read_ms = if is_sound { now_ms.max(1) } else { 0 };
            self.put(digest, Entry::new(session.clone(), era, read_ms, told_ms));
        }
        drop(flights);
        if let Some(gone) = gone {
            gone.end();
        }
        session
    }

    /// The read of `digest` failed, or no task waits for it any more.
    pub(crate) fn give_up(&self, digest: &Digest, ticket: Ticket) {
        self.flights().end(digest, ticket);
    }

    /// Keeps the session that a script returned for `digest` in `era`, for tasks that hold it. It is not trusted.
    /// Returns its shared form.
    pub(crate) fn keep(&self, digest: Digest, era: u64, key: Key<'_>, live: Live) -> Session {
        let mut flights = self.flights();
        flights.spoil(&digest);
        let known = self.cache.get(&digest);
        let (session, told_ms) = adopt(known.as_deref(), era, key, live);
        self.put(digest, Entry::new(Some(session.clone()), era, 0, told_ms));
        session
    }

    /// Invalidates the entry under `digest`.
    pub(crate) fn invalidate(&self, digest: &Digest) {
        let mut flights = self.flights();
        flights.spoil(digest);
        if let Some(entry) = self.cache.get(digest) {
            entry.read_ms.store(0, Ordering::Release);
        }
    }

    /// Spoils all reads in flight; entries of an earlier era are not trusted anyway.
    pub(crate) fn spoil_all(&self) {
        self.flights().spoil_all();
    }

    /// Ends the session under `digest`.
    pub(crate) fn forget(&self, digest: &Digest) {
        let forgotten = {
            let mut flights = self.flights();
            flights.spoil(digest);
            self.cache.remove(digest)
        };
        if let Some(session) = forgotten.as_ref().and_then(|(_, entry)| entry.session()) {
            session.end();
        }
    }

    /// The entry under `digest`, if a task waits for the end of its session and no invalidation would come: the server
    /// notifies only clients that have read the key since its last change.
    pub(crate) fn unfollowed(&self, digest: &Digest, moment: Moment) -> Option<Arc<Entry>> {
        let entry = self.cache.get(digest)?;
        let session = entry.session()?;
        let is_followed = entry.read_ms.load(Ordering::Acquire) != 0
            && entry.era == moment.era
            && self.trust.bound_ms != 0;
        let is_waited_for = session.is_watched() && session.is_held() && !session.is_ended();
        (is_waited_for && !is_followed).then_some(entry)
    }

    /// All entries whose session is held.
    pub(crate) fn held(&self) -> Vec<(Digest, Arc<Entry>)> {
        let is_held = |entry: &Arc<Entry>| entry.session.as_ref().is_some_and(Session::is_held);
        self.cache.iter().filter(|(_, entry)| is_held(entry)).collect()
    }

    fn put(&self, digest: Digest, entry: Entry) {
        self.cache.insert(digest, Arc::new(entry));
    }

    fn flights(&self) -> MutexGuard<'_, Flights> {
        // A panic while the lock was held leaves consistent data, because each change is one step.
        self.flights.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The shared form of `live` (the session that is already `known`, or a later version of it), and when a use was last
/// reported to the server.
fn adopt(known: Option<&Entry>, era: u64, key: Key<'_>, live: Live) -> (Session, u64) {
    let same = known.and_then(|entry| {
        let session = entry.session.as_ref()?;
        (session.key() == key && session.born_ms() == live.born_ms).then_some((entry, session))
    });
    let Some((entry, session)) = same else {
        return (Session::new(key, live.record, live.version, live.born_ms), live.touched_ms);
    };
    // A report counts even if the server could not write it. It does not count if the server may have been restored to
    // an earlier state.
    let told_ms = if entry.era == era { entry.told_ms.load(Ordering::Relaxed) } else { 0 };
    let session = session.as_stored(live.record, live.version);
    (session, told_ms.max(live.touched_ms))
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
mod tests;
