//! Which trailers a response announces. Pure.

use http::{
    HeaderMap, HeaderValue,
    header::{CONTENT_LENGTH, TRAILER},
};

/// Announces the trailers that end each gRPC call, unless the backend has announced its own.
///
/// Over HTTP/2, the trailers of a call are not announced ([gRPC over
/// HTTP/2](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses)); over HTTP/1.1 a sender announces
/// trailers ([RFC 9110 §6.6.2](https://www.rfc-editor.org/rfc/rfc9110#section-6.6.2)), and hyper sends no others.
#[cold]
pub(crate) fn announce_grpc(headers: &mut HeaderMap) {
    // A response with its status in the head, or of known length, has no trailers.
    if !["grpc-status", CONTENT_LENGTH.as_str(), TRAILER.as_str()]
        .iter()
        .any(|name| headers.contains_key(*name))
    {
        let names = "grpc-status, grpc-message, grpc-status-details-bin";
        headers.insert(TRAILER, HeaderValue::from_static(names));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_response_that_may_end_in_trailers_announces_them() {
        for (name, value, announced) in [
            (
                "content-type",
                "application/grpc",
                Some("grpc-status, grpc-message, grpc-status-details-bin"),
            ),
            ("grpc-status", "0", None),
            ("content-length", "5", None),
            ("trailer", "x-sum", Some("x-sum")),
        ] {
            let mut headers = HeaderMap::new();
            headers.insert(name, HeaderValue::from_static(value));
            announce_grpc(&mut headers);
            assert_eq!(
                headers.get(TRAILER).map(|names| names.to_str().unwrap()),
                announced,
                "{name}"
            );
        }
    }
}
