//! The sessions that no request has confirmed yet, oldest first, by the hashes of their keys.
//!
//! Most sessions are confirmed a moment after they were opened, but this queue is not notified of it. Instead, each
//! insert checks a few entries and removes those that no longer need a confirmation. So the queue grows with the number
//! of unconfirmed sessions, not with the number of openings. A pass moves entries from `unseen` to `seen`; all entries
//! in `seen` are older than those in `unseen`.

use std::{collections::VecDeque, mem};

/// How many entries each insert checks. With four, at most about two thirds of the entries are outdated.
const LOOKS: usize = 4;
/// How many outdated entries one eviction may skip.
const MOST_PASSED: usize = 1_024;

#[derive(Debug, Default)]
pub(crate) struct Fresh {
    seen: VecDeque<u64>,
    unseen: VecDeque<u64>,
}

/// The result of checking the oldest entry.
#[derive(Debug)]
pub(crate) enum Look<T> {
    /// It no longer needs a confirmation.
    OutOfDate,
    /// It must stay; all others are younger.
    Stays,
    /// It has been taken.
    Taken(T),
}

impl Fresh {
    /// Adds the youngest entry; `is_fresh` returns whether an entry still needs a confirmation.
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

    /// Removes the oldest entry, if `look` takes it.
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

    /// An entry that is never confirmed stays in front of all others.
    #[test]
    fn what_is_confirmed_is_forgotten_though_an_older_one_waits() {
        let mut fresh = Fresh::default();
        for hash in 0..1_000_000_u64 {
            fresh.add(hash, |other| other == 0 || other == hash);
            let kept = fresh.seen.len() + fresh.unseen.len();
            assert!(kept <= 16, "{kept} are kept for two");
        }
        assert!(fresh.seen.capacity() + fresh.unseen.capacity() < 64);
        // 10,000 entries wait, and each is confirmed only after 10,000 others were added.
        for hash in 0..1_000_000_u64 {
            fresh.add(hash, |other| other + 10_000 > hash);
            let kept = fresh.seen.len() + fresh.unseen.len();
            assert!(kept <= 30_000, "{kept} are kept for 10,000");
        }
    }
}
