//! Client sessions that may have expired: this process has not used them for their whole idle time.

use std::sync::Arc;

use bartizan_core::{Session, SessionStore};

use super::super::{splitter::Splitter, table::close_soon};

/// Ends the sessions at gateways for those of `idle` that have expired. Their records, which list these sessions, are
/// gone. Sessions that other replicas use stay.
pub(super) async fn end_expired<S, N, T>(shared: Arc<Splitter<S, N, T>>, idle: Vec<Session>)
where
    T: SessionStore,
{
    for session in idle {
        // If the store does not answer, it is asked again later.
        if let Ok(false) = shared.is_live(&session).await {
            close_soon(&shared.config.sessions.take(|other, _| other.key() == session.key()));
        }
    }
}
