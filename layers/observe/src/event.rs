//! The one event, behind the feature `tracing`.

/// Reports that further backends share one series.
#[cfg(feature = "tracing")]
pub(crate) fn too_many_backends(max: usize) {
    tracing::warn!(
        target: "bartizan::observe",
        max,
        "more backends than have metrics of their own: the others are counted as _OTHER"
    );
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn too_many_backends(_: usize) {}
