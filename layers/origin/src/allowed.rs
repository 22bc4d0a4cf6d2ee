//! The hosts and origins that an operator allows.

use std::{fmt, net::IpAddr, str::FromStr};

use http::HeaderValue;

use crate::{
    ConfigError,
    authority::{Authority, Host},
    origin::Origin,
};

/// A host that browsers may use for this server: a name or an address, with a port or for every port.
///
/// ```
/// use bartizan_origin::AllowedHost;
///
/// for host in ["mcp.example.com", "mcp.example.com:8443", "192.0.2.7", "[2001:db8::1]:8080"] {
///     assert_eq!(host.parse::<AllowedHost>()?.to_string(), host);
/// }
/// assert!("https://mcp.example.com".parse::<AllowedHost>().is_err());
/// # Ok::<(), bartizan_origin::ConfigError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct AllowedHost {
    host: OwnedHost,
    port: Option<u16>,
}

/// An origin whose pages may call this server: a scheme, a host, and a port unless it is the default of the scheme.
///
/// ```
/// use bartizan_origin::AllowedOrigin;
/// use http::HeaderValue;
///
/// let origin: AllowedOrigin = "https://app.example.com".parse()?;
/// assert!(origin.matches(&HeaderValue::from_static("https://app.example.com:443")));
/// assert!(!origin.matches(&HeaderValue::from_static("http://app.example.com")));
/// // Also those of browser extensions and desktop applications.
/// assert!("chrome-extension://abcdefghijklmnop".parse::<AllowedOrigin>().is_ok());
/// # Ok::<(), bartizan_origin::ConfigError>(())
/// ```
#[derive(Clone, Eq, PartialEq)]
pub struct AllowedOrigin {
    scheme: Box<str>,
    host: OwnedHost,
    port: Option<u16>,
}

#[derive(Clone, Eq, PartialEq)]
enum OwnedHost {
    /// In lower case.
    Name(Box<str>),
    Ip(IpAddr),
}

impl AllowedHost {
    /// Whether a request to `host` and `port` matches.
    pub(crate) fn is(&self, host: Host<'_>, port: u16) -> bool {
        self.host.as_host() == host && self.port.is_none_or(|own| own == port)
    }
}

impl AllowedOrigin {
    /// Whether `value`, a field value of `Origin`, is this origin.
    #[must_use]
    pub fn matches(&self, value: &HeaderValue) -> bool {
        Origin::parse(value.as_bytes()).is_some_and(|origin| self.is(&origin))
    }

    pub(crate) fn is(&self, origin: &Origin<'_>) -> bool {
        let own = Origin { scheme: &self.scheme, host: self.host.as_host(), port: self.port };
        own == *origin
    }
}

impl FromStr for AllowedHost {
    type Err = ConfigError;

    /// # Errors
    ///
    /// If `text` is not a host with an optional port.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        // An IPv6 address needs brackets only if a port follows.
        if let Ok(ip) = text.parse::<IpAddr>() {
            return Ok(Self { host: OwnedHost::Ip(ip.to_canonical()), port: None });
        }
        let Some(Authority { host, port }) = Authority::parse(text.as_bytes()) else {
            let expected = "expected a host such as mcp.example.com, with a port or without";
            return Err(error(text, expected));
        };
        Ok(Self { host: host.into(), port })
    }
}

impl FromStr for AllowedOrigin {
    type Err = ConfigError;

    /// # Errors
    ///
    /// If `text` is not a scheme and a host with an optional port. `null` and `*` are not origins.
    fn from_str(text: &str) -> Result<Self, ConfigError> {
        let Some(Origin { scheme, host, port }) = Origin::parse(text.as_bytes()) else {
            let expected = "expected an origin such as https://app.example.com, without a path";
            return Err(error(text, expected));
        };
        Ok(Self { scheme: scheme.to_ascii_lowercase().into(), host: host.into(), port })
    }
}

fn error(text: &str, expected: &str) -> ConfigError {
    let hint = if text.is_ascii() {
        ""
    } else {
        "; write an internationalized name in its ASCII form, which begins with xn--"
    };
    ConfigError::new(format!("{text:?}: {expected}{hint}"))
}

impl OwnedHost {
    fn as_host(&self) -> Host<'_> {
        match self {
            Self::Name(name) => Host::Name(name),
            Self::Ip(ip) => Host::Ip(*ip),
        }
    }
}

impl From<Host<'_>> for OwnedHost {
    fn from(host: Host<'_>) -> Self {
        match host {
            Host::Name(name) => Self::Name(name.to_ascii_lowercase().into()),
            Host::Ip(ip) => Self::Ip(ip),
        }
    }
}

impl fmt::Display for OwnedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Ip(IpAddr::V4(ip)) => ip.fmt(f),
            Self::Ip(IpAddr::V6(ip)) => write!(f, "[{ip}]"),
        }
    }
}

impl fmt::Display for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.host.fmt(f)?;
        self.port.map_or(Ok(()), |port| write!(f, ":{port}"))
    }
}

impl fmt::Display for AllowedOrigin {
    /// As browsers send it: without the default port of the scheme.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}://{}", self.scheme, self.host)?;
        match self.port {
            Some(port) if crate::origin::default_port(&self.scheme) != Some(port) => {
                write!(f, ":{port}")
            }
            _ => Ok(()),
        }
    }
}

impl fmt::Debug for AllowedHost {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AllowedHost({self})")
    }
}

impl fmt::Debug for AllowedOrigin {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "AllowedOrigin({self})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bad_setting_is_an_error_that_says_what_was_expected() {
        for text in ["", "*", "https://a", "a/b", "user@a", "a:0", "[::1", "a b"] {
            let error = text.parse::<AllowedHost>().unwrap_err().to_string();
            assert!(error.contains("mcp.example.com"), "{error}");
        }
        for text in ["", "*", "null", "a", "https://a/", "https://u@a", "https://", "file:///"] {
            let error = text.parse::<AllowedOrigin>().unwrap_err().to_string();
            assert!(error.contains("https://app.example.com"), "{error}");
        }
        let error = "münchen.example".parse::<AllowedHost>().unwrap_err().to_string();
        assert!(error.contains("xn--"), "{error}");
        let error = "https://münchen.example".parse::<AllowedOrigin>().unwrap_err().to_string();
        assert!(error.contains("xn--"), "{error}");
    }

    #[test]
    fn they_are_shown_as_browsers_write_them() {
        for (text, shown) in
            [("A.Example.", "a.example"), ("::1", "[::1]"), ("[::FFFF:7f00:1]:81", "127.0.0.1:81")]
        {
            assert_eq!(text.parse::<AllowedHost>().unwrap().to_string(), shown);
        }
        for (text, shown) in [
            ("HTTPS://A:443", "https://a"),
            ("http://a:443", "http://a:443"),
            ("http://[::1]:80", "http://[::1]"),
            ("x-app://a:1", "x-app://a:1"),
        ] {
            assert_eq!(text.parse::<AllowedOrigin>().unwrap().to_string(), shown);
        }
    }
}
