//! Whether a request says in one way where it wants to go.

use bartizan::core::fields::only_line;
use http::{HeaderValue, Request, Version, header::HOST, uri::Authority};

/// Whether `Host` is there once and valid, as HTTP/1.1 demands
/// ([RFC 9112 §3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2)); in other versions, whether it
/// is there once at most.
pub(super) fn is_sound<B>(request: &Request<B>) -> bool {
    match only_line(request.headers(), HOST) {
        Ok(Some(host)) => is_valid(host),
        Ok(None) => request.version() != Version::HTTP_11,
        Err(_) => false,
    }
}

fn is_valid(host: &HeaderValue) -> bool {
    is_plain(host.as_bytes())
        || Authority::try_from(host.as_bytes()).is_ok_and(|name| !name.as_str().contains('@'))
}

/// Whether it is a name or an IPv4 address with or without a port, which most are: seen at a glance.
fn is_plain(host: &[u8]) -> bool {
    let mut parts = host.splitn(2, |byte| *byte == b':');
    let (name, port) = (parts.next().unwrap_or_default(), parts.next());
    let is_name_char = |byte: &u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'.');
    // No early exit: so the bytes are looked at many at a time.
    let all = |text: &[u8], is_char: fn(&u8) -> bool| {
        text.iter().fold(true, |all, byte| all & is_char(byte))
    };
    !name.is_empty()
        && all(name, is_name_char)
        && port.is_none_or(|port| (1..=5).contains(&port.len()) && all(port, u8::is_ascii_digit))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `protocol.md` F-10, SM-14.
    #[test]
    fn http_1_1_has_one_valid_host() {
        for (version, hosts, sound) in [
            (Version::HTTP_11, &["a"][..], true),
            (Version::HTTP_11, &["[::1]:80"], true),
            (Version::HTTP_11, &["a.example:8080"], true),
            (Version::HTTP_11, &["a_b~c"], true),
            (Version::HTTP_11, &["a/b"], false),
            (Version::HTTP_11, &[], false),
            (Version::HTTP_11, &["a", "a"], false),
            (Version::HTTP_11, &[""], false),
            (Version::HTTP_11, &["a, b"], false),
            (Version::HTTP_11, &["a b"], false),
            (Version::HTTP_11, &["u@a"], false),
            (Version::HTTP_10, &[], true),
            (Version::HTTP_2, &[], true),
            (Version::HTTP_2, &["a", "b"], false),
        ] {
            let request = Request::builder().version(version);
            let request = hosts.iter().fold(request, |request, host| request.header(HOST, *host));
            assert_eq!(is_sound(&request.body(()).unwrap()), sound, "{version:?} {hosts:?}");
        }
    }
}
