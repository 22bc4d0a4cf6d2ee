//! What header fields say of event streams. Media types are compared without regard to case
//! ([RFC 9110 §8.3.1](https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1)).

use bartizan_core::mcp;
use http::{
    HeaderMap, HeaderValue, Method, Request,
    header::{ACCEPT, CONTENT_ENCODING, CONTENT_LENGTH, CONTENT_TYPE},
};

const EVENT_STREAM: &[u8] = b"text/event-stream";
/// The method of a subscription, which is a POST
/// ([MCP 2026-07-28, Receiving Messages](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http)).
const SUBSCRIPTION: &str = "subscriptions/listen";

/// Whether a response with `headers` is an event stream.
#[inline]
pub(crate) fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| names_event_stream(value.as_bytes()))
}

/// Whether comments may be put into an event stream with `headers`: it is not encoded, and its length is
/// not told.
pub(crate) fn takes_comments(headers: &HeaderMap) -> bool {
    let is_plain = |value: &HeaderValue| value.as_bytes().eq_ignore_ascii_case(b"identity");
    headers.get_all(CONTENT_ENCODING).iter().all(is_plain) && !headers.contains_key(CONTENT_LENGTH)
}

/// Whether `request` asks to listen: for an event stream and nothing else.
pub(crate) fn asks_to_listen<B>(request: &Request<B>, has_session: bool) -> bool {
    match *request.method() {
        Method::GET => {
            let lines = request.headers().get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
            lines.flat_map(|line| line.split(|byte| *byte == b',')).any(names_event_stream)
        }
        // Subscriptions have no session.
        Method::POST if !has_session => {
            request.headers().get(&mcp::METHOD).is_some_and(|method| method == SUBSCRIPTION)
        }
        _ => false,
    }
}

fn names_event_stream(value: &[u8]) -> bool {
    let value = value.trim_ascii_start();
    let Some((media_type, rest)) = value.split_at_checked(EVENT_STREAM.len()) else { return false };
    media_type.eq_ignore_ascii_case(EVENT_STREAM)
        && matches!(rest.first(), None | Some(b';' | b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_event_stream_is_known_by_its_type() {
        for (value, expected) in [
            ("text/event-stream", true),
            ("text/event-stream; charset=utf-8", true),
            ("text/event-stream;charset=utf-8", true),
            ("Text/Event-Stream", true),
            ("text/event-stream2", false),
            ("text/event-strea", false),
            ("text/plain; x=text/event-stream", false),
            ("application/json", false),
            ("", false),
        ] {
            let headers = HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())]);
            assert_eq!(is_event_stream(&headers), expected, "{value}");
        }
        assert!(!is_event_stream(&HeaderMap::new()));
    }

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
