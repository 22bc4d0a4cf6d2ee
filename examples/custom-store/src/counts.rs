//! How many sessions there are, in all and on each backend.

use std::{
    collections::{HashMap, hash_map::Entry},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bartizan::BackendId;

/// Kept in memory: requests ask for these numbers and must not wait for a query.
#[derive(Debug, Default)]
pub(crate) struct Counts(Mutex<HashMap<Option<BackendId>, usize>>);

impl Counts {
    pub(crate) fn total(&self) -> usize {
        self.lock().values().sum()
    }

    pub(crate) fn on(&self, backend: &BackendId) -> usize {
        self.lock().get(&Some(backend.clone())).copied().unwrap_or(0)
    }

    pub(crate) fn add(&self, backend: Option<BackendId>) {
        *self.lock().entry(backend).or_default() += 1;
    }

    /// Subtracts one, and removes entries that reach zero.
    pub(crate) fn take(&self, backend: Option<BackendId>) {
        if let Entry::Occupied(mut count) = self.lock().entry(backend) {
            *count.get_mut() = count.get().saturating_sub(1);
            if *count.get() == 0 {
                count.remove();
            }
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<BackendId>, usize>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
