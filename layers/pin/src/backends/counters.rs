//! The counters that say how many sessions a backend has.

use std::sync::Arc;

use arc_swap::ArcSwap;
use bartizan_core::{BackendId, store::CountSessions};

/// All counters of a set of backends; their counts add up.
#[derive(Default)]
pub(super) struct Counters(ArcSwap<Vec<Arc<dyn CountSessions>>>);

impl Counters {
    pub(super) fn add(&self, counter: &Arc<dyn CountSessions>) {
        self.0.rcu(|counters| {
            let mut counters = Vec::clone(counters);
            counters.push(Arc::clone(counter));
            counters
        });
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.load().is_empty()
    }
}

impl CountSessions for Counters {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        self.0.load().iter().map(|counter| counter.sessions_on(backend)).sum()
    }
}
