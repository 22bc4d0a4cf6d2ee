//! All numbers at one moment, those of one metric together.

use std::time::Duration;

use bartizan_core::gauges::{Metric, Reading, Value};

/// All numbers at one moment; see [`Metrics::snapshot`](crate::Metrics::snapshot).
#[derive(Clone, Debug, Default)]
pub struct Snapshot {
    families: Vec<Family>,
}

/// One metric, with all its labels.
#[derive(Clone, Debug)]
pub struct Family {
    metric: &'static Metric,
    samples: Vec<Sample>,
}

/// One number, with what tells it from the others of its metric.
#[derive(Clone, Debug)]
pub struct Sample {
    labels: Vec<(&'static str, Box<str>)>,
    value: SampleValue,
}

/// How much.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub enum SampleValue {
    /// A count, or a level.
    Number(u64),
    /// How many lasted how long.
    Durations(Durations),
}

/// How many lasted how long.
#[derive(Clone, Debug, PartialEq)]
pub struct Durations {
    ranges: Vec<(Option<Duration>, u64)>,
    sum: Duration,
}

impl Snapshot {
    /// The metrics, in the order in which they were first read.
    #[must_use]
    pub fn families(&self) -> &[Family] {
        &self.families
    }

    /// The count or the level of `metric` with exactly these labels, in any order.
    #[must_use]
    pub fn number(&self, metric: &str, labels: &[(&str, &str)]) -> Option<u64> {
        let family = self.families.iter().find(|family| family.metric.name == metric)?;
        match family.samples.iter().find(|sample| sample.has(labels))?.value {
            SampleValue::Number(number) => Some(number),
            SampleValue::Durations(_) => None,
        }
    }

    /// The durations of `metric` with exactly these labels, in any order.
    #[must_use]
    pub fn durations(&self, metric: &str, labels: &[(&str, &str)]) -> Option<&Durations> {
        let family = self.families.iter().find(|family| family.metric.name == metric)?;
        match &family.samples.iter().find(|sample| sample.has(labels))?.value {
            SampleValue::Number(_) => None,
            SampleValue::Durations(durations) => Some(durations),
        }
    }

    /// Adds a reading to its metric. What has the same labels is summed up.
    pub(crate) fn add(&mut self, reading: &Reading<'_>) {
        let metric = reading.metric;
        // Most follow one of the same metric.
        let at = self.families.iter().rposition(|family| family.metric.name == metric.name);
        let family = match at.and_then(|at| self.families.get_mut(at)) {
            // Two metrics of one name and of two kinds cannot both be shown.
            Some(family) if family.metric.kind != metric.kind => return,
            Some(family) => family,
            None => {
                self.families.push(Family { metric, samples: Vec::new() });
                let Some(family) = self.families.last_mut() else { return };
                family
            }
        };
        match family.samples.iter_mut().find(|sample| sample.has(reading.labels)) {
            Some(sample) => sample.value.add(&reading.value),
            None => {
                let labels = reading.labels.iter().map(|(name, value)| (*name, (*value).into()));
                let Some(value) = SampleValue::new(&reading.value) else { return };
                family.samples.push(Sample { labels: labels.collect(), value });
            }
        }
    }
}

impl Family {
    /// What it is.
    #[must_use]
    pub fn metric(&self) -> &'static Metric {
        self.metric
    }

    /// The numbers; no two have the same labels.
    #[must_use]
    pub fn samples(&self) -> &[Sample] {
        &self.samples
    }
}

impl Sample {
    /// Names and values of the labels.
    pub fn labels(&self) -> impl Iterator<Item = (&'static str, &str)> {
        self.labels.iter().map(|(name, value)| (*name, &**value))
    }

    /// How much.
    #[must_use]
    pub fn value(&self) -> &SampleValue {
        &self.value
    }

    fn has(&self, labels: &[(&str, &str)]) -> bool {
        self.labels.len() == labels.len() && self.labels().all(|label| labels.contains(&label))
    }
}

impl SampleValue {
    /// None for what a later version of the core may count, and this one cannot show.
    fn new(value: &Value<'_>) -> Option<Self> {
        match value {
            Value::Number(number) => Some(Self::Number(*number)),
            Value::Histogram(histogram) => Some(Self::Durations(Durations {
                ranges: histogram.ranges().collect(),
                sum: histogram.sum(),
            })),
            _ => None,
        }
    }

    fn add(&mut self, value: &Value<'_>) {
        match (self, value) {
            (Self::Number(sum), Value::Number(more)) => *sum = sum.saturating_add(*more),
            (Self::Durations(durations), Value::Histogram(more)) => {
                let ends = |range: &(Option<Duration>, u64)| range.0;
                if !durations.ranges.iter().map(ends).eq(more.ranges().map(|range| range.0)) {
                    return;
                }
                for ((_, sum), (_, more)) in durations.ranges.iter_mut().zip(more.ranges()) {
                    *sum = sum.saturating_add(more);
                }
                durations.sum = durations.sum.saturating_add(more.sum());
            }
            _ => {}
        }
    }
}

impl Durations {
    /// The upper ends of the ranges, in ascending order, with the number of durations in each; the last range has no
    /// end.
    pub fn ranges(&self) -> impl Iterator<Item = (Option<Duration>, u64)> {
        self.ranges.iter().copied()
    }

    /// How many there are.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.ranges.iter().map(|(_, count)| count).sum()
    }

    /// The sum of all durations.
    #[must_use]
    pub fn sum(&self) -> Duration {
        self.sum
    }
}

#[cfg(test)]
mod tests {
    use bartizan_core::gauges::Histogram;

    use super::*;

    const A: Metric = Metric::counter("a_total", "A.");
    const A_LEVEL: Metric = Metric::gauge("a_total", "Of the same name.");
    const B: Metric = Metric::gauge("b", "B.");
    const C: Metric = Metric::histogram("c_seconds", "C.");
    const SECOND: &[Duration] = &[Duration::from_secs(1)];
    const MINUTE: &[Duration] = &[Duration::from_secs(60)];

    #[test]
    fn the_readings_of_a_metric_are_together_and_what_is_alike_is_summed_up() {
        let mut snapshot = Snapshot::default();
        let (x, y) = ([("l", "x"), ("m", "1")], [("m", "1"), ("l", "x")]);
        for reading in [
            Reading::new(&A, &x, 1),
            Reading::new(&B, &[], 5),
            Reading::new(&A, &[("l", "z")], 10),
            Reading::new(&A, &y, 2),
            Reading::new(&A_LEVEL, &x, 100),
            Reading::new(&B, &[], 6),
        ] {
            snapshot.add(&reading);
        }
        let names: Vec<_> = snapshot.families().iter().map(|one| one.metric().name).collect();
        assert_eq!(names, ["a_total", "b"]);
        assert_eq!(snapshot.number("a_total", &x), Some(3));
        assert_eq!(snapshot.number("a_total", &[("l", "z")]), Some(10));
        assert_eq!(snapshot.number("a_total", &[("l", "x")]), None);
        assert_eq!(snapshot.number("b", &[]), Some(11));
        assert_eq!(snapshot.number("c", &[]), None);
    }

    #[test]
    fn durations_are_summed_up_where_their_ranges_are_the_same() {
        let (one, two, other) =
            (Histogram::new(SECOND), Histogram::new(SECOND), Histogram::new(MINUTE));
        for histogram in [&one, &two, &other] {
            histogram.add(Duration::from_secs(2));
        }
        let mut snapshot = Snapshot::default();
        for histogram in [&one, &two, &other] {
            snapshot.add(&Reading::durations(&C, &[], histogram));
        }
        let durations = snapshot.durations("c_seconds", &[]).unwrap();
        assert_eq!(durations.ranges().collect::<Vec<_>>(), [(Some(SECOND[0]), 0), (None, 2)]);
        assert_eq!((durations.count(), durations.sum()), (2, Duration::from_secs(4)));
        assert!(snapshot.number("c_seconds", &[]).is_none());
    }
}
