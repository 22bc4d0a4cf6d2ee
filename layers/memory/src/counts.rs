//! The numbers of sessions (in total, by backend, by principal, by client), and whether there is room for another.

use std::{
    collections::HashMap,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bartizan_core::{
    BackendId, Principal, Session,
    session::ClientNetwork,
    store::{Place, StoredSession},
};
use foldhash::quality::RandomState;

use crate::{
    gauges::Ends,
    shares::{Shares, one_less},
};

/// How many sessions there may be.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) total: usize,
    pub(crate) per_principal: usize,
    pub(crate) per_client: usize,
}

#[derive(Debug)]
pub(crate) struct Counts {
    max_total: usize,
    total: AtomicUsize,
    /// How many of them no request has confirmed yet.
    unconfirmed: AtomicUsize,
    /// Sessions that are being opened.
    openings: Arc<AtomicUsize>,
    by_backend: Mutex<HashMap<BackendId, usize, RandomState>>,
    by_principal: Shares<Principal>,
    by_client: Shares<ClientNetwork>,
    ends: Ends,
}

/// The owners of a session: its principal and its client.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Whose<'a> {
    pub(crate) principal: Option<&'a Principal>,
    pub(crate) client: Option<ClientNetwork>,
}

/// Whether there was room for one more.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Reserved {
    Yes,
    /// The store is full.
    Full,
    /// Its principal or its client has reached the limit.
    OwnerFull,
}

/// The place of a session that was removed. It counts as taken until this is dropped, so that no other insert gets it.
#[derive(Debug)]
#[must_use]
pub(crate) struct Vacancy<'a>(Option<&'a Counts>);

impl Counts {
    pub(crate) fn new(caps: Caps) -> Self {
        Self {
            max_total: caps.total,
            total: AtomicUsize::new(0),
            unconfirmed: AtomicUsize::new(0),
            openings: Arc::default(),
            by_backend: Mutex::default(),
            by_principal: Shares::new(caps.per_principal),
            by_client: Shares::new(caps.per_client),
            ends: Ends::default(),
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    pub(crate) const fn max_total(&self) -> usize {
        self.max_total
    }

    pub(crate) const fn ends(&self) -> &Ends {
        &self.ends
    }

    pub(crate) fn on_backend(&self, backend: &BackendId) -> usize {
        lock(&self.by_backend).get(backend).copied().unwrap_or(0)
    }

    pub(crate) const fn counts_clients(&self) -> bool {
        self.by_client.is_bound()
    }

    /// Whether one more session would fit in addition to the existing ones and `openings` others. Sessions that may be
    /// evicted do not count.
    fn fits(&self, openings: usize) -> bool {
        let evictable = self.unconfirmed.load(Ordering::Relaxed);
        let taken = self.total().saturating_add(openings).saturating_sub(evictable);
        taken < self.max_total
    }

    /// Whether the owners `whose` may have one more session.
    pub(crate) fn owner_has_room(&self, whose: Whose<'_>) -> bool {
        self.by_principal.has_room(whose.principal)
            && self.by_client.has_room(whose.client.as_ref())
    }

    pub(crate) fn has_room(&self, whose: Whose<'_>) -> bool {
        self.fits(0) && self.owner_has_room(whose)
    }

    /// Reserves a place for an opening, if there is room.
    pub(crate) fn place(&self, whose: Whose<'_>) -> Option<Place> {
        if !self.owner_has_room(whose) {
            return None;
        }
        Place::take(&self.openings, |openings| self.fits(openings.saturating_sub(1)))
    }

    /// Whether the store is at least 80 % full.
    pub(crate) fn is_pressed(&self) -> bool {
        self.total() >= self.max_total - self.max_total / 5
    }

    /// Whether there is a session that may be evicted.
    pub(crate) fn has_unconfirmed(&self) -> bool {
        self.unconfirmed.load(Ordering::Relaxed) > 0
    }

    /// Counts one more session if there is room, in the place of a removed session if there is a `vacancy`.
    pub(crate) fn reserve(&self, whose: Whose<'_>, vacancy: Option<Vacancy<'_>>) -> Reserved {
        let client = whose.client.as_ref();
        if !self.by_principal.take(whose.principal) {
            return Reserved::OwnerFull;
        }
        let reserved = if !self.by_client.take(client) {
            Reserved::OwnerFull
        } else if !self.reserve_total(vacancy) {
            self.by_client.give_back(client);
            Reserved::Full
        } else {
            return Reserved::Yes;
        };
        self.by_principal.give_back(whose.principal);
        reserved
    }

    /// Records that a counted session is bound to its backend.
    pub(crate) fn bind(&self, session: &Session) {
        if let Some(backend) = session.record().backend() {
            *lock(&self.by_backend).entry(backend.clone()).or_insert(0) += 1;
        }
    }

    /// Records that a session is no longer bound to its backend.
    pub(crate) fn unbind(&self, session: &Session) {
        if let Some(backend) = session.record().backend() {
            one_less(&mut lock(&self.by_backend), backend);
        }
    }

    /// Records that a counted session must still be confirmed.
    pub(crate) fn await_confirmation(&self, session: &Session) {
        session.set_unconfirmed();
        self.unconfirmed.fetch_add(1, Ordering::Relaxed);
    }

    /// Records that a request has presented the id of a session.
    #[inline]
    pub(crate) fn confirm(&self, session: &Session) {
        if session.confirm() {
            self.unconfirmed.fetch_sub(1, Ordering::Relaxed);
        }
    }

    /// Records that a session was removed.
    pub(crate) fn release(&self, session: &Session) {
        drop(self.vacate(session));
    }

    /// Records that a session has expired at `now_ms`.
    pub(crate) fn expire(&self, session: &Session, now_ms: u64) {
        self.release(session);
        self.ends.expired(session, now_ms);
    }

    /// Records that a session was removed, and keeps its place for another.
    pub(crate) fn vacate(&self, session: &Session) -> Vacancy<'_> {
        self.confirm(session);
        self.unbind(session);
        self.by_principal.give_back(session.key().principal);
        self.by_client.give_back(session.record().client().as_ref());
        Vacancy(Some(self))
    }

    fn reserve_total(&self, vacancy: Option<Vacancy<'_>>) -> bool {
        if let Some(vacancy) = vacancy {
            vacancy.fill();
            return true;
        }
        let one_more = |total| (total < self.max_total).then_some(total + 1);
        self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }
}

impl Vacancy<'_> {
    /// Another session takes the place.
    fn fill(mut self) {
        self.0 = None;
    }
}

impl Drop for Vacancy<'_> {
    fn drop(&mut self) {
        if let Some(counts) = self.0 {
            counts.total.fetch_sub(1, Ordering::Relaxed);
        }
    }
}

/// A panic while the lock was held leaves consistent data, because each change is one step.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests {
    use super::*;
    use bartizan_core::{
        Key, Record, Route,
        store::{RecordVersion, StoredSession},
    };

    fn caps(total: usize, per_principal: usize, per_client: usize) -> Caps {
        Caps { total, per_principal, per_client }
    }

    #[test]
    fn what_counts_nothing_is_forgotten() {
        let (route, alice) = (Route::default(), Principal::new("i", "alice"));
        let client = ClientNetwork::of("192.0.2.7".parse().unwrap());
        let record = Record::new(Record::IDLE, Record::LIFETIME).with_client(client);
        let record = record.with_backend("b".parse().unwrap());
        let key = Key::new(&route, Some(&alice), b"id");
        let session = Session::new(key, record, RecordVersion::FIRST, 0);
        let whose = Whose { principal: Some(&alice), client: Some(client) };
        for (counts, refused) in [
            (Counts::new(caps(2, 1, usize::MAX)), Reserved::OwnerFull),
            (Counts::new(caps(2, usize::MAX, 1)), Reserved::OwnerFull),
            (Counts::new(caps(2, 2, 1)), Reserved::OwnerFull),
            (Counts::new(caps(1, 2, 2)), Reserved::Full),
        ] {
            assert_eq!(counts.reserve(whose, None), Reserved::Yes);
            counts.bind(&session);
            counts.await_confirmation(&session);
            assert!(counts.has_unconfirmed());
            assert_eq!(counts.reserve(whose, None), refused);
            assert_eq!(counts.total(), 1, "a refused session takes no room");
            counts.release(&session);
            assert!(counts.total() == 0 && !counts.has_unconfirmed());
            assert!(counts.by_principal.is_empty() && lock(&counts.by_backend).is_empty());
            assert!(counts.by_client.is_empty());
        }
        let none = Counts::new(caps(2, 0, usize::MAX));
        assert!(!none.has_room(whose) && none.reserve(whose, None) == Reserved::OwnerFull);
        assert!(none.by_principal.is_empty() && none.place(whose).is_none());
    }

    #[test]
    fn openings_take_room_and_what_may_be_evicted_gives_it() {
        let counts = Counts::new(caps(2, usize::MAX, usize::MAX));
        let whose = Whose::default();
        let (one, two) = (counts.place(whose), counts.place(whose));
        assert!(one.is_some() && two.is_some() && counts.place(whose).is_none());
        drop((one, two));
        assert_eq!([(); 2].map(|()| counts.reserve(whose, None)), [Reserved::Yes; 2]);
        assert!(counts.is_pressed() && !counts.has_room(whose) && counts.place(whose).is_none());
        counts.unconfirmed.store(1, Ordering::Relaxed);
        let place = counts.place(whose);
        assert!(place.is_some() && counts.has_room(whose) && counts.place(whose).is_none());
    }
}
