//! The ways of a request that is not simply passed on.

mod elsewhere;
mod end;
mod lost;
mod record;

use bartizan_core::{Dialect, Reason, Refusal, fields::media, mcp};
use http::{HeaderValue, Response};
use http_body::Body;

use crate::ResumeBody;

pub(crate) use end::end;
pub(crate) use lost::{accepted, is_for_lost_server, lost, refuse_with_id, settle};
pub(crate) use record::{LOOK_FACTOR, Recording, opens, record};

/// Passes a response on.
#[inline]
pub(crate) fn pass<R: Body>(response: Response<R>, is_get: bool) -> Response<ResumeBody<R>> {
    if is_get && response.status().is_success() && media::is_event_stream(response.headers()) {
        return response.map(ResumeBody::listening);
    }
    response.map(ResumeBody::passed)
}

/// Names the session of a response from its new place as the request named it, so that whoever is outside
/// sees no change.
pub(crate) fn show_as<R>(response: &mut Response<R>, shown: Option<&HeaderValue>) {
    response.extensions_mut().remove::<bartizan_core::Backend>();
    if response.headers().contains_key(&mcp::SESSION_ID) {
        match shown {
            Some(shown) => response.headers_mut().insert(&mcp::SESSION_ID, shown.clone()),
            None => response.headers_mut().remove(&mcp::SESSION_ID),
        };
    }
}

pub(crate) fn refuse<R: Body>(reason: Reason, dialect: &Dialect) -> Response<ResumeBody<R>> {
    Refusal::new(reason).respond(dialect).map(ResumeBody::guarded)
}
