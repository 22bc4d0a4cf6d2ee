//! The openings that a backend has not answered yet, by age.

const TICK_MS: u64 = 250;
/// How many ticks an opening may be in flight: two seconds, and the tick in which it began.
const TICKS: usize = 9;
/// After how many ticks an opening counts as one that waits.
const WAITS_AFTER: u64 = 2;
/// How many openings have to wait at once for a backend to be passed over.
const PILE: u32 = 2;
/// For how long a backend that is passed over has answered none.
const SILENCE_MS: u64 = 500;

/// Counts by the tick in which openings began, so that none needs memory or a timer of its own.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Waiting {
    tick: u64,
    young: [u32; TICKS],
    /// Those in flight for more than two seconds.
    slow: u32,
    answered_ms: u64,
}

impl Waiting {
    pub(super) fn begin(&mut self) {
        if let Some(count) = self.young_of(self.tick) {
            *count = count.saturating_add(1);
        }
    }

    /// Ends an opening that began at `begun_ms`. Returns whether it was slow.
    pub(super) fn end(&mut self, begun_ms: u64) -> bool {
        let begun = begun_ms / TICK_MS;
        let is_slow = self.tick.saturating_sub(begun) >= TICKS as u64;
        if is_slow {
            self.slow = self.slow.saturating_sub(1);
        } else if let Some(count) = self.young_of(begun) {
            *count = count.saturating_sub(1);
        }
        is_slow
    }

    pub(super) fn answered(&mut self, now_ms: u64) {
        self.answered_ms = now_ms;
    }

    /// Lets time pass until `now_ms`. Returns how many openings have become slow.
    pub(super) fn advance(&mut self, now_ms: u64) -> u32 {
        let now = now_ms / TICK_MS;
        let mut slow: u32 = 0;
        for _ in 0..now.saturating_sub(self.tick).min(TICKS as u64) {
            self.tick += 1;
            // The place of the new tick is that of the oldest.
            if let Some(count) = self.young_of(self.tick) {
                slow = slow.saturating_add(std::mem::take(count));
            }
        }
        self.tick = self.tick.max(now);
        self.slow = self.slow.saturating_add(slow);
        slow
    }

    /// Whether openings pile up: some have waited for a while, and none was answered meanwhile.
    pub(super) fn piles_up(&self, now_ms: u64) -> bool {
        now_ms.saturating_sub(self.answered_ms) >= SILENCE_MS && self.waiting() >= PILE
    }

    /// How many openings are in flight.
    pub(super) fn in_flight(&self) -> u32 {
        self.young.iter().fold(self.slow, |sum, count| sum.saturating_add(*count))
    }

    /// From when on openings may pile up.
    pub(super) fn look_at_ms(&self) -> u64 {
        if self.in_flight() == 0 {
            return u64::MAX;
        }
        match self.waiting() {
            0 => (self.tick + 1) * TICK_MS,
            _ => 0,
        }
    }

    fn waiting(&self) -> u32 {
        let first = self.tick.saturating_sub(TICKS as u64 - 1);
        let last = (self.tick + 1).saturating_sub(WAITS_AFTER);
        let young = (first..last).filter_map(|tick| self.young.get(place(tick)));
        young.fold(self.slow, |sum, count| sum.saturating_add(*count))
    }

    fn young_of(&mut self, tick: u64) -> Option<&mut u32> {
        self.young.get_mut(place(tick))
    }
}

fn place(tick: u64) -> usize {
    usize::try_from(tick % TICKS as u64).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_opening_is_slow_after_two_seconds_and_is_counted_once() {
        let mut waiting = Waiting::default();
        assert_eq!(waiting.advance(1_100), 0);
        waiting.begin();
        waiting.begin();
        assert_eq!(waiting.advance(3_100), 0, "two seconds");
        assert!(!waiting.end(1_100));
        assert_eq!(waiting.advance(3_250), 1, "and the rest of its tick");
        assert_eq!(waiting.advance(60_000), 0);
        assert!(waiting.end(1_100), "it was slow");
        assert_eq!(waiting.look_at_ms(), u64::MAX, "none is left");
    }

    #[test]
    fn after_a_long_time_without_a_look_all_are_slow() {
        let mut waiting = Waiting::default();
        for now_ms in [0, 250, 2_000] {
            waiting.advance(now_ms);
            waiting.begin();
        }
        assert_eq!(waiting.advance(1_000_000), 3);
    }

    #[test]
    fn openings_pile_up_when_two_wait_and_none_is_answered() {
        let mut waiting = Waiting::default();
        waiting.advance(10_000);
        waiting.begin();
        waiting.advance(10_499);
        assert!(!waiting.piles_up(10_499));
        assert!(waiting.look_at_ms() > 10_499);
        waiting.advance(10_500);
        assert!(!waiting.piles_up(10_500), "one may be slow");
        waiting.begin();
        waiting.advance(11_000);
        assert!(waiting.piles_up(11_000));
        waiting.answered(10_501);
        assert!(!waiting.piles_up(11_000), "it has answered another");
        assert!(waiting.piles_up(11_001));
        waiting.end(10_500);
        assert!(!waiting.piles_up(11_001));
    }
}
