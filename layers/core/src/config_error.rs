//! The error for an invalid setting.

use std::{error::Error, fmt};

/// The error for an invalid setting: which one, and what was expected. Returned before anything runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError(Box<str>);

impl ConfigError {
    /// Makes an error from `message`: a lower-case phrase that names the setting. It is displayed, so it must
    /// contain no secret.
    #[must_use]
    pub fn new(message: impl Into<Box<str>>) -> Self {
        Self(message.into())
    }
}

impl fmt::Display for ConfigError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl Error for ConfigError {}
