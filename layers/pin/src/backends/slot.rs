//! A backend with its state.

use std::sync::{
    Arc,
    atomic::{AtomicBool, Ordering},
};

use bartizan_core::Backend;

use super::{
    health::Health,
    occupancy::Occupancy,
    probed::Probed,
    status::DownCause,
    watched::{Kind, Watched},
};
use crate::{balance::InFlightCount, event, gauges::SlotCounts};

/// A backend with its state, shared by all requests that are on their way to it.
#[derive(Debug)]
pub(crate) struct Slot {
    backend: Backend,
    health: Health,
    probed: Probed,
    opening: Watched,
    other: Watched,
    occupancy: Occupancy,
    /// Whether it is tried in the background.
    is_watched: AtomicBool,
    counts: SlotCounts,
}

/// Counts as load on a backend until it is dropped, and keeps it from leaving as one that has drained:
/// work without a pin that is on its way, or what it opened and is on its way to a store.
#[derive(Debug)]
pub(crate) struct InFlight(Arc<Slot>);

impl Slot {
    pub(crate) fn new(backend: Backend) -> Self {
        Self {
            backend,
            health: Health::default(),
            probed: Probed::default(),
            opening: Watched::default(),
            other: Watched::default(),
            occupancy: Occupancy::new(),
            is_watched: AtomicBool::new(false),
            counts: SlotCounts::default(),
        }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    pub(super) fn probed(&self) -> &Probed {
        &self.probed
    }

    /// What is known of new work of this kind.
    pub(super) fn watched(&self, kind: Kind) -> &Watched {
        match kind {
            Kind::Opening => &self.opening,
            Kind::Other => &self.other,
        }
    }

    pub(super) fn occupancy(&self) -> &Occupancy {
        &self.occupancy
    }

    #[inline]
    pub(crate) fn counts(&self) -> &SlotCounts {
        &self.counts
    }

    /// It is out of service from now on.
    pub(super) fn goes_out(&self, cause: DownCause) {
        self.counts.out.add(cause);
        match cause {
            DownCause::Unreachable => event::out_of_service(&self.backend),
            DownCause::FailedOpenings | DownCause::Probe => event::out(&self.backend, cause),
        }
    }

    /// It is back in service, as far as `cause` goes.
    pub(super) fn comes_back(&self, cause: DownCause) {
        self.counts.back.add(cause);
        match cause {
            DownCause::Unreachable => event::back_in_service(&self.backend),
            DownCause::FailedOpenings | DownCause::Probe => event::back(&self.backend, cause),
        }
    }

    pub(crate) fn open(self: &Arc<Self>) -> InFlight {
        self.occupancy.enter();
        InFlight(Arc::clone(self))
    }

    /// The same, unless it drains: then it may have left already.
    pub(super) fn open_unless_draining(self: &Arc<Self>) -> Option<InFlight> {
        self.occupancy.enter_unless_draining().then(|| InFlight(Arc::clone(self)))
    }

    /// Whether nothing but its openings may keep new work from it.
    pub(super) fn takes_new_work(&self, now_ms: u64) -> bool {
        !self.occupancy.is_draining() && !self.health.is_out(now_ms) && !self.probed.is_down()
    }

    /// Starts the watch, unless it is already watched. Returns whether the caller watches it now.
    pub(super) fn begin_watch(&self) -> bool {
        !self.is_watched.swap(true, Ordering::AcqRel)
    }

    /// Ends the watch unless it fails. Returns whether the watch has ended.
    pub(super) fn end_watch_unless_failing(&self) -> bool {
        if self.health.is_failing() {
            return false;
        }
        self.is_watched.store(false, Ordering::Release);
        // A failure that came just now may have found it watched.
        !(self.health.is_failing() && self.begin_watch())
    }
}

impl InFlightCount for Slot {
    fn in_flight(&self) -> usize {
        self.occupancy.in_flight()
    }
}

impl InFlight {
    pub(crate) fn slot(&self) -> &Arc<Slot> {
        &self.0
    }
}

/// Counts by itself.
impl Clone for InFlight {
    fn clone(&self) -> Self {
        self.0.open()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.occupancy.leave();
    }
}
