//! Events, behind the feature `tracing`: when the server goes and comes.

/// The server has stopped answering.
pub(crate) fn down(cause: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "bartizan::redis", cause, "the session store does not answer");
    #[cfg(not(feature = "tracing"))]
    let _ = cause;
}

/// The server answers (again).
pub(crate) fn up() {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "bartizan::redis", "the session store answers");
}

/// Something is kept under a key of ours that is none of ours.
pub(crate) fn corrupt() {
    #[cfg(feature = "tracing")]
    tracing::error!(target: "bartizan::redis", "a stored session cannot be read");
}
