//! Waiting for a store, and not for long.

use std::time::Duration;

use bartizan_core::{
    Answer,
    store::{StoreError, StoreErrorKind},
};
use tokio::time::timeout;

/// Waits for what a store answers, and not for longer than `time`.
pub(crate) async fn timed<V, F>(
    answer: Answer<Result<V, StoreError>, F>,
    time: Duration,
) -> Result<V, StoreError>
where
    F: Future<Output = Result<V, StoreError>>,
{
    match answer {
        Answer::Now(answer) => answer,
        Answer::Later(answer) => timeout(time, answer)
            .await
            .unwrap_or_else(|_| Err(StoreError::new(StoreErrorKind::Timeout))),
    }
}
