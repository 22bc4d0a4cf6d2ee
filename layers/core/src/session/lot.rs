//! The table of wakers that wait for the end of a session.
//!
//! A session may end while a task begins to wait for its end. `tests/loom` checks all interleavings of the two.

use std::{collections::BTreeMap, sync::PoisonError, task::Waker};

use super::usage::Holds;
use crate::sync::{Mutex, MutexGuard};

/// The address of a session, and the number of a waiter.
pub(crate) type Place = (usize, u64);

/// One shard of the process's table of wakers.
#[derive(Debug)]
pub(crate) struct Lot(pub(crate) Mutex<BTreeMap<Place, Waker>>);

impl Lot {
    /// Parks `waker` until the session with these `holds` ends. Returns whether it has already ended: then the waker
    /// may never be woken.
    pub(crate) fn park(&self, place: Place, waker: Waker, holds: &Holds) -> bool {
        let mut parked = self.parked();
        let replaced = parked.insert(place, waker);
        // An end after this point finds the waker, and an earlier end is visible here.
        let has_ended = holds.watch();
        drop(parked);
        drop(replaced);
        has_ended
    }

    /// Wakes all who wait for the session at `address`.
    pub(crate) fn wake(&self, address: usize) {
        let wakers: Vec<_> = {
            let mut parked = self.parked();
            let places: Vec<_> =
                parked.range((address, 0)..=(address, u64::MAX)).map(|(place, _)| *place).collect();
            places.iter().filter_map(|place| parked.remove(place)).collect()
        };
        wakers.into_iter().for_each(Waker::wake);
    }

    /// Removes a waiter that no longer waits.
    pub(crate) fn leave(&self, place: Place) {
        let waker = self.parked().remove(&place);
        drop(waker);
    }

    pub(crate) fn parked(&self) -> MutexGuard<'_, BTreeMap<Place, Waker>> {
        // A panic while the lock was held cannot leave an incomplete entry.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
