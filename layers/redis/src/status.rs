//! Whether the server can be used, and which results are still valid.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

/// The state of the connection. An *era* is a period in which the server reports every change of a key that was read
/// (client tracking). When a new era begins, everything that was read before may be out of date.
#[derive(Debug)]
pub(crate) struct Status {
    /// The era, or zero before the first. The lowest bit says whether the server answers.
    word: AtomicU64,
    /// Since when the server has not answered.
    down_ms: AtomicU64,
    // Held while the two are changed, so that they change together.
    changing: Mutex<()>,
}

/// A snapshot of the status.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) struct Moment {
    pub(crate) era: u64,
    /// `None` while the server answers.
    pub(crate) down_since_ms: Option<u64>,
}

impl Status {
    /// Not connected yet.
    pub(crate) fn new() -> Self {
        Self { word: AtomicU64::new(0), down_ms: AtomicU64::new(0), changing: Mutex::new(()) }
    }

    pub(crate) fn now(&self) -> Moment {
        let word = self.word.load(Ordering::Acquire);
        let is_up = word & 1 == 1;
        let down_since_ms = (!is_up).then(|| self.down_ms.load(Ordering::Acquire));
        Moment { era: word >> 1, down_since_ms }
    }

    pub(crate) fn is_up(&self) -> bool {
        self.word.load(Ordering::Acquire) & 1 == 1
    }

    /// Records that the server has stopped answering; returns whether that is a change.
    pub(crate) fn set_down(&self, now_ms: u64) -> bool {
        let _guard = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        if !self.is_up() {
            return false;
        }
        self.down_ms.store(now_ms, Ordering::Release);
        self.word.fetch_and(!1, Ordering::AcqRel);
        true
    }

    /// Records that the server answers and has reported every change; returns whether that is a
    /// change.
    pub(crate) fn set_up(&self) -> bool {
        let _guard = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.word.fetch_or(1, Ordering::AcqRel) & 1 == 0
    }

    /// Begins a new era, because a change may not have been reported.
    pub(crate) fn begin_era(&self) {
        let _guard = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        self.word.fetch_add(2, Ordering::AcqRel);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_outage_has_a_beginning_and_an_era_outlives_it() {
        let status = Status::new();
        assert_eq!(status.now(), Moment { era: 0, down_since_ms: Some(0) });
        assert!(!status.set_down(5), "it was down");
        status.begin_era();
        assert!(status.set_up() && !status.set_up());
        assert_eq!(status.now(), Moment { era: 1, down_since_ms: None });
        assert!(status.set_down(7) && !status.set_down(9));
        assert_eq!(status.now(), Moment { era: 1, down_since_ms: Some(7) });
        status.begin_era();
        status.set_up();
        assert_eq!(status.now(), Moment { era: 2, down_since_ms: None });
    }
}
