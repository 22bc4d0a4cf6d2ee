//! What a part of the stack says of itself, and what of it has moved. Tests include this file by its path: the testkit
//! depends on no crate of this workspace.
#![allow(dead_code, unreachable_pub, reason = "each test file uses its part")]
#![allow(clippy::panic, reason = "test support")]

use std::collections::BTreeMap;

use bartizan_core::gauges::{Gauges, Metric, MetricKind, Reading, Value};

/// Follows the numbers of a part.
pub struct Ledger<G> {
    of: G,
    seen: BTreeMap<String, u64>,
}

impl<G: Gauges> Ledger<G> {
    pub fn new(of: G) -> Self {
        let seen = numbers(&of, is_counted);
        Self { of, seen }
    }

    /// The counters that moved since the last time, each as `name{label=value} by`, without the prefix of all names. Of a
    /// histogram, how many were added.
    pub fn moved(&mut self) -> Vec<String> {
        let now = numbers(&self.of, is_counted);
        let before = std::mem::replace(&mut self.seen, now);
        let mut moved = Vec::new();
        for (name, number) in &self.seen {
            match number.checked_sub(before.get(name).copied().unwrap_or(0)) {
                Some(0) => {}
                Some(by) => moved.push(format!("{name} {by}")),
                None => panic!("{name} has gone back to {number}"),
            }
        }
        moved
    }

    /// The level `name`, with its labels.
    pub fn level(&self, name: &str) -> u64 {
        let levels = numbers(&self.of, |kind| !is_counted(kind));
        levels.get(name).copied().unwrap_or_else(|| panic!("no {name} in {levels:?}"))
    }

    /// What has `name`, whatever its labels.
    pub fn all(&self, name: &str) -> Vec<(String, u64)> {
        let all = numbers(&self.of, |_| true).into_iter();
        all.filter(|(full, _)| full.split('{').next() == Some(name)).collect()
    }
}

fn is_counted(kind: MetricKind) -> bool {
    kind != MetricKind::Gauge
}

/// Reads all numbers of the chosen kinds, and checks what is to hold of any.
fn numbers(of: &impl Gauges, is_chosen: impl Fn(MetricKind) -> bool) -> BTreeMap<String, u64> {
    let mut numbers = BTreeMap::new();
    let mut metrics: Vec<&Metric> = Vec::new();
    of.read(&mut |reading: Reading<'_>| {
        let Reading { metric, labels, value, .. } = reading;
        if metrics.last().is_none_or(|last| *last != metric) {
            assert!(!metrics.contains(&metric), "{} comes in parts", metric.name);
            metrics.push(metric);
        }
        let Some(name) = metric.name.strip_prefix("bartizan_") else {
            panic!("{} is not ours", metric.name)
        };
        assert!(name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_'), "{name}");
        assert!(metric.help.ends_with('.'), "{name}: {}", metric.help);
        assert_eq!(name.ends_with("_total"), metric.kind == MetricKind::Counter, "{name}");
        assert_eq!(name.ends_with("_seconds"), metric.kind == MetricKind::Histogram, "{name}");
        let number = match (metric.kind, value) {
            (MetricKind::Histogram, Value::Histogram(durations)) => durations.count(),
            (MetricKind::Counter | MetricKind::Gauge, Value::Number(number)) => number,
            other => panic!("{name} is {other:?}"),
        };
        let labels: Vec<_> = labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let full = match labels.is_empty() {
            true => name.to_owned(),
            false => format!("{name}{{{}}}", labels.join(",")),
        };
        if is_chosen(metric.kind) {
            assert_eq!(numbers.insert(full.clone(), number), None, "{full} is there twice");
        }
    });
    numbers
}
