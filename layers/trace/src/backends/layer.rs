//! Configuration of [`TraceBackends`] services.

use tower_layer::Layer;

use super::service::TraceBackends;

/// Builds [`TraceBackends`] services; see the [crate docs](crate).
#[must_use]
#[derive(Clone, Debug)]
pub struct TraceBackendsLayer<T> {
    is_on: bool,
    tracer: T,
}

impl<T> TraceBackendsLayer<T> {
    /// Records the tries of requests that [`TraceRequests`](crate::TraceRequests) records, with `tracer`.
    pub const fn new(tracer: T) -> Self {
        Self { is_on: true, tracer }
    }

    /// Switches the layer on or off. A service that is off passes every request and response on unchanged,
    /// and has the same type as one that is on. Default: on.
    pub fn only_if(self, is_on: bool) -> Self {
        Self { is_on, ..self }
    }
}

impl<S, T: Clone> Layer<S> for TraceBackendsLayer<T> {
    type Service = TraceBackends<S, T>;

    fn layer(&self, inner: S) -> TraceBackends<S, T> {
        TraceBackends::new(inner, self.tracer.clone(), self.is_on)
    }
}
