//! What became of lost sessions, in numbers.

use std::sync::{
    Arc,
    atomic::{AtomicU64, Ordering},
};

/// How many sessions were resumed or given up. All clones share the counts.
#[derive(Clone, Debug, Default)]
pub struct ResumeCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    resumed: AtomicU64,
    given_up: AtomicU64,
    unrecorded: Arc<AtomicU64>,
}

impl ResumeCounts {
    /// How many times a session was resumed on another backend.
    #[must_use]
    pub fn resumed(&self) -> u64 {
        self.0.resumed.load(Ordering::Relaxed)
    }

    /// How many attempts to resume a session were given up.
    #[must_use]
    pub fn given_up(&self) -> u64 {
        self.0.given_up.load(Ordering::Relaxed)
    }

    /// How many sessions were opened without a record of their opening, because the records of other sessions used
    /// [all the space](crate::ResumeSessionLayer::total_record_limit). They are not resumed.
    #[must_use]
    pub fn unrecorded(&self) -> u64 {
        self.0.unrecorded.load(Ordering::Relaxed)
    }

    pub(crate) fn unrecorded_cell(&self) -> Arc<AtomicU64> {
        Arc::clone(&self.0.unrecorded)
    }

    pub(crate) fn add_resumed(&self) {
        self.0.resumed.fetch_add(1, Ordering::Relaxed);
    }

    pub(crate) fn add_given_up(&self) {
        self.0.given_up.fetch_add(1, Ordering::Relaxed);
    }
}
