//! The layers in their order.

use bartizan_core::{Dialect, SessionStore, store::NoStore};
use bartizan_forwarded::{SanitizeForwarded, SanitizeForwardedLayer};
use bartizan_hops::{LimitHops, LimitHopsLayer};
use bartizan_pin::{PinBackend, PinBackendLayer, key::NoKey};
use bartizan_session::{ValidateSession, ValidateSessionLayer};
use tower_layer::{Identity, Layer};

/// The layers in their order, over a service that forwards.
///
/// ```
/// use bartizan::{
///     ReverseProxyStack,
///     forwarded::{SanitizeForwardedLayer, TrustedPeers},
///     memory::MemoryStore,
///     pin::{Backends, PinBackendLayer},
///     session::ValidateSessionLayer,
/// };
/// use std::sync::Arc;
///
/// let store = MemoryStore::new();
/// let backends = Backends::new(["http://127.0.0.1:9001".parse()?])
///     .counted_by(Arc::new(store.clone()));
/// let balancers = TrustedPeers::networks(["10.0.0.0/8".parse()?]);
/// let stack = ReverseProxyStack::new(
///     ValidateSessionLayer::mcp(store),
///     PinBackendLayer::new(backends),
/// )
/// .forwarded(SanitizeForwardedLayer::new().trust(balancers));
/// # let _ = stack;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// A layer of your own that must stand elsewhere than at [`Self::auth`] is put there by stacking them
/// yourself: this type is no more than their order.
#[must_use]
#[derive(Clone, Debug)]
pub struct ReverseProxyStack<T, K = NoKey, P = NoStore, A = Identity, I = Identity, M = Identity> {
    forwarded: SanitizeForwardedLayer,
    hops: LimitHopsLayer,
    auth: A,
    session: ValidateSessionLayer<T>,
    within: I,
    resume: M,
    pin: PinBackendLayer<K, P>,
}

impl<T: SessionStore, K, P> ReverseProxyStack<T, K, P> {
    /// Puts the layers together: nobody is trusted, ten hops are allowed, and nobody is authenticated.
    pub fn new(session: ValidateSessionLayer<T>, pin: PinBackendLayer<K, P>) -> Self {
        let (forwarded, hops) = (SanitizeForwardedLayer::new(), LimitHopsLayer::new());
        let [auth, within, resume] = [const { Identity::new() }; 3];
        Self { forwarded, hops, auth, session, within, resume, pin }
    }
}

impl<T, K, P, A, I, M> ReverseProxyStack<T, K, P, A, I, M> {
    /// Says whose word about the client is taken, and what the backend is told of it. Default:
    /// [`SanitizeForwardedLayer::new`].
    pub fn forwarded(self, layer: SanitizeForwardedLayer) -> Self {
        Self { forwarded: layer, ..self }
    }

    /// Says how loops are found. Default: [`LimitHopsLayer::new`].
    pub fn hops(self, layer: LimitHopsLayer) -> Self {
        Self { hops: layer, ..self }
    }

    /// Puts your own authentication at its place; it names the caller with
    /// [`Principal::attach`](bartizan_core::Principal::attach). Default: none.
    pub fn auth<B>(self, layer: B) -> ReverseProxyStack<T, K, P, B, I, M> {
        let Self { forwarded, hops, session, within, resume, pin, .. } = self;
        ReverseProxyStack { forwarded, hops, auth: layer, session, within, resume, pin }
    }

    /// Puts a layer where a request has its session and not yet its backend: `TrackStreamsLayer`, say.
    /// Default: none.
    pub fn within_session<J>(self, layer: J) -> ReverseProxyStack<T, K, P, A, J, M> {
        let Self { forwarded, hops, auth, session, resume, pin, .. } = self;
        ReverseProxyStack { forwarded, hops, auth, session, within: layer, resume, pin }
    }

    /// Resumes a session on another backend when its own is lost. Default: it ends.
    #[cfg(feature = "resume")]
    #[cfg_attr(docsrs, doc(cfg(feature = "resume")))]
    pub fn resume(
        self,
        layer: bartizan_resume::ResumeSessionLayer<T>,
    ) -> ReverseProxyStack<T, K, P, A, I, bartizan_resume::ResumeSessionLayer<T>> {
        let Self { forwarded, hops, auth, session, within, pin, .. } = self;
        ReverseProxyStack { forwarded, hops, auth, session, within, resume: layer, pin }
    }
}

impl<T: SessionStore, K, P, A, I, M> ReverseProxyStack<T, K, P, A, I, M> {
    /// `layer`, refusing in the form in which the session layer refuses.
    fn speaking<L: Clone>(&self, layer: &L, refuse_as: fn(L, Dialect) -> L) -> L {
        match self.session.dialect() {
            Some(dialect) => refuse_as(layer.clone(), dialect),
            None => layer.clone(),
        }
    }
}

impl<S, T, K, P, A, I, M> Layer<S> for ReverseProxyStack<T, K, P, A, I, M>
where
    T: SessionStore,
    K: Clone,
    P: Clone,
    M: Layer<PinBackend<S, K, P>>,
    I: Layer<M::Service>,
    A: Layer<ValidateSession<I::Service, T>>,
{
    type Service = SanitizeForwarded<LimitHops<A::Service>>;

    fn layer(&self, upstream: S) -> Self::Service {
        // Innermost: it names the backend that `upstream` forwards to, and learns from the failures that
        // `upstream` reports. Anything between the two would be called once for each try.
        let pinned = self.pin.layer(upstream);
        // Above it: the loss of a session's backend is learned from it, and the next one chosen by it.
        // Below the guard: a session is resumed only for its owner, and its client keeps its id.
        let resumed = self.resume.layer(pinned);
        // Above that: whatever is about the streams of a session, whichever backend they come from.
        let within = self.within.layer(resumed);
        // Above that: only a session that is live and the caller's own may choose a backend, and the
        // response that names a new session passes here with its backend before it leaves.
        let validated = self.session.layer(within);
        // Above that: sessions belong to whom this names. It may read the client's address, and nothing
        // that a client made up.
        let authenticated = self.auth.layer(validated);
        // Above all that costs: a loop is refused before anybody is asked for anything.
        let limited = self.speaking(&self.hops, LimitHopsLayer::refuse_as).layer(authenticated);
        // Outermost: nothing below may see a spoofed field.
        self.speaking(&self.forwarded, SanitizeForwardedLayer::refuse_as).layer(limited)
    }
}
