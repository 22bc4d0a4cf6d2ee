//! Waiting for a condition: the only place that sleeps.

use std::time::Duration;

use tokio::time::{sleep, timeout};

/// Waits until `holds`, and fails with `what` after `within`.
pub async fn eventually<F: Future<Output = bool>>(
    what: &str,
    within: Duration,
    mut holds: impl FnMut() -> F,
) {
    let waiting = timeout(within, async {
        while !holds().await {
            sleep(Duration::from_millis(5)).await;
        }
    });
    assert!(waiting.await.is_ok(), "not within {within:?}: {what}");
}
