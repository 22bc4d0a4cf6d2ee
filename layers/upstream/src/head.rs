//! How the head of a request becomes the head that a backend sees. Pure.
//!
//! Path and query are forwarded byte for byte ([RFC 9110 §7.7](https://www.rfc-editor.org/rfc/rfc9110#section-7.7)):
//! only the backend knows their meaning, and a proxy that normalises them would decide on other bytes than the backend.

use bartizan_core::{
    Backend, Reason,
    backend::Protocol,
    fields::hop_by_hop::{self, Stripped},
};
use http::{
    HeaderMap, HeaderValue, Method, Uri, Version,
    header::{COOKIE, FORWARDED, HOST},
    request::Parts,
    uri::{Authority, PathAndQuery, Scheme},
};

/// Whether `Host` is the backend's or the client's.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum HostRule {
    Backend,
    Preserve,
}

/// Rewrites `head` for `backend`, and returns what was stripped from it.
pub(crate) fn rewrite(
    head: &mut Parts,
    backend: &Backend,
    rule: HostRule,
) -> Result<Stripped, Reason> {
    check_host(head)?;
    let stripped =
        hop_by_hop::strip_request(&mut head.headers).map_err(|_| Reason::ProtectedField)?;
    if backend.is_third_party() {
        hide_public_face(&mut head.headers, backend.scheme());
    }
    let speaks_http2 = backend.protocol() == Protocol::Http2;
    if stripped.takes_trailers() {
        hop_by_hop::take_trailers(&mut head.headers, speaks_http2);
    }
    if head.version == Version::HTTP_2 && !speaks_http2 {
        join_cookies(&mut head.headers);
    }
    match rule {
        // HTTP/2 has the authority in the URI; a `Host` that differs is malformed there
        // (https://www.rfc-editor.org/rfc/rfc9113#section-8.3.1).
        _ if speaks_http2 => {
            head.headers.remove(HOST);
        }
        HostRule::Backend => {
            head.headers.insert(HOST, backend.host().clone());
        }
        HostRule::Preserve => preserve_host(head, backend),
    }
    if head.uri.authority().is_some() {
        let target = std::mem::take(&mut head.uri).into_parts().path_and_query;
        head.uri = Uri::from(target.unwrap_or(PathAndQuery::from_static("/")));
    }
    head.version = if speaks_http2 { Version::HTTP_2 } else { Version::HTTP_11 };
    Ok(stripped)
}

/// Whether the method is forwarded. `CONNECT` is not, except in the extended form of RFC 8441. `TRACE` would reveal
/// credentials as the backend sees them (RFC 9110 §9.3.8).
pub(crate) fn is_forwarded(method: &Method) -> bool {
    *method != Method::TRACE && *method != Method::CONNECT
}

/// Over HTTP/2, a `Host` that differs from the authority is an attack on a recipient that reads the
/// other one (RFC 9113 §8.3.1). Over HTTP/1.1, an absolute target takes precedence (RFC 9112
/// §3.2.2).
fn check_host(head: &Parts) -> Result<(), Reason> {
    if head.version != Version::HTTP_2 {
        return Ok(());
    }
    let Some(authority) = head.uri.authority() else { return Ok(()) };
    let differs =
        |host: &HeaderValue| !host.as_bytes().eq_ignore_ascii_case(authority.as_str().as_bytes());
    if head.headers.get_all(HOST).iter().any(differs) {
        return Err(Reason::InvalidHost);
    }
    Ok(())
}

/// Removes fields that reveal the proxy's own host, and states the scheme of the hop to the
/// backend.
fn hide_public_face(headers: &mut HeaderMap, scheme: &Scheme) {
    headers.remove(FORWARDED);
    for name in ["x-forwarded-host", "x-forwarded-port", "x-forwarded-prefix"] {
        headers.remove(name);
    }
    if let Some(proto) = headers.get_mut("x-forwarded-proto") {
        *proto = HeaderValue::from_static(if *scheme == Scheme::HTTPS { "https" } else { "http" });
    }
}

/// HTTP/2 may split cookies over field lines; HTTP/1.1 may not
/// ([RFC 9113 §8.2.3](https://www.rfc-editor.org/rfc/rfc9113#section-8.2.3)).
fn join_cookies(headers: &mut HeaderMap) {
    let mut lines = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes);
    if lines.by_ref().nth(1).is_none() {
        return;
    }
    let lines: Vec<_> = headers.get_all(COOKIE).iter().map(HeaderValue::as_bytes).collect();
    if let Ok(joined) = HeaderValue::from_bytes(&lines.join(&b"; "[..])) {
        headers.insert(COOKIE, joined);
    }
}

fn preserve_host(head: &mut Parts, backend: &Backend) {
    // The backend must not see user information
    // (https://www.rfc-editor.org/rfc/rfc9110#section-4.2.4).
    let without_user = |name: &Authority| {
        let host = name.as_str().rsplit('@').next().unwrap_or_default();
        HeaderValue::from_str(host).ok()
    };
    match head.uri.authority().and_then(without_user) {
        // An absolute target names the host, whatever `Host` says.
        Some(name) => {
            head.headers.insert(HOST, name);
        }
        None => {
            head.headers.entry(HOST).or_insert_with(|| backend.host().clone());
        }
    }
}

#[cfg(test)]
mod tests {
    use http::{
        Request,
        header::{CONNECTION, TE},
    };

    use super::*;

    fn rewritten(request: http::request::Builder, backend: &str, rule: HostRule) -> Parts {
        let (mut head, ()) = request.body(()).unwrap().into_parts();
        rewrite(&mut head, &backend.parse().unwrap(), rule).unwrap();
        head
    }

    /// RFC 9110 §7.7.
    #[test]
    fn path_and_query_are_kept_byte_for_byte() {
        for target in [
            "/a/../b",
            "/%2e%2e/b",
            "//evil/",
            "/a;x",
            "/a%2Fb",
            "/",
            "/?",
            "/a?b=%zz&c",
            "/a//b/./",
        ] {
            let head = rewritten(Request::get(target), "http://b:1", HostRule::Backend);
            assert_eq!(head.uri, target);
        }
        let absolute = rewritten(Request::get("http://evil/p?q"), "http://b:1", HostRule::Backend);
        assert_eq!(absolute.uri, "/p?q");
        let empty = rewritten(Request::get("http://evil?q"), "http://b:1", HostRule::Backend);
        assert_eq!(empty.uri, "/?q");
        assert_eq!(absolute.headers[HOST], "b:1");
    }

    #[test]
    fn host_is_the_backends_or_by_choice_the_clients() {
        let request = || Request::get("/").header(HOST, "public");
        let head = rewritten(request(), "http://b:1", HostRule::Backend);
        assert_eq!(
            (&head.headers[HOST], head.version),
            (&"b:1".parse().unwrap(), Version::HTTP_11)
        );
        let head = rewritten(request(), "h2c://b:1", HostRule::Backend);
        assert!(!head.headers.contains_key(HOST));
        assert_eq!(head.version, Version::HTTP_2);
        let head = rewritten(request(), "http://b:1", HostRule::Preserve);
        assert_eq!(head.headers[HOST], "public");
        let absolute = Request::get("http://named/").header(HOST, "public");
        assert_eq!(rewritten(absolute, "http://b:1", HostRule::Preserve).headers[HOST], "named");
        let with_user = Request::get("http://user:secret@named/").header(HOST, "public");
        assert_eq!(rewritten(with_user, "http://b:1", HostRule::Preserve).headers[HOST], "named");
        // Over HTTP/2 the authority is the backend's, and `Host` must not differ from it.
        let over_http2 = rewritten(request(), "h2c://b:1", HostRule::Preserve);
        assert!(!over_http2.headers.contains_key(HOST));
        let without = rewritten(Request::get("/"), "http://b:1", HostRule::Preserve);
        assert_eq!(without.headers[HOST], "b:1");
    }

    /// RFC 9113 §8.3.1.
    #[test]
    fn over_http2_host_must_be_the_authority() {
        for (host, accepted) in [("a", true), ("A", true), ("b", false)] {
            let request = Request::get("http://a/").version(Version::HTTP_2).header(HOST, host);
            let (mut head, ()) = request.body(()).unwrap().into_parts();
            let backend = "http://b:1".parse().unwrap();
            let outcome = rewrite(&mut head, &backend, HostRule::Backend);
            assert_eq!(outcome.is_ok(), accepted, "{host}");
        }
    }

    #[test]
    fn cookies_are_joined_for_http1_only() {
        let request = || {
            let request = Request::get("http://a/").version(Version::HTTP_2);
            request.header(COOKIE, "a=1").header(COOKIE, "b=2")
        };
        let head = rewritten(request(), "http://b:1", HostRule::Backend); // H-7
        assert_eq!(head.headers.get_all(COOKIE).iter().collect::<Vec<_>>(), ["a=1; b=2"]);
        let head = rewritten(request(), "h2c://b:1", HostRule::Backend);
        assert_eq!(head.headers.get_all(COOKIE).iter().count(), 2);
    }

    #[test]
    fn a_third_party_is_told_the_clients_address_and_nothing_of_the_proxys_face() {
        let told = [
            ("x-forwarded-for", "192.0.2.7"),
            ("x-real-ip", "192.0.2.7"),
            ("x-forwarded-proto", "https"),
            ("x-forwarded-host", "public"),
            ("x-forwarded-port", "443"),
            ("x-forwarded-prefix", "/api"),
            ("forwarded", "for=192.0.2.7;host=public;proto=https"),
        ];
        let seen = |backend: Backend| {
            let request =
                told.iter().fold(Request::get("/"), |all, (name, value)| all.header(*name, *value));
            let (mut head, ()) = request.body(()).unwrap().into_parts();
            rewrite(&mut head, &backend, HostRule::Backend).unwrap();
            let text = |name| {
                head.headers.get(name).map(|value: &HeaderValue| value.to_str().unwrap().to_owned())
            };
            told.map(|(name, _)| text(name))
        };
        let backend = |uri: &str| uri.parse::<Backend>().unwrap();
        assert_eq!(seen(backend("http://b:1")), told.map(|(_, value)| Some(value.to_owned())));
        for (uri, proto) in [("http://b:1", "http"), ("https://b", "https"), ("h2c://b:1", "http")]
        {
            let address = Some("192.0.2.7".to_owned());
            let expected =
                [address.clone(), address, Some(proto.to_owned()), None, None, None, None];
            assert_eq!(seen(backend(uri).third_party()), expected, "{uri}");
        }
    }

    #[test]
    fn trailers_are_asked_for_when_the_client_takes_them() {
        let head = rewritten(
            Request::get("/").header(TE, "trailers, gzip"),
            "http://b:1",
            HostRule::Backend,
        );
        assert_eq!(
            (&head.headers[TE], &head.headers[CONNECTION]),
            (&"trailers".parse().unwrap(), &"te".parse().unwrap())
        );
        let head =
            rewritten(Request::get("/").header(TE, "trailers"), "h2c://b:1", HostRule::Backend);
        assert!(head.headers[TE] == "trailers" && !head.headers.contains_key(CONNECTION));
        let head = rewritten(Request::get("/").header(TE, "gzip"), "http://b:1", HostRule::Backend);
        assert!(!head.headers.contains_key(TE));
    }
}
