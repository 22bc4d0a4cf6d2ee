//! What an error of hyper means for a request.

use std::error::Error;

use bartizan_core::{
    Reason,
    failure::{BodyRefused, FailureKind},
};

use super::TransportError;

/// What ended an exchange that had a connection.
pub(super) fn of_exchange(error: &(dyn Error + 'static)) -> TransportError {
    if let Some(reason) = BodyRefused::find(error) {
        return TransportError::Request(reason);
    }
    let mut next = Some(error);
    while let Some(error) = next {
        if let Some(error) = error.downcast_ref::<hyper::Error>() {
            if error.is_parse() {
                return TransportError::Failed(FailureKind::Protocol);
            }
            if error.is_user() && !error.is_body_write_aborted() {
                return TransportError::Request(Reason::BodyBroken);
            }
        }
        if let Some(error) = error.downcast_ref::<h2::Error>()
            && error.is_remote()
            && error.reason() == Some(h2::Reason::REFUSED_STREAM)
        {
            return TransportError::Failed(FailureKind::RefusedStream);
        }
        next = error.source();
    }
    TransportError::Failed(FailureKind::Terminated)
}
