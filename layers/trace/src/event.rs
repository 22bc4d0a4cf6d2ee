//! One event per malformed trace context, behind the feature `tracing`.

/// Reports that a request's `traceparent` could not be read, which says nothing of what was in it.
pub(crate) fn malformed(lines: usize) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "bartizan::trace", lines, "the trace context is malformed, and starts again here");
    #[cfg(not(feature = "tracing"))]
    let _ = lines;
}
