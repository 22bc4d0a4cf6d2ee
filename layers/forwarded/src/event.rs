//! Events, behind the feature `tracing`: one per refusal, and one if two fields disagree.

use bartizan_core::Reason;

use crate::node::Hop;

/// Reports that a request was refused.
pub(crate) fn refused(reason: Reason) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "bartizan::forwarded", ?reason, "refused");
    #[cfg(not(feature = "tracing"))]
    let _ = reason;
}

/// Reports that `Forwarded` and `X-Forwarded-For` name different clients, and which one is used.
pub(crate) fn disagreement(believed: Option<Hop>, dropped: Option<Hop>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "bartizan::forwarded",
        believed = believed.map(|hop| tracing::field::display(hop.ip)),
        dropped = dropped.map(|hop| tracing::field::display(hop.ip)),
        "Forwarded and X-Forwarded-For name two clients"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (believed, dropped);
}
