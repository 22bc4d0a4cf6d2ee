//! Client sessions that may be over: nobody has used them here for as long as they may idle.

use std::sync::Arc;

use bartizan_core::{Session, SessionStore};

use super::super::{splitter::Splitter, table::close_soon};

/// Ends what is open at gateways for those of `idle` that are over: their records, which list it, are gone. What other
/// replicas use stays.
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
