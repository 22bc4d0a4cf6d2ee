//! Milliseconds since the store was made.

use tokio::time::Instant;

#[derive(Debug)]
pub(crate) struct Clock(Instant);

impl Clock {
    pub(crate) fn start() -> Self {
        Self(Instant::now())
    }

    pub(crate) fn now_ms(&self) -> u64 {
        let elapsed = self.0.elapsed();
        elapsed.as_secs() * 1000 + u64::from(elapsed.subsec_millis())
    }
}
