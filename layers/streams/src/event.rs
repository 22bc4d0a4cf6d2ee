//! One event per refusal, and per stream that is ended here, behind the feature `tracing`.

use bartizan_core::{Reason, Session};

use crate::signal::Cause;

/// Reports that a request was refused.
pub(crate) fn refused(reason: Reason, session: Option<&Session>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "bartizan::streams",
        ?reason,
        session.id_hash = session.map(|session| tracing::field::display(session.fingerprint())),
        "refused"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (reason, session);
}

/// Reports that a stream was ended before its backend ended it.
pub(crate) fn ended(cause: Cause, session: Option<&Session>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "bartizan::streams",
        %cause,
        session.id_hash = session.map(|session| tracing::field::display(session.fingerprint())),
        "stream ended"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (cause, session);
}
