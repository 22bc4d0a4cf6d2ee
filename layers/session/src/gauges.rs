//! The numbers of the layer.
//!
//! | metric | is |
//! |---|---|
//! | `bartizan_sessions_opened_total` | sessions that were stored, of which clients get the ids unless they have left |
//! | `bartizan_sessions_moved_total` | sessions whose record names another backend, since a layer inside chose one |
//! | `bartizan_sessions_ended_total{cause}` | `delete`: by their clients; `backend_404`: unknown to their backends; `backend_lost`: with their backends; `undelivered`: their clients left before they got the id |
//! | `bartizan_session_duration_seconds{cause}` | how long they were in use |
//!
//! The store counts those that expire or are evicted. An end counts only when the store has it.

use std::sync::Arc;

use bartizan_core::gauges::{
    Counter, Gauges, Metric, Reading,
    sessions::{OPENED, SessionEnds},
};

/// How many sessions the services of a layer have opened and ended, and why: a part that can be
/// [read](bartizan_core::gauges::Gauges). All clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct SessionCounts(Arc<Counts>);

#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) opened: Counter,
    pub(crate) moved: Counter,
    pub(crate) delete: SessionEnds,
    pub(crate) backend_404: SessionEnds,
    pub(crate) backend_lost: SessionEnds,
    pub(crate) undelivered: SessionEnds,
}

const MOVED: Metric = Metric::counter(
    "bartizan_sessions_moved_total",
    "Sessions that moved to another backend without a new handshake.",
);

impl SessionCounts {
    pub(crate) fn all(&self) -> &Counts {
        &self.0
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            opened: Counter::new(),
            moved: Counter::new(),
            delete: SessionEnds::new("delete"),
            backend_404: SessionEnds::new("backend_404"),
            backend_lost: SessionEnds::new("backend_lost"),
            undelivered: SessionEnds::new("undelivered"),
        }
    }
}

impl Gauges for SessionCounts {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        let Counts { opened, moved, delete, backend_404, backend_lost, undelivered } = &*self.0;
        out(Reading::new(&OPENED, &[], opened.get()));
        out(Reading::new(&MOVED, &[], moved.get()));
        SessionEnds::read(&[delete, backend_404, backend_lost, undelivered], out);
    }
}
