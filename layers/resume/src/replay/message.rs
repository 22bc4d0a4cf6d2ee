//! The message in the body of a kept request.

use std::{sync::Arc, time::Duration};

use bartizan_core::{mcp::Content, refusal::RequestId};
use bytes::Bytes;
use http_body::Body;
use tokio::time::Instant;

use super::kept::Kept;

/// How long the rest of a body is waited for, to know what is in it.
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
/// cancels one. Another server could take it for an answer to its own.
pub(crate) async fn is_for_lost_server<B>(kept: &Arc<Kept<B>>) -> bool
where
    B: Body<Data = Bytes> + Unpin,
{
    // A body that is known to be too large for that is not waited for.
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
