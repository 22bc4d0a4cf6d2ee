//! Telling of backends that leave the set.

use std::sync::Arc;

use bartizan_core::BackendId;

use super::{Backends, Set, Slot};

/// Whom it is told.
pub(super) type Told = Box<dyn Fn(&BackendId) + Send + Sync>;

impl Backends {
    /// Tells `told` of each backend that leaves the set, and of each whose place a new one takes: for what
    /// goes on without a request, an open stream say. The first that is given is told, after the change;
    /// it may change the set in turn.
    ///
    /// A backend that has drained leaves when that is noticed: when new work comes, or a snapshot is taken.
    #[must_use]
    pub fn on_removed(self, told: impl Fn(&BackendId) + Send + Sync + 'static) -> Self {
        let _ = self.0.on_removed.set(Box::new(told));
        self
    }

    pub(super) fn tell_removed(&self, removed: &[Arc<Slot>]) {
        if let Some(told) = self.0.on_removed.get() {
            removed.iter().for_each(|slot| told(slot.backend().id()));
        }
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
    use std::sync::Mutex;

    use super::*;

    #[test]
    fn whoever_wants_to_know_is_told_of_each_backend_that_leaves() {
        let told = Arc::<Mutex<Vec<String>>>::default();
        let journal = Arc::clone(&told);
        let uris = ["http://a:1", "http://b:1", "http://c:1"];
        let backends = Backends::new(uris.map(|uri| uri.parse().unwrap()));
        let backends =
            backends.on_removed(move |id| journal.lock().unwrap().push(id.as_str().to_owned()));
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
    }
}
