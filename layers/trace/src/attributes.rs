//! What spans say of a request and its response.
//!
//! The names are those of the [semantic conventions for
//! HTTP](https://opentelemetry.io/docs/specs/semconv/http/http-spans/). Nothing is recorded that a client or a backend
//! chooses freely: no path that is not configured, no query, no header field, no id.

use bartizan_core::{Backend, Reason, UpstreamFailure};
use http::{Method, Response, StatusCode, Version};
use opentelemetry::{KeyValue, Value};

pub(crate) const ERROR_TYPE: &str = "error.type";

/// The method, if it is one of the standard's; clients can make up others without end.
pub(crate) fn method(method: &Method) -> &'static str {
    const KNOWN: [&str; 9] =
        ["GET", "POST", "DELETE", "OPTIONS", "HEAD", "PUT", "PATCH", "TRACE", "CONNECT"];
    KNOWN.into_iter().find(|known| *known == method.as_str()).unwrap_or("_OTHER")
}

/// The name of a span is `HTTP` where the method is not known.
pub(crate) fn name(method: &'static str) -> &'static str {
    if method == "_OTHER" { "HTTP" } else { method }
}

pub(crate) fn version(version: Version) -> Option<KeyValue> {
    let number = match version {
        Version::HTTP_10 => "1.0",
        Version::HTTP_11 => "1.1",
        Version::HTTP_2 => "2",
        Version::HTTP_3 => "3",
        _ => return None,
    };
    Some(KeyValue::new("network.protocol.version", number))
}

/// The scheme of the request, where it says one.
pub(crate) fn scheme(scheme: Option<&str>) -> Option<KeyValue> {
    let known = ["http", "https"].into_iter().find(|known| Some(*known) == scheme)?;
    Some(KeyValue::new("url.scheme", known))
}

/// The address of `backend`, as it is configured.
pub(crate) fn backend(backend: &Backend) -> impl Iterator<Item = KeyValue> {
    let authority = backend.authority();
    let host = authority.host().trim_start_matches('[').trim_end_matches(']').to_owned();
    let default = if backend.scheme().as_str() == "https" { 443 } else { 80 };
    let port = authority.port_u16().unwrap_or(default);
    [KeyValue::new("server.address", host), KeyValue::new("server.port", i64::from(port))]
        .into_iter()
        .chain(scheme(Some(backend.scheme().as_str())))
}

pub(crate) fn status(status: StatusCode) -> KeyValue {
    KeyValue::new("http.response.status_code", i64::from(status.as_u16()))
}

/// Why a response was made here: a type of [RFC 9209 §2.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.3) where a
/// backend gave none, else the reason of the refusal.
pub(crate) fn made_here<B>(response: &Response<B>) -> Option<Value> {
    if let Some(failure) = UpstreamFailure::of(response) {
        return Some(failure.error_type().into());
    }
    Reason::of(response).map(|reason| reason.as_str().into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn methods_are_a_closed_set() {
        assert_eq!(method(&Method::POST), "POST");
        assert_eq!(method(&Method::from_bytes(b"post").unwrap()), "_OTHER");
        assert_eq!(method(&Method::from_bytes(b"SECRET").unwrap()), "_OTHER");
        assert_eq!((name("_OTHER"), name("GET")), ("HTTP", "GET"));
    }

    #[test]
    fn a_backend_is_its_host_and_port() {
        for (uri, host, port) in [
            ("http://a:9001", "a", 9001),
            ("http://a", "a", 80),
            ("https://a", "a", 443),
            ("http://[::1]:81", "::1", 81),
        ] {
            let found: Vec<_> = backend(&uri.parse().unwrap()).collect();
            assert_eq!(found[0], KeyValue::new("server.address", host), "{uri}");
            assert_eq!(found[1], KeyValue::new("server.port", port), "{uri}");
        }
    }
}
