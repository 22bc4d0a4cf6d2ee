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

/// How often to look for sessions that have idled too long.
const SWEEP_EVERY: Duration = Duration::from_secs(60);

/// The same at the limit: a refused request must not cause a sweep with each try.
const SWEEP_FULL_EVERY: Duration = Duration::from_secs(1);

/// The sessions at gateways that this process knows of, by client session and gateway. The record of a client session
/// is authoritative; this table is the process's view of it, and is used to end the listed sessions.
pub(super) struct Table {
    // Locked before the openings, so that a session is never both open and being opened.
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

/// The outcome of an opening.
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

/// The result of a lookup in the table.
pub(super) struct Look {
    pub(super) found: Found,
    /// Client sessions that this process has not used for their whole idle time, and that must be
    /// checked.
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
        // A request may have seen an earlier record than the one that lists the known session.
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
                // Another replica has found out that its gateway no longer knows it.
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

    /// Forgets `lost`, which its gateway does not know any more; the next request opens another. If several requests
    /// find out at the same time, one leads, and the others share its result.
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

    /// Stores the `opened` session, and passes it to the waiting requests. Returns it if it was evicted in the meantime
    /// or is no longer wanted: each change of a gateway is followed by an eviction, so one of the two sees the other.
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

    /// Removes the chosen sessions. An opening in progress finds out when it is done.
    pub(super) fn take(
        &self,
        mut chosen: impl FnMut(&Session, &str) -> bool,
    ) -> Vec<Arc<GatewaySession>> {
        let mut open = self.lock();
        let mut is_chosen = |pair: &Pair| chosen(&pair.session.0, &pair.gateway);
        self.openings.call_off(&mut is_chosen);
        open.by_pair.extract_if(|pair, _| is_chosen(pair)).map(|(_, session)| session).collect()
    }

    /// The open sessions.
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
    /// Removes the sessions of client sessions that have ended. Returns them, and the client sessions that may have
    /// expired: those that this process has not used for their whole idle time. Other replicas may use them.
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

/// Ends sessions concurrently, each within its timeout, and returns their number.
pub(super) async fn close(sessions: Vec<Arc<GatewaySession>>) -> usize {
    let mut closing = JoinSet::new();
    for end in sessions.iter().filter_map(|session| session.take_closing()) {
        closing.spawn(end.run());
    }
    // A failure does not affect the others.
    while closing.join_next().await.is_some() {}
    sessions.len()
}

/// The same, without waiting.
pub(super) fn close_soon(sessions: &[Arc<GatewaySession>]) {
    for end in sessions.iter().filter_map(|session| session.take_closing()) {
        end.spawn();
    }
}
