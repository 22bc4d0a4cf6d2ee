//! A server that cannot answer.

use bartizan_core::{StoreError, store::StoreErrorKind};
use fred::error::ErrorKind;

/// A failure of the client as the layers see it. The server's text may name a key and is left out.
pub(crate) fn store_error(error: &fred::error::Error) -> StoreError {
    StoreError::with_source(
        match error.kind() {
            ErrorKind::Timeout => StoreErrorKind::Timeout,
            _ => StoreErrorKind::Unavailable,
        },
        error.kind().to_str(),
    )
}
