//! Events, behind the feature `tracing`: when the server goes and comes.

/// The server does not answer.
pub(crate) fn down(cause: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "bartizan::redis", cause, "the session store does not answer");
    #[cfg(not(feature = "tracing"))]
    let _ = cause;
}

/// One more failure of an outage that was reported less than a minute ago, or is too young to be reported.
pub(crate) fn still_down(cause: &str) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "bartizan::redis", cause, "the session store still does not answer");
    #[cfg(not(feature = "tracing"))]
    let _ = cause;
}

/// The server answers (again).
pub(crate) fn up() {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "bartizan::redis", "the session store answers");
}

/// Something is kept under a key of ours that cannot be read; `left_out` others were not reported since the last time.
pub(crate) fn unreadable(cause: &str, left_out: u64) {
    #[cfg(feature = "tracing")]
    tracing::error!(target: "bartizan::redis", cause, left_out, "a stored session cannot be read");
    #[cfg(not(feature = "tracing"))]
    let _ = (cause, left_out);
}
