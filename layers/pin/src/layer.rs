//! Configuration of [`PinBackend`] services.

use std::{fmt, sync::Arc, time::Duration};

use bartizan_core::{Record, Route, SessionStore, store::NoStore};
use tower_layer::Layer;

#[cfg(feature = "affinity")]
use crate::affinity::{Affinity, AffinityCookie};
use crate::{
    backends::Backends,
    balance::{Balance, LeastSessions},
    config::{Config, OnLost},
    key::{ExtractKey, NoKey},
    service::PinBackend,
};

/// Builds [`PinBackend`] services; see the [crate docs](crate).
///
/// ```
/// use std::time::Duration;
///
/// use bartizan_memory::MemoryStore;
/// use bartizan_pin::{Backends, PinBackendLayer, balance::Rendezvous, key::PathSegmentKey};
///
/// let backends = Backends::new(["http://10.0.0.7:9001".parse()?, "http://10.0.0.8:9001".parse()?]);
/// // By its session, or else by the segment after `/rooms/`.
/// let layer = PinBackendLayer::new(backends)
///     .key(PathSegmentKey::after("/rooms/"), MemoryStore::new())
///     .balance(Rendezvous::new())
///     .lost_after(Duration::from_secs(15));
/// # let _ = layer;
/// # Ok::<(), bartizan_core::backend::InvalidBackend>(())
/// ```
#[must_use]
#[derive(Clone)]
pub struct PinBackendLayer<K = NoKey, T = NoStore> {
    config: Config<K, T>,
}

impl PinBackendLayer {
    /// Pins each request with a session to the backend of that session, which is one of `backends`.
    pub fn new(backends: Backends) -> Self {
        Self {
            config: Config {
                backends,
                balance: Arc::new(LeastSessions::new()),
                on_lost: OnLost::Fail,
                lost_after: Duration::from_secs(5),
                lost_on_404: false,
                failover_within: Duration::from_secs(4),
                affinity: None,
                extract: NoKey::default(),
                store: NoStore::default(),
                route: Route::new("pins"),
                idle: Record::IDLE,
                lifetime: Record::LIFETIME,
                store_timeout: Duration::from_millis(250),
            },
        }
    }
}

impl<K, T> PinBackendLayer<K, T> {
    /// Pins work without a session by the key that `extract` finds, and keeps those pins in `store`.
    pub fn key<E: ExtractKey, P: SessionStore>(
        self,
        extract: E,
        store: P,
    ) -> PinBackendLayer<E, P> {
        let Config {
            backends,
            balance,
            on_lost,
            lost_after,
            lost_on_404,
            failover_within,
            affinity,
            route,
            idle,
            lifetime,
            store_timeout,
            ..
        } = self.config;
        PinBackendLayer {
            config: Config {
                backends,
                balance,
                on_lost,
                lost_after,
                lost_on_404,
                failover_within,
                affinity,
                extract,
                store,
                route,
                idle,
                lifetime,
                store_timeout,
            },
        }
    }

    /// Pins work without a session or key by a cookie that this layer writes, which needs no store; see
    /// [`AffinityCookie`]. Default: none.
    #[cfg(feature = "affinity")]
    #[cfg_attr(docsrs, doc(cfg(feature = "affinity")))]
    pub fn affinity(mut self, cookie: AffinityCookie) -> Self {
        self.config.affinity = Some(Arc::new(Affinity::new(cookie)));
        self
    }

    /// The backends to choose from.
    #[must_use]
    pub fn backends(&self) -> &Backends {
        &self.config.backends
    }

    /// The policy that chooses a backend for new work. Default: [`LeastSessions`].
    pub fn balance(mut self, policy: impl Balance + 'static) -> Self {
        self.config.balance = Arc::new(policy);
        self
    }

    /// What to do with work whose backend is lost. Default: [`OnLost::Fail`].
    pub fn on_lost(mut self, choice: OnLost) -> Self {
        self.config.on_lost = choice;
        self
    }

    /// How long a backend must refuse every connection before its pins count as lost, and how long it may be
    /// unreachable for other reasons before its sessions get 404 here. If connections are also refused while
    /// a server starts, set this longer than a restart takes. Default: 5 s.
    pub fn lost_after(mut self, time: Duration) -> Self {
        self.config.lost_after = time;
        self
    }

    /// Whether a backend's own 404 to work that is pinned by a key removes the pin; the response is passed on
    /// either way. For backends that answer an unknown key with 404. Default: no, since a 404 is usually
    /// about a path. A 404 in a session is handled by the layer that validates sessions.
    pub fn lost_on_404(mut self, ends: bool) -> Self {
        self.config.lost_on_404 = ends;
        self
    }

    /// How long after its first try new work may be sent to another backend when a connection fails. If this
    /// is shorter than the connect timeout, a backend that times out is not followed by another one. Default:
    /// 4 s.
    pub fn failover_within(mut self, time: Duration) -> Self {
        self.config.failover_within = time;
        self
    }

    /// The name of this stack's pins, if several stacks share a store. Default: `pins`.
    pub fn route(mut self, route: impl Into<Route>) -> Self {
        self.config.route = route.into();
        self
    }

    /// How long the pin of a key may stay unused. Default: 2 h.
    pub fn idle(mut self, idle: Duration) -> Self {
        self.config.idle = idle;
        self
    }

    /// How long the pin of a key may exist. Default: 24 h.
    pub fn lifetime(mut self, lifetime: Duration) -> Self {
        self.config.lifetime = lifetime;
        self
    }

    /// The timeout of each operation of the pin store. Default: 250 ms.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.config.store_timeout = timeout;
        self
    }
}

impl<S, K: Clone, T: Clone> Layer<S> for PinBackendLayer<K, T> {
    type Service = PinBackend<S, K, T>;

    fn layer(&self, inner: S) -> Self::Service {
        PinBackend::new(inner, Arc::new(self.config.clone()))
    }
}

impl<K, T> fmt::Debug for PinBackendLayer<K, T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut debug = f.debug_struct("PinBackendLayer");
        self.config.debug(&mut debug);
        debug.finish_non_exhaustive()
    }
}
