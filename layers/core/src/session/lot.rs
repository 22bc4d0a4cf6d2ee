//! Where those who wait for the end of a session are parked.
//!
//! A session may end while somebody begins to wait for that. `tests/loom` goes through all orders of the two.

use std::{collections::BTreeMap, sync::PoisonError, task::Waker};

use super::usage::Holds;
use crate::sync::{Mutex, MutexGuard};

/// The address of a session, and the number of one who waits for its end.
pub(crate) type Place = (usize, u64);

/// One part of the process's table of parked wakers.
#[derive(Debug)]
pub(crate) struct Lot(pub(crate) Mutex<BTreeMap<Place, Waker>>);

impl Lot {
    /// Parks `waker` until the session with these `holds` ends. Returns whether it has ended: then the waker may not be
    /// woken.
    pub(crate) fn park(&self, place: Place, waker: Waker, holds: &Holds) -> bool {
        let mut parked = self.parked();
        let replaced = parked.insert(place, waker);
        // Whoever ends it from here on finds the waker; whoever has done so before is seen.
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

    /// One who waited does so no longer.
    pub(crate) fn leave(&self, place: Place) {
        let waker = self.parked().remove(&place);
        drop(waker);
    }

    pub(crate) fn parked(&self) -> MutexGuard<'_, BTreeMap<Place, Waker>> {
        // A panic while it was held cannot have left an entry half made.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
