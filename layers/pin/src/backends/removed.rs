//! Telling of backends that leave the set.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use bartizan_core::BackendId;

use super::{Backends, Set, Slot};

/// A callback for each backend that leaves.
type OnRemoved = Arc<dyn Fn(&BackendId) + Send + Sync>;

/// All callbacks, in the order in which they were added.
#[derive(Default)]
pub(super) struct Removed(Mutex<Vec<OnRemoved>>);

impl Backends {
    /// Calls `callback` with each backend that leaves the set, and with each that is replaced by a new one of its
    /// name: for what outlives a request, such as an open stream. It is called after the change, and may change
    /// the set in turn. Callbacks add up.
    ///
    /// A backend that has drained leaves when that is noticed: when new work comes, or a snapshot is taken.
    #[must_use]
    pub fn on_removed(self, callback: impl Fn(&BackendId) + Send + Sync + 'static) -> Self {
        self.0.removed.callbacks().push(Arc::new(callback));
        self
    }

    pub(super) fn tell_removed(&self, removed: &[Arc<Slot>]) {
        if removed.is_empty() {
            return;
        }
        // Called without the lock: a callback may add another.
        let callbacks = self.0.removed.callbacks().clone();
        for slot in removed {
            callbacks.iter().for_each(|callback| callback(slot.backend().id()));
        }
    }
}

impl Removed {
    fn callbacks(&self) -> MutexGuard<'_, Vec<OnRemoved>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Set {
    pub(super) fn slots_not_in(&self, other: &Self) -> Vec<Arc<Slot>> {
        let is_in = |slot: &Arc<Slot>| {
            other.by_id.get(slot.backend().id()).is_some_and(|it| Arc::ptr_eq(it, slot))
        };
        self.slots.iter().filter(|slot| !is_in(slot)).map(Arc::clone).collect()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn every_callback_is_called_with_each_backend_that_leaves() {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let journal = Arc::clone(&told);
        let uris = ["http://a:1", "http://b:1", "http://c:1"];
        let backends = Backends::new(uris.map(|uri| uri.parse().unwrap()));
        let backends =
            backends.on_removed(move |id| journal.lock().unwrap().push(id.as_str().to_owned()));
        let count = Arc::<AtomicUsize>::default();
        let counter = Arc::clone(&count);
        let backends = backends.on_removed(move |_| {
            counter.fetch_add(1, Ordering::Relaxed);
        });
        let take = || std::mem::take(&mut *told.lock().unwrap());
        let [a, b, c] = uris.map(|uri| uri.parse::<BackendId>().unwrap());

        backends.drain(&a);
        backends.ready(&a);
        backends.add("http://a:1".parse().unwrap());
        assert!(take().is_empty(), "it is there");
        backends.remove(&a);
        backends.remove(&a);
        assert_eq!(take(), ["http://a:1"]);
        // A new one by the old name.
        let elsewhere = bartizan_core::Backend::new(b, &http::Uri::from_static("http://d:1"));
        backends.add(elsewhere.unwrap());
        assert_eq!(take(), ["http://b:1"]);
        backends.drain_within(&c, std::time::Duration::ZERO);
        assert_eq!(backends.snapshot().len(), 1);
        assert_eq!(take(), ["http://c:1"]);
        assert_eq!(count.load(Ordering::Relaxed), 3);
    }
}
