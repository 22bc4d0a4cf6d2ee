//! The sessions that are open at gateways, by client session and gateway.

use std::{
    collections::{HashMap, HashSet},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    time::Duration,
};

use bartizan_core::{Reason, Session};
use tokio::{task::JoinSet, time::Instant};

use super::{gateway_session::GatewaySession, status::SplitStatus};
use crate::replay::{
    by_session::BySession,
    follow::Follow,
    single_flight::{Lead, Part, SingleFlight},
};

/// How often those that idled too long are looked for.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The same at the limit: a refused request must not cause a sweep with each try.
const SWEEP_FULL_EVERY: Duration = Duration::from_secs(1);

/// The sessions at gateways that this process knows of, by client session and gateway. What the record of a client
/// session lists is what counts; this is how the process sees it, and how it ends what is listed.
pub(super) struct Table {
    // Locked before the openings: a session is open, or being opened, or neither, but never both.
    open: Mutex<Open>,
    openings: Arc<SingleFlight<Pair, Opened>>,
    limit: usize,
}

struct Open {
    by_pair: HashMap<Pair, Arc<GatewaySession>>,
    swept: Instant,
}

/// A client session at a gateway.
#[derive(Clone, Eq, Hash, PartialEq)]
pub(super) struct Pair {
    session: BySession,
    gateway: Box<str>,
}

/// What became of an opening.
pub(super) type Opened = Result<Arc<GatewaySession>, Reason>;

/// How a request gets its session at a gateway.
pub(super) enum Found {
    Open(Arc<GatewaySession>),
    /// Another request opens it.
    Wait(Follow<Opened>),
    /// This request opens it.
    Lead(Lead<Pair, Opened>),
    /// The limit is reached.
    Full,
    /// The client session is over.
    Ended,
}

/// What a look into the table has brought.
pub(super) struct Look {
    pub(super) found: Found,
    /// Client sessions that this process has not used for as long as they may idle: are they live?
    pub(super) idle: Vec<Session>,
}

impl Table {
    pub(super) fn new(limit: usize) -> Self {
        let open = Open { by_pair: HashMap::new(), swept: Instant::now() };
        Self { open: Mutex::new(open), openings: Arc::default(), limit }
    }

    /// The session for `session` at `gateway`; `listed` is the one that the record of this `session` lists.
    pub(super) fn find(
        &self,
        session: &Session,
        gateway: &str,
        listed: impl FnOnce() -> Option<GatewaySession>,
    ) -> Look {
        let pair = Pair::new(session, gateway);
        let mut open = self.lock();
        let is_full = |open: &Open| open.by_pair.len() + self.openings.len() >= self.limit;
        let sweep_every = if is_full(&open) { SWEEP_FULL_EVERY } else { SWEEP_EVERY };
        let is_due = open.swept.elapsed() >= sweep_every;
        let (over, idle) = if is_due { open.sweep() } else { Default::default() };
        let known = open.by_pair.get(&pair).map(Arc::clone);
        // A request may have seen an earlier record than the one that lists what is known.
        let is_latest = |known: &Arc<_>| session.version() <= GatewaySession::listed_in(known);
        let found = if let Some(known) = known.clone().filter(is_latest) {
            Found::Open(known)
        } else if let Some(follow) = self.openings.follow(&pair) {
            Found::Wait(follow)
        } else if session.is_ended() {
            Found::Ended
        } else {
            match (known, listed()) {
                (Some(known), Some(listed)) if known.id == listed.id => {
                    known.note_listed_in(session);
                    Found::Open(known)
                }
                (None, _) if is_full(&open) => Found::Full,
                (_, Some(listed)) => {
                    let listed = Arc::new(listed);
                    open.by_pair.insert(pair, Arc::clone(&listed));
                    Found::Open(listed)
                }
                // Another replica has found out that it was lost: its gateway knows it no more.
                (_, None) => {
                    open.by_pair.remove(&pair);
                    self.join(pair)
                }
            }
        };
        drop(open);
        close_soon(&over);
        Look { found, idle }
    }

    /// What is open for `session` at `gateway`.
    pub(super) fn open(&self, session: &Session, gateway: &str) -> Option<Arc<GatewaySession>> {
        self.lock().by_pair.get(&Pair::new(session, gateway)).cloned()
    }

    /// Forgets `lost`, which its gateway does not know any more; the next request opens another. Of the requests
    /// that find out at the same time one leads: the others find what that one does.
    pub(super) fn replace(
        &self,
        session: &Session,
        gateway: &str,
        lost: &Arc<GatewaySession>,
        listed: impl FnOnce() -> Option<GatewaySession>,
    ) -> Found {
        let pair = Pair::new(session, gateway);
        let mut open = self.lock();
        if open.by_pair.get(&pair).is_some_and(|it| it.id == lost.id) {
            open.by_pair.remove(&pair);
            return self.join(pair);
        }
        drop(open);
        self.find(session, gateway, || listed().filter(|listed| listed.id != lost.id)).found
    }

    /// Puts what was `opened` into its place, and hands it to the requests that wait. Gives it back if it was
    /// evicted meanwhile, or is not wanted any more: a change of a gateway is followed by an eviction, so that one
    /// of the two sees the other.
    pub(super) fn finish(
        &self,
        lead: Lead<Pair, Opened>,
        opened: Opened,
        is_wanted: impl FnOnce(&GatewaySession) -> bool,
    ) -> Option<Arc<GatewaySession>> {
        let mut open = self.lock();
        match opened {
            Ok(session) if lead.is_current() && is_wanted(&session) => {
                open.by_pair.insert(lead.key().clone(), Arc::clone(&session));
                lead.publish(Ok(session));
                None
            }
            Ok(session) => {
                lead.publish(Err(Reason::BackendUnreachable));
                Some(session)
            }
            Err(reason) => {
                lead.publish(Err(reason));
                None
            }
        }
    }

    /// Takes out what is chosen. An opening that is on its way finds out when it is done.
    pub(super) fn take(
        &self,
        mut chosen: impl FnMut(&Session, &str) -> bool,
    ) -> Vec<Arc<GatewaySession>> {
        let mut open = self.lock();
        let mut is_chosen = |pair: &Pair| chosen(&pair.session.0, &pair.gateway);
        self.openings.call_off(&mut is_chosen);
        open.by_pair.extract_if(|pair, _| is_chosen(pair)).map(|(_, session)| session).collect()
    }

    /// What is open now.
    pub(super) fn statuses(&self) -> Vec<SplitStatus> {
        let open = self.lock();
        let statuses = open.by_pair.iter();
        statuses.map(|(pair, session)| session.status(&pair.session.0, &pair.gateway)).collect()
    }

    fn join(&self, pair: Pair) -> Found {
        match self.openings.join(pair) {
            Part::Lead(lead) => Found::Lead(lead),
            Part::Follow(follow) => Found::Wait(follow),
        }
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Open {
    /// Takes out what is of a client session that has ended. Gives it, and the client sessions that may have: those that
    /// this process has not used for as long as they may idle. Others may use them.
    #[allow(
        clippy::mutable_key_type,
        reason = "a session is hashed by its key, which never changes"
    )]
    fn sweep(&mut self) -> (Vec<Arc<GatewaySession>>, Vec<Session>) {
        self.swept = Instant::now();
        let over = self.by_pair.extract_if(|pair, _| pair.session.0.is_ended());
        let over = over.map(|(_, session)| session).collect();
        let idle = self.by_pair.iter().filter(|(pair, session)| {
            let client = &pair.session.0;
            !client.is_held() && session.is_to_be_asked_for(client.record().idle())
        });
        let idle: HashSet<_> = idle.map(|(pair, _)| pair.session.clone()).collect();
        (over, idle.into_iter().map(|session| session.0).collect())
    }
}

impl Pair {
    fn new(session: &Session, gateway: &str) -> Self {
        Self { session: BySession(session.clone()), gateway: gateway.into() }
    }

    pub(super) fn gateway(&self) -> &str {
        &self.gateway
    }
}

/// Ends sessions, all at once, each within its bound, and returns how many those were.
pub(super) async fn close(sessions: Vec<Arc<GatewaySession>>) -> usize {
    let mut closing = JoinSet::new();
    for end in sessions.iter().filter_map(|session| session.take_closing()) {
        closing.spawn(end.run());
    }
    // One that fails keeps no other.
    while closing.join_next().await.is_some() {}
    sessions.len()
}

/// The same, without waiting.
pub(super) fn close_soon(sessions: &[Arc<GatewaySession>]) {
    for end in sessions.iter().filter_map(|session| session.take_closing()) {
        end.spawn();
    }
}
