//! The connections to one backend.
//!
//! | when a request arrives | it |
//! |---|---|
//! | a connection has a stream free | takes it, on the oldest of these |
//! | none has a stream free | waits; a connection is made, unless one is being made or the limit is reached |
//! | a stream becomes free, or a connection is made | the request that has waited longest takes it |
//! | no connection could be made, and there is no other | all waiting requests fail with its error |
//! | the only connection ends before the peer's SETTINGS arrive | all waiting requests fail |
//!
//! A new connection has no streams until the peer's first SETTINGS arrive, which state how many it allows ([RFC 9113
//! §5.1.2](https://www.rfc-editor.org/rfc/rfc9113#section-5.1.2)), and nginx refuses a request with a body that comes
//! before they are acknowledged. If they do not arrive within a second, it has one.
//!
//! If the backend has moved to another address, connections to the old one are not reused, and close when their streams
//! have ended.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
    time::Duration,
};

use bartizan_core::{Backend, failure::FailureKind};
use hyper::client::conn::http2::SendRequest;
use tokio::{sync::oneshot, time::Instant};

use super::{
    super::{
        TransportError,
        address::PoolEpoch,
        dialer::Dialer,
        pools::{self, Limits},
    },
    dial::{Dialled, dial},
    future::Unable,
    outgoing::StreamedBody,
    stream::Stream,
};

/// hyper's value for the peer's stream limit until the peer has stated it.
pub(super) const UNKNOWN: usize = usize::MAX / 2;
/// The maximum number of streams if the peer allows more, because they share one TCP connection.
const MAX_STREAMS: usize = 256;
/// How long a connection may be without the peer's SETTINGS and still be waited for.
const SETTLING: Duration = Duration::from_secs(1);

pub(in super::super) struct Pool {
    backend: Backend,
    dialer: Dialer,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    // Oldest first, so that the others may idle out.
    links: Vec<Link>,
    next: u64,
    is_dialling: bool,
    is_http1: bool,
    epoch: PoolEpoch,
    // Cancelled requests stay in the queue until their turn.
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

struct Link {
    id: u64,
    sender: SendRequest<StreamedBody>,
    open: usize,
    // `None` until the peer has stated it.
    limit: Option<usize>,
    since: Instant,
    used: Instant,
}

impl State {
    /// Fails all waiting requests.
    fn fail(&mut self, unable: Unable) {
        for turn in self.waiting.drain(..) {
            let _ = turn.send(Err(unable));
        }
    }
}

impl Link {
    /// How many streams it may have at once.
    fn streams(&self) -> usize {
        self.limit.unwrap_or(usize::from(self.since.elapsed() > SETTLING))
    }

    /// Whether it is known how many streams it may have.
    fn is_settled(&self) -> bool {
        self.limit.is_some() || self.since.elapsed() > SETTLING
    }
}

/// A stream for one request.
pub(super) struct Given {
    pub(super) sender: SendRequest<StreamedBody>,
    pub(super) stream: Stream,
}

/// What a request waits for.
pub(super) type Turn = Result<Given, Unable>;

/// How a request gets a stream.
pub(super) enum Checkout {
    Given(Given),
    Wait(oneshot::Receiver<Turn>),
    NotHttp2,
}

impl Pool {
    pub(in super::super) const fn backend(&self) -> &Backend {
        &self.backend
    }

    pub(super) const fn dialer(&self) -> &Dialer {
        &self.dialer
    }

    pub(super) fn check_out(self: &Arc<Self>) -> Checkout {
        let mut state = self.state();
        if state.is_http1 {
            return Checkout::NotHttp2;
        }
        if state.epoch.follows(&self.dialer.names, &self.backend) {
            state.links.clear();
        }
        while state.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            state.waiting.pop_front();
        }
        if state.waiting.is_empty()
            && let Some(given) = self.take(&mut state)
        {
            return Checkout::Given(given);
        }
        let (turn, wait) = oneshot::channel();
        state.waiting.push_back(turn);
        // The requests in front of it may be cancelled.
        self.serve(&mut state);
        self.dial_if_needed(&mut state);
        Checkout::Wait(wait)
    }

    /// Takes back a stream that has ended.
    pub(super) fn release(self: &Arc<Self>, connection: u64) {
        let mut state = self.state();
        if let Some(link) = state.links.iter_mut().find(|link| link.id == connection) {
            link.open = link.open.saturating_sub(1);
            link.used = Instant::now();
            self.serve(&mut state);
        }
    }

    /// Records the stream limit of the peer of a connection.
    pub(super) fn takes(self: &Arc<Self>, connection: u64, streams: usize) {
        let mut state = self.state();
        let Some(link) = state.links.iter_mut().find(|link| link.id == connection) else { return };
        link.limit = (streams != UNKNOWN).then_some(streams.min(MAX_STREAMS));
        if !state.waiting.is_empty() {
            self.serve(&mut state);
            self.dial_if_needed(&mut state);
        }
    }

    /// Forgets a connection that has closed.
    pub(super) fn ended(self: &Arc<Self>, connection: u64) {
        let mut state = self.state();
        let ended = state.links.iter().position(|link| link.id == connection);
        let Some(ended) = ended.map(|index| state.links.remove(index)) else { return };
        // A peer that closes the connection before sending SETTINGS uses another protocol, or none: the next connection
        // would end in the same way.
        if ended.limit.is_none() && state.links.is_empty() {
            state.fail(TransportError::Failed(FailureKind::Terminated).into());
        }
        self.dial_if_needed(&mut state);
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves consistent data, because each change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    fn take(self: &Arc<Self>, state: &mut State) -> Option<Given> {
        state.links.retain(|link| !link.sender.is_closed());
        let link = state.links.iter_mut().find(|link| link.open < link.streams())?;
        link.open += 1;
        let stream = Stream::new(Arc::downgrade(self), link.id);
        Some(Given { sender: link.sender.clone(), stream })
    }

    /// Gives free streams to waiting requests.
    fn serve(self: &Arc<Self>, state: &mut State) {
        while !state.waiting.is_empty() {
            let Some(mut given) = self.take(state) else { return };
            let connection = given.stream.connection;
            loop {
                let Some(turn) = state.waiting.pop_front() else {
                    // Dropped as it is, it would take the lock again.
                    given.stream.pool = Weak::new();
                    let taken = state.links.iter_mut().find(|link| link.id == connection);
                    taken.into_iter().for_each(|link| link.open -= 1);
                    return;
                };
                match turn.send(Ok(given)) {
                    Ok(()) => break,
                    Err(Ok(refused)) => given = refused,
                    Err(Err(_)) => return,
                }
            }
        }
    }

    /// Makes a connection if requests wait and the existing connections cannot take them.
    fn dial_if_needed(self: &Arc<Self>, state: &mut State) {
        if state.is_dialling
            || state.waiting.iter().all(oneshot::Sender::is_closed)
            || state.links.len() >= self.limits.max_open
            || !state.links.iter().all(Link::is_settled)
        {
            return;
        }
        state.is_dialling = true;
        state.next += 1;
        let dialling = Dialling(Arc::clone(self));
        let id = state.next;
        // A separate task, because the request that needed it first may be cancelled.
        tokio::spawn(async move {
            let outcome = dial(&dialling.0, id).await;
            dialling.0.dialled(outcome);
        });
    }

    fn dialled(self: &Arc<Self>, outcome: Result<Dialled, Unable>) {
        let mut state = self.state();
        state.is_dialling = false;
        match outcome {
            Ok(Dialled { id, sender, epoch }) => {
                if state.epoch.moves_to(epoch) {
                    state.links.clear();
                }
                let now = Instant::now();
                let link = Link { id, sender, open: 0, limit: None, since: now, used: now };
                state.links.push(link);
                self.serve(&mut state);
            }
            Err(unable) => {
                state.is_http1 |= unable == Unable::NotHttp2;
                if state.links.is_empty() || state.is_http1 {
                    state.fail(unable);
                }
            }
        }
    }
}

/// A connection attempt. Dropping it records that none is in progress.
struct Dialling(Arc<Pool>);

impl Drop for Dialling {
    fn drop(&mut self) {
        self.0.state().is_dialling = false;
    }
}

impl pools::Pool for Pool {
    fn new(backend: Backend, dialer: Dialer, limits: Limits) -> Self {
        Self { backend, dialer, limits, state: Mutex::default() }
    }

    fn sweep(&self) {
        let mut idle = 0;
        let Limits { idle_timeout, max_idle, .. } = self.limits;
        self.state().links.retain(|link| {
            let is_idle = link.open == 0;
            idle += usize::from(is_idle);
            let is_kept = !is_idle || (link.used.elapsed() < idle_timeout && idle <= max_idle);
            !link.sender.is_closed() && is_kept
        });
    }

    fn is_empty(&self) -> bool {
        let state = self.state();
        state.links.is_empty() && !state.is_dialling
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("backend", &self.backend).finish_non_exhaustive()
    }
}
