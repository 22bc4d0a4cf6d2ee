//! The set of backends, and the state of each.

mod change;
mod health;
mod slot;

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
    begun: Instant,
}

#[derive(Default)]
struct Set {
    slots: Vec<Arc<Slot>>,
    by_id: HashMap<BackendId, Arc<Slot>, RandomState>,
}

/// What a backend is good for just now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BackendState {
    /// It takes any work.
    Ready,
    /// It keeps its sessions and gets no new ones, until none is left or a deadline has passed.
    Draining,
    /// No connection could be made: it gets no new work for a while. Its sessions are still tried.
    Down,
}

/// A backend as it stands.
#[derive(Clone, Debug)]
pub struct BackendStatus {
    backend: Backend,
    state: BackendState,
    sessions: usize,
    opening: usize,
    failures: u32,
}

/// What is known of a pin's backend.
pub(crate) enum Pinned {
    There(Arc<Slot>),
    Gone,
}

impl Backends {
    /// Makes a set; of two backends with one id the later counts.
    pub fn new(backends: impl IntoIterator<Item = Backend>) -> Self {
        let this = Self(Arc::new(Shared {
            set: ArcSwap::default(),
            changing: Mutex::new(()),
            counts: OnceLock::new(),
            begun: Instant::now(),
        }));
        backends.into_iter().for_each(|backend| this.add(backend));
        this
    }

    /// Lets `counts` say how many sessions a backend has, for balancing and draining. The first counts
    /// that are given stay. Without any, only work on its way counts, and a drain ends at its deadline.
    #[must_use]
    pub fn counted_by(self, counts: Arc<dyn CountSessions>) -> Self {
        let _ = self.0.counts.set(counts);
        self
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
        let is_there = self.0.set.load().by_id.contains_key(id);
        self.change(|set| set.remove(id));
        is_there
    }

    /// Gives a backend no new sessions, and removes it when none is left. Says whether it was there.
    #[allow(clippy::must_use_candidate, reason = "the set is changed either way")]
    pub fn drain(&self, id: &BackendId) -> bool {
        self.drain_by(id, u64::MAX)
    }

    /// The same, and removes it after `deadline` in any case.
    #[allow(clippy::must_use_candidate, reason = "the set is changed either way")]
    pub fn drain_within(&self, id: &BackendId, deadline: Duration) -> bool {
        let deadline_ms = u64::try_from(deadline.as_millis()).unwrap_or(u64::MAX);
        self.drain_by(id, self.now_ms().saturating_add(deadline_ms))
    }

    /// The backends as they stand, in the order they were added.
    #[must_use]
    pub fn snapshot(&self) -> Vec<BackendStatus> {
        self.reap();
        let now_ms = self.now_ms();
        self.0.set.load().slots.iter().map(|slot| self.status(slot, now_ms)).collect()
    }

    pub(crate) fn find(&self, id: &BackendId) -> Pinned {
        match self.0.set.load().by_id.get(id) {
            Some(slot) if slot.is_draining() && slot.is_overdue(self.now_ms()) => Pinned::Gone,
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
    ) -> Option<Arc<Slot>> {
        self.reap();
        let now_ms = self.now_ms();
        let set = self.0.set.load();
        let untried = || {
            let is_untried = |slot: &&Arc<Slot>| !tried.contains(slot.backend().id());
            set.slots.iter().filter(is_untried)
        };
        let mut eligible: Vec<_> = untried().filter(|slot| slot.takes_new_work(now_ms)).collect();
        if eligible.is_empty() {
            eligible = untried().filter(|slot| !slot.is_draining()).collect();
        }
        // Work that opens no session does not avoid a backend for those that it has.
        let sessions = |slot: &Slot| if work == Work::Free { 0 } else { self.sessions_on(slot) };
        let load = |slot: &Slot| slot.opening() + sessions(slot);
        let candidates: Vec<_> =
            eligible.iter().map(|slot| Candidate::new(slot.backend(), || load(slot))).collect();
        let chosen = *eligible.get(balance.choose(&candidates, key)?)?;
        chosen.health().claim(now_ms);
        Some(Arc::clone(chosen))
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

    fn drain_by(&self, id: &BackendId, by_ms: u64) -> bool {
        let set = self.0.set.load();
        let Some(slot) = set.by_id.get(id) else { return false };
        slot.drain(by_ms);
        true
    }

    /// Removes what has drained.
    fn reap(&self) {
        let now_ms = self.now_ms();
        let has_drained = |slot: &&Arc<Slot>| {
            // Without counts nobody knows when the last session has gone.
            let is_empty = self.0.counts.get().is_some() && self.sessions_on(slot) == 0;
            slot.is_draining() && (slot.is_overdue(now_ms) || (is_empty && slot.opening() == 0))
        };
        let set = self.0.set.load();
        if set.slots.iter().any(|slot| has_drained(&slot)) {
            let drained: Vec<_> = set.slots.iter().filter(has_drained).cloned().collect();
            self.change(|set| drained.iter().for_each(|slot| set.remove(slot.backend().id())));
        }
    }

    fn status(&self, slot: &Slot, now_ms: u64) -> BackendStatus {
        let state = if slot.is_draining() {
            BackendState::Draining
        } else if slot.health().is_out(now_ms) {
            BackendState::Down
        } else {
            BackendState::Ready
        };
        BackendStatus {
            backend: slot.backend().clone(),
            state,
            sessions: self.sessions_on(slot),
            opening: slot.opening(),
            failures: slot.health().failures(),
        }
    }

    fn sessions_on(&self, slot: &Slot) -> usize {
        self.0.counts.get().map_or(0, |counts| counts.sessions_on(slot.backend().id()))
    }

    fn change(&self, change: impl FnOnce(&mut Set)) {
        let _changing = self.0.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut set =
            Set { slots: self.0.set.load().slots.clone(), by_id: self.0.set.load().by_id.clone() };
        change(&mut set);
        self.0.set.store(Arc::new(set));
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

impl BackendStatus {
    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// What it is good for just now.
    #[must_use]
    pub fn state(&self) -> BackendState {
        self.state
    }

    /// How many sessions it has; 0 when nobody counts them.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// How much work without a pin is on its way to it.
    #[must_use]
    pub fn opening(&self) -> usize {
        self.opening
    }

    /// How many connections in a row could not be made.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}

impl fmt::Debug for Backends {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_list().entries(self.0.set.load().slots.iter().map(|slot| slot.backend())).finish()
    }
}
