//! At most so many recorded requests per second.

use std::sync::atomic::{AtomicU64, Ordering};

use tokio::time::Instant;

/// Counts what is recorded in each second.
#[derive(Debug)]
pub(crate) struct Rate {
    max: u32,
    epoch: Instant,
    // The second since the epoch, and how many were admitted in it: 32 bits each.
    state: AtomicU64,
}

impl Rate {
    pub(crate) fn new(max: u32) -> Self {
        Self { max, epoch: Instant::now(), state: AtomicU64::new(0) }
    }

    /// Whether one more may be recorded now.
    pub(crate) fn admit(&self) -> bool {
        #[allow(
            clippy::cast_possible_truncation,
            reason = "only whether it is another second matters"
        )]
        let second = self.epoch.elapsed().as_secs() as u32;
        let next = |state| next(state, second, self.max);
        self.state.fetch_update(Ordering::Relaxed, Ordering::Relaxed, next).is_ok()
    }
}

fn next(state: u64, second: u32, max: u32) -> Option<u64> {
    #[allow(clippy::cast_possible_truncation, reason = "the low half is the count")]
    let count = if state >> 32 == u64::from(second) { state as u32 } else { 0 };
    (count < max).then(|| (u64::from(second) << 32) | u64::from(count + 1))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn each_second_has_its_own_count() {
        let rate = Rate::new(2);
        let round = || [rate.admit(), rate.admit(), rate.admit()];
        assert_eq!(round(), [true, true, false]);
        tokio::time::advance(Duration::from_millis(999)).await;
        assert_eq!(round(), [false, false, false]);
        tokio::time::advance(Duration::from_millis(1)).await;
        assert_eq!(round(), [true, true, false]);
        tokio::time::advance(Duration::from_secs(1000)).await;
        assert_eq!(round(), [true, true, false]);
    }

    #[tokio::test(start_paused = true)]
    async fn none_are_admitted_where_none_are_allowed() {
        assert!(!Rate::new(0).admit());
        let all = Rate::new(u32::MAX);
        assert!((0..10_000).all(|_| all.admit()));
    }
}
