//! The name by which a proxy is known in `Via` and `Proxy-Status`.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    str::FromStr,
    sync::Arc,
};

use crate::{ConfigError, fields::list};

/// The name that a proxy writes into `Via` and `Proxy-Status`, and looks for in `Via` to find loops.
/// Cloning it costs one reference count.
///
/// Replicas of one gateway share a name. Two gateways that the same request may cross need different names. Names are
/// compared without regard to case, as in `Via`.
#[derive(Clone, Debug)]
pub struct ProxyName(Arc<str>);

impl ProxyName {
    /// The length of the longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Takes `name`. It should name the deployment, not the host: servers behind the proxy can read it
    /// ([RFC 9110 §7.6.3](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.3)).
    ///
    /// # Errors
    ///
    /// If `name` is not a token of 1 to [`Self::MAX_BYTES`] characters.
    pub fn new(name: &str) -> Result<Self, ConfigError> {
        let is_token = name.bytes().all(list::is_tchar);
        if !is_token || name.is_empty() || name.len() > Self::MAX_BYTES {
            let expected = "expected 1 to 64 letters, digits or characters such as - . _";
            return Err(ConfigError::new(format!("{name:?} is not a proxy name: {expected}")));
        }
        Ok(Self(name.into()))
    }

    /// Draws a name: `bartizan-` and eight random hexadecimal digits, different for each call.
    #[must_use]
    pub fn random() -> Self {
        // The keys of each state come from the system's source of randomness, and no two states share them.
        let random = RandomState::new().hash_one(std::process::id()) & 0xffff_ffff;
        Self(format!("bartizan-{random:08x}").into())
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl FromStr for ProxyName {
    type Err = ConfigError;

    fn from_str(name: &str) -> Result<Self, ConfigError> {
        Self::new(name)
    }
}

impl TryFrom<&str> for ProxyName {
    type Error = ConfigError;

    fn try_from(name: &str) -> Result<Self, ConfigError> {
        Self::new(name)
    }
}

impl PartialEq for ProxyName {
    fn eq(&self, other: &Self) -> bool {
        // Usually both are clones of one name.
        Arc::ptr_eq(&self.0, &other.0) || self.0.eq_ignore_ascii_case(&other.0)
    }
}

impl Eq for ProxyName {}

impl fmt::Display for ProxyName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_a_token() {
        assert_eq!(ProxyName::new("gw-1.example").unwrap().as_str(), "gw-1.example");
        for name in ["", "a b", "a:80", "a,b", "a(b)", "\u{e9}", &"a".repeat(65)] {
            assert!(ProxyName::new(name).is_err(), "{name}");
            assert!(name.parse::<ProxyName>().is_err(), "{name}");
        }
    }

    #[test]
    fn names_are_compared_without_regard_to_case() {
        let name = ProxyName::new("edge").unwrap();
        assert_eq!(name, name.clone());
        assert_eq!(name, ProxyName::new("Edge").unwrap());
        assert_ne!(name, ProxyName::new("edge2").unwrap());
    }

    #[test]
    fn each_random_name_is_another_one() {
        let name = ProxyName::random();
        assert_ne!(name, ProxyName::random());
        let digits = name.as_str().strip_prefix("bartizan-").unwrap();
        assert!(digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(ProxyName::new(name.as_str()).is_ok());
    }
}
