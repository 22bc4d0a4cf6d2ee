//! Reads a backend's 404, up to a limit, to decide whether it is about the session.

use std::{future::poll_fn, time::Duration};

use bartizan_core::{GuardBody, body::ReplaceBody, mcp};
use bytes::Bytes;
use http::Response;
use http_body::Body;

use crate::{
    peek::{Peek, PeekError},
    within::within,
};

/// How long the body may take to arrive. A body that does not arrive decides nothing.
const TIMEOUT: Duration = Duration::from_secs(2);

/// Reads the body of a 404 up to `limit_bytes`. Returns the body, and whether it says that the session has ended.
pub(crate) async fn look<R>(
    response: Response<R>,
    limit_bytes: usize,
) -> (bool, Response<GuardBody<R>>)
where
    R: Body<Data = Bytes> + Send + 'static,
{
    let (head, body) = response.into_parts();
    let mut peek = Peek::new(Box::pin(body), limit_bytes);
    // The error of a body need not be `Send`: it is not kept across the wait.
    let is_broken = |read| matches!(read, Err(PeekError::Broken(_)));
    let read = poll_fn(|cx| peek.poll_end(cx).map(is_broken));
    let has_arrived = within(TIMEOUT, read).await == Ok(false);
    let denies = has_arrived && mcp::denies_session(&peek.content());
    (denies, Response::from_parts(head, GuardBody::from_body(peek.into_body())))
}
