//! One attempt at a time: one request makes it, and all others for the same key wait for its outcome.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    hash::Hash,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
};

use tokio::{
    sync::watch,
    time::{Instant, timeout_at},
};

/// The attempts of this process that are on their way, by what they are for.
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

/// Waits for an attempt.
#[derive(Clone)]
pub(crate) struct Follow<V>(watch::Receiver<Option<V>>);

/// Why an attempt has no outcome.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum NoOutcome {
    /// Its lead was dropped before it had one: another request may lead.
    Dropped,
    /// It took too long.
    TimedOut,
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
    /// The attempt for `key`, if one is on its way.
    pub(crate) fn follow(&self, key: &K) -> Option<Follow<V>> {
        self.flights().get(key).cloned().map(Follow)
    }

    /// Calls off the chosen attempts: the next request begins another one. Each lead finds out by
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
    /// The number of attempts that are on their way.
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

    /// Whether the attempt was not called off.
    pub(crate) fn is_current(&self) -> bool {
        self.flights.flights().get(&self.key).is_some_and(|follow| self.is_own(follow))
    }

    /// Ends the attempt, and hands `outcome` to all that wait.
    pub(crate) fn publish(self, outcome: V) {
        self.outcome.send_replace(Some(outcome));
    }

    fn is_own(&self, follow: &watch::Receiver<Option<V>>) -> bool {
        follow.same_channel(&self.outcome.subscribe())
    }
}

impl<V: Clone> Follow<V> {
    /// Waits for the outcome until `deadline`.
    pub(crate) async fn outcome(mut self, deadline: Instant) -> Result<V, NoOutcome> {
        match timeout_at(deadline, self.0.wait_for(Option::is_some)).await {
            Ok(Ok(outcome)) => outcome.clone().ok_or(NoOutcome::Dropped),
            Ok(Err(_)) => Err(NoOutcome::Dropped),
            Err(_) => Err(NoOutcome::TimedOut),
        }
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

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    type Flights = Arc<SingleFlight<&'static str, u8>>;

    fn soon() -> Instant {
        Instant::now() + Duration::from_secs(1)
    }

    #[tokio::test(start_paused = true)]
    async fn one_leads_and_the_others_get_its_outcome() {
        let flights = Flights::default();
        let Part::Lead(lead) = flights.join("one") else { panic!("the first leads") };
        let Part::Follow(follow) = flights.join("one") else { panic!("the second follows") };
        assert!(matches!(flights.join("other"), Part::Lead(_)));
        assert!(flights.follow(&"one").is_some() && flights.follow(&"other").is_none());
        assert_eq!(follow.clone().outcome(soon()).await, Err(NoOutcome::TimedOut));
        lead.publish(7);
        assert_eq!(follow.outcome(soon()).await, Ok(7));
        assert_eq!(flights.len(), 0);
    }

    #[tokio::test(start_paused = true)]
    async fn a_lead_that_is_dropped_leaves_its_place_to_another() {
        let flights = Flights::default();
        let Part::Lead(lead) = flights.join("one") else { panic!("the first leads") };
        let follow = lead.follow();
        drop(lead);
        assert_eq!(follow.outcome(soon()).await, Err(NoOutcome::Dropped));
        assert!(matches!(flights.join("one"), Part::Lead(_)));
    }

    #[tokio::test(start_paused = true)]
    async fn an_attempt_that_was_called_off_is_not_in_the_way_of_the_next() {
        let flights = Flights::default();
        let Part::Lead(first) = flights.join("one") else { panic!("the first leads") };
        let follow = first.follow();
        assert!(first.is_current());
        flights.call_off(|key| *key == "one");
        let Part::Lead(second) = flights.join("one") else { panic!("the next leads, too") };
        assert!(!first.is_current() && second.is_current());
        first.publish(1);
        assert_eq!(follow.outcome(soon()).await, Ok(1), "its own outcome");
        assert!(second.is_current(), "the end of the first is not that of the second");
        assert_eq!(flights.len(), 1);
    }
}
