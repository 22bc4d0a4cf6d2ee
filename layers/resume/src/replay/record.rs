//! Records how a session is opened.

use std::{sync::Arc, time::Duration};

use bartizan_core::{SessionId, body::ReplaceBody, mcp, session::Additions};
use bytes::Bytes;
use http::Response;
use http_body::Body;
use tokio::time::Instant;

use super::{
    budget::Budget,
    credentials,
    entry::{Entries, NAME},
    handshake::{Handshake, Scanned},
    kept::Kept,
    look,
    needed::needed,
    target,
};

/// How a session is recorded.
#[derive(Clone)]
pub(crate) struct Recording {
    pub(crate) entries: Entries,
    pub(crate) limit_bytes: usize,
    pub(crate) budget: Arc<Budget>,
    pub(crate) timeout: Duration,
}

/// Whether a response may open a session.
pub(crate) fn opens<R>(response: &Response<R>) -> bool {
    response.status().is_success() && response.headers().contains_key(&mcp::SESSION_ID)
}

/// Looks for what the server agreed to, and adds it to the response's extensions. Without it, the session still opens,
/// but cannot be resumed.
pub(crate) async fn record<B, R, E>(
    recording: Recording,
    kept: Arc<Kept<B>>,
    response: Response<R>,
) -> Result<Response<R>, E>
where
    B: Body<Data = Bytes> + Unpin,
    R: ReplaceBody<Error: Send> + Send + 'static,
{
    let Recording { entries, limit_bytes: limit, budget, timeout } = recording;
    let (mut head, body) = response.into_parts();
    let deadline = Instant::now() + timeout;
    let (found, looked) = look::for_agreement(&head.headers, body, limit, deadline).await;
    if let Scanned::Agreement(agreement) = found
        && agreement.capabilities.len() <= limit
        && names_session(&head.headers)
        && let Some(body) = kept.whole().filter(|body| is_initialize(body))
        && let Some(body) = needed(body, limit)
    {
        let owner = kept.passage().principal();
        let handshake = Handshake { agreement, body };
        if let Some(entry) = entries.write(&handshake, owner) {
            let id = head.headers.get(&mcp::SESSION_ID).filter(|_| owner.is_none());
            let digest = id.zip(kept.authorization()).map(|(id, authorization)| {
                credentials::digest(id.as_bytes(), authorization).to_vec()
            });
            let target = target::write(&entries, kept.uri(), owner);
            let fields = [(NAME, Some(entry)), (credentials::NAME, digest), (target::NAME, target)];
            let bytes = fields.iter().flat_map(|(_, value)| value).map(Vec::len).sum();
            if let Some(share) = budget.take(bytes) {
                Additions::leave_companion(&mut head.extensions, Arc::new(share));
                for (name, value) in fields {
                    let Some(value) = value else { continue };
                    Additions::leave(&mut head.extensions, name, &value);
                }
            }
        }
    }
    Ok(Response::from_parts(head, R::from_body(looked)))
}

fn names_session(headers: &http::HeaderMap) -> bool {
    headers.get(&mcp::SESSION_ID).is_some_and(|id| SessionId::is_valid(id.as_bytes()))
}

fn is_initialize(body: &[u8]) -> bool {
    matches!(
        mcp::Content::parse(body),
        Ok(mcp::Content::Message(message)) if message.is_initialize()
    )
}
