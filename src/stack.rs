//! The layers in their order.

use bartizan_core::SessionStore;
use bartizan_pin::{NoPins, PinBackend, PinBackendLayer, key::NoKey};
use bartizan_session::{ValidateSession, ValidateSessionLayer};
use tower_layer::Layer;

/// The layers in their order, over a service that forwards.
///
/// ```
/// use bartizan::{
///     ReverseProxyStack,
///     memory::MemoryStore,
///     pin::{Backends, PinBackendLayer},
///     session::ValidateSessionLayer,
/// };
/// use std::sync::Arc;
///
/// let store = MemoryStore::new();
/// let backends = Backends::new(["http://127.0.0.1:9001".parse()?])
///     .counted_by(Arc::new(store.clone()));
/// let stack = ReverseProxyStack::new(
///     ValidateSessionLayer::mcp(store),
///     PinBackendLayer::new(backends),
/// );
/// # let _ = stack;
/// # Ok::<(), bartizan::core::backend::InvalidBackend>(())
/// ```
///
/// A layer of your own that must stand between two of these is put there by stacking them yourself:
/// this type is no more than their order.
#[must_use]
#[derive(Clone, Debug)]
pub struct ReverseProxyStack<T, K = NoKey, P = NoPins> {
    session: ValidateSessionLayer<T>,
    pin: PinBackendLayer<K, P>,
}

impl<T: SessionStore, K, P> ReverseProxyStack<T, K, P> {
    /// Puts the layers together.
    pub const fn new(session: ValidateSessionLayer<T>, pin: PinBackendLayer<K, P>) -> Self {
        Self { session, pin }
    }
}

impl<S, T, K, P> Layer<S> for ReverseProxyStack<T, K, P>
where
    T: SessionStore,
    K: Clone,
    P: Clone,
{
    type Service = ValidateSession<PinBackend<S, K, P>, T>;

    fn layer(&self, upstream: S) -> Self::Service {
        // Innermost: it names the backend that `upstream` forwards to, and learns from the failures that
        // `upstream` reports. Anything between the two would be called once for each try.
        let pinned = self.pin.layer(upstream);
        // Above it: only a session that is live and the caller's own may choose a backend, and the
        // response that names a new session passes here with its backend before it leaves.
        self.session.layer(pinned)
    }
}
