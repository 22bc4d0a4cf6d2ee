//! What an error of hyper means for a request.

use std::{error::Error, io};

use bartizan_core::{
    Reason,
    failure::{BodyRefused, FailureKind},
};

use super::{TransportError, write_timeout};

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
            && is_unprocessed(error)
        {
            return TransportError::Failed(FailureKind::RefusedStream);
        }
        if is_write_timeout(error) {
            return TransportError::Failed(FailureKind::ResponseTimeout);
        }
        next = error.source();
    }
    TransportError::Failed(FailureKind::Terminated)
}

/// Whether the backend did not read the request for too long.
fn is_write_timeout(error: &(dyn Error + 'static)) -> bool {
    let io = error.downcast_ref::<io::Error>();
    let of_h2 = || error.downcast_ref::<h2::Error>().and_then(h2::Error::get_io);
    io.or_else(of_h2).is_some_and(write_timeout::is_write_timeout)
}

/// Whether the backend says that it has not processed the request.
fn is_unprocessed(error: &h2::Error) -> bool {
    let reason = error.reason();
    error.is_remote()
        && (reason == Some(h2::Reason::REFUSED_STREAM)
            // A graceful GOAWAY ends only the streams above the last one that it names; with any other reason, h2 ends
            // all streams.
            || (error.is_go_away() && reason == Some(h2::Reason::NO_ERROR)))
}
