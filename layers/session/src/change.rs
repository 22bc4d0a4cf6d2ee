//! What a response changes about the live session of its request. Pure.

use bartizan_core::{Backend, BackendId, Reason, Session, UpstreamFailure, mcp};
use http::{HeaderName, Response};

use crate::{alias, config::Protocol};

/// What a response changes about its session.
#[allow(clippy::exhaustive_enums, reason = "public for the model of this workspace alone")]
#[derive(Clone, Debug, Eq, PartialEq)]
pub enum Change {
    /// The client has ended it.
    Ended,
    /// The client has ended it, but its backend could not be reached.
    EndedUnreachable,
    /// Its backend is lost.
    Lost,
    /// Its backend answered 404 on the path where it was opened: it has ended, unless the body is about something else.
    Denied,
    /// It has moved to this backend.
    Moved(BackendId),
    /// Its backend opens another session within this one.
    Another,
    /// Nothing, but an inner layer has refused the request, and its refusal lacks the id.
    Refused,
}

/// The facts about a request that are needed to judge its response.
#[allow(clippy::exhaustive_structs, reason = "public for the model of this workspace alone")]
#[derive(Clone, Copy, Debug)]
pub struct Asked {
    /// Whether it asked to end its session.
    pub ends: bool,
    /// Whether it went to the path on which its session was opened.
    pub is_at_endpoint: bool,
}

impl Asked {
    /// The facts about a request to `path` in `session`.
    #[inline]
    #[must_use]
    pub fn of(session: &Session, path: &str, ends: bool) -> Self {
        Self { ends, is_at_endpoint: mcp::is_at_endpoint(session, path) }
    }
}

/// What `response` changes about `session`.
#[inline]
pub fn change<R>(
    response: &Response<R>,
    session: &Session,
    asked: Asked,
    protocol: Protocol,
    header: &HeaderName,
) -> Option<Change> {
    let status = response.status();
    if asked.ends {
        if UpstreamFailure::of(response).is_some_and(UpstreamFailure::is_unreachable) {
            return Some(Change::EndedUnreachable);
        }
        if status.is_success() {
            return Some(Change::Ended);
        }
    }
    if Reason::of(response) == Some(Reason::BackendLost) {
        return Some(Change::Lost);
    }
    if protocol == Protocol::Mcp
        && mcp::may_deny_session(response, || asked.is_at_endpoint)
        && is_said_by_backend(response)
    {
        return Some(Change::Denied);
    }
    let backend = response.extensions().get::<Backend>().map(Backend::id);
    if let Some(backend) = backend.filter(|id| session.record().backend() != Some(*id)) {
        return Some(Change::Moved(backend.clone()));
    }
    let names_another = !asked.ends
        && status.is_success()
        && response
            .headers()
            .get(header)
            .is_some_and(|id| id.as_bytes() != alias::upstream_id(session));
    names_another.then_some(Change::Another)
}

/// Whether a 404 comes from the backend, which may itself be a session guard, and not from another layer.
fn is_said_by_backend<R>(response: &Response<R>) -> bool {
    matches!(Reason::of(response), None | Some(Reason::UnknownSession))
}
