//! What requests have shown of a backend's reachability.
//!
//! The first failure to connect takes a backend out of service for new work; when the time is up, one
//! request may try it. A try that fails doubles the time, up to ten seconds; a response, whatever it
//! says, puts the backend back. Failures while it is out change nothing: a burst that met the same
//! outage is one failure.
//!
//! Whether its sessions are lost is another question. Only refused connections say that the server has ended, and only
//! if they were seen for long, without a success and without a gap.

use std::{
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicBool, Ordering},
    },
    time::Duration,
};

use bartizan_core::{UpstreamFailure, failure::FailureKind};

use super::span::Span;

const FIRST_PROBATION_MS: u64 = 250;
const LONGEST_PROBATION_MS: u64 = 10_000;

/// Times are milliseconds since the set of backends was made.
#[derive(Debug, Default)]
pub struct Health {
    // Whether `failing` holds anything; written under its lock. The usual case costs this one load.
    is_failing: AtomicBool,
    failing: Mutex<Option<Failing>>,
}

/// A backend to which no connection could be made, and no response has come since.
#[derive(Clone, Copy, Debug)]
struct Failing {
    // Of any failure to connect, and of refusals alone.
    failed: Span,
    refused: Option<Span>,
    // A TCP connection does not prove that the handshake will succeed.
    is_by_tls: bool,
    failures: u32,
    probations: u32,
    out_until_ms: u64,
    // Until when the one try is taken, in case nothing is heard of it.
    tried_until_ms: u64,
}

impl Health {
    /// No connection could be made. Says whether the backend went out of service by it.
    pub fn failed(&self, failure: UpstreamFailure, now_ms: u64) -> bool {
        let mut state = self.lock();
        self.is_failing.store(true, Ordering::Relaxed);
        let Some(failing) = state.as_mut() else {
            *state = Some(Failing::first(failure, now_ms));
            return true;
        };
        failing.see(failure, now_ms);
        failing.failures = failing.failures.saturating_add(1);
        if failing.out_until_ms <= now_ms {
            failing.probations = failing.probations.saturating_add(1);
            failing.out_until_ms = now_ms.saturating_add(failing.probation_ms());
            failing.tried_until_ms = 0;
        }
        false
    }

    /// A response came. Says whether the backend was out of service until now.
    pub fn responded(&self) -> bool {
        if !self.is_failing.load(Ordering::Relaxed) {
            return false;
        }
        let mut state = self.lock();
        self.is_failing.store(false, Ordering::Relaxed);
        state.take().is_some()
    }

    /// A TCP connection could be made, and nothing more is known. Says whether the backend was out of service until
    /// now.
    pub(super) fn connected(&self) -> bool {
        match &mut *self.lock() {
            Some(failing) if failing.is_by_tls => {
                failing.refused = None;
                return false;
            }
            _ => {}
        }
        self.responded()
    }

    pub(super) fn is_failing(&self) -> bool {
        self.is_failing.load(Ordering::Relaxed)
    }

    /// How many connections in a row could not be made.
    pub(super) fn failures(&self) -> u32 {
        self.failing().map_or(0, |failing| failing.failures)
    }

    pub(super) fn is_out(&self, now_ms: u64) -> bool {
        self.failing().is_some_and(|failing| failing.is_out(now_ms))
    }

    /// Claims the right to send new work: of all callers when the time is up one gets it, and the next
    /// when nothing was heard of its try for as long as the last probation. A backend in service
    /// belongs to everybody.
    pub(super) fn claim(&self, now_ms: u64) -> bool {
        if !self.is_failing.load(Ordering::Relaxed) {
            return true;
        }
        let mut state = self.lock();
        let Some(failing) = state.as_mut() else { return true };
        if failing.is_out(now_ms) {
            return false;
        }
        failing.tried_until_ms = now_ms.saturating_add(failing.probation_ms());
        true
    }

    /// For how long every connection was refused, as far as was seen.
    pub fn refused_for(&self, now_ms: u64) -> Option<Duration> {
        self.failing()?.refused?.lasts(now_ms)
    }

    /// For how long no connection could be made, as far as was seen.
    pub fn unreachable_for(&self, now_ms: u64) -> Option<Duration> {
        self.failing()?.failed.lasts(now_ms)
    }

    fn failing(&self) -> Option<Failing> {
        if !self.is_failing.load(Ordering::Relaxed) {
            return None;
        }
        *self.lock()
    }

    fn lock(&self) -> MutexGuard<'_, Option<Failing>> {
        self.failing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Failing {
    fn first(failure: UpstreamFailure, now_ms: u64) -> Self {
        Self {
            failed: Span::new(now_ms),
            refused: failure.is_refused().then_some(Span::new(now_ms)),
            is_by_tls: failure.kind() == FailureKind::Tls,
            failures: 1,
            probations: 1,
            out_until_ms: now_ms.saturating_add(FIRST_PROBATION_MS),
            tried_until_ms: 0,
        }
    }

    fn see(&mut self, failure: UpstreamFailure, now_ms: u64) {
        self.failed.see(now_ms);
        self.is_by_tls |= failure.kind() == FailureKind::Tls;
        if failure.is_refused() {
            self.refused.get_or_insert(Span::new(now_ms)).see(now_ms);
        }
    }

    fn probation_ms(&self) -> u64 {
        let doublings = self.probations.saturating_sub(1).min(16);
        (FIRST_PROBATION_MS << doublings).min(LONGEST_PROBATION_MS)
    }

    fn is_out(&self, now_ms: u64) -> bool {
        self.out_until_ms.max(self.tried_until_ms) > now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const REFUSED: UpstreamFailure = UpstreamFailure::new(FailureKind::Refused);
    const SILENT: UpstreamFailure = UpstreamFailure::new(FailureKind::ConnectTimeout);

    #[test]
    fn probation_doubles_with_each_try_that_fails_and_a_response_ends_it() {
        let health = Health::default();
        assert!(!health.is_out(1) && !health.responded() && health.claim(1));
        assert!(health.failed(REFUSED, 1), "the first failure takes it out");
        let mut now = 1;
        for probation in [250, 500, 1000, 2000, 4000, 8000, 10_000, 10_000] {
            assert!(health.is_out(now + probation - 1) && !health.is_out(now + probation));
            now += probation;
            assert!(health.claim(now) && !health.failed(REFUSED, now));
        }
        assert_eq!(health.failures(), 9);
        assert!(health.responded() && !health.responded());
        assert!(!health.is_out(now));
        assert_eq!((health.failures(), health.refused_for(now)), (0, None));
    }

    #[test]
    fn only_refusals_without_a_gap_are_evidence() {
        let health = Health::default();
        for now in (0..=6_000).step_by(2_000) {
            health.failed(REFUSED, now);
            assert_eq!(health.refused_for(now), Some(Duration::from_millis(now)));
        }
        health.failed(REFUSED, 8_001);
        assert_eq!(health.refused_for(8_001), Some(Duration::ZERO), "nobody looked meanwhile");
        // Silence may have any cause: it is not evidence, and does not cancel any.
        health.failed(SILENT, 9_500);
        assert_eq!(health.refused_for(9_500), Some(Duration::ZERO));
        assert_eq!(health.unreachable_for(9_500), Some(Duration::from_millis(1_499)));
        health.failed(SILENT, 11_000);
        assert_eq!(health.refused_for(11_000), None);
        assert_eq!(health.unreachable_for(11_000), Some(Duration::from_millis(2_999)));
    }

    #[test]
    fn a_connection_ends_the_failure_unless_a_handshake_failed() {
        let health = Health::default();
        health.failed(REFUSED, 1);
        assert!(health.connected() && !health.is_failing() && !health.is_out(2));
        assert!(!health.connected());
        health.failed(UpstreamFailure::new(FailureKind::Tls), 1);
        health.failed(REFUSED, 1);
        assert!(!health.connected() && health.is_failing() && health.is_out(2));
        assert_eq!(health.refused_for(2), None);
        assert!(health.responded());
    }

    #[test]
    fn a_burst_of_failures_is_one() {
        let health = Health::default();
        for now in 1..=100 {
            health.failed(REFUSED, now);
        }
        assert_eq!(health.failures(), 100);
        assert!(health.is_out(250) && !health.is_out(251));
    }

    #[test]
    fn when_the_time_is_up_one_request_may_try() {
        let health = Health::default();
        health.failed(REFUSED, 1);
        assert!(!health.claim(250));
        assert!(!health.is_out(300) && health.claim(300));
        assert!(health.is_out(300) && !health.claim(300), "nobody else for now");
        assert!(health.is_out(549) && health.claim(550), "but the try may be lost");
        health.failed(REFUSED, 560);
        assert!(health.is_out(1059) && health.claim(1060));
        assert!(health.is_out(1559) && !health.is_out(1560));
    }

    #[test]
    fn of_many_at_once_one_gets_the_claim() {
        let health = Health::default();
        health.failed(REFUSED, 1);
        let claims = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| health.claim(300))).collect();
            threads.into_iter().map(|thread| usize::from(thread.join().unwrap())).sum::<usize>()
        });
        assert_eq!(claims, 1);
    }
}
