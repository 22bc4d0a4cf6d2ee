//! Waiting for a store with a timeout.

use std::time::Duration;

use bartizan_core::{
    Answer,
    store::{StoreError, StoreErrorKind},
};
use tokio::time::timeout;

/// Waits for the answer of a store, for at most `time`.
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
