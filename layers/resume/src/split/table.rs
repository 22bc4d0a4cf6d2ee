//! The places of client sessions at gateways.

use std::{
    collections::{HashMap, hash_map::Entry},
    hash::{Hash, Hasher},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bartizan_core::{Reason, Session};
use tokio::{
    sync::watch,
    task::JoinSet,
    time::{Instant, timeout},
};

use super::{gateways::Gateways, sessions::SplitStatus, upstream::Upstream};

/// How often those that idled too long are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The same where there is no room: whoever is refused it must not buy a pass with each try.
const SWEEP_FULL_EVERY: Duration = Duration::from_secs(1);

/// The sessions at gateways, by client session and gateway.
pub(super) struct Table {
    places: Mutex<Places>,
    limit: usize,
    close_timeout: Duration,
}

struct Places {
    by_pair: HashMap<Pair, Place>,
    swept: Instant,
}

#[derive(Clone)]
struct Pair {
    session: Session,
    gateway: Box<str>,
}

enum Place {
    Opening(watch::Receiver<State>),
    Open(Arc<Upstream>),
}

/// What became of an opening.
#[derive(Clone)]
pub(super) enum State {
    NotYet,
    Open(Arc<Upstream>),
    Failed(Reason),
}

/// How a request gets its place.
pub(super) enum Found {
    Open(Arc<Upstream>),
    /// Somebody opens it.
    Wait(watch::Receiver<State>),
    /// Whoever asked opens it.
    Lead(Opening, watch::Receiver<State>),
    /// There are as many as there may be.
    Full,
    /// The client session is over.
    Ended,
}

/// The right to open a session, until it is dropped.
pub(super) struct Opening {
    table: Arc<Table>,
    pair: Pair,
    state: watch::Sender<State>,
}

impl Table {
    pub(super) fn new(limit: usize, close_timeout: Duration) -> Self {
        let places = Places { by_pair: HashMap::new(), swept: Instant::now() };
        Self { places: Mutex::new(places), limit, close_timeout }
    }

    /// The place of `session` at `gateway`; `seed` is one that is known already.
    pub(super) fn find(
        self: &Arc<Self>,
        session: &Session,
        gateway: &str,
        seed: impl FnOnce() -> Option<Upstream>,
    ) -> Found {
        let pair = Pair { session: session.clone(), gateway: gateway.into() };
        let mut places = self.places();
        let is_full = places.by_pair.len() >= self.limit;
        let sweep_every = if is_full { SWEEP_FULL_EVERY } else { SWEEP_EVERY };
        let is_due = places.swept.elapsed() >= sweep_every;
        let idle = if is_due { places.sweep() } else { Vec::new() };
        let is_full = places.by_pair.len() >= self.limit;
        let found = match places.by_pair.entry(pair) {
            Entry::Occupied(entry) => match entry.get() {
                Place::Open(upstream) => Found::Open(Arc::clone(upstream)),
                Place::Opening(state) => Found::Wait(state.clone()),
            },
            Entry::Vacant(_) if session.is_ended() => Found::Ended,
            Entry::Vacant(_) if is_full => Found::Full,
            Entry::Vacant(entry) => match seed() {
                Some(upstream) => {
                    let upstream = Arc::new(upstream);
                    entry.insert(Place::Open(Arc::clone(&upstream)));
                    Found::Open(upstream)
                }
                None => {
                    let (sender, state) = watch::channel(State::NotYet);
                    let pair = entry.key().clone();
                    entry.insert(Place::Opening(state.clone()));
                    Found::Lead(Opening { table: Arc::clone(self), pair, state: sender }, state)
                }
            },
        };
        drop(places);
        self.close_soon(&idle);
        found
    }

    /// What is open for `session` at `gateway`.
    pub(super) fn open(&self, session: &Session, gateway: &str) -> Option<Arc<Upstream>> {
        let pair = Pair { session: session.clone(), gateway: gateway.into() };
        match self.places().by_pair.get(&pair)? {
            Place::Open(upstream) => Some(Arc::clone(upstream)),
            Place::Opening(_) => None,
        }
    }

    /// Forgets `upstream`, which its gateway does not know any more; whoever comes next opens another. Says
    /// so to one of those who find out at the same time: the others find what that one does.
    pub(super) fn replace(
        self: &Arc<Self>,
        session: &Session,
        gateway: &str,
        upstream: &Arc<Upstream>,
    ) -> Found {
        let pair = Pair { session: session.clone(), gateway: gateway.into() };
        let mut places = self.places();
        let is_it = |place: &Place| matches!(place, Place::Open(it) if Arc::ptr_eq(it, upstream));
        if places.by_pair.get(&pair).is_some_and(is_it) {
            let (sender, state) = watch::channel(State::NotYet);
            places.by_pair.insert(pair.clone(), Place::Opening(state.clone()));
            return Found::Lead(Opening { table: Arc::clone(self), pair, state: sender }, state);
        }
        drop(places);
        self.find(session, gateway, || None)
    }

    /// Takes out what is chosen. An opening that is on its way finds out when it is done.
    pub(super) fn take(
        &self,
        mut chosen: impl FnMut(&Session, &str) -> bool,
    ) -> Vec<Arc<Upstream>> {
        let mut places = self.places();
        let taken = places.by_pair.extract_if(|pair, _| chosen(&pair.session, &pair.gateway));
        let open = taken.filter_map(|(_, place)| match place {
            Place::Open(upstream) => Some(upstream),
            Place::Opening(_) => None,
        });
        open.collect()
    }

    /// Ends sessions, all at once, each within the deadline.
    pub(super) async fn close(&self, upstreams: Vec<Arc<Upstream>>) -> usize {
        let count = upstreams.len();
        let mut closing = JoinSet::new();
        for close in upstreams.iter().filter_map(|upstream| upstream.take_close()) {
            let deadline = self.close_timeout;
            closing.spawn(async move { timeout(deadline, close()).await });
        }
        // One that fails keeps nobody.
        while closing.join_next().await.is_some() {}
        count
    }

    /// The same, without waiting.
    pub(super) fn close_soon(&self, upstreams: &[Arc<Upstream>]) {
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        for close in upstreams.iter().filter_map(|upstream| upstream.take_close()) {
            let deadline = self.close_timeout;
            runtime.spawn(async move { timeout(deadline, close()).await });
        }
    }

    /// What is open now.
    pub(super) fn statuses(&self) -> Vec<SplitStatus> {
        let places = self.places();
        let open = places.by_pair.iter().filter_map(|(pair, place)| match place {
            Place::Open(upstream) => Some(upstream.status(&pair.session, &pair.gateway)),
            Place::Opening(_) => None,
        });
        open.collect()
    }

    fn places(&self) -> MutexGuard<'_, Places> {
        self.places.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Places {
    /// Takes out what was not used for as long as its client session may idle, and what is of one that has
    /// ended.
    fn sweep(&mut self) -> Vec<Arc<Upstream>> {
        self.swept = Instant::now();
        let is_over = |pair: &Pair, place: &mut Place| match place {
            Place::Open(upstream) => {
                let has_expired = upstream.idle() > pair.session.record().idle();
                pair.session.is_ended() || has_expired && !pair.session.is_held()
            }
            Place::Opening(_) => false,
        };
        let over = self.by_pair.extract_if(is_over);
        let open = over.filter_map(|(_, place)| match place {
            Place::Open(upstream) if !upstream.is_home => Some(upstream),
            _ => None,
        });
        open.collect()
    }
}

impl Opening {
    /// Tells those who wait; gives the session back if it was evicted meanwhile, or its gateway changed:
    /// whoever changes one evicts afterwards, and so one of the two sees the other.
    pub(super) fn finish(self, state: State, gateways: &Gateways) -> Option<Arc<Upstream>> {
        let mut evicted = None;
        if let State::Open(upstream) = &state {
            let Pair { session, gateway } = &self.pair;
            let is_wanted = |upstream: &Upstream| {
                !session.is_ended() && gateways.is_current(gateway, &upstream.gateway)
            };
            match self.table.places().by_pair.get_mut(&self.pair) {
                Some(place) if self.is_here(place) && is_wanted(upstream) => {
                    *place = Place::Open(Arc::clone(upstream));
                }
                _ => evicted = Some(Arc::clone(upstream)),
            }
        }
        let state =
            if evicted.is_some() { State::Failed(Reason::BackendUnreachable) } else { state };
        self.state.send_replace(state);
        evicted
    }

    fn is_here(&self, place: &Place) -> bool {
        matches!(place, Place::Opening(state) if state.same_channel(&self.state.subscribe()))
    }
}

impl Drop for Opening {
    fn drop(&mut self) {
        let mut places = self.table.places();
        if places.by_pair.get(&self.pair).is_some_and(|place| self.is_here(place)) {
            places.by_pair.remove(&self.pair);
        }
    }
}

impl PartialEq for Pair {
    fn eq(&self, other: &Self) -> bool {
        self.gateway == other.gateway && self.session.key() == other.session.key()
    }
}

impl Eq for Pair {}

impl Hash for Pair {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.session.key().hash(state);
        self.gateway.hash(state);
    }
}
