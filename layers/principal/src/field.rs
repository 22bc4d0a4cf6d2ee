//! A field in which a trusted proxy names the caller. Pure.
//!
//! | the field | from a trusted peer | from any other |
//! |---|---|---|
//! | one line | names the caller | removed |
//! | several lines | all of them together name one separate caller | removed |
//! | empty, absent | no caller | removed |
//! | spelled with `_` for `-`, or the other way round | removed | removed |
//!
//! Backends behind CGI ([RFC 3875 §4.1.18](https://www.rfc-editor.org/rfc/rfc3875#section-4.1.18)) or WSGI
//! see `X_User` and `X-User` as one field, and proxies that set one pass the other on.

use bartizan_core::{ConfigError, fields::hop_by_hop, mcp};
use http::{HeaderMap, HeaderName, header};

/// Fields that cannot name a caller: they frame or route the message, or proxies write something else there.
const OTHERWISE_USED: [&str; 8] = [
    "forwarded",
    "x-forwarded-for",
    "x-forwarded-host",
    "x-forwarded-port",
    "x-forwarded-prefix",
    "x-forwarded-proto",
    "x-real-ip",
    "mcp-protocol-version",
];

/// Checks that `name` is a field that may name callers.
pub(crate) fn check(name: &HeaderName) -> Result<(), ConfigError> {
    if *name == header::AUTHORIZATION {
        let message = "authorization comes from the client: use the source authorization or jwt";
        return Err(ConfigError::new(message));
    }
    let has_use = [header::HOST, header::CONTENT_LENGTH, header::VIA].contains(name)
        || *name == mcp::SESSION_ID
        || OTHERWISE_USED.contains(&name.as_str())
        || hop_by_hop::is_hop_by_hop(name);
    if has_use {
        return Err(ConfigError::new(format!(
            "{name} is reserved by HTTP: expected a field such as x-user"
        )));
    }
    Ok(())
}

/// Removes the fields that a backend may take for `name`, and `name` itself unless the peer `is_trusted`.
#[inline]
pub(crate) fn strip(headers: &mut HeaderMap, name: &HeaderName, is_trusted: bool) {
    if !is_trusted {
        headers.remove(name);
    }
    if headers.keys().any(|other| is_alias(other, name)) {
        strip_aliases(headers, name);
    }
}

#[cold]
fn strip_aliases(headers: &mut HeaderMap, name: &HeaderName) {
    let aliases: Vec<_> = headers.keys().filter(|other| is_alias(other, name)).cloned().collect();
    for alias in aliases {
        headers.remove(alias);
    }
}

/// Whether a backend may take the field `other` for `name`, although they differ.
#[inline]
fn is_alias(other: &HeaderName, name: &HeaderName) -> bool {
    let (other, name) = (other.as_str(), name.as_str());
    // Most names differ in length.
    other.len() == name.len() && other != name && {
        let plain = |byte: u8| if byte == b'_' { b'-' } else { byte };
        other.bytes().map(plain).eq(name.bytes().map(plain))
    }
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    fn left(is_trusted: bool, names: &[&'static str]) -> Vec<String> {
        let value = HeaderValue::from_static("alice");
        let mut headers: HeaderMap =
            names.iter().map(|name| (HeaderName::from_static(name), value.clone())).collect();
        strip(&mut headers, &HeaderName::from_static("x-auth-user"), is_trusted);
        let mut left: Vec<_> = headers.keys().map(|name| name.as_str().to_owned()).collect();
        left.sort();
        left
    }

    #[test]
    fn aliases_go_in_any_case_and_the_field_itself_from_strangers() {
        let all =
            ["x-auth-user", "x_auth_user", "x-auth_user", "x-auth-usen", "x-auth-use", "accept"];
        let others = ["accept", "x-auth-use", "x-auth-usen"];
        assert_eq!(left(false, &all), others);
        assert_eq!(left(true, &all), ["accept", "x-auth-use", "x-auth-usen", "x-auth-user"]);
        assert_eq!(left(true, &["x-auth-user", "x-auth-user"]), ["x-auth-user"]);
    }

    #[test]
    fn fields_with_a_meaning_of_their_own_name_nobody() {
        for name in ["x-user", "x-forwarded-user", "remote-user", "x_user"] {
            assert_eq!(check(&HeaderName::from_static(name)), Ok(()), "{name}");
        }
        for name in [
            "authorization",
            "connection",
            "transfer-encoding",
            "host",
            "content-length",
            "via",
            "mcp-session-id",
            "x-forwarded-for",
            "forwarded",
        ] {
            assert!(check(&HeaderName::from_static(name)).is_err(), "{name}");
        }
    }
}
