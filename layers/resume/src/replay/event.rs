//! Events, behind the feature `tracing`.

/// Sessions open without a record of how, since those of others take as much as they may.
pub(crate) fn full(limit_bytes: usize, left_out: u64) {
    #[cfg(feature = "tracing")]
    tracing::warn!(
        target: "bartizan::resume",
        { limit_bytes, left_out },
        "session opened without a record of its opening: the records of others take as many bytes as they may"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (limit_bytes, left_out);
}
