//! Whether a request says in one way where it wants to go.

use http::{HeaderValue, Request, Version, header::HOST, uri::Authority};

/// Whether `Host` is there once and valid, as HTTP/1.1 demands
/// ([RFC 9112 §3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2)); in other versions, whether it
/// is there once at most.
pub(super) fn is_sound<B>(request: &Request<B>) -> bool {
    let mut lines = request.headers().get_all(HOST).iter();
    match (lines.next(), lines.next()) {
        (Some(host), None) => is_valid(host),
        (None, _) => request.version() != Version::HTTP_11,
        (Some(_), Some(_)) => false,
    }
}

fn is_valid(host: &HeaderValue) -> bool {
    Authority::try_from(host.as_bytes()).is_ok_and(|name| !name.as_str().contains('@'))
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
