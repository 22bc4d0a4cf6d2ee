//! How many sessions there are: in total, by backend, by principal; and whether one more may be.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use bartizan_core::{BackendId, Principal, Session};
use foldhash::quality::RandomState;

#[derive(Debug)]
pub(crate) struct Counts {
    max_total: usize,
    max_per_principal: usize,
    total: AtomicUsize,
    by_backend: Mutex<HashMap<BackendId, usize, RandomState>>,
    // Kept only when there is a bound to hold.
    by_principal: Mutex<HashMap<Principal, usize, RandomState>>,
}

impl Counts {
    pub(crate) fn new(max_total: usize, max_per_principal: usize) -> Self {
        Self {
            max_total,
            max_per_principal,
            total: AtomicUsize::new(0),
            by_backend: Mutex::default(),
            by_principal: Mutex::default(),
        }
    }

    pub(crate) fn total(&self) -> usize {
        self.total.load(Ordering::Relaxed)
    }

    pub(crate) fn on_backend(&self, backend: &BackendId) -> usize {
        lock(&self.by_backend).get(backend).copied().unwrap_or(0)
    }

    pub(crate) fn has_room(&self, principal: Option<&Principal>) -> bool {
        let of_principal =
            |principal| lock(&self.by_principal).get(principal).copied().unwrap_or(0);
        self.total() < self.max_total
            && self
                .counted(principal)
                .is_none_or(|principal| of_principal(principal) < self.max_per_principal)
    }

    /// Counts one more, if it may be.
    pub(crate) fn reserve(&self, principal: Option<&Principal>) -> bool {
        let Some(principal) = self.counted(principal) else { return self.reserve_total() };
        let mut by_principal = lock(&self.by_principal);
        let count = by_principal.get(principal).copied().unwrap_or(0);
        if count >= self.max_per_principal || !self.reserve_total() {
            return false;
        }
        by_principal.insert(principal.clone(), count + 1);
        true
    }

    /// A session that was reserved for is bound to its backend.
    pub(crate) fn bind(&self, session: &Session) {
        if let Some(backend) = session.record().backend() {
            *lock(&self.by_backend).entry(backend.clone()).or_insert(0) += 1;
        }
    }

    /// A session is no longer bound to its backend.
    pub(crate) fn unbind(&self, session: &Session) {
        if let Some(backend) = session.record().backend() {
            one_less(&self.by_backend, backend);
        }
    }

    /// A session is gone.
    pub(crate) fn release(&self, session: &Session) {
        self.unbind(session);
        self.total.fetch_sub(1, Ordering::Relaxed);
        if let Some(principal) = self.counted(session.key().principal) {
            one_less(&self.by_principal, principal);
        }
    }

    fn reserve_total(&self) -> bool {
        let one_more = |total| (total < self.max_total).then_some(total + 1);
        self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_ok()
    }

    /// The principal, if there is one and a bound for it.
    fn counted<'a>(&self, principal: Option<&'a Principal>) -> Option<&'a Principal> {
        principal.filter(|_| self.max_per_principal != usize::MAX)
    }
}

fn one_less<K: Eq + Hash>(counts: &Mutex<HashMap<K, usize, RandomState>>, key: &K) {
    let mut counts = lock(counts);
    if let Some(count) = counts.get_mut(key) {
        *count -= 1;
        if *count == 0 {
            counts.remove(key);
        }
    }
}

/// What a panic elsewhere left behind is still consistent: each change is one step.
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

    #[test]
    fn what_counts_nothing_is_forgotten() {
        let (route, alice) = (Route::default(), Principal::new("i", "alice"));
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let record = record.with_backend("b".parse().unwrap());
        let key = Key::new(&route, Some(&alice), b"id");
        let session = Session::new(key, record, RecordVersion::FIRST, 0);
        let counts = Counts::new(2, 1);
        assert!(counts.reserve(Some(&alice)));
        counts.bind(&session);
        assert!(!counts.reserve(Some(&alice)));
        assert_eq!(counts.total(), 1, "who is refused takes no room");
        counts.release(&session);
        assert_eq!(counts.total(), 0);
        assert!(lock(&counts.by_principal).is_empty() && lock(&counts.by_backend).is_empty());
        let none = Counts::new(2, 0);
        assert!(!none.has_room(Some(&alice)) && !none.reserve(Some(&alice)));
        assert!(lock(&none.by_principal).is_empty());
    }
}
