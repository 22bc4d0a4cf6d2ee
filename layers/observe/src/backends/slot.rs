//! What is counted of one backend.

use std::{
    fmt,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use bartizan_core::{
    BackendId, Reason, UpstreamFailure, Work,
    failure::FailureKind,
    gauges::{Counter, Histogram},
};
use http::Response;
use tokio::time::Instant;

use crate::names::{self, BOUNDS, CANCELLED, FAILED, OTHER, OUTCOMES, REFUSED, WORKS};

/// How long the series of a backend are shown after its removal.
const KEPT: Duration = Duration::from_secs(5 * 60);

/// The numbers of one backend, or of all that have none of their own.
pub(crate) struct Slot {
    /// Keeps the text of the id where it is: backends are told apart by its address.
    id: Option<BackendId>,
    pub(super) durations: Box<[Histogram]>,
    pub(super) failures: Box<[Counter]>,
    pub(super) work: Box<[Counter]>,
    /// When the backend was removed, and how many requests it had got by then.
    removed: Mutex<Option<(Instant, u64)>>,
}

impl Slot {
    pub(super) fn new(id: Option<BackendId>) -> Self {
        Self {
            id,
            durations: OUTCOMES.iter().map(|_| Histogram::new(BOUNDS)).collect(),
            failures: FailureKind::ALL.iter().map(|_| Counter::new()).collect(),
            work: WORKS.iter().map(|_| Counter::new()).collect(),
            removed: Mutex::default(),
        }
    }

    pub(super) fn name(&self) -> &str {
        self.id.as_ref().map_or(OTHER, BackendId::as_str)
    }

    /// Whether this is the slot of `id` itself: not of its text, but of these bytes in memory.
    #[inline]
    pub(super) fn is_same(&self, id: &BackendId) -> bool {
        self.id.as_ref().is_some_and(|own| std::ptr::eq(own.as_str(), id.as_str()))
    }

    pub(super) fn is_of(&self, id: &BackendId) -> bool {
        self.id.as_ref() == Some(id)
    }

    /// Counts a request that is sent.
    #[inline]
    pub(super) fn sent(&self, work: Work) {
        if let Some(counter) = self.work.get(names::work(work)) {
            counter.add_one();
        }
    }

    /// Counts the response to it.
    #[inline]
    pub(super) fn responded<R>(&self, response: &Response<R>, after: Duration) {
        let outcome = match Reason::of(response) {
            None => names::class(response.status()),
            Some(_) => self.answered_here(UpstreamFailure::of(response)),
        };
        self.took(outcome, after);
    }

    /// Counts that there was none.
    #[cold]
    pub(super) fn abandoned(&self, after: Duration) {
        self.took(CANCELLED, after);
    }

    /// The outcome of a request that the backend did not respond to.
    #[cold]
    fn answered_here(&self, failure: Option<UpstreamFailure>) -> usize {
        let Some(failure) = failure else { return REFUSED };
        if let Some(counter) = self.failures.get(names::failure(failure.kind())) {
            counter.add_one();
        }
        FAILED
    }

    #[inline]
    fn took(&self, outcome: usize, after: Duration) {
        if let Some(histogram) = self.durations.get(outcome) {
            histogram.add(after);
        }
    }

    pub(super) fn remove(&self) {
        *self.removed.lock().unwrap_or_else(PoisonError::into_inner) =
            Some((Instant::now(), self.requests()));
    }

    /// Whether the backend was removed some time ago, and has got nothing since.
    pub(super) fn is_gone(&self) -> bool {
        let mut removed = self.removed.lock().unwrap_or_else(PoisonError::into_inner);
        let Some((at, requests)) = *removed else { return false };
        if at.elapsed() < KEPT {
            return false;
        }
        if requests == self.requests() {
            return true;
        }
        // It finishes what it has, or is back.
        *removed = Some((Instant::now(), self.requests()));
        false
    }

    pub(super) fn is_used(&self) -> bool {
        self.requests() > 0
    }

    fn requests(&self) -> u64 {
        self.work.iter().map(Counter::get).sum()
    }
}

impl fmt::Debug for Slot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Slot").field(&self.name()).finish()
    }
}
