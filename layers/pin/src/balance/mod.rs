//! Which backend gets new work.

mod least_sessions;
mod random;
mod rendezvous;
mod round_robin;

use std::fmt;

use bartizan_core::Backend;

pub use least_sessions::LeastSessions;
pub use random::Random;
pub use rendezvous::Rendezvous;
pub use round_robin::RoundRobin;

/// Chooses a backend for work that is not pinned.
pub trait Balance: Send + Sync {
    /// The index of the chosen candidate; none only if there is no candidate. `key` is what an extractor
    /// found in the request, if one did.
    fn choose(&self, candidates: &[Candidate<'_>], key: Option<&[u8]>) -> Option<usize>;
}

/// A backend that may be chosen.
pub struct Candidate<'a> {
    backend: &'a Backend,
    load: Box<dyn Fn() -> usize + 'a>,
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(backend: &'a Backend, load: impl Fn() -> usize + 'a) -> Self {
        Self { backend, load: Box::new(load) }
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &'a Backend {
        self.backend
    }

    /// Its sessions and the work that is on its way to it. Counted when asked for.
    #[must_use]
    pub fn load(&self) -> usize {
        (self.load)()
    }
}

impl<F> Balance for F
where
    F: Fn(&[Candidate<'_>], Option<&[u8]>) -> Option<usize> + Send + Sync,
{
    fn choose(&self, candidates: &[Candidate<'_>], key: Option<&[u8]>) -> Option<usize> {
        self(candidates, key)
    }
}

impl fmt::Debug for Candidate<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Candidate")
            .field("backend", &self.backend)
            .field("load", &self.load())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lets `policy` choose 3,000 times among backends with `loads`, and counts.
    pub(super) fn spread(policy: &dyn Balance, loads: &[usize]) -> Vec<usize> {
        let backends: Vec<Backend> =
            (0..loads.len()).map(|n| format!("http://b:{}", n + 1).parse().unwrap()).collect();
        let candidates: Vec<_> = backends
            .iter()
            .zip(loads)
            .map(|(backend, load)| Candidate::new(backend, move || *load))
            .collect();
        let mut counts = vec![0; loads.len()];
        for _ in 0..3000 {
            counts[policy.choose(&candidates, None).unwrap()] += 1;
        }
        counts
    }

    #[test]
    fn every_policy_uses_all_equals_and_takes_what_there_is() {
        let policies: [&dyn Balance; 4] =
            [&LeastSessions::new(), &RoundRobin::new(), &Random::new(), &Rendezvous::new()];
        for policy in policies {
            assert!(spread(policy, &[1, 1, 1]).iter().all(|count| *count > 850));
            assert_eq!(spread(policy, &[7]), [3000]);
            assert_eq!(policy.choose(&[], None), None);
        }
    }

    #[test]
    fn least_sessions_never_takes_the_fullest() {
        let counts = spread(&LeastSessions::new(), &[3, 1, 2]);
        assert_eq!(counts[0], 0);
        assert!(counts[1] > counts[2]);
        assert_eq!(spread(&LeastSessions::new(), &[5, 4]), [0, 3000]);
    }

    #[test]
    fn round_robin_takes_turns() {
        assert_eq!(spread(&RoundRobin::new(), &[9, 1, 1]), [1000, 1000, 1000]);
    }
}
