//! The round-robin policy.

use std::sync::atomic::{AtomicUsize, Ordering};

use super::candidate::{Balance, Candidate};

/// Takes one backend after another.
#[derive(Debug, Default)]
pub struct RoundRobin(AtomicUsize);

impl RoundRobin {
    /// Makes the policy.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicUsize::new(0))
    }
}

impl Balance for RoundRobin {
    fn choose(&self, candidates: &[Candidate<'_>], _: Option<&[u8]>) -> Option<usize> {
        self.0.fetch_add(1, Ordering::Relaxed).checked_rem(candidates.len())
    }
}
