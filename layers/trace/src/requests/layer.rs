//! Configuration of [`TraceRequests`] services.

use std::{borrow::Cow, sync::Arc};

use bartizan_core::PeerAddr;
use tower_layer::Layer;

use super::service::{Config, TraceRequests};
use crate::{Ratio, TraceCounts, rate::Rate, trust::Trust};

const MAX_PER_SECOND: u32 = 100;

/// Builds [`TraceRequests`] services; see the [crate docs](crate).
///
/// Clones of a layer, and all services that it builds, share its limit and its counts.
///
/// ```
/// use bartizan_trace::{Ratio, TraceRequestsLayer};
/// use opentelemetry::trace::noop::NoopTracer;
///
/// let layer = TraceRequestsLayer::new(NoopTracer::new())
///     .sample(Ratio::new(0.01)?)
///     .max_per_second(50)
///     .route("/mcp");
/// # let _ = layer;
/// # Ok::<(), bartizan_core::ConfigError>(())
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct TraceRequestsLayer<T> {
    is_on: bool,
    tracer: T,
    ratio: Ratio,
    trust: Trust,
    rate: Arc<Rate>,
    routes: Vec<Cow<'static, str>>,
    counts: TraceCounts,
}

impl<T> TraceRequestsLayer<T> {
    /// Records all requests, up to 100 per second, with `tracer`.
    ///
    /// `tracer` need not decide what to sample: it is only asked for spans that are to be recorded. If it declines, the
    /// request is not recorded.
    pub fn new(tracer: T) -> Self {
        Self {
            is_on: true,
            tracer,
            ratio: Ratio::ALL,
            trust: Trust::default(),
            rate: Arc::new(Rate::new(MAX_PER_SECOND)),
            routes: Vec::new(),
            counts: TraceCounts::default(),
        }
    }

    /// Switches the layer on or off. A service that is off passes every request and response on unchanged,
    /// and has the same type as one that is on. Default: on.
    pub fn only_if(self, is_on: bool) -> Self {
        Self { is_on, ..self }
    }

    /// The share of requests to record, of those whose sender does not decide it: a trusted peer does, by the flag in
    /// its `traceparent`. Default: [`Ratio::ALL`].
    pub fn sample(self, ratio: Ratio) -> Self {
        Self { ratio, ..self }
    }

    /// The number of requests to record per second, also of those that a trusted peer has sampled; 0 records none.
    /// Further requests are forwarded as if they were not sampled. Default: 100.
    pub fn max_per_second(self, max: u32) -> Self {
        Self { rate: Arc::new(Rate::new(max)), ..self }
    }

    /// Trusts the sampled flag of the peers for which `includes` is true. A peer whose address is not known is not
    /// trusted. Default: the peers that a layer above trusts
    /// ([`Passage::trusts_peer`](bartizan_core::Passage::trusts_peer)), and none if there is no such layer.
    pub fn trust(self, includes: impl Fn(&PeerAddr) -> bool + Send + Sync + 'static) -> Self {
        Self { trust: Trust::If(Arc::new(includes)), ..self }
    }

    /// Trusts the sampled flag of every peer: for a server that strangers cannot reach.
    pub fn trust_all(self) -> Self {
        Self { trust: Trust::All, ..self }
    }

    /// Records `path` as `http.route` and `url.path`, and in the name of the span, for requests to exactly that path.
    /// May be called several times. Other paths are not recorded: they may hold secrets. Default: none.
    pub fn route(mut self, path: impl Into<Cow<'static, str>>) -> Self {
        self.routes.push(path.into());
        self
    }

    /// How many requests were recorded by all services of this layer and its clones.
    #[must_use]
    pub fn counts(&self) -> TraceCounts {
        self.counts.clone()
    }

    fn config(&self) -> Config {
        Config {
            ratio: self.ratio,
            trust: self.trust.clone(),
            rate: Arc::clone(&self.rate),
            routes: self.routes.clone(),
            counts: self.counts.clone(),
        }
    }
}

impl<S, T: Clone> Layer<S> for TraceRequestsLayer<T> {
    type Service = TraceRequests<S, T>;

    fn layer(&self, inner: S) -> TraceRequests<S, T> {
        let config = self.is_on.then(|| Arc::new(self.config()));
        TraceRequests::new(inner, self.tracer.clone(), config)
    }
}
