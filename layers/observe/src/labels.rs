//! The labels of one reading, with the route in front where there is one.

use bartizan_core::gauges::{Counter, Histogram, Metric, Reading};

/// Gives readings that all have the label `route`, or none of them.
pub(crate) struct Labelled<'a> {
    route: Option<&'a str>,
    out: &'a mut dyn FnMut(Reading<'_>),
}

impl<'a> Labelled<'a> {
    pub(crate) fn new(route: Option<&'a str>, out: &'a mut dyn FnMut(Reading<'_>)) -> Self {
        Self { route, out }
    }

    pub(crate) fn number(
        &mut self,
        metric: &'static Metric,
        labels: &[(&'static str, &str)],
        number: u64,
    ) {
        self.with_route(labels, |labels, out| out(Reading::new(metric, labels, number)));
    }

    pub(crate) fn count(
        &mut self,
        metric: &'static Metric,
        labels: &[(&'static str, &str)],
        counter: &Counter,
    ) {
        self.number(metric, labels, counter.get());
    }

    /// Gives the durations, if there are any.
    pub(crate) fn durations(
        &mut self,
        metric: &'static Metric,
        labels: &[(&'static str, &str)],
        histogram: &Histogram,
    ) {
        if histogram.ranges().all(|(_, count)| count == 0) {
            return;
        }
        self.with_route(labels, |labels, out| out(Reading::durations(metric, labels, histogram)));
    }

    fn with_route(
        &mut self,
        labels: &[(&'static str, &str)],
        give: impl FnOnce(&[(&'static str, &str)], &mut dyn FnMut(Reading<'_>)),
    ) {
        match self.route {
            None => give(labels, self.out),
            Some(route) => {
                let mut all = Vec::with_capacity(labels.len() + 1);
                all.extend_from_slice(labels);
                all.push(("route", route));
                give(&all, self.out);
            }
        }
    }
}
