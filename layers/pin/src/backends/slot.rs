//! A backend with its state.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_core::Backend;

use super::health::Health;

/// A backend with its state, shared by all requests that are on their way to it.
#[derive(Debug)]
pub(crate) struct Slot {
    backend: Backend,
    health: Health,
    draining: AtomicBool,
    /// When a drained backend leaves, whatever is left on it.
    drained_by_ms: AtomicU64,
    opening: AtomicUsize,
}

/// Counts as load on a backend until it is dropped: work without a pin that is on its way.
#[derive(Debug)]
pub(crate) struct Opening(Arc<Slot>);

impl Slot {
    pub(super) fn new(backend: Backend) -> Self {
        Self {
            backend,
            health: Health::default(),
            draining: AtomicBool::new(false),
            drained_by_ms: AtomicU64::new(u64::MAX),
            opening: AtomicUsize::new(0),
        }
    }

    pub(crate) fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) fn health(&self) -> &Health {
        &self.health
    }

    pub(crate) fn open(self: &Arc<Self>) -> Opening {
        self.opening.fetch_add(1, Ordering::Relaxed);
        Opening(Arc::clone(self))
    }

    pub(super) fn opening(&self) -> usize {
        self.opening.load(Ordering::Relaxed)
    }

    pub(super) fn drain(&self, by_ms: u64) {
        self.drained_by_ms.store(by_ms, Ordering::Relaxed);
        self.draining.store(true, Ordering::Relaxed);
    }

    pub(super) fn undrain(&self) {
        self.draining.store(false, Ordering::Relaxed);
        self.drained_by_ms.store(u64::MAX, Ordering::Relaxed);
    }

    pub(super) fn is_draining(&self) -> bool {
        self.draining.load(Ordering::Relaxed)
    }

    /// Whether a drain has reached its deadline.
    pub(super) fn is_overdue(&self, now_ms: u64) -> bool {
        self.drained_by_ms.load(Ordering::Relaxed) <= now_ms
    }

    pub(super) fn takes_new_work(&self, now_ms: u64) -> bool {
        !self.is_draining() && !self.health.is_out(now_ms)
    }

    pub(super) fn unreachable_for(&self, now_ms: u64) -> Option<Duration> {
        self.health.unreachable_for(now_ms)
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        self.0.opening.fetch_sub(1, Ordering::Relaxed);
    }
}
