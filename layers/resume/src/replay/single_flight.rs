//! One attempt at a time: one request makes it, and all others for the same key wait for its outcome.
//!
//! `tests/loom` checks all interleavings in which requests begin, follow, end and cancel attempts.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::Hash,
    sync::{Arc, PoisonError},
};

use super::follow::Follow;
use crate::sync::{Mutex, MutexGuard, watch};

/// The attempts of this process that are in progress, by key.
pub(crate) struct SingleFlight<K, V>(Mutex<HashMap<K, watch::Receiver<Option<V>>>>);

/// The part of a request in an attempt.
pub(crate) enum Part<K: Eq + Hash, V> {
    Lead(Lead<K, V>),
    Follow(Follow<V>),
}

/// The right to make the attempt, until it is dropped.
pub(crate) struct Lead<K: Eq + Hash, V> {
    flights: Arc<SingleFlight<K, V>>,
    key: K,
    outcome: watch::Sender<Option<V>>,
}

impl<K: Clone + Eq + Hash, V> SingleFlight<K, V> {
    /// Joins the attempt for `key`, or begins one.
    pub(crate) fn join(self: &Arc<Self>, key: K) -> Part<K, V> {
        match self.flights().entry(key) {
            Entry::Occupied(entry) => Part::Follow(Follow(entry.get().clone())),
            Entry::Vacant(entry) => {
                let (outcome, follow) = watch::channel(None);
                let key = entry.key().clone();
                entry.insert(follow);
                Part::Lead(Lead { flights: Arc::clone(self), key, outcome })
            }
        }
    }
}

impl<K: Eq + Hash, V> SingleFlight<K, V> {
    /// The attempt for `key`, if one is in progress.
    pub(crate) fn follow(&self, key: &K) -> Option<Follow<V>> {
        self.flights().get(key).cloned().map(Follow)
    }

    /// Cancels the chosen attempts: the next request begins another one. Each lead finds out with
    /// [`Lead::is_current`]; the requests that wait get what it publishes.
    pub(crate) fn call_off(&self, mut chosen: impl FnMut(&K) -> bool) {
        self.flights().retain(|key, _| !chosen(key));
    }

    fn remove(&self, key: &K, is_it: impl FnOnce(&watch::Receiver<Option<V>>) -> bool) {
        let mut flights = self.flights();
        if flights.get(key).is_some_and(is_it) {
            flights.remove(key);
        }
    }
}

impl<K, V> SingleFlight<K, V> {
    /// The number of attempts in progress.
    pub(crate) fn len(&self) -> usize {
        self.flights().len()
    }

    fn flights(&self) -> MutexGuard<'_, HashMap<K, watch::Receiver<Option<V>>>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl<K: Eq + Hash, V> Lead<K, V> {
    /// Waits for this attempt.
    pub(crate) fn follow(&self) -> Follow<V> {
        Follow(self.outcome.subscribe())
    }

    /// What the attempt is for.
    pub(crate) fn key(&self) -> &K {
        &self.key
    }

    /// Whether the attempt was not cancelled.
    pub(crate) fn is_current(&self) -> bool {
        self.flights.flights().get(&self.key).is_some_and(|follow| self.is_own(follow))
    }

    /// Ends the attempt, and passes `outcome` to all waiting requests.
    pub(crate) fn publish(self, outcome: V) {
        self.outcome.send_replace(Some(outcome));
    }

    fn is_own(&self, follow: &watch::Receiver<Option<V>>) -> bool {
        follow.same_channel(&self.outcome.subscribe())
    }
}

impl<K: Eq + Hash, V> Drop for Lead<K, V> {
    fn drop(&mut self) {
        self.flights.remove(&self.key, |follow| self.is_own(follow));
    }
}

impl<K, V> Default for SingleFlight<K, V> {
    fn default() -> Self {
        Self(Mutex::default())
    }
}

impl<K, V> fmt::Debug for SingleFlight<K, V> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SingleFlight").field("len", &self.len()).finish()
    }
}
