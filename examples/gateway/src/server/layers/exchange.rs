//! State that the request body and the response of one exchange share.

use std::sync::atomic::{AtomicBool, Ordering};

/// State that the request body and the response of one exchange share.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    is_timed_out: AtomicBool,
    is_responding: AtomicBool,
}

impl Exchange {
    /// Records that the request body paused too long.
    pub(super) fn time_out(&self) {
        self.is_timed_out.store(true, Ordering::Release);
    }

    /// Whether the request body paused too long.
    pub(super) fn is_timed_out(&self) -> bool {
        self.is_timed_out.load(Ordering::Acquire)
    }

    /// Records that the response has begun.
    pub(super) fn begin_response(&self) {
        self.is_responding.store(true, Ordering::Release);
    }

    /// Records that the response is complete, or was dropped.
    pub(super) fn end_response(&self) {
        self.is_responding.store(false, Ordering::Release);
    }

    /// Whether the response has begun and is not complete.
    pub(super) fn is_responding(&self) -> bool {
        self.is_responding.load(Ordering::Acquire)
    }
}
