//! One event per refusal, behind the feature `tracing`.

use bartizan_core::Reason;
use http::HeaderMap;

/// Reports that a request with `headers` was refused, with its host and origin.
#[cfg(feature = "tracing")]
pub(crate) fn refused(reason: Reason, headers: &HeaderMap) {
    use http::{HeaderName, header};

    // A longer value is not one that an operator would allow.
    let short = |name: HeaderName| headers.get(name).filter(|value| value.len() <= 256);
    tracing::debug!(
        target: "bartizan::origin",
        ?reason,
        host = short(header::HOST).map(tracing::field::debug),
        origin = short(header::ORIGIN).map(tracing::field::debug),
        "refused"
    );
}

#[cfg(not(feature = "tracing"))]
pub(crate) fn refused(_: Reason, _: &HeaderMap) {}
