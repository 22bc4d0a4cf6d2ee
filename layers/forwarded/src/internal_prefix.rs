//! Prefixes of internal fields.

use std::str::FromStr;

use http::HeaderName;

use crate::ConfigError;

/// A prefix of field names that only proxies may set, such as `x-internal-`.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct InternalPrefix(Box<str>);

/// The fields that a prefix must not cover: framing, addressing, and loop detection ([RFC 8586
/// §2](https://www.rfc-editor.org/rfc/rfc8586#section-2)).
const NEEDED: [&str; 12] = [
    "authorization",
    "cdn-loop",
    "connection",
    "content-length",
    "content-type",
    "host",
    "max-forwards",
    "mcp-session-id",
    "te",
    "transfer-encoding",
    "upgrade",
    "via",
];

impl InternalPrefix {
    /// `x-bartizan-`.
    pub(crate) fn bartizan() -> Self {
        Self("x-bartizan-".into())
    }

    /// The prefix, in lower case, with `-` for `_`.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// Whether the field `name`, in lower case, begins with it, where `_` stands for `-`.
    #[inline]
    pub(crate) fn covers(&self, name: &str) -> bool {
        let same = |(one, other): (u8, u8)| one == other || (one == b'_' && other == b'-');
        name.len() >= self.0.len() && name.bytes().zip(self.0.bytes()).all(same)
    }
}

impl TryFrom<&str> for InternalPrefix {
    type Error = ConfigError;

    /// # Errors
    ///
    /// If `prefix` is empty, cannot begin a field name, or would cover a field that HTTP or loop detection needs, such
    /// as `host`, `via` or `cdn-loop`.
    fn try_from(prefix: &str) -> Result<Self, ConfigError> {
        let name = HeaderName::try_from(prefix)
            .map_err(|_| ConfigError::new(format!("{prefix:?} cannot begin a field name")))?;
        let name = name.as_str();
        if let Some(needed) = NEEDED.iter().find(|needed| needed.starts_with(name)) {
            let message = format!("{prefix:?} would cover {needed}, which must pass");
            return Err(ConfigError::new(message));
        }
        Ok(Self(name.replace('_', "-").into()))
    }
}

impl FromStr for InternalPrefix {
    type Err = ConfigError;

    fn from_str(prefix: &str) -> Result<Self, ConfigError> {
        prefix.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_begins_a_name_and_covers_nothing_that_must_pass() {
        // CL-10: the fields for loop detection must not be filtered.
        for prefix in ["", "cdn-", "cdn-loop", "via", "v", "ho", "x a"] {
            assert!(InternalPrefix::try_from(prefix).is_err(), "{prefix}");
        }
        assert_eq!("X_Company".parse::<InternalPrefix>().unwrap().as_str(), "x-company");
        let bartizan = InternalPrefix::bartizan();
        assert_eq!(InternalPrefix::try_from(bartizan.as_str()), Ok(bartizan));
    }

    /// W-26.
    #[test]
    fn an_underscore_stands_for_a_dash() {
        for (name, internal) in [
            ("x-bartizan-a", true),
            ("x_bartizan_a", true),
            ("x-bartizan-", true),
            ("x-bartizan", false),
            ("y-bartizan-a", false),
        ] {
            assert_eq!(InternalPrefix::bartizan().covers(name), internal, "{name}");
        }
    }
}
