//! Responses that this layer makes itself.

use bartizan_core::{
    Dialect, GuardBody, Reason, Refusal, SessionStore, refusal::RequestId, session::Fingerprint,
};
use bytes::Bytes;
use http::{HeaderMap, Response, StatusCode};

use crate::{
    body::SessionBody,
    config::{Config, Protocol},
    event, judge,
};

/// Refuses the request with these `headers`, with the JSON-RPC `id` if it is known.
pub(crate) fn refuse<R, T: SessionStore>(
    config: &Config<T>,
    headers: &HeaderMap,
    refusal: Refusal,
    id: Option<RequestId>,
) -> Box<Response<SessionBody<R, T>>> {
    let session = judge::session_id(headers, &config.header).ok().flatten();
    event::refused(refusal.reason(), session.map(Fingerprint::of));
    Box::new(render(refusal, &dialect(config, headers, id)))
}

/// Refuses a request when neither the request nor its id is available any more.
pub(crate) fn refuse_late<R, T: SessionStore>(
    config: &Config<T>,
    reason: Reason,
) -> Response<SessionBody<R, T>> {
    event::refused(reason, None);
    let dialect = match config.protocol {
        Protocol::Mcp => Dialect::JsonRpc(None),
        Protocol::Header => Dialect::Problem,
    };
    render(reason.into(), &dialect)
}

/// Makes the response of a refusal.
pub(crate) fn render<R, T: SessionStore>(
    refusal: Refusal,
    dialect: &Dialect,
) -> Response<SessionBody<R, T>> {
    refusal.respond(dialect).map(|body| SessionBody::new(body, None))
}

/// Responds that a session has ended, without asking its backend.
pub(crate) fn gone<R, T: SessionStore>() -> Response<SessionBody<R, T>> {
    let mut gone = Response::new(SessionBody::new(GuardBody::refused(Bytes::new()), None));
    *gone.status_mut() = StatusCode::NO_CONTENT;
    gone
}

/// The format for refusing the request with these `headers`.
pub(crate) fn dialect<T>(
    config: &Config<T>,
    headers: &HeaderMap,
    id: Option<RequestId>,
) -> Dialect {
    match config.protocol {
        Protocol::Mcp => Dialect::JsonRpc(id).unless_grpc(headers),
        Protocol::Header => Dialect::detect(headers),
    }
}
