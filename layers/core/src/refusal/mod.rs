//! Responses made by a layer, not by a backend, with a typed reason, in three formats.
//!
//! | rendering | when | form |
//! |---|---|---|
//! | [`Dialect::JsonRpc`] | MCP | `application/json`, a JSON-RPC error; the request's id echoed byte for byte, or no `id` key |
//! | [`Dialect::Problem`] | other HTTP | `application/problem+json` ([RFC 9457](https://www.rfc-editor.org/rfc/rfc9457)) |
//! | [`Dialect::Grpc`] | `content-type: application/grpc…` | trailers-only 200 with `grpc-status` |
//!
//! A refusal never contains what the peer sent: no session id, no header, no body bytes, except the
//! JSON-RPC id. A layer that does not know the id returns the request body ([`ReturnedBody`]) to an outer layer that
//! reads bodies.

mod dialect;
mod reason;
mod reason_name;
mod render;
mod returned;

use http::{HeaderValue, StatusCode};

pub use dialect::{Dialect, RequestId};
pub use reason::Reason;
pub use returned::ReturnedBody;

/// A response made by a layer, not by a backend.
#[derive(Clone, Debug)]
#[must_use = "a refusal does nothing until it responds"]
pub struct Refusal {
    reason: Reason,
    status: Option<StatusCode>,
    retry_after_secs: Option<u32>,
    allow: Option<&'static str>,
    proxy_status: Option<HeaderValue>,
}

impl Refusal {
    /// Refuses for `reason`, with its status and `Retry-After`.
    pub const fn new(reason: Reason) -> Self {
        Self {
            reason,
            status: None,
            retry_after_secs: reason.retry_after_secs(),
            allow: None,
            proxy_status: None,
        }
    }

    /// Responds with `status` instead of the reason's own. A gRPC status is unchanged.
    pub const fn status(mut self, status: StatusCode) -> Self {
        self.status = Some(status);
        self
    }

    /// Names the methods that would have been allowed.
    pub fn allow(self, methods: &'static str) -> Self {
        Self { allow: Some(methods), ..self }
    }

    /// Adds `Proxy-Status`, in which `proxy` reports `error`, a type of [RFC 9209
    /// §2.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.3). `proxy` must be a token.
    pub fn proxy_status(self, proxy: &str, error: &str) -> Self {
        let status = HeaderValue::try_from(format!("{proxy}; error={error}")).ok();
        Self { proxy_status: status, ..self }
    }

    /// The reason.
    #[must_use]
    pub const fn reason(&self) -> Reason {
        self.reason
    }
}

impl From<Reason> for Refusal {
    fn from(reason: Reason) -> Self {
        Self::new(reason)
    }
}
