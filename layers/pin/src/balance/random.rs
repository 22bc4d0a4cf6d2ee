//! The random policy.

use super::candidate::{Balance, Candidate};

/// Takes any backend, with equal probability.
#[derive(Clone, Copy, Debug, Default)]
pub struct Random(());

impl Random {
    /// Makes the policy.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Balance for Random {
    fn choose(&self, candidates: &[Candidate<'_>], _: Option<&[u8]>) -> Option<usize> {
        (!candidates.is_empty()).then(|| fastrand::usize(..candidates.len()))
    }
}
