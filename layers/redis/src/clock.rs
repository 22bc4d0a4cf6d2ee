//! Two clocks: one that never jumps, and the server's, which all replicas share.

use std::sync::atomic::{AtomicI64, Ordering};

use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Clock {
    start: Instant,
    /// The server's time when this clock shows zero.
    server_ms: AtomicI64,
}

impl Clock {
    pub(crate) fn start() -> Self {
        Self { start: Instant::now(), server_ms: AtomicI64::new(0) }
    }

    /// Milliseconds since the store was made.
    pub(crate) fn now_ms(&self) -> u64 {
        let elapsed = self.start.elapsed();
        elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis())
    }

    /// The server's time, in milliseconds since 1970, when this clock shows `now_ms`.
    pub(crate) fn server_ms(&self, now_ms: u64) -> u64 {
        self.server_ms.load(Ordering::Relaxed).saturating_add_unsigned(now_ms).max(0).unsigned_abs()
    }

    /// Sets the server's current time to `server_ms`.
    pub(crate) fn set_server_ms(&self, server_ms: i64) {
        let now_ms = i64::try_from(self.now_ms()).unwrap_or(i64::MAX);
        self.server_ms.store(server_ms.saturating_sub(now_ms), Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[tokio::test(start_paused = true)]
    async fn the_servers_time_goes_on_from_what_it_said() {
        let clock = Clock::start();
        tokio::time::advance(Duration::from_secs(5)).await;
        clock.set_server_ms(1_000_000);
        assert_eq!((clock.now_ms(), clock.server_ms(clock.now_ms())), (5_000, 1_000_000));
        tokio::time::advance(Duration::from_secs(1)).await;
        assert_eq!(clock.server_ms(clock.now_ms()), 1_001_000);
        clock.set_server_ms(-7);
        assert_eq!(clock.server_ms(clock.now_ms()), 0);
    }
}
