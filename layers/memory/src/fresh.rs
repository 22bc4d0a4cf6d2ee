//! The sessions that no request has confirmed yet, oldest first, by the hashes of their keys.
//!
//! Most sessions are confirmed a moment after they were opened, and none says so here: with each that is added, a few
//! others are looked at, and what is no longer to be confirmed is forgotten. So what is kept grows with the sessions
//! that wait, not with those that were opened. A pass goes from `unseen` to `seen`; all of `seen` is older than all of
//! `unseen`.

use std::{collections::VecDeque, mem};

/// How many are looked at with each that is added. With four, at most some two thirds of what is kept is out of date.
const LOOKS: usize = 4;
/// How many that are out of date are passed over for one that is evicted.
const MOST_PASSED: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Fresh {
    seen: VecDeque<u64>,
    unseen: VecDeque<u64>,
}

/// What a look at the oldest leads to.
#[derive(Debug)]
pub(crate) enum Look<T> {
    /// It is not to be confirmed any more.
    OutOfDate,
    /// It is to stay; all others are younger.
    Stays,
    /// It has been taken.
    Taken(T),
}

impl Fresh {
    /// Adds the youngest; `is_fresh` says whether one has still to be confirmed.
    pub(crate) fn add(&mut self, hash: u64, is_fresh: impl Fn(u64) -> bool) {
        self.unseen.push_back(hash);
        for _ in 0..LOOKS {
            let Some(hash) = self.unseen.pop_front() else { break };
            if is_fresh(hash) {
                self.seen.push_back(hash);
            }
        }
        if self.unseen.is_empty() {
            mem::swap(&mut self.seen, &mut self.unseen);
            for queue in [&mut self.seen, &mut self.unseen] {
                if queue.len() < queue.capacity() / 4 {
                    queue.shrink_to(queue.len() * 2);
                }
            }
        }
    }

    /// Takes the oldest, if `look` does.
    pub(crate) fn take_oldest<T>(&mut self, look: impl Fn(u64) -> Look<T>) -> Option<T> {
        for _ in 0..MOST_PASSED {
            let queue = if self.seen.is_empty() { &mut self.unseen } else { &mut self.seen };
            let looked = look(*queue.front()?);
            if matches!(looked, Look::Stays) {
                return None;
            }
            queue.pop_front();
            if let Look::Taken(taken) = looked {
                return Some(taken);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::*;

    fn take(fresh: &mut Fresh, live: &BTreeSet<u64>) -> Option<u64> {
        fresh.take_oldest(|hash| match live.contains(&hash) {
            true => Look::Taken(hash),
            false => Look::OutOfDate,
        })
    }

    #[test]
    fn the_oldest_goes_first_whatever_is_confirmed_between() {
        let (mut fresh, mut live) = (Fresh::default(), BTreeSet::new());
        let mut taken = Vec::new();
        for hash in 0..10_000_u64 {
            live.insert(hash);
            fresh.add(hash, |hash| live.contains(&hash));
            if hash % 3 == 0 {
                live.remove(&(hash / 2));
            }
            if hash % 5 == 0 {
                let oldest = live.first().copied();
                assert_eq!(take(&mut fresh, &live), oldest);
                live.pop_first();
                taken.extend(oldest);
            }
        }
        assert!(taken.is_sorted() && taken.len() > 1_000);
        assert_eq!(fresh.take_oldest(|_| Look::<u64>::Stays), None);
        assert_eq!(take(&mut fresh, &live), live.first().copied(), "it has stayed");
    }

    /// One that is never confirmed is in front of all the others.
    #[test]
    fn what_is_confirmed_is_forgotten_though_an_older_one_waits() {
        let mut fresh = Fresh::default();
        for hash in 0..1_000_000_u64 {
            fresh.add(hash, |other| other == 0 || other == hash);
            let kept = fresh.seen.len() + fresh.unseen.len();
            assert!(kept <= 16, "{kept} are kept for two");
        }
        assert!(fresh.seen.capacity() + fresh.unseen.capacity() < 64);
        // 10,000 wait, of which none is confirmed before 10,000 others.
        for hash in 0..1_000_000_u64 {
            fresh.add(hash, |other| other + 10_000 > hash);
            let kept = fresh.seen.len() + fresh.unseen.len();
            assert!(kept <= 30_000, "{kept} are kept for 10,000");
        }
    }
}
