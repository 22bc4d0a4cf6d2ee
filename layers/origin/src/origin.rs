//! Reading `Origin` ([RFC 6454 §7.1](https://www.rfc-editor.org/rfc/rfc6454#section-7.1)). Pure.
//!
//! Refused on purpose: `null`, which every sandboxed page can send, lists of origins, and anything with a path.

use http::{HeaderMap, header::ORIGIN};

use crate::authority::{Authority, Host, is_same};

/// The origin of a page.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Origin<'a> {
    /// Without regard to case.
    pub(crate) scheme: &'a str,
    pub(crate) host: Host<'a>,
    /// The port that is stated, or else the default of the scheme.
    pub(crate) port: Option<u16>,
}

/// What a request states about the page that sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Stated<'a> {
    Nothing,
    One(Origin<'a>),
    /// `null`, several lines, or not an origin.
    NoOrigin,
}

impl<'a> Stated<'a> {
    /// Reads the field of `headers`.
    pub(crate) fn read(headers: &'a HeaderMap) -> Self {
        let mut lines = headers.get_all(ORIGIN).iter();
        match (lines.next(), lines.next()) {
            (None, _) => Self::Nothing,
            (Some(line), None) => Origin::parse(line.as_bytes()).map_or(Self::NoOrigin, Self::One),
            _ => Self::NoOrigin,
        }
    }
}

impl<'a> Origin<'a> {
    /// Reads `text`; `None` if it is not one origin.
    pub(crate) fn parse(text: &'a [u8]) -> Option<Self> {
        let at = text.windows(3).position(|window| window == b"://")?;
        let (scheme, rest) = text.split_at_checked(at)?;
        let scheme = str::from_utf8(scheme).ok().filter(|scheme| is_scheme(scheme))?;
        let Authority { host, port } = Authority::parse(rest.get(3..)?)?;
        Some(Self { scheme, host, port: port.or_else(|| default_port(scheme)) })
    }

    /// Whether the page was loaded over HTTP or HTTPS from this machine.
    pub(crate) fn is_loopback(&self) -> bool {
        default_port(self.scheme).is_some() && self.host.is_loopback()
    }
}

impl PartialEq for Origin<'_> {
    fn eq(&self, other: &Self) -> bool {
        self.port == other.port && is_same(self.scheme, other.scheme) && self.host == other.host
    }
}

/// The default port of `scheme`, if it is `http` or `https`.
pub(crate) fn default_port(scheme: &str) -> Option<u16> {
    if is_same(scheme, "http") {
        Some(80)
    } else if is_same(scheme, "https") {
        Some(443)
    } else {
        None
    }
}

/// A letter, then letters, digits, `+`, `-` and `.`.
fn is_scheme(text: &str) -> bool {
    let is_rest = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
    text.bytes().next().is_some_and(|first| first.is_ascii_alphabetic())
        && text.bytes().all(is_rest)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn is_same(one: &str, other: &str) -> bool {
        Origin::parse(one.as_bytes()).unwrap() == Origin::parse(other.as_bytes()).unwrap()
    }

    #[test]
    fn an_origin_is_a_scheme_a_host_and_a_port() {
        for (one, other) in [
            ("http://a", "HTTP://A.:80"),
            ("https://a:443", "https://a"),
            ("http://[::1]:81", "http://[0::1]:81"),
            ("vscode-webview://0a1b", "vscode-webview://0A1B"),
        ] {
            assert!(is_same(one, other), "{one} {other}");
        }
        for (one, other) in [
            ("http://a", "https://a"),
            ("http://a:443", "https://a"),
            ("http://a:81", "http://a"),
            ("http://a", "http://a.b"),
            ("x-app://a", "http://a"),
        ] {
            assert!(!is_same(one, other), "{one} {other}");
        }
        for text in [
            "",
            "null",
            "*",
            "a",
            "//a",
            "://a",
            "http:/a",
            "http://",
            "http://a/",
            "http://a/b",
            "http://a?b",
            "http://u@a",
            "http://a http://b",
            "http://a, http://b",
            "1http://a",
            "ht tp://a",
            "file:///",
        ] {
            assert!(Origin::parse(text.as_bytes()).is_none(), "{text}");
        }
    }

    #[test]
    fn only_pages_over_http_are_local_by_their_name() {
        for (text, is_loopback) in [
            ("http://localhost:6274", true),
            ("https://[::1]", true),
            ("http://127.0.0.1", true),
            ("tauri://localhost", false),
            ("http://localhost.evil.example", false),
            ("http://a.localhost", false),
        ] {
            assert_eq!(
                Origin::parse(text.as_bytes()).unwrap().is_loopback(),
                is_loopback,
                "{text}"
            );
        }
    }
}
