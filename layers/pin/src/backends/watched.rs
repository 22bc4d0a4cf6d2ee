//! What is known of new work at one backend, for all requests at once.

use std::sync::{
    Mutex, PoisonError,
    atomic::{AtomicU64, Ordering},
};

use bartizan_core::Work;

use super::openings::Openings;

/// Work that is judged by itself: a backend may serve the one and fail the other.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Kind {
    /// It asks for a session.
    Opening,
    /// It may take long, and its failures say nothing of sessions.
    Other,
}

/// One kind of new work at one backend.
#[derive(Debug)]
pub(super) struct Watched {
    /// From when on a look at the rest changes anything. The usual case costs this one load.
    look_at_ms: AtomicU64,
    openings: Mutex<Openings>,
}

impl Kind {
    pub(crate) fn of(work: Work) -> Self {
        match work {
            Work::Opening => Self::Opening,
            _ => Self::Other,
        }
    }
}

impl Watched {
    /// Whether there is nothing to look at.
    pub(super) fn is_quiet(&self, now_ms: u64) -> bool {
        now_ms < self.look_at_ms.load(Ordering::Relaxed)
    }

    /// Reads or changes what is known. Nothing else may be locked inside.
    pub(super) fn with<T>(&self, look: impl FnOnce(&mut Openings) -> T) -> T {
        let mut openings = self.openings.lock().unwrap_or_else(PoisonError::into_inner);
        let seen = look(&mut openings);
        self.look_at_ms.store(openings.look_at_ms(), Ordering::Relaxed);
        seen
    }
}

impl Default for Watched {
    fn default() -> Self {
        Self { look_at_ms: AtomicU64::new(u64::MAX), openings: Mutex::default() }
    }
}
