//! The responses that the client gets: the backend's, or one that this layer makes.

use std::sync::Arc;

use bartizan_core::{Backend, Dialect, Reason, Refusal, body::ReplaceBody, fields::media, mcp};
use bytes::Bytes;
use http::{HeaderValue, Response, StatusCode};
use http_body::Body;
use tokio::time::Instant;

use super::{
    kept::Kept,
    listening::Listening,
    look,
    loss::{self, LOOK_BYTES, LOOK_TIMEOUT, Verdict},
    message,
};

/// Passes a response on. An event stream that answers a GET ends where it breaks off.
#[inline]
pub(crate) fn pass<R>(response: Response<R>, is_get: bool) -> Response<R>
where
    R: ReplaceBody<Error: Send> + Send + 'static,
{
    if is_get && response.status().is_success() && media::is_event_stream(response.headers()) {
        return response.map(|body| R::from_body(Listening::new(body)));
    }
    response
}

/// Reads what a verdict still needs, and passes the response on.
pub(crate) async fn settle<R>(
    response: Response<R>,
    verdict: Verdict,
    is_get: bool,
    deadline: Instant,
) -> (Verdict, Response<R>)
where
    R: ReplaceBody<Error: Send> + Send + 'static,
{
    if verdict != Verdict::Look {
        return (verdict, pass(response, is_get));
    }
    let (head, body) = response.into_parts();
    let deadline = deadline.min(Instant::now() + LOOK_TIMEOUT);
    let (text, looked) = look::at_text(body, LOOK_BYTES, deadline).await;
    // A body that broke off or did not arrive decides nothing.
    let is_there = looked.has_ended() || text.len() >= LOOK_BYTES;
    let verdict = if is_there { loss::by_text(head.status, &text) } else { Verdict::Arrived };
    (verdict, Response::from_parts(head, R::from_body(looked)))
}

/// Replaces the session id in a response of the new backend with the one in the request, so that outer layers and the
/// client see no change.
pub(crate) fn show_as<R>(response: &mut Response<R>, shown: Option<&HeaderValue>) {
    response.extensions_mut().remove::<Backend>();
    if response.headers().contains_key(&mcp::SESSION_ID) {
        match shown {
            Some(shown) => response.headers_mut().insert(&mcp::SESSION_ID, shown.clone()),
            None => response.headers_mut().remove(&mcp::SESSION_ID),
        };
    }
}

/// Refuses a request for `reason`.
pub(crate) fn refuse<R: ReplaceBody>(reason: Reason, dialect: &Dialect) -> Response<R> {
    Refusal::new(reason).render(dialect).map(R::from_bytes)
}

/// Refuses a request with its id, for which the rest of its body is read now.
pub(crate) async fn refuse_with_id<B, R>(kept: &Arc<Kept<B>>, reason: Reason) -> Response<R>
where
    B: Body<Data = Bytes> + Unpin,
    R: ReplaceBody,
{
    refuse(reason, &kept.head().dialect(message::id(kept).await))
}

/// Accepts a message that no server expects any more.
pub(crate) fn accepted<R: ReplaceBody>() -> Response<R> {
    let mut response = Response::new(R::from_bytes(Bytes::new()));
    *response.status_mut() = StatusCode::ACCEPTED;
    response
}
