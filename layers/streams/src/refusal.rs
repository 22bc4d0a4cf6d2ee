//! The response of a refusal.

use bartizan_core::{Dialect, Reason, Refusal, body::ReplaceBody};
use http::Response;

/// Makes the response of a refusal.
pub(crate) fn refused<R: ReplaceBody>(reason: Reason, dialect: &Dialect) -> Response<R> {
    Refusal::new(reason).render(dialect).map(R::from_bytes)
}
