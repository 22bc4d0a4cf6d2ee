//! The name of the field that hops are counted in.

use std::str::FromStr;

use bartizan_core::fields::hop_by_hop;
use http::HeaderName;

use crate::ConfigError;

/// The name of the field that contains the hop count. It must not have a meaning in HTTP or in another layer.
/// Default: `X-Hop-Count`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct HopHeader {
    name: HeaderName,
    #[cfg(feature = "sign")]
    signature: HeaderName,
}

impl HopHeader {
    /// The length of the longest name, in bytes.
    pub const MAX_BYTES: usize = 256;

    /// `X-Contextforge-UAID-Hop`.
    pub(crate) fn contextforge() -> Self {
        Self {
            name: HeaderName::from_static("x-contextforge-uaid-hop"),
            #[cfg(feature = "sign")]
            signature: HeaderName::from_static("x-contextforge-uaid-hop-signature"),
        }
    }

    /// The name of the field.
    #[must_use]
    pub const fn name(&self) -> &HeaderName {
        &self.name
    }

    /// The name of the field with the signature.
    #[cfg(feature = "sign")]
    pub(crate) const fn signature(&self) -> &HeaderName {
        &self.signature
    }
}

impl TryFrom<HeaderName> for HopHeader {
    type Error = ConfigError;

    /// # Errors
    ///
    /// If the field already has a meaning in HTTP or in another layer, or the name is longer than 256 bytes.
    fn try_from(name: HeaderName) -> Result<Self, ConfigError> {
        if hop_by_hop::is_hop_by_hop(&name) || hop_by_hop::is_protected(&name) {
            return Err(ConfigError::new(format!(
                "{name} is reserved by HTTP: expected a header field name such as x-hop-count"
            )));
        }
        if name.as_str().len() > Self::MAX_BYTES {
            return Err(ConfigError::new(
                "the name of the hop count's field is longer than 256 bytes",
            ));
        }
        Ok(Self {
            #[cfg(feature = "sign")]
            signature: HeaderName::try_from(format!("{name}-signature"))
                .map_err(|_| ConfigError::new(format!("{name}-signature is not a field name")))?,
            name,
        })
    }
}

impl TryFrom<&str> for HopHeader {
    type Error = ConfigError;

    /// # Errors
    ///
    /// If `name` is not a field name, and as for a [`HeaderName`].
    fn try_from(name: &str) -> Result<Self, ConfigError> {
        let expected = "expected a header field name such as x-hop-count";
        let wrong = |_| ConfigError::new(format!("{name:?}: {expected}"));
        HeaderName::try_from(name).map_err(wrong)?.try_into()
    }
}

impl FromStr for HopHeader {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        name.try_into()
    }
}

impl Default for HopHeader {
    fn default() -> Self {
        Self {
            name: HeaderName::from_static("x-hop-count"),
            #[cfg(feature = "sign")]
            signature: HeaderName::from_static("x-hop-count-signature"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_field_with_a_meaning_of_its_own_is_not_counted_in() {
        for name in [
            "via",
            "host",
            "connection",
            "cdn-loop",
            "x-forwarded-for",
            "mcp-session-id",
            "te",
            "a b",
            "",
            &"a".repeat(257),
        ] {
            assert!(name.parse::<HopHeader>().is_err(), "{name}");
        }
        let own = HopHeader::try_from("X-Depth").unwrap();
        assert_eq!(own.name(), "x-depth");
        #[cfg(feature = "sign")]
        assert_eq!(own.signature(), "x-depth-signature");
    }

    #[test]
    fn the_names_that_are_built_in_are_valid() {
        for built_in in [HopHeader::default(), HopHeader::contextforge()] {
            assert_eq!(HopHeader::try_from(built_in.name().clone()).unwrap(), built_in);
        }
    }
}
