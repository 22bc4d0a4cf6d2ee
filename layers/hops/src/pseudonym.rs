//! The name by which a gateway knows itself again.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
};

use bartizan_core::fields::list;

use crate::ConfigError;

/// The name that a gateway writes into `Via`, and looks for there. Cloning costs one reference count.
///
/// Replicas that should count as one gateway get one name; two gateways that a request may honestly
/// cross need two.
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct Pseudonym(Arc<str>);

impl Pseudonym {
    /// The longest name, in bytes.
    pub const MAX_BYTES: usize = 64;

    /// Takes `name`. It should tell the deployment, not the host: it is shown to whoever is behind
    /// ([RFC 9110 §7.6.3](https://www.rfc-editor.org/rfc/rfc9110#section-7.6.3)).
    ///
    /// # Errors
    ///
    /// If `name` is no token of 1 to [`Self::MAX_BYTES`] characters.
    pub fn new(name: &str) -> Result<Self, ConfigError> {
        let is_token = name.bytes().all(list::is_tchar);
        if !is_token || name.is_empty() || name.len() > Self::MAX_BYTES {
            let expected = "expected 1 to 64 letters, digits or characters such as - . _";
            return Err(ConfigError::new(format!("{name:?} is no pseudonym: {expected}")));
        }
        Ok(Self(name.into()))
    }

    /// The name of this process: `bartizan-` and eight random hexadecimal digits, the same for every
    /// layer in it. So a gateway that reaches itself is a loop, and a chain of gateways with default
    /// settings is none.
    #[must_use]
    pub fn of_process() -> Self {
        static NAME: LazyLock<Pseudonym> = LazyLock::new(|| {
            // Its keys come from the system's source of randomness.
            let random = RandomState::new().hash_one(std::process::id()) & 0xffff_ffff;
            Pseudonym(format!("bartizan-{random:08x}").into())
        });
        NAME.clone()
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Pseudonym {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pseudonym_is_a_token() {
        assert_eq!(Pseudonym::new("gw-1.example").unwrap().as_str(), "gw-1.example");
        for name in ["", "a b", "a:80", "a,b", "a(b)", "\u{e9}", &"a".repeat(65)] {
            assert!(Pseudonym::new(name).is_err(), "{name}");
        }
    }

    #[test]
    fn a_process_has_one_name() {
        let name = Pseudonym::of_process();
        assert_eq!(name, Pseudonym::of_process());
        let digits = name.as_str().strip_prefix("bartizan-").unwrap();
        assert!(digits.len() == 8 && digits.bytes().all(|byte| byte.is_ascii_hexdigit()));
        assert!(Pseudonym::new(name.as_str()).is_ok());
    }
}
