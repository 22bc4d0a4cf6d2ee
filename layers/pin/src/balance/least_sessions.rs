//! The policy of least sessions.

use super::candidate::{Balance, Candidate};

/// Takes the less loaded of two backends drawn at random
/// ([the power of two choices](https://www.eecs.harvard.edu/~michaelm/postscripts/mythesis.pdf)).
///
/// If several proxies always chose the least loaded backend, they would all choose the same one.
#[derive(Clone, Copy, Debug, Default)]
pub struct LeastSessions(());

impl LeastSessions {
    /// Makes the policy.
    #[must_use]
    pub const fn new() -> Self {
        Self(())
    }
}

impl Balance for LeastSessions {
    fn choose(&self, candidates: &[Candidate<'_>], _: Option<&[u8]>) -> Option<usize> {
        let count = candidates.len();
        if count < 2 {
            return count.checked_sub(1);
        }
        let one = fastrand::usize(..count);
        // Any except the first, with equal probability.
        let other = (one + fastrand::usize(1..count)) % count;
        let load = |index: usize| candidates.get(index).map(Candidate::load);
        Some(if load(other) < load(one) { other } else { one })
    }
}
