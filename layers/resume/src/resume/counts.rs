//! What became of lost sessions, in numbers.

use std::sync::Arc;

use bartizan_core::{
    Reason,
    gauges::{Counter, sessions::SessionEnds},
};

use crate::replay::opened::Unfit;

/// How many sessions were resumed or given up. All clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct ResumeCounts(Arc<Counts>);

#[derive(Debug)]
pub(crate) struct Counts {
    pub(crate) resumed: Counter,
    pub(crate) given_up: Counter,
    pub(crate) denied: Counter,
    pub(crate) unrecorded: Arc<Counter>,
    pub(crate) handshakes: Handshakes,
    /// Lost sessions that have ended.
    pub(crate) not_resumed: SessionEnds,
}

/// Why backends did not take over a session.
#[derive(Debug, Default)]
pub(crate) struct Handshakes {
    pub(crate) no_answer: Counter,
    pub(crate) timeout: Counter,
    pub(crate) unfit: Counter,
    pub(crate) denied: Counter,
}

impl ResumeCounts {
    /// How many times a session was resumed on another backend.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.0.resumed.get()
    }

    /// How many attempts to resume a session were given up.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.0.given_up.get()
    }

    /// How many sessions were opened without a record of their opening, because the records of other sessions used
    /// [all the space](crate::ResumeSessionLayer::total_record_limit). They are not resumed.
    #[must_use]
    pub fn unrecorded(&self) -> u64 {
        self.0.unrecorded.get()
    }

    pub(crate) fn unrecorded_cell(&self) -> Arc<Counter> {
        Arc::clone(&self.0.unrecorded)
    }

    pub(crate) fn all(&self) -> &Counts {
        &self.0
    }
}

impl Handshakes {
    /// A backend has answered, and cannot go on with a session.
    pub(crate) fn failed(&self, unfit: &Unfit) {
        match unfit {
            // None was asked.
            Unfit::NoAnswer(Reason::NoBackend) => {}
            Unfit::NoAnswer(_) => self.no_answer.add_one(),
            Unfit::Other => self.unfit.add_one(),
            Unfit::Denied(_) => self.denied.add_one(),
        }
    }
}

impl Default for Counts {
    fn default() -> Self {
        Self {
            resumed: Counter::new(),
            given_up: Counter::new(),
            denied: Counter::new(),
            unrecorded: Arc::default(),
            handshakes: Handshakes::default(),
            not_resumed: SessionEnds::new("not_resumed"),
        }
    }
}
