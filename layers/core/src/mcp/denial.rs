//! Whether a backend's 404 is about the session. Pure.

use http::{Response, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::{Session, fields::media};

/// Error codes of JSON-RPC and MCP for a method, its parameters, the server, or a header field: the server knew the
/// session, or did not look for it ([JSON-RPC 2.0 §5.1](https://www.jsonrpc.org/specification#error_object), [MCP
/// 2026-07-28, Streamable
/// HTTP](https://modelcontextprotocol.io/specification/2026-07-28/basic/transports/streamable-http)).
const ABOUT_SOMETHING_ELSE: [i64; 6] = [-32601, -32602, -32603, -32020, -32021, -32022];

#[derive(Deserialize)]
struct Answer<'a> {
    #[serde(borrow)]
    error: &'a RawValue,
}

#[derive(Deserialize)]
struct Error {
    code: i64,
}

/// Whether two paths are the same endpoint: a trailing slash is ignored.
#[inline]
#[must_use]
pub fn is_same_endpoint(one: &str, other: &str) -> bool {
    one == other || without_slash(one) == without_slash(other)
}

#[cold]
fn without_slash(path: &str) -> &str {
    path.strip_suffix('/').unwrap_or(path)
}

/// Whether a request to `path` goes to the path on which `session` was opened. If that is not known, any path counts.
#[inline]
#[must_use]
pub fn is_at_endpoint(session: &Session, path: &str) -> bool {
    session.record().path().is_none_or(|endpoint| is_same_endpoint(endpoint, path))
}

/// Whether a response with this head may mean that the session has ended: a 404 on the path where the session was
/// opened (`is_at_endpoint`), unless it is an HTML page, as web frameworks send for unknown paths and methods. The body
/// decides ([`denies_session`]).
#[inline]
pub fn may_deny_session<R>(response: &Response<R>, is_at_endpoint: impl FnOnce() -> bool) -> bool {
    response.status() == StatusCode::NOT_FOUND
        && is_at_endpoint()
        && !media::is_html(response.headers())
}

/// Whether a backend's 404 with this body, on the path where a session was opened, means what MCP defines: the session
/// has ended ([MCP 2025-11-25, Session
/// Management](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management)).
///
/// It does, unless the body is a JSON-RPC error about something else. For an unknown session, SDKs send −32001, −32600
/// or −32000, plain text, or no body at all.
#[must_use]
pub fn denies_session(body: &[u8]) -> bool {
    code_of(body).is_none_or(|code| !ABOUT_SOMETHING_ELSE.contains(&code))
}

fn code_of(body: &[u8]) -> Option<i64> {
    let answer: Answer<'_> = serde_json::from_slice(body).ok()?;
    let error: Error = serde_json::from_str(answer.error.get()).ok()?;
    Some(error.code)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_closing_slash_makes_no_other_endpoint() {
        for (one, other) in [("/mcp", "/mcp"), ("/mcp", "/mcp/"), ("/", ""), ("/a/b/", "/a/b")] {
            assert!(is_same_endpoint(one, other) && is_same_endpoint(other, one), "{one} {other}");
        }
        for (one, other) in
            [("/mcp", "/"), ("/mcp", "/mcp//"), ("/mcp", "/Mcp"), ("/mcp", "/mcp/x")]
        {
            assert!(!is_same_endpoint(one, other), "{one} {other}");
        }
    }

    #[test]
    fn a_404_at_the_endpoint_may_deny_a_session_unless_it_is_a_page() {
        for (status, content_type, is_at_endpoint, expected) in [
            (404, "application/json", true, true),
            (404, "text/plain", true, true),
            (404, "text/html; charset=utf-8", true, false),
            (404, "application/json", false, false),
            (400, "application/json", true, false),
            (200, "application/json", true, false),
        ] {
            let response = Response::builder().status(status).header("content-type", content_type);
            let response = response.body(()).unwrap();
            assert_eq!(may_deny_session(&response, || is_at_endpoint), expected, "{response:?}");
        }
    }

    #[test]
    fn the_words_of_each_sdk_deny_a_session() {
        for body in [
            // TypeScript, rmcp (plain text), Go, Python 1.x and 2.x, others.
            r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"},"id":null}"#,
            "Not Found: Session not found",
            "session not found\n",
            r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}"#,
            r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"x"}}"#,
            "",
            r#"{"detail":"Not Found"}"#,
            r#"{"jsonrpc":"2.0","id":1,"result":{}}"#,
            r#"{"error":{"code":"-32601"}}"#,
            "[",
        ] {
            assert!(denies_session(body.as_bytes()), "{body}");
        }
    }

    #[test]
    fn an_error_about_something_else_does_not() {
        for code in ABOUT_SOMETHING_ELSE {
            let body = format!(
                r#"{{"jsonrpc":"2.0","id":7,"error":{{"message":"m","code":{code},"data":{{}}}}}}"#
            );
            assert!(!denies_session(body.as_bytes()), "{code}");
        }
    }
}
