//! Comments on idle event streams, so that intermediaries do not close them.

use std::time::Duration;

use tokio::time::Instant;

use crate::boundary::Boundary;

/// A comment, and an empty line: no event.
pub(crate) const COMMENT: &[u8] = b":\n\n";

/// When a comment is due.
#[derive(Debug)]
pub(crate) struct KeepAlive {
    interval: Duration,
    boundary: Boundary,
    // The last time that something was sent, or that nothing could be.
    last: Instant,
}

impl KeepAlive {
    /// The shortest interval.
    pub(crate) const SHORTEST: Duration = Duration::from_millis(100);

    pub(crate) fn new(interval: Duration, now: Instant) -> Self {
        Self { interval, boundary: Boundary::default(), last: now }
    }

    /// Something was sent.
    pub(crate) fn sent(&mut self, piece: &[u8], now: Instant) {
        self.boundary.feed(piece);
        self.last = now;
    }

    /// When the stream will have been idle for long enough; `None` if that is out of range.
    pub(crate) fn due(&self) -> Option<Instant> {
        self.last.checked_add(self.interval)
    }

    /// Whether a comment is sent now; inside an event it is not, and the interval begins anew.
    pub(crate) fn take_due(&mut self, now: Instant) -> bool {
        let is_due = self.due().is_some_and(|due| due <= now);
        if is_due {
            self.last = now;
        }
        is_due && self.boundary.is_between_events()
    }
}
