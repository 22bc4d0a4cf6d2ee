//! The parameter `by` of `Forwarded`.

use std::{net::Ipv6Addr, str::FromStr};

use crate::{ConfigError, element::push_value, node};

/// The interface that receives requests, as named in `Forwarded`: an address with or without a port, or an obfuscated
/// name such as `_gw1` ([RFC 7239 §5.1](https://www.rfc-editor.org/rfc/rfc7239#section-5.1)).
#[derive(Clone, Debug, Eq, PartialEq)]
pub struct ForwardedBy(Box<str>);

impl ForwardedBy {
    /// The value as it is written, quoted if necessary.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl TryFrom<&str> for ForwardedBy {
    type Error = ConfigError;

    /// # Errors
    ///
    /// If `node` is neither an address nor an obfuscated name.
    fn try_from(node: &str) -> Result<Self, ConfigError> {
        let bracketed = match node.parse::<Ipv6Addr>() {
            Ok(_) => format!("[{node}]"),
            Err(_) => node.to_owned(),
        };
        if node::parse(bracketed.as_bytes()).is_none() {
            let expected = "expected an address such as 192.0.2.1 or [2001:db8::1]:443, or a name such as _gw1";
            return Err(ConfigError::new(format!("{node:?} is not a node: {expected}")));
        }
        let mut text = String::new();
        push_value(&mut text, &bracketed);
        Ok(Self(text.into()))
    }
}

impl FromStr for ForwardedBy {
    type Err = ConfigError;

    fn from_str(node: &str) -> Result<Self, ConfigError> {
        node.try_into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_node_is_an_address_or_an_obfuscated_name() {
        for node in ["", "gw1", "_", "192.0.2.256", "2001:db8::1:x"] {
            assert!(ForwardedBy::try_from(node).is_err(), "{node}");
        }
    }

    #[test]
    fn it_is_quoted_where_it_must_be() {
        for (node, text) in [
            ("203.0.113.43", "203.0.113.43"),
            ("2001:db8::1", "\"[2001:db8::1]\""),
            ("[2001:db8::1]:443", "\"[2001:db8::1]:443\""),
            ("_gw1", "_gw1"),
        ] {
            assert_eq!(node.parse::<ForwardedBy>().unwrap().as_str(), text);
        }
    }
}
