//! The metrics in a registry of prometheus-client.

use std::fmt;

use bartizan_core::gauges::MetricKind;
use prometheus_client::{
    collector::Collector,
    encoding::{DescriptorEncoder, MetricEncoder, NoLabelSet},
    metrics::MetricType,
};

use crate::{
    Metrics,
    snapshot::{Durations, SampleValue},
};

/// All that [`Metrics::snapshot`] has, in the registry of an application, and in its format:
///
/// ```
/// use bartizan_observe::Metrics;
/// use prometheus_client::{encoding::text::encode, registry::Registry};
///
/// let metrics = Metrics::new();
/// let mut registry = Registry::default();
/// registry.register_collector(Box::new(metrics.clone()));
///
/// let mut text = String::new();
/// encode(&mut text, &registry)?;
/// assert!(text.contains("\nhttp_server_active_requests 0\n"));
/// # Ok::<(), std::fmt::Error>(())
/// ```
impl Collector for Metrics {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        for family in self.snapshot().families() {
            let metric = family.metric();
            let (name, kind) = match metric.kind {
                // The encoder adds `_total` itself.
                MetricKind::Counter => {
                    (metric.name.strip_suffix("_total").unwrap_or(metric.name), MetricType::Counter)
                }
                MetricKind::Histogram => (metric.name, MetricType::Histogram),
                _ => (metric.name, MetricType::Gauge),
            };
            let mut encoder = encoder.encode_descriptor(name, metric.help, None, kind)?;
            for sample in family.samples() {
                let labels: Vec<_> = sample.labels().collect();
                match labels.is_empty() {
                    true => value(sample.value(), metric.kind, &mut encoder)?,
                    false => {
                        let mut encoder = encoder.encode_family(&labels)?;
                        value(sample.value(), metric.kind, &mut encoder)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn value(value: &SampleValue, kind: MetricKind, encoder: &mut MetricEncoder<'_>) -> fmt::Result {
    match value {
        SampleValue::Number(number) if kind == MetricKind::Counter => {
            encoder.encode_counter::<NoLabelSet, _, u64>(number, None)
        }
        SampleValue::Number(number) => encoder.encode_gauge(number),
        SampleValue::Durations(durations) => {
            let ranges = ranges(durations);
            let (sum, count) = (durations.sum().as_secs_f64(), durations.count());
            encoder.encode_histogram::<NoLabelSet>(sum, count, &ranges, None)
        }
    }
}

fn ranges(durations: &Durations) -> Vec<(f64, u64)> {
    let seconds = |end: std::time::Duration| end.as_secs_f64();
    durations.ranges().map(|(end, count)| (end.map_or(f64::INFINITY, seconds), count)).collect()
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bartizan_core::gauges::{Gauges, Histogram, Metric, Reading};
    use prometheus_client::{encoding::text::encode, registry::Registry};

    use super::*;

    struct Source(Histogram);

    const COUNT: Metric = Metric::counter("some_total", "Some.");
    const TIMES: Metric = Metric::histogram("time_seconds", "Times.");
    const BOUNDS: &[Duration] = &[Duration::from_millis(5)];

    impl Gauges for Source {
        fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
            out(Reading::new(&COUNT, &[("a", "x\"y"), ("b", "z")], 7));
            out(Reading::durations(&TIMES, &[], &self.0));
        }
    }

    #[test]
    fn a_registry_has_all_metrics_and_writes_openmetrics() {
        let histogram = Histogram::new(BOUNDS);
        histogram.add(Duration::from_millis(5));
        histogram.add(Duration::from_millis(250));
        let metrics = Metrics::new();
        metrics.watch(Source(histogram));
        let mut registry = Registry::with_prefix("app");
        registry.register_collector(Box::new(metrics));
        let mut text = String::new();
        encode(&mut text, &registry).unwrap();
        let expected = r#"# HELP app_some Some.
# TYPE app_some counter
app_some_total{a="x\"y",b="z"} 7
# HELP app_time_seconds Times.
# TYPE app_time_seconds histogram
app_time_seconds_sum 0.255
app_time_seconds_count 2
app_time_seconds_bucket{le="0.005"} 1
app_time_seconds_bucket{le="+Inf"} 2
# EOF
"#;
        assert!(text.ends_with(expected), "{text}");
        assert!(text.contains("\napp_bartizan_refusals_total{error_type=\"no_backend\"} 0\n"));
    }
}
