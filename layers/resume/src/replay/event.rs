//! Events, behind the feature `tracing`.

/// Reports that sessions are opened without a record, because the budget is used up.
pub(crate) fn full(limit_bytes: usize, left_out: u64) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "bartizan::resume",
        { limit_bytes, left_out },
        "session opened without a record of its opening: the limit for all records is reached"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (limit_bytes, left_out);
}
