//! Keys whose sessions ended a moment ago, so that a late insert does not bring them back.

use std::collections::{HashSet, VecDeque};

use foldhash::quality::RandomState;

/// How long a tombstone is kept.
const STANDS_MS: u64 = 60_000;
/// How many tombstones a shard keeps; beyond that, the oldest is dropped.
const MOST: usize = 1024;

/// A key, hashed twice with different seeds: 128 bits, so that two keys do not collide.
pub(crate) type KeyHash = u128;

#[derive(Debug, Default)]
pub(crate) struct Tombstones {
    keys: HashSet<KeyHash, RandomState>,
    order: VecDeque<(KeyHash, u64)>,
}

impl Tombstones {
    pub(crate) fn add(&mut self, key: KeyHash, now_ms: u64) {
        self.sweep(now_ms);
        if !self.keys.insert(key) {
            // The session was ended twice, by two concurrent calls. Rare enough for a linear
            // search.
            self.order.retain(|(there, _)| *there != key);
        }
        self.order.push_back((key, now_ms.saturating_add(STANDS_MS)));
        if self.order.len() > MOST
            && let Some((oldest, _)) = self.order.pop_front()
        {
            self.keys.remove(&oldest);
        }
    }

    pub(crate) fn contains(&mut self, key: KeyHash, now_ms: u64) -> bool {
        if self.order.is_empty() {
            return false;
        }
        self.sweep(now_ms);
        self.keys.contains(&key)
    }

    pub(crate) fn sweep(&mut self, now_ms: u64) {
        while let Some((key, until_ms)) = self.order.front().copied() {
            if until_ms > now_ms {
                return;
            }
            self.order.pop_front();
            self.keys.remove(&key);
        }
        self.keys.shrink_to(0);
        self.order.shrink_to(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tombstone_stands_for_a_minute_and_there_is_a_bound() {
        let mut tombstones = Tombstones::default();
        tombstones.add(1, 0);
        assert!(tombstones.contains(1, STANDS_MS - 1));
        assert!(!tombstones.contains(2, 0));
        assert!(!tombstones.contains(1, STANDS_MS));
        for key in 0..(MOST as u128 + 1) {
            tombstones.add(key, STANDS_MS);
        }
        assert_eq!(tombstones.keys.len(), MOST);
        assert!(!tombstones.contains(0, STANDS_MS), "the oldest went");
        assert!(tombstones.contains(MOST as u128, STANDS_MS));
    }

    #[test]
    fn the_minute_counts_from_the_last_end() {
        let mut tombstones = Tombstones::default();
        tombstones.add(1, 0);
        tombstones.add(2, 10);
        tombstones.add(1, 20);
        assert!(tombstones.contains(1, STANDS_MS + 19));
        assert!(!tombstones.contains(2, STANDS_MS + 19), "others end in their time");
        assert!(!tombstones.contains(1, STANDS_MS + 20));
        assert!(tombstones.order.is_empty() && tombstones.keys.is_empty());
    }
}
