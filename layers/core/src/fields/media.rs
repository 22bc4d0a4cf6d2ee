//! Media types in `Content-Type` and `Accept`, compared without regard to case
//! ([RFC 9110 §8.3.1](https://www.rfc-editor.org/rfc/rfc9110#section-8.3.1)).

use http::{
    HeaderMap, HeaderValue,
    header::{ACCEPT, CONTENT_TYPE},
};

const EVENT_STREAM: &[u8] = b"text/event-stream";
const JSON: &[u8] = b"application/json";
const HTML: &[u8] = b"text/html";
const GRPC: &[u8] = b"application/grpc";

/// Whether `headers` describe a stream of server-sent events.
#[inline]
#[must_use]
pub fn is_event_stream(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| is(value.as_bytes(), EVENT_STREAM))
}

/// Whether `headers` describe a JSON document.
#[must_use]
pub fn is_json(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| is(value.as_bytes(), JSON))
}

/// Whether `headers` describe a page.
#[must_use]
pub fn is_html(headers: &HeaderMap) -> bool {
    headers.get(CONTENT_TYPE).is_some_and(|value| is(value.as_bytes(), HTML))
}

/// Whether `headers` describe a gRPC message: `application/grpc`, alone or with a suffix such as `+proto`.
/// gRPC-Web is another protocol, and is not included.
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let Some(value) = headers.get(CONTENT_TYPE) else { return false };
    let after = after_type(value.as_bytes(), GRPC);
    after.is_some_and(|rest| ends_type(rest) || rest.first() == Some(&b'+'))
}

/// Whether `Accept` names a stream of server-sent events. Wildcards do not count: every HTTP client sends
/// them.
#[must_use]
pub fn accepts_event_stream(headers: &HeaderMap) -> bool {
    let lines = headers.get_all(ACCEPT).iter().map(HeaderValue::as_bytes);
    lines.flat_map(|line| line.split(|byte| *byte == b',')).any(|kind| is(kind, EVENT_STREAM))
}

/// Whether `value` is the media type `expected`, with parameters or without.
fn is(value: &[u8], expected: &[u8]) -> bool {
    after_type(value, expected).is_some_and(ends_type)
}

/// The rest of `value` after `expected`, if `value` begins with it.
fn after_type<'a>(value: &'a [u8], expected: &[u8]) -> Option<&'a [u8]> {
    let (kind, rest) = value.trim_ascii_start().split_at_checked(expected.len())?;
    kind.eq_ignore_ascii_case(expected).then_some(rest)
}

fn ends_type(rest: &[u8]) -> bool {
    matches!(rest.first(), None | Some(b';' | b' ' | b'\t'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn typed(value: &str) -> HeaderMap {
        HeaderMap::from_iter([(CONTENT_TYPE, value.parse().unwrap())])
    }

    #[test]
    fn a_media_type_is_known_with_parameters_and_in_any_case() {
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
            assert_eq!(is_event_stream(&typed(value)), expected, "{value}");
        }
        assert!(!is_event_stream(&HeaderMap::new()));
        assert!(
            is_json(&typed("Application/JSON; charset=utf-8")) && !is_json(&typed("text/json"))
        );
        assert!(is_html(&typed("Text/HTML;charset=utf-8")) && !is_html(&typed("text/plain")));
    }

    #[test]
    fn grpc_may_have_a_suffix_and_is_not_grpc_web() {
        for (value, expected) in [
            ("application/grpc", true),
            ("application/grpc+proto", true),
            ("Application/gRPC;x=y", true),
            ("application/grpc-web", false),
            ("application/grpcx", false),
            ("application/json", false),
        ] {
            assert_eq!(is_grpc(&typed(value)), expected, "{value}");
        }
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn an_event_stream_is_accepted_by_name_on_any_line() {
        let accept = |lines: &[&str]| {
            let lines = lines.iter().map(|line| (ACCEPT, line.parse().unwrap()));
            accepts_event_stream(&lines.collect())
        };
        assert!(accept(&["application/json, Text/Event-Stream;q=0.9"]));
        assert!(accept(&["application/json", "text/event-stream"]));
        assert!(!accept(&["*/*"]) && !accept(&["application/json"]) && !accept(&[]));
    }
}
