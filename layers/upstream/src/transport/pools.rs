//! A pool for each backend, and the task that sweeps them.

use std::{
    collections::HashMap,
    fmt,
    sync::{
        Arc, PoisonError, RwLock, Weak,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bartizan_core::Backend;
use foldhash::quality::RandomState;
use tokio::time::{MissedTickBehavior, interval};

use super::{config::Config, dialer::Dialer};

/// Pools of one kind, by authority as written: the rest of the origin is the same for all.
pub(super) struct Pools<P> {
    by_authority: RwLock<HashMap<Box<str>, Arc<P>, RandomState>>,
    dialer: Dialer,
    limits: Limits,
    is_swept: AtomicBool,
}

/// The limits of a pool.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) idle_timeout: Duration,
    pub(super) max_idle: usize,
    pub(super) max_open: usize,
}

impl Limits {
    /// Whether there is a limit to how many connections there may be, in use or not.
    const fn is_bound(&self) -> bool {
        self.max_idle < usize::MAX || self.max_open < usize::MAX
    }
}

/// The connections to one backend.
pub(super) trait Pool: Send + Sync + 'static {
    fn new(backend: Backend, dialer: Dialer, limits: Limits) -> Self;

    /// Closes connections that have been unused for too long, and forgets closed ones.
    fn sweep(&self);

    /// Whether there is no connection, and no request waits for one.
    fn is_empty(&self) -> bool;
}

impl<P> Pools<P> {
    pub(super) fn new(config: &Config, dialer: Dialer) -> Self {
        Self {
            by_authority: RwLock::default(),
            dialer,
            limits: Limits {
                idle_timeout: config.idle_timeout,
                max_idle: config.max_idle_per_backend,
                max_open: config.max_connections_per_backend,
            },
            is_swept: AtomicBool::new(false),
        }
    }

    /// Pools for another worker: separate connections, with the same table of names. Pools with a limit are shared, so
    /// that the limit holds for all workers, and a waiting request takes the first free connection.
    pub(super) fn for_worker(self: &Arc<Self>) -> Arc<Self> {
        if self.limits.is_bound() {
            return Arc::clone(self);
        }
        Arc::new(Self {
            by_authority: RwLock::default(),
            dialer: self.dialer.clone(),
            limits: self.limits,
            is_swept: AtomicBool::new(false),
        })
    }

    /// How their connections are made.
    pub(super) const fn dialer(&self) -> &Dialer {
        &self.dialer
    }
}

impl<P: Pool> Pools<P> {
    /// Closes connections that have been unused for too long, and forgets unused backends.
    fn sweep(&self) {
        let mut pools = self.by_authority.write().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|_, pool| {
            pool.sweep();
            // No other thread can get it, because the map is locked.
            Arc::strong_count(pool) > 1 || !pool.is_empty()
        });
    }
}

impl<P: Pool> Pools<P> {
    /// The pool of `backend`.
    #[inline]
    pub(super) fn of(self: &Arc<Self>, backend: &Backend) -> Arc<P> {
        let authority = backend.authority().as_str();
        let pools = self.by_authority.read().unwrap_or_else(PoisonError::into_inner);
        match pools.get(authority) {
            Some(pool) => Arc::clone(pool),
            None => {
                drop(pools);
                self.add(backend)
            }
        }
    }

    /// Makes the pool of `backend`. The first one starts the sweeper.
    #[cold]
    fn add(self: &Arc<Self>, backend: &Backend) -> Arc<P> {
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self), self.limits.idle_timeout));
        }
        let mut pools = self.by_authority.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(P::new(backend.clone(), self.dialer.clone(), self.limits));
        Arc::clone(pools.entry(backend.authority().as_str().into()).or_insert_with(new))
    }
}

/// Sweeps `pools` four times per idle time, but at most ten times a second, until they are gone.
async fn sweep<P: Pool>(pools: Weak<Pools<P>>, idle_timeout: Duration) {
    let mut round = interval((idle_timeout / 4).max(Duration::from_millis(100)));
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        let Some(pools) = pools.upgrade() else { return };
        pools.sweep();
    }
}

impl<P> fmt::Debug for Pools<P> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("limits", &self.limits).finish_non_exhaustive()
    }
}
