//! What `/metrics` shows: the requests, and what the parts of the gateway count themselves.

use bartizan::{
    core::gauges::{Gauges, Metric, Reading},
    observe::Metrics,
    pin::Backends,
};

use crate::{stack::Stack, store::OpenStore};

/// Which build this is.
struct Build;

const BUILD: Metric = Metric::gauge(
    "bartizan_build_info",
    "Always 1; the labels tell the version and the revision of the gateway.",
);

/// The revision of the source, where the build is told one.
const REVISION: &str = match option_env!("BARTIZAN_REVISION") {
    Some(revision) => revision,
    None => "unknown",
};

impl Gauges for Build {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        let labels = [("version", env!("CARGO_PKG_VERSION")), ("revision", REVISION)];
        out(Reading::new(&BUILD, &labels, 1));
    }
}

/// The metrics of the gateway that `stack` and `store` make.
pub(crate) fn metrics(stack: &Stack, backends: &Backends, store: &OpenStore) -> Metrics {
    let metrics = Metrics::new();
    metrics.watch(Build);
    metrics.watch(stack.gauges());
    store.watched_by(&metrics);
    let removed = metrics.clone();
    // The set is shared: the handle that is given back is the same set.
    let _ = backends.clone().on_removed(move |id| removed.backend_removed(id));
    metrics
}
