//! Configuration of [`ObserveRequests`] services.

use std::sync::Arc;

use tower_layer::Layer;

use crate::{ObserveRequests, metrics::Shared};

/// Builds [`ObserveRequests`] services. Made by [`Metrics::edge`](crate::Metrics::edge).
#[must_use]
#[derive(Clone, Debug)]
pub struct ObserveRequestsLayer {
    shared: Arc<Shared>,
    is_on: bool,
}

impl ObserveRequestsLayer {
    pub(crate) const fn new(shared: Arc<Shared>) -> Self {
        Self { shared, is_on: true }
    }

    /// Switches the layer on or off. A service that is off counts nothing, and has the same type as one that is on.
    /// Default: on.
    pub fn only_if(self, is_on: bool) -> Self {
        Self { is_on, ..self }
    }
}

impl<S> Layer<S> for ObserveRequestsLayer {
    type Service = ObserveRequests<S>;

    fn layer(&self, inner: S) -> ObserveRequests<S> {
        ObserveRequests::new(inner, self.is_on.then(|| Arc::clone(&self.shared)))
    }
}
