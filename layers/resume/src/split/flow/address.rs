//! How a request is addressed to a gateway.

use bartizan_core::{Passage, Work, mcp};
use http::{HeaderValue, Request, header::AUTHORIZATION};

use super::super::{gateway::Gateway, gateway_session::GatewaySession};
use crate::replay::kept::Head;

/// Sends a request to `session`, with the id that its gateway knows, and to the same origin with the same credentials
/// as when it was opened: credentials for one origin must not be sent to another.
pub(super) fn to_session<B>(request: &mut Request<B>, session: &GatewaySession) {
    if let Ok(id) = HeaderValue::from_str(session.id.as_str()) {
        request.headers_mut().insert(&mcp::SESSION_ID, id);
    }
    address(request, &session.gateway);
    Passage::with(request, |passage| {
        // The id is no longer the client's: the inner layers need not know the client's.
        passage.clear_session();
        passage.set_work(Work::Pinned);
    });
}

/// Sends a request to `gateway`, with the credentials for it.
pub(super) fn address<B>(request: &mut Request<B>, gateway: &Gateway) {
    if let Some(authorization) = gateway.authorization() {
        request.headers_mut().insert(AUTHORIZATION, authorization.clone());
    }
    Passage::with(request, |passage| passage.set_backend(gateway.backend().clone()));
}

/// The head of a request to `gateway`, with the credentials for it.
pub(super) fn with_credentials(mut head: Head, gateway: &Gateway) -> Head {
    if let Some(authorization) = gateway.authorization() {
        head.headers.insert(AUTHORIZATION, authorization.clone());
    }
    head
}
