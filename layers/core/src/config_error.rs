//! A setting that cannot be.

use std::{error::Error, fmt};

/// Says which setting is wrong, and what was expected. Returned by whoever got it, before anything runs.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ConfigError(Box<str>);

impl ConfigError {
    /// Says `message`: a lower-case phrase that names the setting. It is shown, and must hold no secret.
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
