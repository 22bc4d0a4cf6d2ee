//! Responses that this layer makes itself.

use bartizan_core::{BackendId, Dialect, GuardBody, Reason, Refusal, refusal::ReturnedBody};
use http::{Request, Response};

use crate::{bounds::Incoming, event};

/// Refuses a request in the format `dialect`, because of `backend`.
pub(crate) fn refuse<R>(
    reason: Reason,
    backend: Option<&BackendId>,
    dialect: &Dialect,
) -> Response<GuardBody<R>> {
    event::refused(reason, backend);
    Refusal::new(reason).respond(dialect)
}

/// Returns the body of `request`, which was not sent to any backend, with its `refusal`.
#[cold]
pub(crate) fn with_body<B: Incoming, R>(
    mut refusal: Response<GuardBody<R>>,
    request: Request<B>,
) -> Response<GuardBody<R>> {
    if ReturnedBody::is_wanted(&Dialect::of(&request))
        && let Some(returned) = ReturnedBody::new(request.into_body())
    {
        returned.attach(&mut refusal);
    }
    refusal
}
