//! One event per refusal and failure, behind the feature `tracing`.

use bartizan_core::{Backend, Reason};

/// Reports that a request was answered here, and which backend it was for.
pub(crate) fn refused(reason: Reason, backend: Option<&Backend>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "bartizan::upstream",
        ?reason,
        backend.id = backend.map(|backend| backend.id().as_str()),
        "refused"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (reason, backend);
}
