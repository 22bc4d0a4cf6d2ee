//! Decides whether a response means that the session is lost. Pure.
//!
//! A session is lost if the request certainly was not and will not be processed: the host refused the connection, or
//! the answer says that the session is unknown. After a timeout or without a route, the cause may be on this side and
//! the session may be live. If the request may have been processed (a reset, an end without an answer, a timeout after
//! it was sent), its outcome is unknown, so it is never sent again.
//!
//! | server | answer for an unknown session |
//! |---|---|
//! | Python SDK | 404 `Session not found`; earlier 400 `Bad Request: No valid session ID provided` |
//! | TypeScript SDK | 404 `Session not found`; 400 `Bad Request: Server not initialized` of a transport that has not met `initialize`; its examples 400 `Bad Request: No valid session ID provided` |
//! | Go SDK | 404 `session not found`; others in Go 400 `Invalid session ID` |
//! | Rust SDK | 404 `Not Found: Session not found` |

use std::time::Duration;

use bartizan_core::{Reason, UpstreamFailure, mcp};
use http::{Response, StatusCode};

/// What a response shows about its session.
#[allow(clippy::exhaustive_enums, reason = "public for the model of this workspace alone")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Verdict {
    /// The session is live, or its state is unknown.
    Arrived,
    /// The session is lost: its backend has left, or its host refuses connections.
    Unreachable,
    /// The session is lost: its backend does not know it.
    Unknown,
    /// The body decides.
    Look,
}

/// How much of a body is read.
pub(crate) const LOOK_BYTES: usize = 4 * 1024;

/// How long it may take to arrive.
pub(crate) const LOOK_TIMEOUT: Duration = Duration::from_secs(2);

/// Phrases in error messages that mean an unknown session, in lower case.
const UNKNOWN: [&str; 5] = [
    "session not found",
    "no valid session id",
    "server not initialized",
    "invalid session id",
    "unknown session",
];

/// Judges by the head. A 404 counts only on the path where the session was opened (`is_at_endpoint`).
#[inline]
pub fn by_head<R>(response: &Response<R>, is_at_endpoint: impl FnOnce() -> bool) -> Verdict {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return Verdict::Arrived;
    }
    if UpstreamFailure::of(response).is_some_and(UpstreamFailure::is_refused) {
        return Verdict::Unreachable;
    }
    match (Reason::of(response), status) {
        (Some(Reason::BackendLost), _) => Verdict::Unreachable,
        // A layer refused it, which says nothing about the session.
        (Some(_), _) => Verdict::Arrived,
        (None, StatusCode::BAD_REQUEST) => Verdict::Look,
        (None, _) if mcp::may_deny_session(response, is_at_endpoint) => Verdict::Look,
        _ => Verdict::Arrived,
    }
}

/// Judges a 404 or a 400 by its body: a JSON-RPC error, or plain text. A 404 means that the session has ended, unless
/// its body is about something else; a 400 does not, unless its body says so.
#[must_use]
pub fn by_text(status: StatusCode, text: &[u8]) -> Verdict {
    let is_unknown = match status {
        StatusCode::NOT_FOUND => mcp::denies_session(text),
        _ => says_unknown(text),
    };
    if is_unknown { Verdict::Unknown } else { Verdict::Arrived }
}

fn says_unknown(text: &[u8]) -> bool {
    #[derive(serde::Deserialize)]
    struct Answer<'a> {
        #[serde(borrow)]
        error: Error<'a>,
    }
    #[derive(serde::Deserialize)]
    struct Error<'a> {
        #[serde(borrow)]
        message: std::borrow::Cow<'a, str>,
    }
    let says_so = |text: &str| {
        let text = text.to_ascii_lowercase();
        UNKNOWN.iter().any(|words| text.contains(words))
    };
    match serde_json::from_slice::<Answer<'_>>(text) {
        Ok(answer) => says_so(&answer.error.message),
        // JSON that is not an error contains such a phrase only by chance.
        Err(_) if text.trim_ascii_start().first().is_none_or(|byte| b"{[".contains(byte)) => false,
        Err(_) => str::from_utf8(text).is_ok_and(says_so),
    }
}

#[cfg(test)]
mod tests {
    use bartizan_core::failure::FailureKind;

    use super::*;

    fn response(status: u16) -> Response<()> {
        let mut response = Response::new(());
        *response.status_mut() = StatusCode::from_u16(status).unwrap();
        response
    }

    #[test]
    fn only_what_nobody_has_processed_and_nobody_will_is_lost() {
        for (kind, verdict) in [
            (FailureKind::Dns, Verdict::Arrived),
            (FailureKind::Refused, Verdict::Unreachable),
            (FailureKind::NoRoute, Verdict::Arrived),
            (FailureKind::ConnectTimeout, Verdict::Arrived),
            (FailureKind::Tls, Verdict::Arrived),
            (FailureKind::RefusedStream, Verdict::Arrived),
            (FailureKind::Terminated, Verdict::Arrived),
            (FailureKind::ResponseTimeout, Verdict::Arrived),
            (FailureKind::Protocol, Verdict::Arrived),
        ] {
            let mut response = response(502);
            response.extensions_mut().insert(UpstreamFailure::new(kind));
            response.extensions_mut().insert(Reason::ConnectFailed);
            assert_eq!(by_head(&response, || true), verdict, "{kind:?}");
        }
    }

    #[test]
    fn the_backends_own_404_and_a_lost_backend_are_losses_and_a_refusal_is_none() {
        for (status, verdict) in [
            (200, Verdict::Arrived),
            (404, Verdict::Look),
            (400, Verdict::Look),
            (401, Verdict::Arrived),
            (410, Verdict::Arrived),
            (500, Verdict::Arrived),
            (503, Verdict::Arrived),
        ] {
            assert_eq!(by_head(&response(status), || true), verdict, "{status}");
        }
        for (reason, verdict) in [
            (Reason::BackendLost, Verdict::Unreachable),
            (Reason::BackendUnknown, Verdict::Arrived),
            (Reason::BackendOutOfReach, Verdict::Arrived),
            (Reason::LoopDetected, Verdict::Arrived),
            (Reason::UnknownSession, Verdict::Arrived),
            (Reason::MalformedBody, Verdict::Arrived),
        ] {
            let mut response = response(reason.status().as_u16());
            response.extensions_mut().insert(reason);
            assert_eq!(by_head(&response, || true), verdict, "{reason:?}");
        }
        assert_eq!(by_head(&response(404), || false), Verdict::Arrived, "of another path");
        let mut page = response(404);
        page.headers_mut().insert("content-type", "text/html".parse().unwrap());
        assert_eq!(by_head(&page, || true), Verdict::Arrived);
    }

    #[test]
    fn the_words_of_each_sdk_are_known() {
        for (text, is_unknown) in [
            (
                r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Server not initialized"},"id":null}"#,
                true,
            ),
            (
                r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: No valid session ID provided"},"id":null}"#,
                true,
            ),
            (
                r#"{"jsonrpc":"2.0","id":"server-error","error":{"code":-32600,"message":"Session not found"}}"#,
                true,
            ),
            ("Invalid session ID\n", true),
            ("session not found", true),
            ("Bad Request: Mcp-Session-Id header is required", false),
            (
                r#"{"jsonrpc":"2.0","error":{"code":-32000,"message":"Bad Request: Unsupported protocol version"},"id":null}"#,
                false,
            ),
            (r#"{"jsonrpc":"2.0","id":1,"result":{"text":"session not found"}}"#, false),
            (
                r#"{"jsonrpc":"2.0","id":1,"error":{"code":1,"message":"no","data":"session not found"}}"#,
                false,
            ),
            ("", false),
        ] {
            let verdict = if is_unknown { Verdict::Unknown } else { Verdict::Arrived };
            assert_eq!(by_text(StatusCode::BAD_REQUEST, text.as_bytes()), verdict, "{text}");
        }
        let not_utf8 = b"\xff session not found";
        assert_eq!(by_text(StatusCode::BAD_REQUEST, not_utf8), Verdict::Arrived);
        assert_eq!(by_text(StatusCode::NOT_FOUND, not_utf8), Verdict::Unknown);
        let about_method = br#"{"jsonrpc":"2.0","id":1,"error":{"code":-32601,"message":"m"}}"#;
        assert_eq!(by_text(StatusCode::NOT_FOUND, about_method), Verdict::Arrived);
    }
}
