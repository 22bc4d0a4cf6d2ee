//! Which backend gets new work.

mod least_sessions;
mod random;
mod rendezvous;
mod round_robin;

use std::{fmt, sync::Arc};

use bartizan_core::{Backend, store::CountSessions};

pub use least_sessions::LeastSessions;
pub use random::Random;
pub use rendezvous::Rendezvous;
pub use round_robin::RoundRobin;

use crate::backends::Slot;

/// Chooses a backend for work that is not pinned.
pub trait Balance: Send + Sync {
    /// The index of the chosen candidate; none only if there is no candidate. `key` is what an extractor
    /// found in the request, if one did.
    fn choose(&self, candidates: &[Candidate<'_>], key: Option<&[u8]>) -> Option<usize>;
}

/// A backend that may be chosen.
pub struct Candidate<'a> {
    slot: &'a Arc<Slot>,
    counts: Option<&'a dyn CountSessions>,
}

impl<'a> Candidate<'a> {
    pub(crate) fn new(slot: &'a Arc<Slot>, counts: Option<&'a dyn CountSessions>) -> Self {
        Self { slot, counts }
    }

    pub(crate) fn slot(&self) -> &'a Arc<Slot> {
        self.slot
    }

    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &'a Backend {
        self.slot.backend()
    }

    /// Its sessions and the work that is on its way to it. Counted when asked for.
    #[must_use]
    pub fn load(&self) -> usize {
        let sessions = self.counts.map_or(0, |counts| counts.sessions_on(self.backend().id()));
        self.slot.opening().saturating_add(sessions)
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
            .field("backend", self.backend())
            .field("load", &self.load())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use bartizan_core::BackendId;

    use super::*;

    /// The load of each backend, by the port that follows its place.
    struct Loads<'a>(&'a [usize]);

    impl CountSessions for Loads<'_> {
        fn sessions_on(&self, backend: &BackendId) -> usize {
            let port: usize = backend.as_str().rsplit(':').next().unwrap().parse().unwrap();
            self.0[port - 1]
        }
    }

    pub(super) fn slots(ports: impl IntoIterator<Item = usize>) -> Vec<Arc<Slot>> {
        let slot = |port| Arc::new(Slot::new(format!("http://b:{port}").parse().unwrap()));
        ports.into_iter().map(slot).collect()
    }

    /// Lets `policy` choose 3,000 times among backends with `loads`, and counts.
    fn spread(policy: &dyn Balance, loads: &[usize]) -> Vec<usize> {
        let (slots, counts) = (slots(1..=loads.len()), Loads(loads));
        let candidates: Vec<_> =
            slots.iter().map(|slot| Candidate::new(slot, Some(&counts))).collect();
        let mut chosen = vec![0; loads.len()];
        for _ in 0..3000 {
            chosen[policy.choose(&candidates, None).unwrap()] += 1;
        }
        chosen
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
    fn work_on_its_way_is_load() {
        let slots = slots([1, 2]);
        let candidates: Vec<_> = slots.iter().map(|slot| Candidate::new(slot, None)).collect();
        let _opening = slots[0].open();
        for _ in 0..20 {
            assert_eq!(LeastSessions::new().choose(&candidates, None), Some(1));
        }
        assert_eq!(candidates[0].load(), 1);
    }

    #[test]
    fn round_robin_takes_turns() {
        assert_eq!(spread(&RoundRobin::new(), &[9, 1, 1]), [1000, 1000, 1000]);
    }
}
