//! Events, behind the feature `tracing`: one per session that was resumed or could not be resumed.

use bartizan_core::{BackendId, Reason, Session};

pub(crate) fn resumed(session: &Session, from: Option<&BackendId>) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        target: "bartizan::resume",
        {
            session.id_hash = %session.fingerprint(),
            backend.lost = from.map(BackendId::as_str),
            backend.id = session.record().backend().map(BackendId::as_str),
        },
        "session resumed: what its server kept in memory is gone"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (session, from);
}

pub(crate) fn given_up(session: &Session, reason: Reason) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        target: "bartizan::resume",
        { ?reason, session.id_hash = %session.fingerprint() },
        "session could not be resumed"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (session, reason);
}
