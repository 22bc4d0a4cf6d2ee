//! Returns the body of a kept request with the refusal of an inner layer, because it contains the id of the request.

use std::sync::Arc;

use bartizan_core::{Passage, Reason, UpstreamFailure, body::ReplaceBody, refusal::ReturnedBody};
use http::{Request, Response};

use super::kept::Kept;

/// Returns the body of the request with `response` if that is a refusal of an inner layer, which could not return the
/// body itself. It is returned if it has been read to its end, all of it was kept, or nothing of it was sent.
#[inline]
pub(crate) fn with_body<B, R>(mut response: Response<R>, kept: &Arc<Kept<B>>) -> Response<R>
where
    B: ReplaceBody + Unpin + Send + 'static,
{
    let status = response.status();
    if (status.is_client_error() || status.is_server_error())
        && Reason::of(&response).is_some()
        && !ReturnedBody::is_in(&response)
        && let Some(returned) = returned(&response, kept)
    {
        returned.attach(&mut response);
    }
    response
}

#[cold]
fn returned<B, R>(response: &Response<R>, kept: &Arc<Kept<B>>) -> Option<ReturnedBody>
where
    B: ReplaceBody + Unpin + Send + 'static,
{
    Passage::dialect(kept.passage()).filter(|dialect| ReturnedBody::is_wanted(dialect))?;
    if let Some(whole) = kept.whole() {
        return ReturnedBody::new(B::from_bytes(whole));
    }
    // Another attempt would cut off one that is still being sent, and a backend might take that for the whole body.
    let is_untouched = UpstreamFailure::of(response).is_some_and(UpstreamFailure::is_untouched);
    let again = if is_untouched { kept.again() } else { None };
    again.map(Request::into_body).and_then(ReturnedBody::new)
}
