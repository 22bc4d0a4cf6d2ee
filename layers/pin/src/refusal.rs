//! Responses that this layer gives itself.

use bartizan_core::{BackendId, Dialect, GuardBody, Reason, Refusal};
use http::Response;

use crate::event;

/// Refuses a request in the form of `dialect`; `backend` is the one that it is about.
pub(crate) fn refuse<R>(
    reason: Reason,
    backend: Option<&BackendId>,
    dialect: &Dialect,
) -> Response<GuardBody<R>> {
    event::refused(reason, backend);
    Refusal::new(reason).respond(dialect)
}
