//! The memory budget for all records together.
//!
//! The entry of a session counts until the last copy of its record in this process is dropped: with the memory store,
//! when the session ends; with a store on a server, when this replica forgets it.

use std::{
    fmt,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_core::gauges::Counter;
use tokio::time::Instant;

use super::event;

/// The default budget, in bytes.
pub(crate) const DEFAULT_BYTES: usize = 256 * 1024 * 1024;

/// The minimum interval between two reports that the budget is used up.
const REPORT_EVERY: Duration = Duration::from_secs(60);

/// The memory budget for all records together.
pub(crate) struct Budget {
    limit_bytes: usize,
    used_bytes: AtomicUsize,
    refused: Arc<Counter>,
    reported: Mutex<Reported>,
}

#[derive(Default)]
struct Reported {
    at: Option<Instant>,
    left_out: u64,
}

/// A part of a budget, returned when it is dropped.
#[derive(Debug)]
pub(crate) struct Share {
    budget: Arc<Budget>,
    bytes: usize,
}

impl Budget {
    /// Counts refusals in `refused`.
    pub(crate) fn new(limit_bytes: usize, refused: Arc<Counter>) -> Self {
        Self { limit_bytes, used_bytes: AtomicUsize::new(0), refused, reported: Mutex::default() }
    }

    /// Takes this many bytes, if they are available; otherwise counts and reports the refusal.
    pub(crate) fn take(self: &Arc<Self>, bytes: usize) -> Option<Share> {
        let take = |used: usize| used.checked_add(bytes).filter(|used| *used <= self.limit_bytes);
        let (set, fetch) = (Ordering::Relaxed, Ordering::Relaxed);
        if self.used_bytes.fetch_update(set, fetch, take).is_ok() {
            return Some(Share { budget: Arc::clone(self), bytes });
        }
        self.refused.add_one();
        if let Some(left_out) = self.report() {
            event::full(self.limit_bytes, left_out);
        }
        None
    }

    /// Whether to report the refusal; if so, how many were not reported since the last time.
    fn report(&self) -> Option<u64> {
        let mut reported = self.reported.lock().unwrap_or_else(PoisonError::into_inner);
        if reported.at.is_some_and(|at| at.elapsed() < REPORT_EVERY) {
            reported.left_out += 1;
            return None;
        }
        let before =
            std::mem::replace(&mut *reported, Reported { at: Some(Instant::now()), left_out: 0 });
        Some(before.left_out)
    }
}

impl Drop for Share {
    fn drop(&mut self) {
        self.budget.used_bytes.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

impl fmt::Debug for Budget {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Budget")
            .field("limit_bytes", &self.limit_bytes)
            .field("used_bytes", &self.used_bytes)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use tokio::time::advance;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn what_is_taken_is_not_there_until_it_is_given_back() {
        let refused = Arc::default();
        let budget = Arc::new(Budget::new(10, Arc::clone(&refused)));
        let (one, two) = (budget.take(6).unwrap(), budget.take(4).unwrap());
        assert!(budget.take(1).is_none() && budget.take(usize::MAX).is_none());
        assert_eq!(refused.get(), 2);
        drop(two);
        assert!(budget.take(5).is_none() && budget.take(4).is_some());
        drop(one);
        assert!(budget.take(10).is_some() && budget.take(0).is_some());
        assert_eq!(budget.used_bytes.load(Ordering::Relaxed), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn one_report_a_minute_counts_those_that_were_left_out() {
        let budget = Budget::new(0, Arc::default());
        assert_eq!((budget.report(), budget.report(), budget.report()), (Some(0), None, None));
        advance(REPORT_EVERY).await;
        assert_eq!((budget.report(), budget.report()), (Some(2), None));
    }
}
