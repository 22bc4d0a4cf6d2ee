//! One event per refusal, behind the feature `tracing`.

use bartizan_core::{Reason, session::Fingerprint};

/// Reports that a request was refused, and in which session.
pub(crate) fn refused(reason: Reason, session: Option<Fingerprint>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "bartizan::session",
        ?reason,
        session.id_hash = session.map(tracing::field::display),
        "refused"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (reason, session);
}

/// Reports that a session was ended, and why.
pub(crate) fn ended(session: Fingerprint, cause: &'static str) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "bartizan::session",
        cause,
        session.id_hash = %session,
        "session ended"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (session, cause);
}
