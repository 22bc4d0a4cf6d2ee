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

use super::{
    super::{address::Names, config::Config},
    dialer::Dialer,
    pool::{Limits, Pool},
};

pub(super) struct Pools {
    // By authority, as written: the rest of the origin is the same for all.
    by_authority: RwLock<HashMap<Box<str>, Arc<Pool>, RandomState>>,
    dialer: Dialer,
    limits: Limits,
    is_swept: AtomicBool,
}

impl Pools {
    /// The addresses of names, as the connections know them.
    pub(super) fn names(&self) -> Arc<Names> {
        Arc::clone(&self.dialer.names)
    }

    pub(super) fn new(config: &Config) -> Self {
        let names = Names::new(config.resolver.clone(), config.connect_timeout);
        Self {
            by_authority: RwLock::default(),
            dialer: Dialer {
                names,
                connection_wait: config.connection_wait,
                write_timeout: config.write_timeout,
            },
            limits: Limits {
                idle_timeout: config.idle_timeout,
                max_idle: config.max_idle_per_backend,
                max_open: config.max_connections_per_backend,
            },
            is_swept: AtomicBool::new(false),
        }
    }

    /// Closes what has not been used for long, and forgets backends that nobody asks for any more.
    fn sweep(&self) {
        let mut pools = self.by_authority.write().unwrap_or_else(PoisonError::into_inner);
        pools.retain(|_, pool| {
            pool.sweep();
            // Nobody else can get hold of it: the map is locked.
            Arc::strong_count(pool) > 1 || !pool.is_empty()
        });
    }
}

impl Pools {
    /// The pool of `backend`.
    #[inline]
    pub(super) fn of(self: &Arc<Self>, backend: &Backend) -> Arc<Pool> {
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

    /// Makes the pool of `backend`; from the first one on, they are swept.
    #[cold]
    fn add(self: &Arc<Self>, backend: &Backend) -> Arc<Pool> {
        if !self.is_swept.swap(true, Ordering::Relaxed) {
            tokio::spawn(sweep(Arc::downgrade(self), self.limits.idle_timeout));
        }
        let mut pools = self.by_authority.write().unwrap_or_else(PoisonError::into_inner);
        let new = || Arc::new(Pool::new(backend.clone(), self.dialer.clone(), self.limits));
        Arc::clone(pools.entry(backend.authority().as_str().into()).or_insert_with(new))
    }
}

/// Sweeps `pools` four times per idle time, but no oftener than ten times a second, until they are gone.
async fn sweep(pools: Weak<Pools>, idle_timeout: Duration) {
    let mut round = interval((idle_timeout / 4).max(Duration::from_millis(100)));
    round.set_missed_tick_behavior(MissedTickBehavior::Delay);
    loop {
        round.tick().await;
        let Some(pools) = pools.upgrade() else { return };
        pools.sweep();
    }
}

impl fmt::Debug for Pools {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Pools").field("limits", &self.limits).finish_non_exhaustive()
    }
}
