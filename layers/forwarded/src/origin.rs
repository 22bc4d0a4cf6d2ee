//! What the client addressed: scheme, host, port and prefix, according to the connection or a trusted proxy. Pure.
//!
//! Values from a proxy are checked before they are used: a scheme is `http` or `https` (`ws` and `wss` are mapped to
//! them), a host is a name or an address with an optional port, a prefix is a path. If there are several values, the
//! rightmost counts, because the peer itself wrote it.

use bartizan_core::{
    PublicOrigin,
    client::Evidence,
    fields::{list, only_line},
};
use http::{HeaderMap, HeaderName, HeaderValue, Request, header::HOST, uri::Scheme};

use crate::{element::Element, field, path_prefix::is_prefix};

/// What the request itself addresses: the target's authority, otherwise `Host` if it appears once.
pub(crate) fn host<B>(request: &Request<B>) -> Option<HeaderValue> {
    if let Some(authority) = request.uri().authority() {
        let text = authority.as_str();
        return is_host(text.as_bytes()).then(|| HeaderValue::from_str(text).ok()).flatten();
    }
    let host = only_line(request.headers(), HOST).ok().flatten()?;
    is_host(host.as_bytes()).then(|| host.clone())
}

/// The values of `X-Forwarded-Proto/-Host/-Port/-Prefix`, falling back to `own`.
pub(crate) fn told_by_fields(headers: &HeaderMap, own: &PublicOrigin) -> PublicOrigin {
    let scheme = last(headers, &field::PROTO).and_then(|(text, _)| scheme(text));
    let host = last(headers, &field::HOST).and_then(|said| value(said, is_host));
    let port = last(headers, &field::PORT).and_then(|(text, _)| port(text));
    let prefix = last(headers, &field::PREFIX).and_then(|said| value(said, is_prefix));
    overlay(own, scheme, host, port).with_prefix(prefix)
}

/// The values in the element of `Forwarded` that names the client, falling back to `own`.
pub(crate) fn told_by_element(element: &Element<'_>, own: &PublicOrigin) -> PublicOrigin {
    let scheme = element.proto.as_deref().and_then(scheme);
    let host = element.host.as_deref().filter(|host| is_host(host));
    let host = host.and_then(|host| HeaderValue::from_bytes(host).ok());
    overlay(own, scheme, host, None)
}

/// Whether `text` is a host with or without a port, without characters that have a meaning in a list, in a quoted
/// string or elsewhere in a URI.
pub(crate) fn is_host(text: &[u8]) -> bool {
    if !matches!(text.len(), 1..=MAX_HOST_BYTES) {
        return false;
    }
    match text.last_chunk() {
        // Many bytes at a time, because every request has a host to check. The last chunk overlaps the one before.
        Some(last) => text.as_chunks().0.iter().chain([last]).all(are_host_chars),
        None => {
            let mut padded = [b'a'; LANES];
            padded.iter_mut().zip(text).for_each(|(lane, byte)| *lane = *byte);
            are_host_chars(&padded)
        }
    }
}

const LANES: usize = 16;

/// Whether each byte is one of a host, in a form that the compiler can vectorise.
fn are_host_chars(bytes: &[u8; LANES]) -> bool {
    bytes.iter().fold(true, |all, &byte| {
        let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        // The digits and the colon after them, the dash and the dot before them.
        let is_digit_or_mark = (byte.wrapping_sub(b'-') < 14) & (byte != b'/');
        let is_other = (byte == b'%') | (byte == b'_') | (byte == b'~');
        let is_bracket = (byte == b'[') | (byte == b']');
        all & (is_letter | is_digit_or_mark | is_other | is_bracket)
    })
}

/// A name of 253 characters, and a port.
const MAX_HOST_BYTES: usize = 259;

/// Values that no proxy states are those that this server sees.
fn overlay(
    own: &PublicOrigin,
    scheme: Option<Scheme>,
    host: Option<HeaderValue>,
    port: Option<u16>,
) -> PublicOrigin {
    if scheme.is_none() && host.is_none() && port.is_none() {
        return own.clone();
    }
    PublicOrigin::new(scheme.unwrap_or_else(|| own.scheme().clone()), Evidence::Forwarded)
        .with_host(host.or_else(|| own.host().cloned()))
        .with_port(port)
}

/// The last member of a list, and its line.
fn last<'a>(headers: &'a HeaderMap, name: &HeaderName) -> Option<(&'a [u8], &'a HeaderValue)> {
    let line = headers.get_all(name).into_iter().next_back()?;
    let member =
        line.as_bytes().rsplit(|byte| *byte == b',').map(list::trim).find(|one| !one.is_empty())?;
    Some((member, line))
}

/// The member as a separate value; the line itself, if it has no other member.
fn value(
    (member, line): (&[u8], &HeaderValue),
    is_sound: impl Fn(&[u8]) -> bool,
) -> Option<HeaderValue> {
    if !is_sound(member) {
        return None;
    }
    if member.len() == line.len() {
        Some(line.clone())
    } else {
        HeaderValue::from_bytes(member).ok()
    }
}

fn scheme(text: &[u8]) -> Option<Scheme> {
    match text.to_ascii_lowercase().as_slice() {
        b"http" | b"ws" => Some(Scheme::HTTP),
        b"https" | b"wss" => Some(Scheme::HTTPS),
        _ => None,
    }
}

fn port(text: &[u8]) -> Option<u16> {
    let is_number = matches!(text.len(), 1..=5) && text.iter().all(u8::is_ascii_digit);
    str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok().filter(|port| *port != 0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own() -> PublicOrigin {
        PublicOrigin::new(Scheme::HTTP, Evidence::Peer)
            .with_host(Some(HeaderValue::from_static("inner:81")))
    }

    fn told(lines: &[(HeaderName, &str)]) -> PublicOrigin {
        let lines = lines.iter().map(|(name, value)| (name.clone(), value.parse().unwrap()));
        told_by_fields(&lines.collect(), &own())
    }

    /// W-24.
    #[test]
    fn the_rightmost_value_counts_if_it_is_sound() {
        let origin = told(&[
            (field::PROTO, "http"),
            (field::PROTO, "https, wss"),
            (field::HOST, "evil.example, a.example"),
            (field::PREFIX, "/api"),
        ]);
        assert_eq!(origin.scheme(), &Scheme::HTTPS);
        assert_eq!(origin.host().unwrap(), "a.example");
        assert_eq!((origin.port(), origin.prefix().unwrap().as_bytes()), (443, &b"/api"[..]));
        assert_eq!(origin.evidence(), Evidence::Forwarded);
        let origin = told(&[(field::HOST, "a.example:8443")]);
        assert_eq!((origin.port(), origin.scheme()), (8443, &Scheme::HTTP));
        assert_eq!(told(&[(field::PORT, "444"), (field::PROTO, "https")]).port(), 444);
        assert_eq!(told(&[(field::PROTO, "https")]).host().unwrap(), "inner:81");
        assert_eq!(told(&[]), own());
    }

    /// Invalid values are ignored.
    #[test]
    fn what_is_not_sound_is_not_believed() {
        for (name, value) in [
            (field::PROTO, "javascript"),
            (field::PROTO, "https, gopher"),
            (field::HOST, "a.example/evil"),
            (field::HOST, "user@a.example"),
            (field::HOST, "a.example, b example"),
            (field::HOST, "a\""),
            (field::PORT, "0"),
            (field::PORT, "65536"),
            (field::PORT, "+80"),
            (field::PREFIX, "//evil.example"),
            (field::PREFIX, "api"),
            (field::PREFIX, "/a?b"),
            (field::PREFIX, "/a\\b"),
            (field::PREFIX, "/<script>"),
            (field::PREFIX, ""),
        ] {
            assert_eq!(told(&[(name.clone(), value)]), own(), "{name}: {value}");
        }
        assert!(!is_host(&[b'a'; 260]) && !is_host(b""));
    }

    #[test]
    fn a_host_is_judged_alike_whatever_its_length() {
        let alphabet = b"0123456789-._~%:[]ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
        for byte in 0..=u8::MAX {
            let is_one = alphabet.contains(&byte);
            assert_eq!(are_host_chars(&[byte; LANES]), is_one, "{byte:#x}");
            assert_eq!(is_host(&[byte]), is_one, "{byte:#x}");
        }
        for len in 1..=MAX_HOST_BYTES {
            let sound = vec![b'a'; len];
            assert!(is_host(&sound), "{len}");
            for at in 0..len {
                let mut text = sound.clone();
                text[at] = b'/';
                assert!(!is_host(&text), "{len} {at}");
            }
        }
    }

    #[test]
    fn the_request_names_its_host_once() {
        let of = |builder: http::request::Builder| {
            host(&builder.body(()).unwrap()).map(|host| host.to_str().unwrap().to_owned())
        };
        assert_eq!(of(Request::get("/").header(HOST, "a:81")).as_deref(), Some("a:81"));
        assert_eq!(of(Request::get("http://b/").header(HOST, "a")).as_deref(), Some("b"));
        assert_eq!(of(Request::get("/").header(HOST, "a").header(HOST, "b")), None);
        assert_eq!(of(Request::get("/").header(HOST, "a\"b")), None); // FB-10
        assert_eq!(of(Request::get("http://u@b/")), None);
        assert_eq!(of(Request::get("/")), None);
    }
}
