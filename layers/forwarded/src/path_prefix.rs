//! Path prefixes that were stripped by proxies. Pure.

use std::str::FromStr;

use http::HeaderValue;

use crate::ConfigError;

/// A path that a router strips before it forwards a request, such as `/api`. Cloning it costs one reference
/// count.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct PathPrefix(HeaderValue);

impl PathPrefix {
    /// The prefix as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        // A prefix is ASCII, so the fallback is never used.
        self.0.to_str().unwrap_or_default()
    }

    /// This prefix, appended to `outer`, which was stripped first.
    pub(crate) fn after(&self, outer: Option<&HeaderValue>) -> Option<HeaderValue> {
        let Some(outer) = outer else { return Some(self.0.clone()) };
        let outer = outer.as_bytes().strip_suffix(b"/").unwrap_or(outer.as_bytes());
        HeaderValue::from_bytes(&[outer, self.0.as_bytes()].concat()).ok()
    }
}

impl TryFrom<&str> for PathPrefix {
    type Error = ConfigError;

    /// # Errors
    ///
    /// If `prefix` is not a path, begins with two slashes, or is longer than 1024 bytes.
    fn try_from(prefix: &str) -> Result<Self, ConfigError> {
        let value = HeaderValue::from_str(prefix).ok().filter(|_| is_prefix(prefix.as_bytes()));
        let wrong =
            || ConfigError::new(format!("{prefix:?} is not a path: expected one such as /api"));
        value.map(Self).ok_or_else(wrong)
    }
}

impl FromStr for PathPrefix {
    type Err = ConfigError;

    fn from_str(prefix: &str) -> Result<Self, ConfigError> {
        prefix.try_into()
    }
}

/// Whether `text` is the path that a gateway stripped: it begins with exactly one slash (two would begin a host) and
/// contains nothing that ends a path.
pub(crate) fn is_prefix(text: &[u8]) -> bool {
    let is_char = |byte: &u8| byte.is_ascii_alphanumeric() || b"/-._~%!$&'()*+=:@".contains(byte);
    matches!(text, [b'/'] | [b'/', b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b'%', ..])
        && text.len() <= MAX_PREFIX_BYTES
        && text.iter().all(is_char)
}

const MAX_PREFIX_BYTES: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_prefix_is_a_path() {
        for prefix in ["", "api", "//evil", "/a b", "/a?b"] {
            assert!(PathPrefix::try_from(prefix).is_err(), "{prefix}");
        }
        assert_eq!("/api".parse::<PathPrefix>().unwrap().as_str(), "/api");
    }

    #[test]
    fn prefixes_are_joined() {
        let (outer, own) =
            (HeaderValue::from_static("/edge/"), PathPrefix::try_from("/api").unwrap());
        assert_eq!(own.after(Some(&outer)).unwrap(), "/edge/api");
        assert_eq!(own.after(None).unwrap(), "/api");
    }
}
