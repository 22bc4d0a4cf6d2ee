//! Errors of the server or the client.

use bartizan_core::{StoreError, store::StoreErrorKind};
use fred::error::ErrorKind;

/// Converts an error of the client library. The server's text is left out, because it may contain a
/// key.
pub(crate) fn store_error(error: &fred::error::Error) -> StoreError {
    StoreError::with_source(
        match error.kind() {
            ErrorKind::Timeout => StoreErrorKind::Timeout,
            _ => StoreErrorKind::Unavailable,
        },
        error.kind().to_str(),
    )
}
