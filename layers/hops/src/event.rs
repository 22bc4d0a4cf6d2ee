//! One event per refusal, behind the feature `tracing`.

use bartizan_core::Reason;

/// Says that a request was refused, and by which evidence.
pub(crate) fn refused(reason: Reason, evidence: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "bartizan::hops", ?reason, evidence, "refused");
    #[cfg(not(feature = "tracing"))]
    let _ = (reason, evidence);
}
