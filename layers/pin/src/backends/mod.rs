//! The set of backends, and the state of each.

mod change;
mod drain;
mod health;
mod removed;
mod slot;
mod status;

use std::{
    collections::HashMap,
    fmt,
    sync::{Arc, Mutex, OnceLock, PoisonError},
    time::Duration,
};

use arc_swap::ArcSwap;
use bartizan_core::{Backend, BackendId, Work, store::CountSessions};
use foldhash::fast::RandomState;
use tokio::time::Instant;

pub use change::Change;
pub(crate) use slot::{Opening, Slot};
pub use status::{BackendState, BackendStatus};

use crate::{
    balance::{Balance, Candidate},
    event,
};

/// A handle on the set of backends: cheap to clone, one atomic load to read. All clones are one set.
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
pub struct Backends(Arc<Shared>);

struct Shared {
    set: ArcSwap<Set>,
    // Changes are made one at a time; reading never waits for them.
    changing: Mutex<()>,
    counts: OnceLock<Arc<dyn CountSessions>>,
    removed: removed::Removed,
    begun: Instant,
}

#[derive(Clone, Default)]
struct Set {
    slots: Vec<Arc<Slot>>,
    by_id: HashMap<BackendId, Arc<Slot>, RandomState>,
}

/// What is known of a pin's backend.
pub(crate) enum Pinned {
    There(Arc<Slot>),
    Gone,
}

impl Pinned {
    pub(crate) fn slot(self) -> Option<Arc<Slot>> {
        match self {
            Self::There(slot) => Some(slot),
            Self::Gone => None,
        }
    }
}

impl Backends {
    /// Makes a set; of two backends with one id the later counts.
    pub fn new(backends: impl IntoIterator<Item = Backend>) -> Self {
        let this = Self(Arc::new(Shared {
            set: ArcSwap::default(),
            changing: Mutex::new(()),
            counts: OnceLock::new(),
            removed: removed::Removed::default(),
            begun: Instant::now(),
        }));
        backends.into_iter().for_each(|backend| this.add(backend));
        this
    }

    /// Lets `counts` say how many sessions a backend has, for balancing and draining. The first counts
    /// that are given stay. Without any, only work on its way counts, and a drain ends at its deadline.
    /// They must know all pins: where keys have a store of their own, add the two up.
    #[must_use]
    pub fn counted_by(self, counts: Arc<dyn CountSessions>) -> Self {
        let _ = self.0.counts.set(counts);
        self
    }

    /// Whether somebody says how many sessions a backend has.
    pub(crate) fn are_counted(&self) -> bool {
        self.0.counts.get().is_some()
    }

    /// Adds a backend. One with an id that is there already ends its drain; if its origin is another,
    /// it is a new backend and the old one is gone.
    pub fn add(&self, backend: Backend) {
        self.change(|set| {
            match set.by_id.get(backend.id()) {
                Some(slot) if slot.backend().same_origin(&backend) => {
                    slot.undrain();
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

    /// Removes a backend: its pins are lost. Says whether it was there.
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
            Some(slot) if slot.is_overdue(|| self.now_ms()) => Pinned::Gone,
            Some(slot) => Pinned::There(Arc::clone(slot)),
            None => Pinned::Gone,
        }
    }

    /// Chooses a backend for new work among those that were not `tried`, before anything is dialled.
    ///
    /// One that is out of service is chosen only when there is no other: a try is better than a
    /// refusal.
    pub(crate) fn choose(
        &self,
        balance: &dyn Balance,
        work: Work,
        key: Option<&[u8]>,
        tried: &[BackendId],
    ) -> Option<Opening> {
        loop {
            let opening = self.pick(balance, work, key, tried)?.open();
            // One that began to drain meanwhile may have left already.
            if !opening.slot().is_draining() {
                return Some(opening);
            }
        }
    }

    fn pick(
        &self,
        balance: &dyn Balance,
        work: Work,
        key: Option<&[u8]>,
        tried: &[BackendId],
    ) -> Option<Arc<Slot>> {
        self.reap();
        let now_ms = self.now_ms();
        let set = self.0.set.load();
        // Work that opens no session does not avoid a backend for those that it has.
        let counts = self.0.counts.get().filter(|_| work != Work::Free).map(|counts| &**counts);
        let candidates = |is_eligible: &dyn Fn(&Slot) -> bool| -> Vec<_> {
            let untried = set.slots.iter().filter(|slot| !tried.contains(slot.backend().id()));
            let eligible = untried.filter(|slot| is_eligible(slot));
            let mut candidates = Vec::with_capacity(set.slots.len());
            candidates.extend(eligible.map(|slot| Candidate::new(slot, counts)));
            candidates
        };
        let mut in_service = candidates(&|slot| slot.takes_new_work(now_ms));
        while !in_service.is_empty() {
            let index = balance.choose(&in_service, key)?;
            let slot = in_service.get(index)?.slot();
            if slot.health().claim(now_ms) {
                return Some(Arc::clone(slot));
            }
            // Its time was up, and somebody else tries it already.
            in_service.remove(index);
        }
        let out_of_service = candidates(&|slot| !slot.is_draining());
        let index = balance.choose(&out_of_service, key)?;
        out_of_service.get(index).map(|candidate| Arc::clone(candidate.slot()))
    }

    /// Opens work at a backend, if it is in service or the one try that it may have is the caller's.
    pub(crate) fn retry(&self, slot: &Arc<Slot>) -> Option<Opening> {
        slot.health().claim(self.now_ms()).then(|| slot.open())
    }

    pub(crate) fn responded(slot: &Slot) {
        if slot.health().responded() {
            event::back_in_service(slot.backend());
        }
    }

    pub(crate) fn unreachable(&self, slot: &Slot) {
        if slot.health().failed(self.now_ms()) {
            event::out_of_service(slot.backend());
        }
    }

    pub(crate) fn unreachable_for(&self, slot: &Slot) -> Option<Duration> {
        slot.unreachable_for(self.now_ms())
    }

    fn sessions_on(&self, slot: &Slot) -> usize {
        self.0.counts.get().map_or(0, |counts| counts.sessions_on(slot.backend().id()))
    }

    fn change(&self, change: impl FnOnce(&mut Set)) {
        let changing = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let before = self.0.set.load_full();
        let mut set = Set::clone(&before);
        change(&mut set);
        let removed = before.slots_not_in(&set);
        self.0.set.store(Arc::new(set));
        drop(changing);
        self.tell_removed(&removed);
    }

    /// Never 0, which stands for "never".
    fn now_ms(&self) -> u64 {
        let elapsed = self.0.begun.elapsed();
        elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis()) + 1
    }
}

impl Set {
    fn remove(&mut self, id: &BackendId) {
        self.by_id.remove(id);
        self.slots.retain(|slot| slot.backend().id() != id);
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
