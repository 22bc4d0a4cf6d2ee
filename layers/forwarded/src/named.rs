//! Names of fields that a setting exempts from the lists of this crate.

use std::str::FromStr;

use bartizan_core::fields::hop_by_hop;
use http::{
    HeaderName,
    header::{AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST},
};

use crate::{ConfigError, name};

/// A field in which a trusted proxy names the client, such as `CF-Connecting-IP`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ClientIpHeader(HeaderName);

/// A field that is passed on from any peer, although this layer drops it by default, such as
/// `Client-IP`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct KeptField(HeaderName);

impl ClientIpHeader {
    /// The name of the field.
    #[must_use]
    pub const fn name(&self) -> &HeaderName {
        &self.0
    }
}

impl KeptField {
    /// The name of the field.
    #[must_use]
    pub const fn name(&self) -> &HeaderName {
        &self.0
    }
}

impl TryFrom<HeaderName> for ClientIpHeader {
    type Error = ConfigError;

    /// # Errors
    ///
    /// If the field has a defined meaning in HTTP, or is `Forwarded` or one of `X-Forwarded-*`, which are read through
    /// [`Source`](crate::Source).
    fn try_from(field: HeaderName) -> Result<Self, ConfigError> {
        let text = field.as_str();
        if text == "forwarded" || text.starts_with("x-forwarded-") {
            return Err(ConfigError::new(format!(
                "{field} is read in any case, without this setting"
            )));
        }
        let has_meaning = [AUTHORIZATION, CONTENT_LENGTH, COOKIE, HOST].contains(&field);
        if has_meaning || hop_by_hop::is_hop_by_hop(&field) {
            return Err(ConfigError::new(format!("{field} has another meaning in HTTP")));
        }
        Ok(Self(field))
    }
}

impl TryFrom<HeaderName> for KeptField {
    type Error = ConfigError;

    /// # Errors
    ///
    /// If this layer writes the field itself (`X-Forwarded-For`, `X-Real-IP`, …), or does not drop it.
    fn try_from(field: HeaderName) -> Result<Self, ConfigError> {
        match name::kind(field.as_str()) {
            Some(name::Kind::Told) => Ok(Self(field)),
            Some(name::Kind::Managed) => Err(ConfigError::new(format!(
                "{field} cannot be kept: it is always rewritten or dropped"
            ))),
            None => Err(ConfigError::new(format!("{field} is kept already: it is not dropped"))),
        }
    }
}

impl FromStr for ClientIpHeader {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        parse(text)?.try_into()
    }
}

impl FromStr for KeptField {
    type Err = ConfigError;

    fn from_str(text: &str) -> Result<Self, ConfigError> {
        parse(text)?.try_into()
    }
}

fn parse(text: &str) -> Result<HeaderName, ConfigError> {
    HeaderName::try_from(text)
        .map_err(|_| ConfigError::new(format!("{text:?} is not the name of a header field")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_client_is_named_in_a_field_without_another_meaning() {
        for name in ["CF-Connecting-IP", "True-Client-IP", "x-real-ip", "x-our-edge"] {
            assert!(name.parse::<ClientIpHeader>().is_ok(), "{name}");
        }
        for name in
            ["Host", "connection", "authorization", "X-Forwarded-For", "forwarded", "a b", ""]
        {
            assert!(name.parse::<ClientIpHeader>().is_err(), "{name}");
        }
    }

    #[test]
    fn a_field_is_kept_that_would_be_dropped() {
        for name in ["Client-IP", "X-Host", "cf-connecting-ip", "x-forwarded-server"] {
            assert!(name.parse::<KeptField>().is_ok(), "{name}");
        }
        for name in ["X-Forwarded-For", "x_host", "accept", "x-bartizan-a", "a b"] {
            assert!(name.parse::<KeptField>().is_err(), "{name}");
        }
    }
}
