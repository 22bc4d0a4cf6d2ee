//! The counters that say how many sessions a backend has.

use std::sync::Arc;

use bartizan_core::{BackendId, store::CountSessions};

/// All counters of a set of backends; their counts add up.
#[derive(Clone, Default)]
pub(super) struct Counters(Vec<Arc<dyn CountSessions>>);

impl Counters {
    pub(super) fn add(&mut self, counter: Arc<dyn CountSessions>) {
        self.0.push(counter);
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl CountSessions for Counters {
    fn sessions_on(&self, backend: &BackendId) -> usize {
        self.0.iter().map(|counter| counter.sessions_on(backend)).sum()
    }
}
