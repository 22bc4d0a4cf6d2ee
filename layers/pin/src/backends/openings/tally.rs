//! How new work has recently fared at a backend: counts that halve every five seconds.

/// What one piece of work counts. A power of two, so that halves of it stay exact for a while.
const UNIT: u32 = 16;
const HALF_LIFE_MS: u64 = 5_000;

#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Tally {
    window: u64,
    succeeded: u32,
    failed: u32,
    rejected: u32,
}

impl Tally {
    /// Lets the counts decay until `now_ms`.
    pub(super) fn roll(&mut self, now_ms: u64) {
        let window = now_ms / HALF_LIFE_MS;
        let halvings = u32::try_from(window.saturating_sub(self.window)).unwrap_or(u32::MAX);
        if halvings > 0 {
            self.window = window;
            for count in [&mut self.succeeded, &mut self.failed, &mut self.rejected] {
                *count = count.checked_shr(halvings).unwrap_or_default();
            }
        }
    }

    pub(super) fn succeed(&mut self) {
        self.succeeded = self.succeeded.saturating_add(UNIT);
    }

    pub(super) fn fail(&mut self) {
        self.failed = self.failed.saturating_add(UNIT);
    }

    pub(super) fn reject(&mut self) {
        self.rejected = self.rejected.saturating_add(UNIT);
    }

    /// Takes one failure back.
    pub(super) fn unfail(&mut self) {
        self.failed = self.failed.saturating_sub(UNIT);
    }

    pub(super) fn forget_failures(&mut self) {
        (self.failed, self.rejected) = (0, 0);
    }

    /// Whether at least half of the work that did not merely meet with a 4xx has failed.
    pub(super) fn is_half_failed(&self) -> bool {
        self.failed > 0 && self.failed >= self.succeeded
    }

    /// Whether there were more rejections than successes.
    pub(super) fn is_mostly_rejected(&self) -> bool {
        self.rejected > self.succeeded
    }

    /// How many failures are not decayed, rounded up.
    pub(super) fn failures(&self) -> u32 {
        self.failed.div_ceil(UNIT)
    }

    /// Successes and rejections.
    pub(super) fn answers(&self) -> (u32, u32) {
        (self.succeeded / UNIT, self.rejected / UNIT)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counts_halve_every_five_seconds() {
        let mut tally = Tally::default();
        tally.roll(1);
        (0..8).for_each(|_| tally.succeed());
        (0..4).for_each(|_| tally.fail());
        (0..2).for_each(|_| tally.reject());
        tally.roll(4_999);
        assert_eq!((tally.answers(), tally.failures()), ((8, 2), 4));
        assert!(!tally.is_half_failed());
        tally.roll(5_000);
        assert_eq!((tally.answers(), tally.failures()), ((4, 1), 2));
        tally.roll(25_000);
        assert_eq!((tally.answers(), tally.failures()), ((0, 0), 1), "a trace");
        tally.roll(1_000_000);
        assert_eq!((tally.answers(), tally.failures()), ((0, 0), 0));
        assert!(!tally.is_half_failed(), "nothing is no half");
    }
}
