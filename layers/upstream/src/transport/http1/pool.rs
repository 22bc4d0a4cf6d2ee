//! The connections to one backend.
//!
//! | when a request arrives | it |
//! |---|---|
//! | an idle connection is ready | takes the one that was used last |
//! | none is ready, and the limit is not reached | makes one |
//! | the limit is reached | waits in a queue for one of the two |
//!
//! A connection counts from the start of the attempt until its task ends ([`Permit`]).
//!
//! All pooled connections lead to one address. If the backend has moved to another, those to the old one are closed:
//! the idle ones at once ([`Pool::is_at`]), or at the next request if another worker's pool was the first to go there;
//! the others when their response is over.

use std::{
    collections::VecDeque,
    fmt,
    sync::{Arc, Mutex, MutexGuard, PoisonError, Weak},
};

use bartizan_core::Backend;
use tokio::{runtime::Handle, sync::oneshot, time::Instant};

use super::{
    super::{
        address::PoolEpoch,
        dialer::Dialer,
        pools::{self, Limits},
    },
    link::Link,
};

pub(in super::super) struct Pool {
    backend: Backend,
    dialer: Dialer,
    limits: Limits,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    // The most recently used connection is last: it is the most likely to be open, and the others
    // may idle out.
    idle: Vec<Idle>,
    open: usize,
    // How many connections are being drained for cancelled exchanges.
    read_out: usize,
    epoch: PoolEpoch,
    // Cancelled requests stay in the queue until their turn.
    waiting: VecDeque<oneshot::Sender<Turn>>,
}

struct Idle {
    link: Link,
    since: Instant,
}

/// How a request gets a connection.
pub(super) enum Checkout {
    Kept(Link),
    Dial(Permit),
    Wait(oneshot::Receiver<Turn>),
}

/// What a request waits for.
pub(super) enum Turn {
    Use(Link),
    Dial(Permit),
}

/// How many connections may be drained at once for cancelled exchanges.
const MAX_READ_OUT: usize = 64;

/// The permission to drain a connection.
pub(super) struct ReadOut(Arc<Pool>);

/// The permission to have a connection. Dropping it passes it on to another request.
pub(super) struct Permit(Weak<Pool>);

impl Pool {
    pub(super) const fn backend(&self) -> &Backend {
        &self.backend
    }

    /// How its connections are made.
    pub(super) fn dialer(&self) -> Dialer {
        self.dialer.clone()
    }

    #[inline]
    pub(super) fn check_out(self: &Arc<Self>) -> Checkout {
        let mut state = self.state();
        if state.epoch.follows(&self.dialer.names, &self.backend) {
            state.idle.clear();
        }
        while let Some(idle) = state.idle.pop() {
            if idle.link.sender.is_ready() && idle.since.elapsed() < self.limits.idle_timeout {
                return Checkout::Kept(idle.link);
            }
        }
        if state.open < self.limits.max_open {
            state.open += 1;
            return Checkout::Dial(Permit(Arc::downgrade(self)));
        }
        while state.waiting.front().is_some_and(oneshot::Sender::is_closed) {
            state.waiting.pop_front();
        }
        let (turn, wait) = oneshot::channel();
        state.waiting.push_back(turn);
        Checkout::Wait(wait)
    }

    /// Takes back a connection whose response is complete.
    #[inline]
    pub(super) fn check_in(&self, link: Link) {
        if !link.sender.is_ready() {
            return;
        }
        let mut state = self.state();
        if state.epoch.is_past(link.epoch) {
            return;
        }
        let mut turn = Turn::Use(link);
        while let Some(next) = state.waiting.pop_front() {
            match next.send(turn) {
                Ok(()) => return,
                Err(refused) => turn = refused,
            }
        }
        let Turn::Use(link) = turn else { return };
        if state.idle.len() < self.limits.max_idle {
            state.idle.push(Idle { link, since: Instant::now() });
        }
    }

    /// Closes the idle connections if they lead to an address before that of `epoch`.
    pub(super) fn is_at(&self, epoch: u64) {
        let mut state = self.state();
        if state.epoch.moves_to(epoch) {
            state.idle.clear();
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // A panic while the lock was held leaves consistent data, because each change is one step.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Pool {
    /// Takes back a connection whose response is complete, even if the request is not: the backend
    /// responded before it had read all of it.
    #[inline]
    pub(super) fn check_in_when_ready(self: &Arc<Self>, mut link: Link) {
        if link.sender.is_ready() {
            self.check_in(link);
        } else if !link.sender.is_closed()
            // Outside of a runtime, no task can wait, so the connection is closed.
            && let Ok(runtime) = Handle::try_current()
        {
            let pool = Arc::downgrade(self);
            runtime.spawn(async move {
                if link.sender.ready().await.is_ok()
                    && let Some(pool) = pool.upgrade()
                {
                    pool.check_in(link);
                }
            });
        }
    }
}

impl Pool {
    /// The permission to drain one of its connections, unless too many are being drained already.
    pub(super) fn read_out(self: &Arc<Self>) -> Option<ReadOut> {
        let mut state = self.state();
        if state.read_out >= MAX_READ_OUT {
            return None;
        }
        state.read_out += 1;
        Some(ReadOut(Arc::clone(self)))
    }
}

impl pools::Pool for Pool {
    fn new(backend: Backend, dialer: Dialer, limits: Limits) -> Self {
        Self { backend, dialer, limits, state: Mutex::default() }
    }

    fn sweep(&self) {
        let idle_timeout = self.limits.idle_timeout;
        let is_kept =
            |idle: &Idle| idle.link.sender.is_ready() && idle.since.elapsed() < idle_timeout;
        self.state().idle.retain(is_kept);
    }

    fn is_empty(&self) -> bool {
        let state = self.state();
        state.idle.is_empty() && state.open == 0
    }
}

impl Drop for ReadOut {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.read_out = state.read_out.saturating_sub(1);
    }
}

impl Drop for Permit {
    fn drop(&mut self) {
        let Some(pool) = self.0.upgrade() else { return };
        let mut state = pool.state();
        while let Some(next) = state.waiting.pop_front() {
            match next.send(Turn::Dial(Self(Weak::clone(&self.0)))) {
                Ok(()) => return,
                Err(Turn::Dial(mut refused)) => refused.0 = Weak::new(),
                Err(Turn::Use(_)) => {}
            }
        }
        state.open = state.open.saturating_sub(1);
    }
}

impl fmt::Debug for Pool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pool").field("backend", &self.backend).finish_non_exhaustive()
    }
}
