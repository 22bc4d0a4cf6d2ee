//! Sessions that a layer opens itself, in the way a client did.

use std::{sync::Arc, time::Duration};

use bartizan_core::{
    Backend, Reason, SessionId, UpstreamFailure, body::ReplaceBody, fields::only_line, mcp,
};
use http::{HeaderValue, Request, Response, StatusCode, header::WWW_AUTHENTICATE};
use tokio::time::Instant;

use super::{
    ask::{Ask, At},
    closing::Closing,
    handshake::{Agreement, Handshake, Scanned},
    inside::{Inside, Spare},
    kept::Head,
    look,
};

/// A session that a backend has opened for a layer. If it is dropped before it is used, it is ended
/// there.
pub(crate) struct Opened {
    pub(crate) id: SessionId,
    pub(crate) backend: Option<Backend>,
    closing: Option<Closing>,
}

/// What a layer expects of the session that it opens.
pub(crate) struct Expected<'a> {
    /// How the client opened its own.
    pub(crate) handshake: &'a Handshake,
    /// Whether a session with the second agreement can stand in for one with the first.
    pub(crate) accepts: fn(&Agreement, &Agreement) -> bool,
    /// How large the agreement may be, in bytes.
    pub(crate) limit_bytes: usize,
    /// The deadline for the answer.
    pub(crate) deadline: Instant,
    /// How long the backend may take to end the session.
    pub(crate) close_timeout: Duration,
}

/// Why a backend cannot continue a session.
#[allow(clippy::exhaustive_enums, reason = "public for the model of this workspace alone")]
#[derive(Clone, Debug)]
pub enum Unfit {
    /// It did not answer, or its failure is temporary.
    NoAnswer(Reason),
    /// It gave another answer than the first one.
    Other,
    /// It does not serve this caller. That says nothing about the session or its other callers.
    Denied(Denial),
}

/// A backend asks for other credentials: its status, and the challenges that it sent.
#[derive(Clone, Debug)]
pub struct Denial {
    pub(crate) status: StatusCode,
    pub(crate) challenges: Arc<[HeaderValue]>,
}

/// Opens a session for the caller with `head`, and ends its handshake.
pub(crate) async fn open<S, B>(
    service: &Arc<Spare<S>>,
    head: &Head,
    at: At<'_>,
    expected: Expected<'_>,
) -> Result<Opened, Unfit>
where
    S: Inside<B>,
    B: ReplaceBody + Unpin + Send + 'static,
{
    let Expected { handshake, accepts, limit_bytes, deadline, close_timeout } = expected;
    let ask = Ask::new(head, &handshake.agreement.version);
    let request: Request<B> = ask.initialize(handshake.body.clone(), at);
    let response = service.call(request).await.map_err(|_| NO_ANSWER)?;
    let (head, body) = accept_head(response)?.into_parts();
    let id = only_line(&head.headers, &mcp::SESSION_ID).ok().flatten().ok_or(Unfit::Other)?;
    let id = SessionId::from_bytes(id.as_bytes()).map_err(|_| Unfit::Other)?;
    let backend = match at {
        At::Backend(backend) => Some(backend.clone()),
        At::Untried(_) => head.extensions.get::<Backend>().cloned(),
    };
    let confirm = ask.initialized::<B>(&id, backend.as_ref()).ok_or(Unfit::Other)?;
    // From here on, a session exists that may have to be ended.
    let closing = Closing::new::<S, B>(service, ask, id.clone(), backend.clone(), close_timeout);
    let opened = Opened { id, backend, closing: Some(closing) };
    if head.status != StatusCode::OK {
        return Err(Unfit::Other);
    }
    let (found, looked) = look::for_agreement(&head.headers, body, limit_bytes, deadline).await;
    looked.discard().await;
    match found {
        Scanned::Agreement(agreement) if accepts(&handshake.agreement, &agreement) => {}
        _ => return Err(Unfit::Other),
    }
    match service.call(confirm).await {
        Ok(response) if response.status().is_success() => Ok(opened),
        // If a backend rejects a session that it has just opened, the backend is at fault.
        _ => Err(NO_ANSWER),
    }
}

/// Whether a status means that the server cannot serve any client at the moment, or not here.
fn is_sick(status: StatusCode) -> bool {
    status.is_server_error()
        || matches!(
            status,
            StatusCode::NOT_FOUND | StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS
        )
}

const NO_ANSWER: Unfit = Unfit::NoAnswer(Reason::BackendUnreachable);

/// Passes on the head of a response that comes from the backend itself, does not ask for other credentials, and does
/// not show that the backend is failing.
///
/// # Errors
///
/// What the response shows about the backend.
pub fn accept_head<R>(response: Response<R>) -> Result<Response<R>, Unfit> {
    if let Some(reason) = Reason::of(&response) {
        return Err(Unfit::NoAnswer(reason));
    }
    if UpstreamFailure::of(&response).is_some() {
        return Err(NO_ANSWER);
    }
    match Denial::of(&response) {
        Some(denial) => Err(Unfit::Denied(denial)),
        None if is_sick(response.status()) => Err(NO_ANSWER),
        None => Ok(response),
    }
}

impl Opened {
    /// Marks the session as used. Returns the handle to end it later.
    pub(crate) fn keep(mut self) -> Option<Closing> {
        self.closing.take()
    }
}

impl Denial {
    fn of<R>(response: &Response<R>) -> Option<Self> {
        let status = response.status();
        if !matches!(status, StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN) {
            return None;
        }
        let challenges = response.headers().get_all(WWW_AUTHENTICATE);
        Some(Self { status, challenges: challenges.iter().cloned().collect() })
    }
}

impl Drop for Opened {
    fn drop(&mut self) {
        if let Some(closing) = self.closing.take() {
            closing.spawn();
        }
    }
}
