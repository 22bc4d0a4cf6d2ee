//! A backend with its state.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
};

use bartizan_core::Backend;

use super::{
    health::Health,
    probed::Probed,
    watched::{Kind, Watched},
};
use crate::balance::InFlightCount;

/// Stands for a backend that does not drain.
const NOT_DRAINING: u64 = 0;

/// A backend with its state, shared by all requests that are on their way to it.
#[derive(Debug)]
pub(crate) struct Slot {
    backend: Backend,
    health: Health,
    probed: Probed,
    opening: Watched,
    other: Watched,
    /// When a drained backend leaves, whatever is left on it. One value, so that nobody sees a drain
    /// with the deadline of an earlier one.
    drained_by_ms: AtomicU64,
    in_flight: AtomicUsize,
    /// Whether it is tried in the background.
    is_watched: AtomicBool,
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
            drained_by_ms: AtomicU64::new(NOT_DRAINING),
            in_flight: AtomicUsize::new(0),
            is_watched: AtomicBool::new(false),
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

    pub(crate) fn open(self: &Arc<Self>) -> InFlight {
        // In one order with the begin of a drain: who opens sees the one, or who drains the other.
        self.in_flight.fetch_add(1, Ordering::SeqCst);
        InFlight(Arc::clone(self))
    }

    /// Lets it leave at `by_ms`, which is later than [`NOT_DRAINING`].
    pub(super) fn drain(&self, by_ms: u64) {
        self.drained_by_ms.store(by_ms.max(NOT_DRAINING + 1), Ordering::SeqCst);
    }

    /// Says whether it drained.
    pub(super) fn undrain(&self) -> bool {
        self.drained_by_ms.swap(NOT_DRAINING, Ordering::Relaxed) != NOT_DRAINING
    }

    pub(super) fn is_draining(&self) -> bool {
        self.drained_by_ms.load(Ordering::SeqCst) != NOT_DRAINING
    }

    /// Whether it drains and has reached its deadline.
    pub(super) fn is_overdue(&self, now_ms: impl FnOnce() -> u64) -> bool {
        match self.drained_by_ms.load(Ordering::Relaxed) {
            NOT_DRAINING => false,
            by_ms => by_ms <= now_ms(),
        }
    }

    /// Whether nothing but its openings may keep new work from it.
    pub(super) fn takes_new_work(&self, now_ms: u64) -> bool {
        !self.is_draining() && !self.health.is_out(now_ms) && !self.probed.is_down()
    }

    /// Says whether nobody else watches it: from now on the caller does.
    pub(super) fn begin_watch(&self) -> bool {
        !self.is_watched.swap(true, Ordering::AcqRel)
    }

    /// Ends the watch unless it fails. Says whether the watch has ended.
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
        self.in_flight.load(Ordering::SeqCst)
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
        self.0.in_flight.fetch_sub(1, Ordering::Relaxed);
    }
}
