//! A setting that cannot be, and a server that cannot answer.

use std::{error::Error, fmt};

use bartizan_core::{StoreError, store::StoreErrorKind};
use fred::error::ErrorKind;

/// Says which setting is wrong, and what was expected.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError(Box<str>);

impl ConfigError {
    pub(crate) fn new(message: impl Into<Box<str>>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ConfigError {}

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
