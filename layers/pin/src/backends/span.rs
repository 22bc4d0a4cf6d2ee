//! For how long something was seen again and again. Pure.

use std::time::Duration;

/// The longest gap between two sightings of one span, in milliseconds. What was not looked at for longer may have been
/// different meanwhile.
const GAP_MS: u64 = 2_000;

/// A time over which something was seen again and again. Times are milliseconds on one clock.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) struct Span {
    since_ms: u64,
    last_ms: u64,
}

impl Span {
    /// Starts with one sighting.
    pub(super) const fn new(now_ms: u64) -> Self {
        Self { since_ms: now_ms, last_ms: now_ms }
    }

    /// Continues with another sighting, or starts again if the last one is too long ago.
    pub(super) fn see(&mut self, now_ms: u64) {
        if self.has_ended(now_ms) {
            *self = Self::new(now_ms);
        } else {
            self.last_ms = self.last_ms.max(now_ms);
        }
    }

    /// How long the span is, if it has not ended.
    pub(super) fn lasts(self, now_ms: u64) -> Option<Duration> {
        let length = Duration::from_millis(self.last_ms.saturating_sub(self.since_ms));
        (!self.has_ended(now_ms)).then_some(length)
    }

    fn has_ended(self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.last_ms) > GAP_MS
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_lasts_from_the_first_sighting_to_the_last() {
        let mut span = Span::new(100);
        assert_eq!(span.lasts(100), Some(Duration::ZERO));
        for now_ms in [1_000, 3_000, 5_000] {
            span.see(now_ms);
            assert_eq!(span.lasts(now_ms), Some(Duration::from_millis(now_ms - 100)));
        }
        assert_eq!(span.lasts(7_000), Some(Duration::from_millis(4_900)), "seen until 5,000");
        // Reported late: time does not go back.
        span.see(4_000);
        assert_eq!(span.lasts(5_000), Some(Duration::from_millis(4_900)));
    }

    /// Two blips with nothing between them say nothing about the time between them.
    #[test]
    fn a_gap_starts_it_again() {
        let mut span = Span::new(1);
        assert_eq!(span.lasts(2_002), None);
        span.see(2_001);
        assert_eq!(span.lasts(2_001), Some(Duration::from_millis(2_000)));
        span.see(4_002);
        assert_eq!(span.lasts(4_002), Some(Duration::ZERO));
    }
}
