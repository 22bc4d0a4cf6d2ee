//! Taking a backend out of the set without losing its sessions.

use std::{sync::Arc, time::Duration};

use bartizan_core::BackendId;

use super::{set::Backends, slot::Slot};

impl Backends {
    /// Gives a backend no new sessions, and removes it when its last one has ended. Returns whether
    /// it was in the set.
    ///
    /// The number of sessions is checked when new work arrives and when a snapshot is taken.
    #[allow(clippy::must_use_candidate, reason = "the set is changed either way")]
    pub fn drain(&self, id: &BackendId) -> bool {
        self.drain_by(id, u64::MAX)
    }

    /// The same, and removes it after `deadline` in any case.
    #[allow(clippy::must_use_candidate, reason = "the set is changed either way")]
    pub fn drain_within(&self, id: &BackendId, deadline: Duration) -> bool {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.drain_by(id, self.now_ms().saturating_add(deadline_ms))
    }

    /// Cancels a drain, and counts the backend as reachable until it fails again. Returns whether
    /// it was there.
    #[allow(clippy::must_use_candidate, reason = "the set is changed either way")]
    pub fn ready(&self, id: &BackendId) -> bool {
        let mut is_there = false;
        // As a change, so that it is not removed meanwhile as one that has drained.
        self.change(|set| {
            if let Some(slot) = set.by_id.get(id) {
                slot.occupancy().undrain();
                Self::responded(slot);
                is_there = true;
            }
        });
        is_there
    }

    fn drain_by(&self, id: &BackendId, by_ms: u64) -> bool {
        let set = self.0.set.load();
        let Some(slot) = set.by_id.get(id) else { return false };
        slot.occupancy().drain(by_ms);
        true
    }

    /// Removes what has drained.
    pub(super) fn reap(&self) {
        let set = self.0.set.load();
        if !set.slots.iter().any(|slot| self.has_drained(slot)) {
            return;
        }
        self.change(|set| {
            // Asked again: meanwhile it may have been added again.
            let drained: Vec<_> =
                set.slots.iter().filter(|slot| self.has_drained(slot)).map(Arc::clone).collect();
            drained.iter().for_each(|slot| set.remove(slot.backend().id()));
        });
    }

    fn has_drained(&self, slot: &Slot) -> bool {
        let occupancy = slot.occupancy();
        // Without counts it is not known when the last session has gone.
        occupancy.is_overdue(|| self.now_ms())
            || self.are_counted() && occupancy.is_vacant(|| self.sessions_on(slot))
    }
}
