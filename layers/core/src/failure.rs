//! Why a backend gave no response, and why a request could not be sent completely.

use std::{error::Error, fmt};

use http::Response;

use crate::Reason;

/// Why a backend gave no response; found in the extensions of the response made in its place.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct UpstreamFailure {
    kind: FailureKind,
}

/// What went wrong between the proxy and a backend.
///
/// Each has an error type of [RFC 9209 §2.3](https://www.rfc-editor.org/rfc/rfc9209#section-2.3).
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum FailureKind {
    /// The name of the backend did not resolve.
    Dns,
    /// The backend's host refused the connection: nothing listens there.
    Refused,
    /// The backend cannot be reached from here: no route, no permission, or another error of this
    /// host.
    NoRoute,
    /// No connection was established within the connect timeout.
    ConnectTimeout,
    /// The TLS handshake failed.
    Tls,
    /// No connection became free in time: the configured limit for the backend is reached, or this
    /// host has no port, descriptor or memory left.
    ConnectionLimit,
    /// The backend refused the request unprocessed (HTTP/2 `REFUSED_STREAM`, or past its `GOAWAY`).
    RefusedStream,
    /// The connection ended before a response head.
    Terminated,
    /// The response head did not arrive in time.
    ResponseTimeout,
    /// The response was not HTTP.
    Protocol,
}

/// The error of a request body that a layer cuts off: the request is then refused for this reason.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct BodyRefused(Reason);

impl FailureKind {
    /// All kinds.
    pub const ALL: &'static [Self] = &[
        Self::Dns,
        Self::Refused,
        Self::NoRoute,
        Self::ConnectTimeout,
        Self::Tls,
        Self::ConnectionLimit,
        Self::RefusedStream,
        Self::Terminated,
        Self::ResponseTimeout,
        Self::Protocol,
    ];

    /// The kind in snake case, as in the label of a metric: `connect_timeout`.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Refused => "refused",
            Self::NoRoute => "no_route",
            Self::ConnectTimeout => "connect_timeout",
            Self::Tls => "tls",
            Self::ConnectionLimit => "connection_limit",
            Self::RefusedStream => "refused_stream",
            Self::Terminated => "terminated",
            Self::ResponseTimeout => "response_timeout",
            Self::Protocol => "protocol",
        }
    }
}

impl UpstreamFailure {
    /// Makes a failure of this kind.
    #[must_use]
    pub const fn new(kind: FailureKind) -> Self {
        Self { kind }
    }

    /// The failure that caused `response`, if the proxy made it in place of a backend's.
    pub fn of<B>(response: &Response<B>) -> Option<Self> {
        response.extensions().get().copied()
    }

    /// What went wrong.
    #[must_use]
    pub fn kind(self) -> FailureKind {
        self.kind
    }

    /// Whether it is certain that the backend saw nothing of the request, so that it may be sent to
    /// another.
    #[must_use]
    pub fn is_untouched(self) -> bool {
        self.is_unreachable()
            || matches!(self.kind, FailureKind::RefusedStream | FailureKind::ConnectionLimit)
    }

    /// Whether the backend's host refused the connection. Only this failure is evidence that the
    /// server is gone; the cause of the others may be on this side.
    #[must_use]
    pub fn is_refused(self) -> bool {
        self.kind == FailureKind::Refused
    }

    /// Whether no connection to the backend could be made.
    #[must_use]
    pub fn is_unreachable(self) -> bool {
        matches!(
            self.kind,
            FailureKind::Dns
                | FailureKind::Refused
                | FailureKind::NoRoute
                | FailureKind::ConnectTimeout
                | FailureKind::Tls
        )
    }

    /// Whether it is a timeout.
    #[must_use]
    pub fn is_timeout(self) -> bool {
        matches!(self.kind, FailureKind::ConnectTimeout | FailureKind::ResponseTimeout)
    }

    /// The error type for `Proxy-Status`.
    #[must_use]
    pub fn error_type(self) -> &'static str {
        match self.kind {
            FailureKind::Dns => "dns_error",
            FailureKind::Refused | FailureKind::RefusedStream => "connection_refused",
            FailureKind::NoRoute => "destination_ip_unroutable",
            FailureKind::ConnectTimeout => "connection_timeout",
            FailureKind::Tls => "tls_protocol_error",
            FailureKind::ConnectionLimit => "connection_limit_reached",
            FailureKind::Terminated => "connection_terminated",
            FailureKind::ResponseTimeout => "http_response_timeout",
            FailureKind::Protocol => "http_protocol_error",
        }
    }
}

impl BodyRefused {
    /// Cuts a body off for `reason`.
    #[must_use]
    pub fn new(reason: Reason) -> Self {
        Self(reason)
    }

    /// The reason in `error` or in what caused it, if a layer cut a body off.
    #[must_use]
    pub fn find(error: &(dyn Error + 'static)) -> Option<Reason> {
        let mut next = Some(error);
        while let Some(error) = next {
            if let Some(refused) = error.downcast_ref::<Self>() {
                return Some(refused.0);
            }
            next = error.source();
        }
        None
    }
}

impl fmt::Display for BodyRefused {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

impl Error for BodyRefused {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_a_failure_before_the_request_was_sent_is_untouched() {
        for (kind, untouched) in [
            (FailureKind::Dns, true),
            (FailureKind::Refused, true),
            (FailureKind::NoRoute, true),
            (FailureKind::ConnectTimeout, true),
            (FailureKind::Tls, true),
            (FailureKind::RefusedStream, true),
            (FailureKind::ConnectionLimit, true),
            (FailureKind::Terminated, false),
            (FailureKind::ResponseTimeout, false),
            (FailureKind::Protocol, false),
        ] {
            let failure = UpstreamFailure::new(kind);
            assert_eq!(failure.is_untouched(), untouched, "{kind:?}");
            assert_eq!(failure.is_refused(), kind == FailureKind::Refused, "{kind:?}");
            assert!(FailureKind::ALL.contains(&kind), "{kind:?}");
        }
    }
}
