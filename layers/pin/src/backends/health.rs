//! What requests have shown of a backend's reachability.
//!
//! The first failure to connect takes a backend out of service for new work; each further one doubles
//! the time, up to ten seconds. When the time is up, one request may try it. A response, whatever it
//! says, puts it back.

use std::{
    sync::atomic::{AtomicU32, AtomicU64, Ordering},
    time::Duration,
};

const FIRST_PROBATION_MS: u64 = 250;
const LONGEST_PROBATION_MS: u64 = 10_000;

/// Times are milliseconds since the set of backends was made, and never 0.
#[derive(Debug, Default)]
pub(super) struct Health {
    /// Failures to connect in a row.
    failures: AtomicU32,
    /// Since when no connection could be made; 0 for a backend that is reachable.
    unreachable_since_ms: AtomicU64,
    out_until_ms: AtomicU64,
}

impl Health {
    /// No connection could be made. Says whether the backend went out of service by it.
    pub(super) fn failed(&self, now_ms: u64) -> bool {
        let before = self.failures.fetch_add(1, Ordering::Relaxed);
        let since = &self.unreachable_since_ms;
        let _ = since.compare_exchange(0, now_ms, Ordering::Relaxed, Ordering::Relaxed);
        let doubled = FIRST_PROBATION_MS.checked_shl(before.min(16)).unwrap_or(u64::MAX);
        let until = now_ms.saturating_add(doubled.min(LONGEST_PROBATION_MS));
        self.out_until_ms.store(until, Ordering::Relaxed);
        before == 0
    }

    /// A response came. Says whether the backend was out of service until now.
    pub(super) fn responded(&self) -> bool {
        // The usual case costs this one load.
        if self.failures.load(Ordering::Relaxed) == 0 {
            return false;
        }
        self.failures.store(0, Ordering::Relaxed);
        self.unreachable_since_ms.store(0, Ordering::Relaxed);
        self.out_until_ms.store(0, Ordering::Relaxed);
        true
    }

    pub(super) fn failures(&self) -> u32 {
        self.failures.load(Ordering::Relaxed)
    }

    pub(super) fn is_out(&self, now_ms: u64) -> bool {
        self.out_until_ms.load(Ordering::Relaxed) > now_ms
    }

    /// Claims the right to try a backend whose time is up; one caller gets it. A backend in service
    /// needs no claim.
    pub(super) fn claim(&self, now_ms: u64) {
        if self.failures() > 0 {
            let until = now_ms.saturating_add(FIRST_PROBATION_MS);
            self.out_until_ms.fetch_max(until, Ordering::Relaxed);
        }
    }

    /// For how long no connection could be made.
    pub(super) fn unreachable_for(&self, now_ms: u64) -> Option<Duration> {
        match self.unreachable_since_ms.load(Ordering::Relaxed) {
            0 => None,
            since => Some(Duration::from_millis(now_ms.saturating_sub(since))),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn probation_doubles_and_a_response_ends_it() {
        let health = Health::default();
        assert!(!health.is_out(1) && !health.responded());
        assert!(health.failed(1), "the first failure takes it out");
        assert!(health.is_out(250) && !health.is_out(251));
        assert!(!health.failed(300));
        assert!(health.is_out(799) && !health.is_out(800));
        assert_eq!(health.unreachable_for(1001), Some(Duration::from_secs(1)));
        for _ in 0..40 {
            health.failed(1000);
        }
        assert!(health.is_out(10_999) && !health.is_out(11_000));
        assert!(health.responded());
        assert!(!health.is_out(1001));
        assert_eq!(health.unreachable_for(1001), None);
    }

    #[test]
    fn when_the_time_is_up_one_request_may_try() {
        let health = Health::default();
        health.failed(1);
        assert!(!health.is_out(300));
        health.claim(300);
        assert!(health.is_out(300), "nobody else for now");
        assert!(!health.is_out(550), "but the try may be lost");
    }
}
