//! The layers in their order, ready to use.

mod boxed;
mod gauges;
mod proxy;
mod sessions;
mod shutdown;
mod switch;

use std::sync::Arc;

use bartizan_core::{
    Dialect, SessionStore,
    store::{CountSessions, NoStore},
};
use bartizan_forwarded::SanitizeForwardedLayer;
use bartizan_hops::LimitHopsLayer;
use bartizan_origin::GuardOriginLayer;
use bartizan_pin::{Backends, PinBackendLayer, key::NoKey};
use bartizan_resume::{ResumeCounts, ResumeSessionLayer};
use bartizan_session::ValidateSessionLayer;
use bartizan_streams::{Streams, TrackStreamsLayer};
use http::HeaderName;
use tower_layer::{Identity, Layer};

pub use boxed::{BoxedBody, BoxedProxy};
pub use gauges::StackGauges;
pub use proxy::ReverseProxy;
pub use sessions::SessionProxy;
pub use shutdown::Shutdown;
use switch::Switch;

/// Builds a [`ReverseProxy`]: the layers in their order, over a service that forwards.
///
/// ```
/// use std::time::Duration;
/// use bartizan::{
///     ReverseProxyStack,
///     forwarded::TrustedPeers,
///     memory::MemoryStore,
///     pin::Backends,
/// };
///
/// let backends = Backends::new(["http://127.0.0.1:9001".parse()?]);
/// let balancers = TrustedPeers::networks(["10.0.0.0/8".parse()?]);
/// let stack = ReverseProxyStack::mcp(MemoryStore::new(), backends)
///     .session(|layer| layer.idle(Duration::from_secs(30 * 60)))
///     .forwarded(|layer| layer.trust(balancers));
/// # let _ = stack;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
///
/// Optional layers are switched at run time, which does not change the type of the service. To put your own layer
/// anywhere other than at [`Self::auth`], stack the layers yourself: this type only adds their order and their wiring.
#[must_use]
#[derive(Clone, Debug)]
pub struct ReverseProxyStack<T, K = NoKey, P = NoStore, A = Identity> {
    switches: Switches,
    forwarded: SanitizeForwardedLayer,
    origin: GuardOriginLayer,
    hops: LimitHopsLayer,
    auth: A,
    session: ValidateSessionLayer<T>,
    streams: TrackStreamsLayer,
    resume: ResumeSessionLayer<T>,
    pin: PinBackendLayer<K, P>,
}

/// Which of the optional layers are on.
#[derive(Clone, Copy, Debug)]
struct Switches {
    guards: bool,
    streams: bool,
    resume: bool,
}

impl<T: SessionStore + CountSessions> ReverseProxyStack<T> {
    /// Keeps sessions of the Model Context Protocol in `store`, each on the one of `backends` that opened it.
    ///
    /// Everything is connected: the store counts the sessions of each backend, for balancing and draining; the
    /// open streams of a session end with it, and those of a backend with the backend. The defaults are those of
    /// the layers: no proxy in front is trusted, browsers may call only by a loopback name or the address of the
    /// connection and only for pages of this server, a request may cross ten gateways, callers are not authenticated,
    /// and a session ends when its backend is lost.
    pub fn mcp(store: T, backends: Backends) -> Self {
        Self::wired(ValidateSessionLayer::mcp(store.clone()), store, backends)
    }

    /// Keeps sessions of any protocol over HTTP whose ids are in the field `name`, as
    /// [`ValidateSessionLayer::header`] does. Connected as in [`Self::mcp`]. `Host` and `Origin` of browser requests are
    /// not validated unless [`Self::origin`] is called.
    pub fn header(name: HeaderName, store: T, backends: Backends) -> Self {
        Self::wired(ValidateSessionLayer::header(name, store.clone()), store, backends)
    }

    fn wired(session: ValidateSessionLayer<T>, store: T, backends: Backends) -> Self {
        let pin = PinBackendLayer::new(backends.counted_by(Arc::new(store)));
        Self::new(session, pin).streams(|layer| layer)
    }
}

impl<T: SessionStore, K, P> ReverseProxyStack<T, K, P> {
    /// Puts two layers together that you have made and connected yourself: the backends of `pin` are counted by
    /// what you gave to [`Backends::counted_by`]. Streams are not tracked unless [`Self::streams`] is called. `Host` and
    /// `Origin` of browser requests are validated if `session` keeps MCP sessions, or if [`Self::origin`] is called.
    pub fn new(session: ValidateSessionLayer<T>, pin: PinBackendLayer<K, P>) -> Self {
        let speaks_mcp = matches!(session.dialect(), Some(Dialect::JsonRpc(_)));
        Self {
            switches: Switches { guards: true, streams: false, resume: false },
            forwarded: SanitizeForwardedLayer::new(),
            origin: GuardOriginLayer::new().only_if(speaks_mcp),
            hops: LimitHopsLayer::new(),
            auth: Identity::new(),
            resume: ResumeSessionLayer::new(session.store().clone()),
            streams: TrackStreamsLayer::new(),
            session,
            pin,
        }
    }
}

impl<T: SessionStore, K, P, A> ReverseProxyStack<T, K, P, A> {
    /// Configures the layer that finds the client and sanitizes forwarding headers.
    pub fn forwarded(
        mut self,
        configure: impl FnOnce(SanitizeForwardedLayer) -> SanitizeForwardedLayer,
    ) -> Self {
        self.forwarded = configure(self.forwarded);
        self
    }

    /// Configures the layer that validates `Host` and `Origin` of browser requests, against DNS rebinding, and switches
    /// it on. A public name must be [allowed](GuardOriginLayer::allow_host), and so must every origin whose pages call
    /// this server; `layer.only_if(false)` switches it off.
    ///
    /// ```
    /// use bartizan::{ReverseProxyStack, memory::MemoryStore, pin::Backends};
    ///
    /// let backends = Backends::new(["http://127.0.0.1:9001".parse()?]);
    /// let (host, origin) = ("mcp.example.com".parse()?, "https://app.example.com".parse()?);
    /// let stack = ReverseProxyStack::mcp(MemoryStore::new(), backends)
    ///     .origin(|layer| layer.allow_host(host).allow_origin(origin));
    /// # let _ = stack;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn origin(mut self, configure: impl FnOnce(GuardOriginLayer) -> GuardOriginLayer) -> Self {
        self.origin = configure(self.origin.only_if(true));
        self
    }

    /// Configures the layer that detects loops.
    pub fn hops(mut self, configure: impl FnOnce(LimitHopsLayer) -> LimitHopsLayer) -> Self {
        self.hops = configure(self.hops);
        self
    }

    /// Leaves out the three outer layers, which sanitize forwarding headers, validate `Host` and `Origin`, and detect
    /// loops: for a server that has them in front of several routes already.
    pub fn without_guards(mut self) -> Self {
        self.switches.guards = false;
        self
    }

    /// Adds your own authentication, between the guards and the sessions. It names the caller with
    /// [`Principal::attach`](bartizan_core::Principal::attach), and a session belongs to the caller that opened
    /// it. Default: none.
    pub fn auth<L>(self, layer: L) -> ReverseProxyStack<T, K, P, L> {
        let Self { switches, forwarded, origin, hops, session, streams, resume, pin, .. } = self;
        let auth = layer;
        ReverseProxyStack { switches, forwarded, origin, hops, auth, session, streams, resume, pin }
    }

    /// Configures the layer that validates sessions. Return the layer that is passed in: it has the store that the
    /// other layers are connected to.
    pub fn session(
        mut self,
        configure: impl FnOnce(ValidateSessionLayer<T>) -> ValidateSessionLayer<T>,
    ) -> Self {
        self.session = configure(self.session);
        self
    }

    /// Configures the layer that tracks open event streams, and switches it on.
    pub fn streams(
        mut self,
        configure: impl FnOnce(TrackStreamsLayer) -> TrackStreamsLayer,
    ) -> Self {
        if !self.switches.streams {
            let streams = self.streams.streams();
            // The set of backends is shared: the handle that is given back is the same set.
            let _ = self.pin.backends().clone().on_removed(move |id| {
                streams.end_all_on(id);
            });
        }
        self.switches.streams = true;
        self.streams = configure(self.streams);
        self
    }

    /// Does not track streams: a session's open streams outlive it.
    pub fn without_streams(mut self) -> Self {
        self.switches.streams = false;
        self
    }

    /// Resumes an MCP session on another backend when its own is lost, under the same id, and configures the
    /// layer that does it. Default: the session ends.
    pub fn resume(
        mut self,
        configure: impl FnOnce(ResumeSessionLayer<T>) -> ResumeSessionLayer<T>,
    ) -> Self {
        self.switches.resume = true;
        self.resume = configure(self.resume);
        self
    }

    /// Configures the layer that chooses a backend, and keeps each session on its own. Return the layer that is passed
    /// in: its backends are connected to the store and to the streams.
    pub fn pin<L, Q>(
        self,
        configure: impl FnOnce(PinBackendLayer<K, P>) -> PinBackendLayer<L, Q>,
    ) -> ReverseProxyStack<T, L, Q, A> {
        let Self { switches, forwarded, origin, hops, auth, session, streams, resume, pin } = self;
        let pin = configure(pin);
        ReverseProxyStack { switches, forwarded, origin, hops, auth, session, streams, resume, pin }
    }

    /// The open event streams of all services that this stack makes: to list, count or end them.
    #[must_use]
    pub fn open_streams(&self) -> Streams {
        self.streams.streams()
    }

    /// How many sessions were resumed by all services that this stack makes.
    #[must_use]
    pub fn resume_counts(&self) -> ResumeCounts {
        self.resume.counts()
    }

    /// What the layers count themselves: backends, sessions, streams. Take it when everything is configured. The store
    /// is read apart: it may be shared with others.
    #[must_use]
    pub fn gauges(&self) -> StackGauges {
        StackGauges {
            backends: self.pin.backends().clone(),
            sessions: self.session.counts(),
            streams: self.switches.streams.then(|| self.streams.streams()),
            resumed: self.switches.resume.then(|| self.resume.counts()),
        }
    }

    /// The handle that ends what would keep a server from shutting down.
    ///
    /// ```no_run
    /// use std::time::Duration;
    /// use axum::Router;
    /// use bartizan::{ReverseProxyStack, memory::MemoryStore, pin::Backends, upstream::Upstream};
    /// use tower::Layer;
    ///
    /// # #[tokio::main(flavor = "current_thread")] async fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let backends = Backends::new(["http://10.0.0.7:9001".parse()?]);
    /// let stack = ReverseProxyStack::mcp(MemoryStore::new(), backends);
    /// let shutdown = stack.shutdown();
    /// let app = Router::new().route_service("/mcp", stack.layer(Upstream::builder().build()));
    /// let listener = tokio::net::TcpListener::bind("127.0.0.1:8080").await?;
    /// axum::serve(listener, app)
    ///     .with_graceful_shutdown(async move {
    ///         let _ = tokio::signal::ctrl_c().await;
    ///         shutdown.shut_down(Duration::from_secs(20)).await;
    ///     })
    ///     .await?;
    /// # Ok(()) }
    /// ```
    #[must_use]
    pub fn shutdown(&self) -> Shutdown {
        Shutdown::new(self.streams.streams())
    }

    /// `layer`, with refusals in the same format as those of the session layer.
    fn refusing_alike<L: Clone>(&self, layer: &L, refuse_as: fn(L, Dialect) -> L) -> L {
        match self.session.dialect() {
            Some(dialect) => refuse_as(layer.clone(), dialect),
            None => layer.clone(),
        }
    }
}

impl<S, T, K, P, A> Layer<S> for ReverseProxyStack<T, K, P, A>
where
    S: Clone,
    T: SessionStore,
    K: Clone,
    P: Clone,
    A: Layer<SessionProxy<S, T, K, P>>,
{
    type Service = ReverseProxy<A::Service>;

    fn layer(&self, upstream: S) -> Self::Service {
        // Innermost: it names the backend that `upstream` forwards to, and learns from the failures that
        // `upstream` reports. Anything between the two would be called once for each attempt.
        let pinned = self.pin.layer(upstream);
        // Above it, because the layer that pins reports the loss of a session's backend and chooses the next one. Below
        // the guard, so that a session is resumed only for its owner and its client keeps its id.
        let resumed = match self.switches.resume {
            true => Switch::On(self.resume.layer(pinned)),
            false => Switch::Off(pinned),
        };
        // Above that, because a stream belongs to its session, whichever backend it comes from.
        let tracked = match self.switches.streams {
            true => Switch::On(self.streams.layer(resumed)),
            false => Switch::Off(resumed),
        };
        // Above that, so that only a live session of the caller may choose a backend, and the response that opens a
        // session is stored with its backend before it is sent.
        let sessions = SessionProxy::new(self.session.layer(tracked));
        // Above that, because sessions belong to the caller that this layer names. It can read the client's address,
        // but no field that a client made up.
        let authenticated = self.auth.layer(sessions);
        // Above everything expensive, so that a loop is refused before any store or backend is
        // asked.
        let hops = self.refusing_alike(&self.hops, LimitHopsLayer::refuse_as);
        let limited = hops.only_if(self.switches.guards).layer(authenticated);
        // Above loop detection, authentication, stores and bodies, because the request of a foreign page must cost
        // nothing and change nothing. Below the layer that knows the public scheme and host.
        let origin = self.refusing_alike(&self.origin, GuardOriginLayer::refuse_as);
        let origin = if self.switches.guards { origin } else { origin.only_if(false) };
        let validated = origin.scanned_above().layer(limited);
        // Outermost, because nothing below may see a spoofed field.
        let forwarded = self.refusing_alike(&self.forwarded, SanitizeForwardedLayer::refuse_as);
        ReverseProxy::new(forwarded.only_if(self.switches.guards).layer(validated))
    }
}
