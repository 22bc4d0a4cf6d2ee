//! Health probes: requests that this layer sends to check a backend.

mod at_once;
mod run;

use std::time::Duration;

use bartizan_core::ConfigError;
use http::uri::PathAndQuery;

/// The settings of health probes, for [`Backends::probe`](crate::Backends::probe).
///
/// ```
/// use std::time::Duration;
///
/// let probe = bartizan_pin::Probe::get("/healthz")?.interval(Duration::from_secs(1));
/// # Ok::<(), bartizan_core::ConfigError>(())
/// ```
#[must_use]
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Probe {
    target: PathAndQuery,
    interval: Duration,
    timeout: Duration,
    down_after: u32,
    up_after: u32,
}

impl Probe {
    /// Sends a GET request for this path, which may have a query. A 2xx or 3xx response is healthy.
    ///
    /// # Errors
    ///
    /// If `path` is not a path, which begins with `/`.
    pub fn get(path: &str) -> Result<Self, ConfigError> {
        let target = path.starts_with('/').then(|| path.parse().ok()).flatten();
        let error =
            || ConfigError::new(format!("{path:?} is not a path: expected one such as /healthz"));
        Ok(Self {
            target: target.ok_or_else(error)?,
            interval: Duration::from_secs(5),
            timeout: Duration::from_secs(2),
            down_after: 2,
            up_after: 1,
        })
    }

    /// Sets the interval between two probes of a backend, at least 1 ms. Each interval varies by up to 10 % in either
    /// direction, so that the replicas of a gateway do not probe in step. Default: 5 s.
    pub fn interval(mut self, interval: Duration) -> Self {
        self.interval = interval.max(Duration::from_millis(1));
        self
    }

    /// Sets how long a backend may take until its response begins, at most the interval. Default: 2 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.timeout = timeout;
        self
    }

    /// Sets how many probes in a row must fail to take a backend out of service; 0 counts as 1. Default: 2.
    pub fn down_after(mut self, probes: u32) -> Self {
        self.down_after = probes;
        self
    }

    /// Sets how many probes in a row must succeed to put a backend back in service; 0 counts as 1. Default: 1.
    pub fn up_after(mut self, probes: u32) -> Self {
        self.up_after = probes;
        self
    }

    fn next_interval(&self) -> Duration {
        self.interval.mul_f64(0.9 + 0.2 * fastrand::f64())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_probe_asks_for_a_path() {
        for path in ["/", "/healthz", "/healthz?full=1"] {
            assert_eq!(Probe::get(path).unwrap().target.as_str(), path);
        }
        for path in ["", "healthz", "*", "http://a/healthz", "/a b"] {
            let error = Probe::get(path).unwrap_err().to_string();
            assert!(error.contains("such as /healthz"), "{error}");
        }
    }

    #[test]
    fn intervals_differ_by_a_tenth_at_most() {
        let probe = Probe::get("/").unwrap().interval(Duration::from_secs(10));
        let intervals: Vec<_> = (0..1000).map(|_| probe.next_interval().as_millis()).collect();
        assert!(intervals.iter().all(|ms| (9_000..=11_000).contains(ms)));
        assert!(intervals.iter().any(|ms| *ms < 9_300) && intervals.iter().any(|ms| *ms > 10_700));
        assert!(!Probe::get("/").unwrap().interval(Duration::ZERO).interval.is_zero());
    }
}
