//! Events, behind the feature `tracing`: outages, recoveries and unreadable values.

/// Reports that the server does not answer.
pub(crate) fn down(cause: &str) {
    #[cfg(feature = "tracing")]
    tracing::warn!(target: "bartizan::redis", cause, "the session store does not answer");
    #[cfg(not(feature = "tracing"))]
    let _ = cause;
}

/// Reports a further failure of an outage that was reported less than a minute ago, or is too
/// recent to be reported.
pub(crate) fn still_down(cause: &str) {
    #[cfg(feature = "tracing")]
    tracing::debug!(target: "bartizan::redis", cause, "the session store still does not answer");
    #[cfg(not(feature = "tracing"))]
    let _ = cause;
}

/// Reports that the server answers (again).
pub(crate) fn up() {
    #[cfg(feature = "tracing")]
    tracing::info!(target: "bartizan::redis", "the session store answers");
}

/// Reports a value under one of our keys that cannot be read; `left_out` others were not reported since the last event.
pub(crate) fn unreadable(cause: &str, left_out: u64) {
    #[cfg(feature = "tracing")]
    tracing::error!(target: "bartizan::redis", cause, left_out, "a stored session cannot be read");
    #[cfg(not(feature = "tracing"))]
    let _ = (cause, left_out);
}
