//! Counts the sessions of each owner, up to a limit per owner.

use std::{
    collections::HashMap,
    hash::Hash,
    sync::{Mutex, PoisonError},
};

use foldhash::quality::RandomState;

/// The sessions of each principal, or of each client.
#[derive(Debug)]
pub(crate) struct Shares<K> {
    most: usize,
    // Kept only if there is a limit.
    counts: Mutex<HashMap<K, usize, RandomState>>,
}

impl<K: Clone + Eq + Hash> Shares<K> {
    /// Each owner may have `most` sessions; `usize::MAX` means no limit.
    pub(crate) fn new(most: usize) -> Self {
        Self { most, counts: Mutex::default() }
    }

    pub(crate) const fn is_bound(&self) -> bool {
        self.most != usize::MAX
    }

    pub(crate) fn has_room(&self, of: Option<&K>) -> bool {
        let Some(of) = self.counted(of) else { return true };
        self.with(|counts| counts.get(of).copied().unwrap_or(0) < self.most)
    }

    /// Counts one more session, if the limit allows it.
    pub(crate) fn take(&self, of: Option<&K>) -> bool {
        let Some(of) = self.counted(of) else { return true };
        self.with(|counts| {
            let count = counts.get(of).copied().unwrap_or(0);
            let has_room = count < self.most;
            if has_room {
                counts.insert(of.clone(), count + 1);
            }
            has_room
        })
    }

    /// Counts one session less.
    pub(crate) fn give_back(&self, of: Option<&K>) {
        if let Some(of) = self.counted(of) {
            self.with(|counts| one_less(counts, of));
        }
    }

    #[cfg(test)]
    pub(crate) fn is_empty(&self) -> bool {
        self.with(|counts| counts.is_empty())
    }

    fn counted<'a>(&self, of: Option<&'a K>) -> Option<&'a K> {
        of.filter(|_| self.is_bound())
    }

    fn with<R>(&self, look: impl FnOnce(&mut HashMap<K, usize, RandomState>) -> R) -> R {
        // A panic while the lock was held leaves consistent data, because each change is one step.
        look(&mut self.counts.lock().unwrap_or_else(PoisonError::into_inner))
    }
}

/// Counts one session less, and removes counts that reach zero.
pub(crate) fn one_less<K: Eq + Hash>(counts: &mut HashMap<K, usize, RandomState>, of: &K) {
    if let Some(count) = counts.get_mut(of) {
        *count -= 1;
        if *count == 0 {
            counts.remove(of);
        }
    }
}
