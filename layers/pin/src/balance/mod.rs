//! Policies that choose the backend for new work.

mod candidate;
mod least_sessions;
mod random;
mod rendezvous;
mod round_robin;

pub(crate) use candidate::InFlightCount;
pub use candidate::{Balance, Candidate};
pub use least_sessions::LeastSessions;
pub use random::Random;
pub use rendezvous::Rendezvous;
pub use round_robin::RoundRobin;

#[cfg(test)]
mod tests {
    use bartizan_core::{Backend, BackendId, store::CountSessions};

    use super::*;

    /// The load of each backend; its port follows from its index.
    struct Loads<'a>(&'a [usize]);

    impl CountSessions for Loads<'_> {
        fn sessions_on(&self, backend: &BackendId) -> usize {
            let port: usize = backend.as_str().rsplit(':').next().unwrap().parse().unwrap();
            self.0[port - 1]
        }
    }

    /// A backend with this much work in flight.
    pub(super) struct Fake(Backend, usize);

    impl InFlightCount for Fake {
        fn in_flight(&self) -> usize {
            self.1
        }
    }

    impl Fake {
        pub(super) fn candidate<'a>(
            &'a self,
            counts: Option<&'a dyn CountSessions>,
        ) -> Candidate<'a> {
            Candidate::new(&self.0, self, counts)
        }
    }

    /// Backends with these ports, without work in flight.
    pub(super) fn idle(ports: impl IntoIterator<Item = usize>) -> Vec<Fake> {
        let fake = |port| Fake(format!("http://b:{port}").parse().unwrap(), 0);
        ports.into_iter().map(fake).collect()
    }

    /// Lets `policy` choose 3,000 times among backends with `loads`, and counts.
    fn spread(policy: &dyn Balance, loads: &[usize]) -> Vec<usize> {
        let (backends, counts) = (idle(1..=loads.len()), Loads(loads));
        let candidates: Vec<_> =
            backends.iter().map(|backend| backend.candidate(Some(&counts))).collect();
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
        let mut backends = idle([1, 2]);
        backends[0].1 = 1;
        let candidates: Vec<_> = backends.iter().map(|backend| backend.candidate(None)).collect();
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
