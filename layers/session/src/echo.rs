//! Looks for the id of a refused request, within limits, so that the refusal can echo it.

use std::{future::poll_fn, time::Duration};

use bartizan_core::{
    Reason, Refusal, SessionStore,
    fields::media,
    mcp,
    refusal::{RequestId, ReturnedBody},
};
use bytes::Bytes;
use http::{
    HeaderMap, Request, Response, StatusCode,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};
use http_body::Body;

use crate::{body::SessionBody, config::Config, peek::Peek, refusal::refuse, within::within};

/// How long the rest of the body may take to arrive. After that, the refusal is sent without an id.
const TIMEOUT: Duration = Duration::from_secs(1);

/// The id of the request in `body`. `None` for a notification or a response, or if the body is too large, breaks off,
/// or does not arrive in time.
pub(crate) async fn id_in<B, T>(body: B, config: &Config<T>) -> Option<RequestId>
where
    B: Body<Data = Bytes> + Unpin,
{
    let mut peek = Peek::new(body, config.peek_limit_bytes);
    // The error of a body need not be `Send`: it is not kept across the wait.
    let read = poll_fn(|cx| peek.poll_end(cx).map(|read| read.is_ok()));
    let has_arrived = within(TIMEOUT.min(config.peek_timeout), read).await == Ok(true);
    if has_arrived { mcp::request_id(&peek.content()) } else { None }
}

/// Refuses a request that was not sent to a backend, with its id.
pub(crate) async fn refuse_with_id<B, R, T>(
    config: &Config<T>,
    request: Request<B>,
    refusal: Refusal,
) -> Response<SessionBody<R, T>>
where
    B: Body<Data = Bytes> + Unpin,
    T: SessionStore,
{
    let (head, body) = request.into_parts();
    let id = id_in(body, config).await;
    *refuse(config, &head.headers, refusal, id)
}

/// Whether an inner layer has refused the request of `response` and returned its body.
#[inline(always)]
pub(crate) fn is_wanted<R>(response: &Response<R>) -> bool {
    response.status() >= StatusCode::BAD_REQUEST && has_body(response)
}

// Not inlined, to keep the path of forwarded responses small.
#[cold]
#[inline(never)]
fn has_body<R>(response: &Response<R>) -> bool {
    ReturnedBody::is_in(response)
}

/// Renders a refusal of an inner layer again, with the id of its request, if that layer has returned its body.
pub(crate) async fn echo<R, T: SessionStore>(
    mut response: Response<SessionBody<R, T>>,
    config: &Config<T>,
) -> Response<SessionBody<R, T>> {
    let Some(body) = ReturnedBody::take(&mut response) else { return response };
    let Some(reason) = Reason::of(&response).filter(|_| is_json(response.headers())) else {
        return response;
    };
    if let Some(id) = id_in(body, config).await {
        response.headers_mut().remove(CONTENT_LENGTH);
        response.body_mut().say(reason.json_rpc(Some(&id)));
    }
    response
}

/// Whether a refusal is still a JSON-RPC error.
fn is_json(headers: &HeaderMap) -> bool {
    media::is_json(headers) && !headers.contains_key(CONTENT_ENCODING)
}
