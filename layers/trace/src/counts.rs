//! What the layer has recorded, and what it has not.

use std::sync::Arc;

use bartizan_core::gauges::{Counter, Gauges, Metric, Reading};

static RECORDED: Metric =
    Metric::counter("bartizan_traces_recorded_total", "Requests whose trace is recorded.");
static DROPPED: Metric = Metric::counter(
    "bartizan_spans_dropped_total",
    "Requests or spans that were to be recorded and are not.",
);
static MALFORMED: Metric = Metric::counter(
    "bartizan_traceparents_malformed_total",
    "Requests whose traceparent was malformed.",
);

/// How many requests were recorded by all services of one layer. Clones show the same numbers.
#[derive(Clone, Debug, Default)]
pub struct TraceCounts(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    recorded: Counter,
    dropped: Counter,
    malformed: Counter,
}

impl TraceCounts {
    /// Requests that were recorded.
    #[must_use]
    pub fn recorded(&self) -> u64 {
        self.0.recorded.get()
    }

    /// Requests that were to be recorded, and were not because of
    /// [`max_per_second`](crate::TraceRequestsLayer::max_per_second).
    #[must_use]
    pub fn dropped(&self) -> u64 {
        self.0.dropped.get()
    }

    /// Requests whose `traceparent` was malformed.
    #[must_use]
    pub fn malformed(&self) -> u64 {
        self.0.malformed.get()
    }

    pub(crate) fn count_recorded(&self) {
        self.0.recorded.add_one();
    }

    pub(crate) fn count_dropped(&self) {
        self.0.dropped.add_one();
    }

    pub(crate) fn count_malformed(&self) {
        self.0.malformed.add_one();
    }
}

impl Gauges for TraceCounts {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        out(Reading::new(&RECORDED, &[], self.recorded()));
        out(Reading::new(&DROPPED, &[("cause", "rate")], self.dropped()));
        out(Reading::new(&MALFORMED, &[], self.malformed()));
    }
}
