//! The [text format of Prometheus](https://prometheus.io/docs/instrumenting/exposition_formats/), version 0.0.4. Pure.

use std::fmt::{self, Display, Formatter, Write};

use bartizan_core::gauges::MetricKind;

use crate::{
    Snapshot,
    snapshot::{Durations, Sample, SampleValue},
};

/// The `Content-Type` of a [`Snapshot`] as text.
pub const TEXT_FORMAT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Writes the text format of Prometheus, version 0.0.4, which all its versions read.
impl Display for Snapshot {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for family in self.families() {
            let metric = family.metric();
            let kind = match metric.kind {
                MetricKind::Counter => "counter",
                MetricKind::Gauge => "gauge",
                MetricKind::Histogram => "histogram",
                _ => "untyped",
            };
            writeln!(f, "# HELP {} {}", metric.name, Escaped(metric.help, &['\\', '\n']))?;
            writeln!(f, "# TYPE {} {kind}", metric.name)?;
            for sample in family.samples() {
                match sample.value() {
                    SampleValue::Number(number) => {
                        f.write_str(metric.name)?;
                        labels(f, sample, None)?;
                        writeln!(f, " {number}")?;
                    }
                    SampleValue::Durations(durations) => {
                        histogram(f, metric.name, sample, durations)?;
                    }
                }
            }
        }
        Ok(())
    }
}

fn histogram(
    f: &mut Formatter<'_>,
    name: &str,
    sample: &Sample,
    durations: &Durations,
) -> fmt::Result {
    let mut up_to = 0_u64;
    for (end, count) in durations.ranges() {
        up_to = up_to.saturating_add(count);
        write!(f, "{name}_bucket")?;
        labels(f, sample, Some(end.map_or(f64::INFINITY, |end| end.as_secs_f64())))?;
        writeln!(f, " {up_to}")?;
    }
    write!(f, "{name}_sum")?;
    labels(f, sample, None)?;
    writeln!(f, " {}", durations.sum().as_secs_f64())?;
    write!(f, "{name}_count")?;
    labels(f, sample, None)?;
    writeln!(f, " {up_to}")
}

/// Writes the labels of `sample`, and the upper end of a range in seconds.
fn labels(f: &mut Formatter<'_>, sample: &Sample, end: Option<f64>) -> fmt::Result {
    let mut separator = '{';
    for (name, value) in sample.labels() {
        write!(f, "{separator}{name}=\"{}\"", Escaped(value, &['\\', '\n', '"']))?;
        separator = ',';
    }
    match end {
        None => {}
        Some(end) => {
            f.write_char(separator)?;
            separator = ',';
            if end.is_finite() { write!(f, "le=\"{end}\"")? } else { f.write_str("le=\"+Inf\"")? }
        }
    }
    if separator == ',' { f.write_char('}') } else { Ok(()) }
}

/// A text with a backslash before each of these.
struct Escaped<'a>(&'a str, &'static [char]);

impl Display for Escaped<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let Self(mut rest, escaped) = *self;
        while let Some((at, character)) = rest.char_indices().find(|(_, one)| escaped.contains(one))
        {
            let (before, from) = rest.split_at(at);
            f.write_str(before)?;
            f.write_char('\\')?;
            f.write_char(if character == '\n' { 'n' } else { character })?;
            rest = from.get(character.len_utf8()..).unwrap_or_default();
        }
        f.write_str(rest)
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bartizan_core::gauges::{Histogram, Metric, Reading};

    use super::*;

    const COUNT: Metric = Metric::counter("some_total", "What\n\\ there is.");
    const LEVEL: Metric = Metric::gauge("level", "A level.");
    const TIMES: Metric = Metric::histogram("time_seconds", "Times.");
    const BOUNDS: &[Duration] = &[Duration::from_millis(5), Duration::from_secs(1)];

    #[test]
    fn numbers_and_durations_are_written_as_prometheus_reads_them() {
        let times = Histogram::new(BOUNDS);
        for ms in [1, 5, 250, 5_000] {
            times.add(Duration::from_millis(ms));
        }
        let mut snapshot = Snapshot::default();
        for reading in [
            Reading::new(&COUNT, &[("a", "x\"\n\\y"), ("b", "\u{e9}")], 7),
            Reading::new(&LEVEL, &[], u64::MAX),
            Reading::durations(&TIMES, &[("a", "x")], &times),
        ] {
            snapshot.add(&reading);
        }
        let expected = r#"# HELP some_total What\n\\ there is.
# TYPE some_total counter
some_total{a="x\"\n\\y",b="é"} 7
# HELP level A level.
# TYPE level gauge
level 18446744073709551615
# HELP time_seconds Times.
# TYPE time_seconds histogram
time_seconds_bucket{a="x",le="0.005"} 2
time_seconds_bucket{a="x",le="1"} 3
time_seconds_bucket{a="x",le="+Inf"} 4
time_seconds_sum{a="x"} 5.256
time_seconds_count{a="x"} 4
"#;
        assert_eq!(snapshot.to_string(), expected);
        assert_eq!(Snapshot::default().to_string(), "");
    }
}
