//! The handle that all layers share.

use std::{
    fmt,
    sync::{Arc, Mutex, PoisonError},
};

use bartizan_core::{
    BackendId,
    gauges::{Gauges, Reading},
};

use crate::{
    ObserveBackendsLayer, ObserveRequestsLayer, Snapshot, backends::BackendTable,
    requests::RequestTable,
};

/// Counts requests, and reads what other parts count; see the [crate docs](crate). Clones are one handle.
#[derive(Clone)]
pub struct Metrics(Arc<Shared>);

/// Builds [`Metrics`].
#[must_use]
#[derive(Clone, Debug)]
pub struct MetricsBuilder {
    route: Option<Box<str>>,
    max_backends: usize,
}

/// What the layers and their futures hold.
pub(crate) struct Shared {
    pub(crate) requests: RequestTable,
    pub(crate) backends: BackendTable,
    route: Option<Box<str>>,
    sources: Mutex<Vec<Arc<dyn Gauges>>>,
}

impl Metrics {
    /// Counts with the defaults of [`Metrics::builder`].
    #[must_use]
    pub fn new() -> Self {
        Self::builder().build()
    }

    /// Counts 64 backends apart, without a label `route`.
    pub const fn builder() -> MetricsBuilder {
        MetricsBuilder { route: None, max_backends: 64 }
    }

    /// The layer that counts requests as clients see them: outermost, around all that responds.
    pub fn edge(&self) -> ObserveRequestsLayer {
        ObserveRequestsLayer::new(Arc::clone(&self.0))
    }

    /// The layer that counts requests as backends see them: directly around the service that forwards.
    pub fn backends(&self) -> ObserveBackendsLayer {
        ObserveBackendsLayer::new(Arc::clone(&self.0))
    }

    /// Reads `source` whenever these metrics are read. It is kept for as long as they are.
    ///
    /// Where two sources give the same metric with the same labels, the sum of both is shown.
    pub fn watch(&self, source: impl Gauges) {
        self.sources().push(Arc::new(source));
    }

    /// States that `backend` is not among the backends any more. Its series are shown for five minutes more, and
    /// longer if it is still used. Without it, a backend keeps its series, and its place among those that have some.
    ///
    /// Meant as the callback of
    /// [`Backends::on_removed`](https://docs.rs/bartizan-pin/latest/bartizan_pin/struct.Backends.html#method.on_removed).
    /// If these metrics also watch that set, the two keep each other alive.
    pub fn backend_removed(&self, backend: &BackendId) {
        self.0.backends.removed(backend);
    }

    /// All numbers as they are now, those of the watched sources included. It allocates, and takes as long as
    /// the sources take.
    #[must_use]
    pub fn snapshot(&self) -> Snapshot {
        let mut snapshot = Snapshot::default();
        self.read(&mut |reading| snapshot.add(&reading));
        // Not held while they are read: a source may be slow.
        let sources = self.sources().clone();
        for source in sources {
            source.read(&mut |reading| snapshot.add(&reading));
        }
        snapshot
    }

    fn sources(&self) -> std::sync::MutexGuard<'_, Vec<Arc<dyn Gauges>>> {
        self.0.sources.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What these metrics count themselves, without the sources that they watch. So those of one stack can be watched by
/// those of another, and both are read at once; give each its [route](MetricsBuilder::route).
impl Gauges for Metrics {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        let route = self.0.route.as_deref();
        self.0.requests.read(route, out);
        self.0.backends.read(route, out);
    }
}

impl MetricsBuilder {
    /// Adds the label `route` with this value to all that these metrics count. For a process with several stacks.
    /// Default: no such label.
    pub fn route(self, name: &str) -> Self {
        Self { route: Some(name.into()), ..self }
    }

    /// How many backends have series of their own. The requests to further ones are counted together, as `_OTHER`,
    /// which is logged once. Default: 64.
    pub const fn max_backends(mut self, max: usize) -> Self {
        self.max_backends = max;
        self
    }

    /// The handle.
    #[must_use]
    pub fn build(self) -> Metrics {
        let Self { route, max_backends } = self;
        Metrics(Arc::new(Shared {
            requests: RequestTable::new(),
            backends: BackendTable::new(max_backends),
            route,
            sources: Mutex::default(),
        }))
    }
}

impl Default for Metrics {
    fn default() -> Self {
        Self::new()
    }
}

impl Default for MetricsBuilder {
    fn default() -> Self {
        Metrics::builder()
    }
}

impl fmt::Debug for Metrics {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl fmt::Debug for Shared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Metrics").field("route", &self.route).finish_non_exhaustive()
    }
}
