//! The message in the body of a kept request.

use std::{sync::Arc, time::Duration};

use bartizan_core::{mcp::Content, refusal::RequestId};
use bytes::Bytes;
use http_body::Body;
use tokio::time::Instant;

use super::kept::Kept;

/// How long to wait for the rest of a body, to know its content.
const BODY_DEADLINE: Duration = Duration::from_secs(1);

/// The id of the request that is in the body of `kept`.
pub(crate) async fn id<B>(kept: &Arc<Kept<B>>) -> Option<RequestId>
where
    B: Body<Data = Bytes> + Unpin,
{
    kept.read_on(Instant::now() + BODY_DEADLINE).await;
    match kept.content()? {
        Content::Message(message) => message.request_id().cloned(),
        _ => None,
    }
}

/// Whether a request is about something that only the lost server knows: it answers a request of that server, or
/// cancels one. Another server could take it for an answer to its own request.
pub(crate) async fn is_for_lost_server<B>(kept: &Arc<Kept<B>>) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    // Does not wait for a body that is known to be too large.
    if !kept.is_small() {
        return false;
    }
    kept.read_on(Instant::now() + BODY_DEADLINE).await;
    match kept.content() {
        Some(Content::Message(message)) => {
            message.is_response() || message.method() == Some("notifications/cancelled")
        }
        _ => false,
    }
}
