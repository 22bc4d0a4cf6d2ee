//! Whether every server interprets the target and the framing of a request in the same way. Pure.
//!
//! | request | outcome |
//! |---|---|
//! | target is a path; or a URI of `http` or `https` ([RFC 9112 §3.2](https://www.rfc-editor.org/rfc/rfc9112#section-3.2)) | accepted |
//! | target is `*`, with OPTIONS ([§3.2.4](https://www.rfc-editor.org/rfc/rfc9112#section-3.2.4)) | accepted |
//! | CONNECT with any target | accepted: the inner service decides about tunnels |
//! | any other target: `*` with another method, a host alone, a URI of another scheme | 400 |
//! | `Transfer-Encoding` other than `chunked` alone ([§6.1](https://www.rfc-editor.org/rfc/rfc9112#section-6.1)) | 501: the coding would be lost with the field |

use bartizan_core::{Reason, fields::list};
use http::{HeaderMap, Method, Request, header::TRANSFER_ENCODING, uri::Scheme};

/// Refuses a target that is not defined for the method or for an HTTP server.
#[inline]
pub(crate) fn check<B>(request: &Request<B>) -> Result<(), Reason> {
    let uri = request.uri();
    let is_http = match uri.scheme() {
        None => true,
        Some(scheme) => *scheme == Scheme::HTTP || *scheme == Scheme::HTTPS,
    };
    if (is_http && uri.path().starts_with('/')) || is_special(request, is_http) {
        return Ok(());
    }
    Err(Reason::InvalidTarget)
}

#[cold]
fn is_special<B>(request: &Request<B>, is_http: bool) -> bool {
    match *request.method() {
        Method::CONNECT => true,
        Method::OPTIONS => is_http && request.uri().path() == "*",
        _ => false,
    }
}

/// Refuses transfer codings that a recipient would have to decode, because servers do not. Called only if the field is
/// present.
#[cold]
pub(crate) fn check_coding(headers: &HeaderMap) -> Result<(), Reason> {
    let mut codings = list::members(headers, &TRANSFER_ENCODING);
    match (codings.next(), codings.next()) {
        (Some(coding), None) if coding.eq_ignore_ascii_case(b"chunked") => Ok(()),
        _ => Err(Reason::CodingNotSupported),
    }
}

#[cfg(test)]
mod tests {
    use http::{HeaderValue, Uri};

    use super::*;

    #[test]
    fn a_target_is_a_path_or_a_uri_of_http() {
        for (method, target, is_sound) in [
            ("GET", "/", true),
            ("GET", "/a/../b?c", true),
            ("GET", "//a", true),
            ("POST", "http://a/b", true),
            ("GET", "HTTPS://a", true),
            ("OPTIONS", "*", true),
            ("OPTIONS", "/", true),
            ("CONNECT", "a:443", true),
            ("GET", "*", false),
            ("POST", "*", false),
            ("GET", "a:443", false),
            ("GET", "a", false),
            ("OPTIONS", "a:80", false),
            ("GET", "ftp://a/b", false),
            ("OPTIONS", "ws://a/b", false),
            ("GET", "file://a/etc/passwd", false),
        ] {
            let uri: Uri = target.parse().unwrap();
            let request = Request::builder().method(method).uri(uri).body(()).unwrap();
            let expected = if is_sound { Ok(()) } else { Err(Reason::InvalidTarget) };
            assert_eq!(check(&request), expected, "{method} {target}");
        }
    }

    #[test]
    fn no_coding_but_chunked_is_let_through() {
        for (lines, is_sound) in [
            (&["chunked"][..], true),
            (&["Chunked "], true),
            (&["gzip, chunked"], false),
            (&["gzip", "chunked"], false),
            (&["chunked, chunked"], false),
            (&["chunked", "chunked"], false),
            (&["chunked;q=1"], false),
            (&["identity"], false),
            (&[""], false),
        ] {
            let pair = |line: &&str| (TRANSFER_ENCODING, HeaderValue::from_str(line).unwrap());
            let headers = lines.iter().map(pair).collect();
            assert_eq!(check_coding(&headers).is_ok(), is_sound, "{lines:?}");
        }
    }
}
