//! The three renderings of a refusal.

use bytes::Bytes;
use http::{
    HeaderValue, Response, StatusCode,
    header::{ALLOW, CACHE_CONTROL, CONTENT_TYPE, RETRY_AFTER},
};

use super::{Dialect, Reason, Refusal, RequestId};
use crate::GuardBody;

impl Reason {
    /// The body of a JSON-RPC refusal, with the `id` of the request if it is known.
    #[must_use]
    pub fn json_rpc(self, id: Option<&RequestId>) -> Bytes {
        json_rpc(self, id).into()
    }
}

impl Refusal {
    /// Makes the response. Its extensions hold the [`Reason`].
    pub fn respond<B>(self, dialect: &Dialect) -> Response<GuardBody<B>> {
        self.render(dialect).map(GuardBody::refused)
    }

    /// Makes the response with its body as bytes, for a layer whose response body is not a [`GuardBody`].
    pub fn render(self, dialect: &Dialect) -> Response<Bytes> {
        let status = self.status.unwrap_or(self.reason.status());
        let mut response = match dialect {
            Dialect::Problem => {
                body(status, "application/problem+json", problem(status, self.reason))
            }
            Dialect::JsonRpc(id) => {
                body(status, "application/json", json_rpc(self.reason, id.as_ref()))
            }
            Dialect::Grpc => trailers_only(self.reason),
        };
        let headers = response.headers_mut();
        // A refusal is only about this moment and must not be cached.
        headers.insert(CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if let Some(seconds) = self.retry_after_secs {
            headers.insert(RETRY_AFTER, seconds.into());
        }
        if let Some(methods) = self.allow {
            headers.insert(ALLOW, HeaderValue::from_static(methods));
        }
        if let Some(status) = self.proxy_status {
            headers.insert("proxy-status", status);
        }
        response.extensions_mut().insert(self.reason);
        response
    }
}

fn body(status: StatusCode, content_type: &'static str, text: String) -> Response<Bytes> {
    let mut response = Response::new(Bytes::from(text));
    *response.status_mut() = status;
    response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static(content_type));
    response
}

/// The messages are ours and contain nothing that JSON would have to escape.
fn problem(status: StatusCode, reason: Reason) -> String {
    let title = status.canonical_reason().unwrap_or("Error");
    format!(
        r#"{{"type":"about:blank","title":"{title}","status":{},"detail":"{}"}}"#,
        status.as_u16(),
        reason.message()
    )
}

/// Without an id the key is omitted, not `null`: clients with a strict schema fail on `null`.
fn json_rpc(reason: Reason, id: Option<&RequestId>) -> String {
    let id = id.map(|id| format!(r#""id":{},"#, id.as_raw())).unwrap_or_default();
    format!(
        r#"{{"jsonrpc":"2.0",{id}"error":{{"code":{},"message":"{}"}}}}"#,
        reason.rpc_code(),
        reason.message()
    )
}

/// A header section with the status in it and no body
/// ([gRPC over HTTP/2, Responses](https://github.com/grpc/grpc/blob/master/doc/PROTOCOL-HTTP2.md#responses)).
fn trailers_only(reason: Reason) -> Response<Bytes> {
    let mut response = Response::new(Bytes::new());
    let headers = response.headers_mut();
    headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/grpc"));
    headers.insert("grpc-status", u16::from(reason.grpc_status()).into());
    // Printable ASCII without `%` needs no percent-encoding.
    headers.insert("grpc-message", HeaderValue::from_static(reason.message()));
    response
}

#[cfg(test)]
mod tests {
    use http_body_util::{BodyExt, Empty};

    use super::*;

    const ALL: [Reason; 38] = [
        Reason::MalformedSessionId,
        Reason::MissingSessionId,
        Reason::UnknownSession,
        Reason::MethodNotAllowed,
        Reason::MalformedBody,
        Reason::BatchNotAllowed,
        Reason::HeaderMismatch,
        Reason::UnknownVersion,
        Reason::BodyTooLarge,
        Reason::BodyTimeout,
        Reason::BodyBroken,
        Reason::HeadersTooLarge,
        Reason::ProtectedField,
        Reason::InvalidHost,
        Reason::HostNotAllowed,
        Reason::OriginNotAllowed,
        Reason::InvalidTarget,
        Reason::InvalidLength,
        Reason::CodingNotSupported,
        Reason::StoreUnavailable,
        Reason::TooManySessions,
        Reason::TooManyStreams,
        Reason::AlreadyListening,
        Reason::LoopDetected,
        Reason::MalformedHopCount,
        Reason::NoBackend,
        Reason::BackendUnreachable,
        Reason::BackendLost,
        Reason::BackendBusy,
        Reason::SessionMoved,
        Reason::ConnectFailed,
        Reason::ConnectTimeout,
        Reason::ConnectionTerminated,
        Reason::ResponseTimeout,
        Reason::InvalidResponse,
        Reason::UpgradeNotSupported,
        Reason::Misconfigured,
        Reason::Panicked,
    ];

    async fn text(response: Response<GuardBody<Empty<Bytes>>>) -> String {
        let bytes = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(bytes.into()).unwrap()
    }

    #[tokio::test]
    async fn every_reason_is_valid_json_in_both_forms_and_a_legal_grpc_message() {
        for reason in ALL {
            let problem = Refusal::new(reason).respond::<Empty<Bytes>>(&Dialect::Problem);
            assert_eq!(problem.status(), reason.status());
            assert_eq!(Reason::of(&problem), Some(reason));
            serde_json::from_str::<serde::de::IgnoredAny>(&text(problem).await).unwrap();

            let id = RequestId::from_raw("\"a\\\"b\"");
            let rpc = Refusal::new(reason).respond::<Empty<Bytes>>(&Dialect::JsonRpc(id));
            let rpc = text(rpc).await;
            serde_json::from_str::<serde::de::IgnoredAny>(&rpc).unwrap();
            assert!(rpc.contains(r#""id":"a\"b","#), "{rpc}");

            assert!(!reason.message().contains('%'), "{reason:?} would need percent-encoding");
            let grpc = Refusal::new(reason).respond::<Empty<Bytes>>(&Dialect::Grpc);
            assert_eq!(grpc.status(), 200);
            assert_eq!(grpc.headers()["grpc-status"], reason.grpc_status().to_string());
            assert_eq!(text(grpc).await, "");
        }
    }

    #[tokio::test]
    async fn an_id_that_was_not_read_is_left_out() {
        let refusal = Refusal::new(Reason::UnknownSession);
        let response = refusal.respond::<Empty<Bytes>>(&Dialect::JsonRpc(None));
        assert_eq!(response.status(), 404);
        let expected = r#"{"jsonrpc":"2.0","error":{"code":-32001,"message":"Session not found"}}"#;
        assert_eq!(text(response).await, expected);
    }

    #[test]
    fn the_fields_that_go_with_a_reason_are_there() {
        let refusal = Refusal::new(Reason::StoreUnavailable).proxy_status("gw", "dns_error");
        let response = refusal.allow("POST").respond::<Empty<Bytes>>(&Dialect::Problem);
        assert_eq!(response.headers()["retry-after"], "1");
        assert_eq!(response.headers()["proxy-status"], "gw; error=dns_error");
        assert_eq!(response.headers()["allow"], "POST");
        assert_eq!(response.headers()["cache-control"], "no-store");
    }

    #[tokio::test]
    async fn another_status_may_be_chosen() {
        let refusal = || Refusal::new(Reason::LoopDetected).status(StatusCode::BAD_GATEWAY);
        let problem = refusal().respond::<Empty<Bytes>>(&Dialect::Problem);
        assert_eq!(
            (problem.status().as_u16(), Reason::of(&problem)),
            (502, Some(Reason::LoopDetected))
        );
        let expected =
            r#"{"type":"about:blank","title":"Bad Gateway","status":502,"detail":"Loop detected"}"#;
        assert_eq!(text(problem).await, expected);
        let grpc = refusal().respond::<Empty<Bytes>>(&Dialect::Grpc);
        assert_eq!(
            (grpc.status().as_u16(), &grpc.headers()["grpc-status"]),
            (200, &"9".parse().unwrap())
        );
    }

    #[test]
    fn a_refusal_that_takes_the_place_of_another_keeps_its_form() {
        for dialect in [Dialect::Problem, Dialect::JsonRpc(None), Dialect::Grpc] {
            let refusal = Refusal::new(Reason::BodyBroken).respond::<Empty<Bytes>>(&dialect);
            assert_eq!(Dialect::like(refusal.headers()), dialect);
        }
    }
}
