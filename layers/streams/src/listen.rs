//! Whether a request asks to listen, and whether comments may be put into the stream that answers it. Pure.

use bartizan_core::{fields::media, mcp};
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{CONTENT_ENCODING, CONTENT_LENGTH},
};

/// The method of a subscription, which is a POST
/// ([MCP 2026-07-28, Receiving Messages](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http)).
const SUBSCRIPTION: &str = "subscriptions/listen";

/// Whether comments may be put into an event stream with `headers`: it is not encoded, and its length is
/// not told.
pub(crate) fn takes_comments(headers: &HeaderMap) -> bool {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    headers.get_all(CONTENT_ENCODING).iter().all(is_plain) && !headers.contains_key(CONTENT_LENGTH)
}

/// Whether `request` asks to listen: for an event stream and nothing else.
pub(crate) fn asks_to_listen<B>(request: &Request<B>, has_session: bool) -> bool {
    match *request.method() {
        Method::GET => media::accepts_event_stream(request.headers()),
        // Subscriptions have no session.
        Method::POST if !has_session => {
            request.headers().get(&mcp::METHOD).is_some_and(|method| method == SUBSCRIPTION)
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use http::header::CONTENT_TYPE;

    use super::*;

    #[test]
    fn comments_are_put_into_what_is_plain_and_has_no_length() {
        for (name, value, expected) in [
            (CONTENT_ENCODING, "gzip", false),
            (CONTENT_ENCODING, "identity, br", false),
            (CONTENT_ENCODING, "Identity", true),
            (CONTENT_LENGTH, "10", false),
            (CONTENT_TYPE, "text/event-stream", true),
        ] {
            let headers = HeaderMap::from_iter([(name.clone(), value.parse().unwrap())]);
            assert_eq!(takes_comments(&headers), expected, "{name}: {value}");
        }
    }

    #[test]
    fn whoever_wants_events_and_nothing_else_listens() {
        let request = |method: &str, name: &str, value: &str| {
            Request::builder().method(method).uri("/").header(name, value).body(()).unwrap()
        };
        for (method, name, value, has_session, expected) in [
            ("GET", "accept", "text/event-stream", true, true),
            ("GET", "accept", "application/json, Text/Event-Stream;q=0.9", false, true),
            ("GET", "accept", "*/*", true, false),
            ("GET", "accept", "application/json", true, false),
            ("POST", "accept", "application/json, text/event-stream", true, false),
            ("POST", "mcp-method", "subscriptions/listen", false, true),
            ("POST", "mcp-method", "tools/call", false, false),
            ("DELETE", "accept", "text/event-stream", true, false),
        ] {
            let request = request(method, name, value);
            assert_eq!(asks_to_listen(&request, has_session), expected, "{method} {name}: {value}");
        }
    }
}
