//! Numbers that a part of the stack keeps about itself, and how they are read.
//!
//! A part counts in its own atomics and implements [`Gauges`]. Whatever exports metrics reads them when it is asked, so
//! that a number costs a request nothing, and no part knows who exports it.
//!
//! ```
//! use bartizan_core::gauges::{Counter, Gauges, Metric, Reading, Value};
//!
//! struct Lost(Counter);
//!
//! const LOST: Metric = Metric::counter("lost_total", "Sessions that were lost.");
//!
//! impl Gauges for Lost {
//!     fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
//!         out(Reading::new(&LOST, &[("cause", "restart")], self.0.get()));
//!     }
//! }
//!
//! let lost = Lost(Counter::new());
//! lost.0.add_one();
//! lost.read(&mut |reading| {
//!     assert_eq!((reading.metric.name, reading.labels), ("lost_total", &[("cause", "restart")][..]));
//!     assert!(matches!(reading.value, Value::Number(1)));
//! });
//! ```

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

pub mod sessions;

/// A part of the stack that keeps numbers about itself.
pub trait Gauges: Send + Sync + 'static {
    /// Calls `out` with each number. All readings of one [`Metric`] follow each other. The labels of a metric are
    /// closed sets: no session id, principal, address, path or anything else that a client chooses.
    ///
    /// Several parts may have readings of one metric, each with labels of its own: the session layer counts the sessions
    /// that a client ends, and its store those that expire. An exporter that reads several parts groups their readings
    /// by the name of the metric.
    ///
    /// Called whenever the numbers are read; it must neither block for long nor wait.
    fn read(&self, out: &mut dyn FnMut(Reading<'_>));
}

/// One number, at the moment of reading.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub struct Reading<'a> {
    /// What it is.
    pub metric: &'static Metric,
    /// Names and values that tell it from the other readings of this metric.
    pub labels: &'a [(&'static str, &'a str)],
    /// How much.
    pub value: Value<'a>,
}

/// How much a [`Reading`] says.
#[derive(Clone, Copy, Debug)]
#[non_exhaustive]
pub enum Value<'a> {
    /// A count, or a level.
    Number(u64),
    /// How many lasted how long.
    Histogram(&'a Histogram),
}

/// What a number means.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub struct Metric {
    /// In `snake_case`, with the unit, and with `_total` if it is a counter, as
    /// [Prometheus names metrics](https://prometheus.io/docs/practices/naming/).
    pub name: &'static str,
    /// One sentence.
    pub help: &'static str,
    /// Whether it only grows.
    pub kind: MetricKind,
}

/// Whether a number only grows.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum MetricKind {
    /// It only grows, from zero at the start of the process.
    Counter,
    /// It rises and falls.
    Gauge,
    /// Durations, in seconds, sorted into ranges.
    Histogram,
}

/// A count that only grows. Counting is one relaxed atomic addition.
#[derive(Debug, Default)]
pub struct Counter(AtomicU64);

/// Durations, sorted into ranges. Adding one is a short search and two relaxed atomic additions, without an allocation.
#[derive(Debug)]
pub struct Histogram {
    /// The upper ends of the ranges, in ascending order; each belongs to its range. A last range has no end.
    bounds: &'static [Duration],
    /// The same in nanoseconds, which are compared faster.
    bounds_ns: Box<[u64]>,
    counts: Box<[AtomicU64]>,
    sum_ns: AtomicU64,
}

impl Metric {
    /// Names a counter.
    #[must_use]
    pub const fn counter(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Counter }
    }

    /// Names a level.
    #[must_use]
    pub const fn gauge(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Gauge }
    }

    /// Names durations.
    #[must_use]
    pub const fn histogram(name: &'static str, help: &'static str) -> Self {
        Self { name, help, kind: MetricKind::Histogram }
    }
}

impl<'a> Reading<'a> {
    /// States a count or a level.
    #[must_use]
    pub const fn new(
        metric: &'static Metric,
        labels: &'a [(&'static str, &'a str)],
        number: u64,
    ) -> Self {
        Self { metric, labels, value: Value::Number(number) }
    }

    /// States durations.
    #[must_use]
    pub const fn durations(
        metric: &'static Metric,
        labels: &'a [(&'static str, &'a str)],
        histogram: &'a Histogram,
    ) -> Self {
        Self { metric, labels, value: Value::Histogram(histogram) }
    }
}

impl Counter {
    /// Starts at zero.
    #[must_use]
    pub const fn new() -> Self {
        Self(AtomicU64::new(0))
    }

    /// Counts one more.
    #[inline]
    pub fn add_one(&self) {
        self.add(1);
    }

    /// Counts `more`.
    #[inline]
    pub fn add(&self, more: u64) {
        self.0.fetch_add(more, Ordering::Relaxed);
    }

    /// How many there were so far.
    #[must_use]
    pub fn get(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }
}

impl Histogram {
    /// Makes an empty histogram. `bounds` are the upper ends of its ranges, in ascending order; whatever lasts longer
    /// than the last one is counted beyond it.
    #[must_use]
    pub fn new(bounds: &'static [Duration]) -> Self {
        let counts = (0..=bounds.len()).map(|_| AtomicU64::new(0)).collect();
        let bounds_ns = bounds.iter().copied().map(nanoseconds).collect();
        Self { bounds, bounds_ns, counts, sum_ns: AtomicU64::new(0) }
    }

    /// Counts something that lasted for `duration`.
    #[inline]
    pub fn add(&self, duration: Duration) {
        let ns = nanoseconds(duration);
        // Most are short: they are found in the first ranges.
        let range = self.bounds_ns.iter().take_while(|bound| **bound < ns).count();
        if let Some(count) = self.counts.get(range) {
            count.fetch_add(1, Ordering::Relaxed);
        }
        self.sum_ns.fetch_add(ns, Ordering::Relaxed);
    }

    /// The upper ends of the ranges with the number of durations in each; the last range has no end.
    pub fn ranges(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        let ends = self.bounds.iter().copied().map(Some).chain([None]);
        ends.zip(self.counts.iter().map(|count| count.load(Ordering::Relaxed)))
    }

    /// How many durations were added.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.counts.iter().map(|count| count.load(Ordering::Relaxed)).sum()
    }

    /// The sum of all durations.
    #[must_use]
    pub fn sum(&self) -> Duration {
        Duration::from_nanos(self.sum_ns.load(Ordering::Relaxed))
    }
}

/// Those of 584 years at most.
#[inline]
fn nanoseconds(duration: Duration) -> u64 {
    duration.as_secs().saturating_mul(1_000_000_000).saturating_add(duration.subsec_nanos().into())
}

impl<G: Gauges + ?Sized> Gauges for Arc<G> {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        (**self).read(out);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MS: Duration = Duration::from_millis(1);
    const BOUNDS: &[Duration] = &[MS, Duration::from_secs(1)];

    #[test]
    fn a_duration_at_a_bound_belongs_below_it() {
        let histogram = Histogram::new(BOUNDS);
        for duration in [Duration::ZERO, MS, 2 * MS, Duration::from_secs(1), Duration::from_secs(2)]
        {
            histogram.add(duration);
        }
        let ranges: Vec<_> = histogram.ranges().collect();
        assert_eq!(ranges, [(Some(MS), 2), (Some(Duration::from_secs(1)), 2), (None, 1)]);
        assert_eq!(histogram.count(), 5);
        assert_eq!(histogram.sum(), Duration::from_millis(3003));
    }

    #[test]
    fn a_histogram_without_bounds_only_counts() {
        let histogram = Histogram::new(&[]);
        histogram.add(Duration::MAX);
        assert_eq!(histogram.ranges().collect::<Vec<_>>(), [(None, 1)]);
    }
}
