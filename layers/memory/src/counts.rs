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
        let of_principal = |principal| lock(&self.by_principal).get(principal).copied();
        self.total() < self.max_total
            && principal.and_then(of_principal).unwrap_or(0) < self.max_per_principal
    }

    /// Counts one more, if it may be.
    pub(crate) fn reserve(&self, principal: Option<&Principal>) -> bool {
        let one_more = |total| (total < self.max_total).then_some(total + 1);
        if self.total.fetch_update(Ordering::Relaxed, Ordering::Relaxed, one_more).is_err() {
            return false;
        }
        let Some(principal) = principal.filter(|_| self.counts_principals()) else { return true };
        let mut by_principal = lock(&self.by_principal);
        let count = by_principal.entry(principal.clone()).or_insert(0);
        if *count >= self.max_per_principal {
            drop(by_principal);
            self.total.fetch_sub(1, Ordering::Relaxed);
            return false;
        }
        *count += 1;
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
        if let Some(principal) = session.key().principal.filter(|_| self.counts_principals()) {
            one_less(&self.by_principal, principal);
        }
    }

    fn counts_principals(&self) -> bool {
        self.max_per_principal != usize::MAX
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
