//! What a response changes about the live session of its request. Pure.

use bartizan_core::{Backend, BackendId, Reason, Session, UpstreamFailure};
use http::{HeaderName, Response, StatusCode};

use crate::{alias, config::Protocol};

/// What a response changes about its session.
#[derive(Debug, Eq, PartialEq)]
pub(crate) enum Change {
    /// The client has ended it.
    Ended,
    /// The client has ended it, and its backend could not be reached.
    EndedUnreachable,
    /// Its backend has lost it, or is lost.
    Lost,
    /// It has moved to this backend.
    Moved(BackendId),
    /// Its backend opens another session in its course.
    Another,
}

/// What `response` changes about `session`; `ends` says whether the request asked for its end.
#[inline]
pub(crate) fn change<R>(
    response: &Response<R>,
    session: &Session,
    ends: bool,
    protocol: Protocol,
    header: &HeaderName,
) -> Option<Change> {
    let status = response.status();
    if ends {
        if UpstreamFailure::of(response).is_some_and(UpstreamFailure::is_unreachable) {
            return Some(Change::EndedUnreachable);
        }
        if status.is_success() {
            return Some(Change::Ended);
        }
    }
    let is_lost = Reason::of(response) == Some(Reason::BackendLost);
    if is_lost || (protocol == Protocol::Mcp && status == StatusCode::NOT_FOUND) {
        return Some(Change::Lost);
    }
    let backend = response.extensions().get::<Backend>().map(Backend::id);
    if let Some(backend) = backend.filter(|id| session.record().backend() != Some(*id)) {
        return Some(Change::Moved(backend.clone()));
    }
    let names_another = !ends
        && status.is_success()
        && response
            .headers()
            .get(header)
            .is_some_and(|id| id.as_bytes() != alias::upstream_id(session));
    names_another.then_some(Change::Another)
}
