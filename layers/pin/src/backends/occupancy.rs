//! The work that is on its way to a backend, and the drain that waits for it.
//!
//! An opening and a drain may begin at once: then the opening sees the drain, or the drain waits for the opening.
//! `tests/loom` goes through all orders of the two.

use crate::sync::{AtomicU64, AtomicUsize, Ordering};

/// Stands for a backend that does not drain.
const NOT_DRAINING: u64 = 0;

/// How much work is on its way to a backend, and whether the backend drains.
#[derive(Debug)]
pub(crate) struct Occupancy {
    in_flight: AtomicUsize,
    /// When a drained backend leaves, even if sessions are left on it. One value, so that a drain is never seen with
    /// the deadline of an earlier one.
    drained_by_ms: AtomicU64,
}

impl Occupancy {
    pub(crate) fn new() -> Self {
        Self { in_flight: AtomicUsize::new(0), drained_by_ms: AtomicU64::new(NOT_DRAINING) }
    }

    /// Counts work in, until [`leave`](Self::leave).
    pub(crate) fn enter(&self) {
        // If `is_vacant` was decided before, what it saw of the drain is seen from here on.
        self.in_flight.fetch_add(1, Ordering::AcqRel);
    }

    /// Counts work in unless the backend drains. Returns whether it was counted.
    pub(crate) fn enter_unless_draining(&self) -> bool {
        self.enter();
        // Asked when it is counted: from here on a drain waits for it.
        let may_enter = !self.is_draining();
        if !may_enter {
            self.leave();
        }
        may_enter
    }

    /// Counts work out. If it has opened a session, that session must be counted before.
    pub(crate) fn leave(&self) {
        // A reader that no longer sees the work sees its session.
        self.in_flight.fetch_sub(1, Ordering::Release);
    }

    /// How much work is on its way.
    pub(crate) fn in_flight(&self) -> usize {
        self.in_flight.load(Ordering::Relaxed)
    }

    /// Begins a drain that ends at `by_ms` at the latest, which is later than [`NOT_DRAINING`].
    pub(crate) fn drain(&self, by_ms: u64) {
        self.drained_by_ms.store(by_ms.max(NOT_DRAINING + 1), Ordering::Release);
    }

    /// Takes the drain back. Returns whether there was one.
    pub(crate) fn undrain(&self) -> bool {
        self.drained_by_ms.swap(NOT_DRAINING, Ordering::AcqRel) != NOT_DRAINING
    }

    pub(crate) fn is_draining(&self) -> bool {
        self.drained_by_ms.load(Ordering::Acquire) != NOT_DRAINING
    }

    /// Whether the backend drains and has reached its deadline.
    pub(crate) fn is_overdue(&self, now_ms: impl FnOnce() -> u64) -> bool {
        match self.drained_by_ms.load(Ordering::Relaxed) {
            NOT_DRAINING => false,
            by_ms => by_ms <= now_ms(),
        }
    }

    /// Whether the backend drains and nothing is left on it, by the count of its `sessions`: it may leave.
    pub(crate) fn is_vacant(&self, sessions: impl FnOnce() -> usize) -> bool {
        // A write, not a read: it comes before or after each `enter`, and one that comes after sees the drain.
        let is_empty = || self.in_flight.fetch_add(0, Ordering::AcqRel) == 0;
        // Sessions last: an opening becomes a session before it leaves.
        self.is_draining() && is_empty() && sessions() == 0
    }
}
