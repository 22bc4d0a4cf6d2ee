//! The set of backends, shared by all who use it.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, Mutex, MutexGuard, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use arc_swap::ArcSwap;
use bartizan_core::{Backend, BackendId, store::CountSessions};
use foldhash::fast::RandomState;
use tokio::time::Instant;

use super::{
    absent::{Absence, Absentees},
    callbacks::Callbacks,
    counters::Counters,
    slot::Slot,
    watch::{self, Connect},
};
use crate::gauges::PinCounts;

/// A handle on the set of backends: cheap to clone, one atomic load to read. All clones share one set.
///
/// ```
/// use bartizan_pin::{BackendState, Backends};
///
/// let backends = Backends::new(["http://a:1".parse()?, "http://b:1".parse()?]);
/// backends.drain(&"http://a:1".parse()?);
/// assert_eq!(backends.snapshot()[0].state(), BackendState::Draining);
/// # Ok::<(), bartizan_core::backend::InvalidBackend>(())
/// ```
#[derive(Clone)]
pub struct Backends(pub(super) Arc<SharedSet>);

pub(super) struct SharedSet {
    pub(super) set: ArcSwap<Set>,
    // Changes are made one at a time; reading never waits for them.
    changing: Mutex<()>,
    // So are the decisions that a backend gets no new work.
    pub(super) deciding: Mutex<()>,
    on_removed: Callbacks,
    absent: Mutex<Absentees>,
    settle_ms: AtomicU64,
    pub(super) connect: ArcSwap<Connect>,
    begun: Instant,
    counts: PinCounts,
}

#[derive(Clone, Default)]
pub(super) struct Set {
    /// Counts the changes of what is in it.
    generation: u64,
    // Here, so that one load gives both.
    pub(super) counters: Counters,
    pub(super) slots: Vec<Arc<Slot>>,
    pub(super) by_id: HashMap<BackendId, Arc<Slot>, RandomState>,
}

/// What is known of a pin's backend.
pub(crate) enum Pinned {
    There(Arc<Slot>),
    Absent(Absence),
}

impl Pinned {
    pub(crate) fn slot(self) -> Option<Arc<Slot>> {
        match self {
            Self::There(slot) => Some(slot),
            Self::Absent(_) => None,
        }
    }
}

impl Backends {
    /// Makes a set. If two backends have the same id, the later one counts.
    pub fn new(backends: impl IntoIterator<Item = Backend>) -> Self {
        let this = Self(Arc::new(SharedSet {
            set: ArcSwap::default(),
            changing: Mutex::new(()),
            deciding: Mutex::new(()),
            on_removed: Callbacks::default(),
            absent: Mutex::default(),
            settle_ms: AtomicU64::new(10_000),
            connect: ArcSwap::from_pointee(watch::by_tcp()),
            begun: Instant::now(),
            counts: PinCounts::default(),
        }));
        backends.into_iter().for_each(|backend| this.add(backend));
        this
    }

    /// Counts the sessions of each backend with `counter`, for balancing and draining. Several counters add
    /// up, such as the session store and the store of pins by key. Without a counter, only requests in flight
    /// count, and a drain ends at its deadline.
    #[must_use]
    pub fn counted_by(self, counter: Arc<dyn CountSessions>) -> Self {
        self.change(|set| set.counters.add(counter));
        self
    }

    /// Calls `callback` for each backend that leaves the set, or is replaced by a new one with its id: to end
    /// what outlives a request, such as an open stream. It is called after the change, and may change the set
    /// itself. Several callbacks are called in order.
    ///
    /// A drained backend leaves when new work arrives or a snapshot is taken.
    #[must_use]
    pub fn on_removed(self, callback: impl Fn(&BackendId) + Send + Sync + 'static) -> Self {
        self.0.on_removed.add(callback);
        self
    }

    /// How long requests of a session whose backend was never in this set are refused with 503; afterwards
    /// with 404. Another replica may know the backend, so the session stays in the store either way. Default:
    /// 10 s.
    #[must_use]
    pub fn settle(self, time: Duration) -> Self {
        let time_ms = u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
        self.0.settle_ms.store(time_ms, Ordering::Relaxed);
        self
    }

    /// Whether sessions are counted.
    pub(crate) fn are_counted(&self) -> bool {
        !self.0.set.load().counters.is_empty()
    }

    /// Adds a backend. If its id is already in the set, this ends its drain; with another origin, it replaces
    /// the old backend.
    pub fn add(&self, backend: Backend) {
        self.change(|set| {
            match set.by_id.get(backend.id()) {
                Some(slot) if slot.backend().same_origin(&backend) => {
                    slot.occupancy().undrain();
                    return;
                }
                Some(_) => set.remove(backend.id()),
                None => {}
            }
            let slot = Arc::new(Slot::new(backend));
            set.by_id.insert(slot.backend().id().clone(), Arc::clone(&slot));
            set.slots.push(slot);
        });
    }

    /// Removes a backend: its pins are lost. Returns whether it was in the set.
    #[allow(clippy::must_use_candidate, reason = "the set is changed either way")]
    pub fn remove(&self, id: &BackendId) -> bool {
        let mut was_there = false;
        self.change(|set| {
            was_there = set.by_id.contains_key(id);
            set.remove(id);
        });
        was_there
    }

    pub(crate) fn find(&self, id: &BackendId) -> Pinned {
        match self.0.set.load().by_id.get(id) {
            Some(slot) if slot.occupancy().is_overdue(|| self.now_ms()) => {
                Pinned::Absent(Absence::Gone)
            }
            Some(slot) => Pinned::There(Arc::clone(slot)),
            None => self.miss(id),
        }
    }

    #[cold]
    fn miss(&self, id: &BackendId) -> Pinned {
        let settle = Duration::from_millis(self.0.settle_ms.load(Ordering::Relaxed));
        Pinned::Absent(self.absent().meet(id, self.now_ms(), settle))
    }

    fn absent(&self) -> MutexGuard<'_, Absentees> {
        self.0.absent.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// How often a backend has joined or left so far; both at once count as one.
    #[cfg(any(feature = "affinity", test))]
    #[inline]
    pub(crate) fn generation(&self) -> u64 {
        self.0.set.load().generation
    }

    /// The ids in the set, with its [generation](Self::generation).
    #[cfg(any(feature = "affinity", test))]
    pub(crate) fn members(&self) -> (u64, Vec<BackendId>) {
        let set = self.0.set.load();
        (set.generation, set.slots.iter().map(|slot| slot.backend().id().clone()).collect())
    }

    pub(crate) fn pin_counts(&self) -> &PinCounts {
        &self.0.counts
    }

    pub(super) fn sessions_on(&self, slot: &Slot) -> usize {
        self.0.set.load().counters.sessions_on(slot.backend().id())
    }

    pub(super) fn change(&self, change: impl FnOnce(&mut Set)) {
        let changing = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.0.set.load_full();
        let mut set = Set::clone(&before);
        change(&mut set);
        let removed = before.slots_not_in(&set);
        let joined = set.slots_not_in(&before);
        if !removed.is_empty() || !joined.is_empty() {
            set.generation = set.generation.wrapping_add(1);
        }
        self.0.set.store(Arc::new(set));
        let mut absent = self.absent();
        // In this order: one that is replaced by a new one of its name is there.
        removed.iter().for_each(|slot| absent.left(slot.backend().id()));
        joined.iter().for_each(|slot| absent.joined(slot.backend().id()));
        drop(absent);
        drop(changing);
        removed.iter().for_each(|slot| self.0.on_removed.call(slot.backend().id()));
    }

    /// Never 0, which stands for "never".
    pub(super) fn now_ms(&self) -> u64 {
        let elapsed = self.0.begun.elapsed();
        elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis()) + 1
    }
}

impl Set {
    pub(super) fn remove(&mut self, id: &BackendId) {
        self.by_id.remove(id);
        self.slots.retain(|slot| slot.backend().id() != id);
    }

    fn slots_not_in(&self, other: &Self) -> Vec<Arc<Slot>> {
        let is_in = |slot: &Arc<Slot>| {
            other.by_id.get(slot.backend().id()).is_some_and(|it| Arc::ptr_eq(it, slot))
        };
        self.slots.iter().filter(|slot| !is_in(slot)).map(Arc::clone).collect()
    }
}

impl FromIterator<Backend> for Backends {
    fn from_iter<I: IntoIterator<Item = Backend>>(backends: I) -> Self {
        Self::new(backends)
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.set.load().slots.iter().map(|slot| slot.backend())).finish()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicUsize, Ordering};

    use super::*;

    #[test]
    fn each_backend_that_leaves_is_reported() {
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
        let elsewhere = Backend::new(b, &http::Uri::from_static("http://d:1"));
        backends.add(elsewhere.unwrap());
        assert_eq!(take(), ["http://b:1"]);
        backends.drain_within(&c, Duration::ZERO);
        assert_eq!(backends.snapshot().len(), 1);
        assert_eq!(take(), ["http://c:1"]);
        assert_eq!(count.load(Ordering::Relaxed), 3, "the second callback is called, too");
    }

    /// What is derived from the members is made again for each.
    #[test]
    fn only_a_backend_that_joins_or_leaves_makes_a_generation() {
        struct NoSessions;
        impl CountSessions for NoSessions {
            fn sessions_on(&self, _: &BackendId) -> usize {
                0
            }
        }
        let [a, b] = ["http://a:1", "http://b:1"].map(|uri| uri.parse::<Backend>().unwrap());
        let backends = Backends::new([a.clone(), b.clone()]);
        let before = backends.generation();
        backends.add(a.clone());
        backends.drain(a.id());
        backends.ready(a.id());
        backends.remove(&"http://c:1".parse().unwrap());
        let backends = backends.counted_by(Arc::new(NoSessions));
        assert_eq!(backends.generation(), before);
        backends.remove(b.id());
        assert_eq!(backends.generation(), before + 1);
        backends.add(b.clone());
        assert_eq!(backends.generation(), before + 2);
        // Another server of the same name.
        backends.add(Backend::new(b.id().clone(), &http::Uri::from_static("http://d:1")).unwrap());
        assert_eq!(backends.members().0, before + 3);
    }
}
