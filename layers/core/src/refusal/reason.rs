//! Why a request is refused, and the response for each reason.

use std::fmt;

use http::{Response, StatusCode};

/// Why a request was refused; found in the extensions of the refusal.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub enum Reason {
    /// The session id is empty, too long, on two lines, or has a byte outside 0x21 to 0x7E.
    MalformedSessionId,
    /// The request needs a session id and has none.
    MissingSessionId,
    /// The session is unknown, expired, ended, or belongs to another caller: all look the same.
    UnknownSession,
    /// The method is not supported here.
    MethodNotAllowed,
    /// The body is not one JSON-RPC message.
    MalformedBody,
    /// The body is a batch, which this revision of the protocol does not support.
    BatchNotAllowed,
    /// The protocol version in the header is missing, repeated, or differs from the body's.
    HeaderMismatch,
    /// The protocol version in the header does not exist.
    UnknownVersion,
    /// A browser sent a request whose content type is not JSON, which a web page can do without a preflight.
    UnsupportedMediaType,
    /// The request body is larger than allowed.
    BodyTooLarge,
    /// The request body did not arrive in time.
    BodyTimeout,
    /// The request body was cut off or could not be read.
    BodyBroken,
    /// The header section is larger than allowed.
    HeadersTooLarge,
    /// `Connection` names a protected field, or something that is not a field name.
    ProtectedField,
    /// `Host` is missing, repeated, malformed, or differs from the request's authority.
    InvalidHost,
    /// A browser sent the request to a `Host` that is not allowed.
    HostNotAllowed,
    /// A browser sent the request for a page whose origin is not allowed.
    OriginNotAllowed,
    /// The target of the request is not a path, and is not supported here.
    InvalidTarget,
    /// `Content-Length` is not one number.
    InvalidLength,
    /// The request has a transfer coding other than `chunked`.
    CodingNotSupported,
    /// The session store cannot answer.
    StoreUnavailable,
    /// The limit of sessions is reached.
    TooManySessions,
    /// The limit of open streams is reached.
    TooManyStreams,
    /// The session already has a listening stream, and only one is allowed.
    AlreadyListening,
    /// The request is in a forwarding loop.
    LoopDetected,
    /// The hop count is malformed.
    MalformedHopCount,
    /// No backend takes new work.
    NoBackend,
    /// The backend of the session cannot be reached at the moment.
    BackendUnreachable,
    /// The backend of the session is gone.
    BackendLost,
    /// The backend of the session is not known here yet.
    BackendUnknown,
    /// The backend of the session has been unknown or unreachable here for too long. The session may still be
    /// live elsewhere.
    BackendOutOfReach,
    /// The connection limit of the backend is reached.
    BackendBusy,
    /// The session has moved to another backend, and this request could not be sent there as well.
    SessionMoved,
    /// No connection to a backend could be made.
    ConnectFailed,
    /// No connection to a backend could be made in time.
    ConnectTimeout,
    /// The connection to the backend ended before a response.
    ConnectionTerminated,
    /// The backend gave no response in time.
    ResponseTimeout,
    /// The backend's response is invalid.
    InvalidResponse,
    /// The request asks to upgrade to a protocol that is not relayed.
    UpgradeNotSupported,
    /// The proxy is not configured to forward this request.
    Misconfigured,
    /// The code that handled the request panicked.
    Panicked,
}

/// The text and the codes of a reason, for each protocol.
struct Wording {
    status: StatusCode,
    rpc_code: i32,
    grpc_status: u8,
    message: &'static str,
}

impl Reason {
    /// The reason why `response` is a refusal, if it is one.
    pub fn of<B>(response: &Response<B>) -> Option<Self> {
        response.extensions().get().copied()
    }

    /// The HTTP status.
    #[must_use]
    pub const fn status(self) -> StatusCode {
        self.wording().status
    }

    /// The JSON-RPC error code.
    #[must_use]
    pub const fn rpc_code(self) -> i32 {
        self.wording().rpc_code
    }

    /// The gRPC status code.
    #[must_use]
    pub const fn grpc_status(self) -> u8 {
        self.wording().grpc_status
    }

    /// The text that the client gets.
    #[must_use]
    pub const fn message(self) -> &'static str {
        self.wording().message
    }

    pub(super) const fn retry_after_secs(self) -> Option<u32> {
        match self {
            Self::StoreUnavailable
            | Self::BackendUnreachable
            | Self::BackendUnknown
            | Self::BackendBusy
            | Self::NoBackend
            | Self::SessionMoved => Some(1),
            Self::TooManySessions | Self::TooManyStreams => Some(10),
            _ => None,
        }
    }

    const fn wording(self) -> Wording {
        const INVALID: i32 = -32600;
        const INTERNAL: i32 = -32603;
        let (status, rpc_code, grpc_status, message) = match self {
            Self::MalformedSessionId => (
                StatusCode::BAD_REQUEST,
                INVALID,
                3,
                "Invalid session id: expected 1 to 1024 visible ASCII characters, in one header line",
            ),
            Self::MissingSessionId => {
                (StatusCode::BAD_REQUEST, INVALID, 3, "Session id required: send initialize first")
            }
            Self::UnknownSession => (StatusCode::NOT_FOUND, -32001, 5, "Session not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, INVALID, 12, "Method not allowed")
            }
            Self::MalformedBody => (
                StatusCode::BAD_REQUEST,
                INVALID,
                3,
                "Invalid request: expected one JSON-RPC message",
            ),
            Self::BatchNotAllowed => (
                StatusCode::BAD_REQUEST,
                INVALID,
                3,
                "Invalid request: batches are not part of this protocol version",
            ),
            Self::HeaderMismatch => (
                StatusCode::BAD_REQUEST,
                -32020,
                3,
                "MCP-Protocol-Version must appear once and match the version in the body",
            ),
            Self::UnknownVersion => {
                (StatusCode::BAD_REQUEST, INVALID, 3, "Unsupported MCP-Protocol-Version")
            }
            Self::UnsupportedMediaType => (
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                INVALID,
                3,
                "Content-Type must be application/json",
            ),
            Self::BodyTooLarge => {
                (StatusCode::PAYLOAD_TOO_LARGE, INVALID, 8, "Request body too large")
            }
            Self::BodyTimeout => {
                (StatusCode::REQUEST_TIMEOUT, INVALID, 4, "Request body did not arrive in time")
            }
            Self::BodyBroken => {
                (StatusCode::BAD_REQUEST, INVALID, 3, "Request body could not be read")
            }
            Self::HeadersTooLarge => (
                StatusCode::REQUEST_HEADER_FIELDS_TOO_LARGE,
                INVALID,
                8,
                "Request header section too large",
            ),
            Self::ProtectedField => {
                (StatusCode::BAD_REQUEST, INVALID, 3, "Connection header names a protected field")
            }
            Self::InvalidHost => (
                StatusCode::BAD_REQUEST,
                INVALID,
                3,
                "Host must appear once, be valid, and match the authority",
            ),
            Self::HostNotAllowed => (
                StatusCode::MISDIRECTED_REQUEST,
                INVALID,
                7,
                "Host is not allowed for browsers; allow it with --allow-host (allow_host)",
            ),
            Self::OriginNotAllowed => (
                StatusCode::FORBIDDEN,
                INVALID,
                7,
                "Origin is not allowed; allow it with --allow-origin (allow_origin)",
            ),
            Self::InvalidTarget => (
                StatusCode::BAD_REQUEST,
                INVALID,
                3,
                "The request target must be a path, or a URI of http or https",
            ),
            Self::InvalidLength => {
                (StatusCode::BAD_REQUEST, INVALID, 3, "Content-Length must be one number")
            }
            Self::CodingNotSupported => {
                (StatusCode::NOT_IMPLEMENTED, INVALID, 12, "Transfer coding not supported")
            }
            Self::StoreUnavailable => {
                (StatusCode::SERVICE_UNAVAILABLE, INTERNAL, 14, "Session store unavailable")
            }
            Self::TooManySessions => {
                (StatusCode::SERVICE_UNAVAILABLE, INTERNAL, 8, "Too many sessions")
            }
            Self::TooManyStreams => {
                (StatusCode::SERVICE_UNAVAILABLE, INTERNAL, 8, "Too many open streams")
            }
            Self::AlreadyListening => {
                (StatusCode::CONFLICT, INVALID, 6, "This session already has a listening stream")
            }
            Self::LoopDetected => (StatusCode::LOOP_DETECTED, INTERNAL, 9, "Loop detected"),
            Self::MalformedHopCount => (StatusCode::BAD_REQUEST, INVALID, 3, "Invalid hop count"),
            Self::NoBackend => {
                (StatusCode::SERVICE_UNAVAILABLE, INTERNAL, 14, "No backend available")
            }
            Self::BackendUnreachable => (
                StatusCode::SERVICE_UNAVAILABLE,
                INTERNAL,
                14,
                "The backend of this session cannot be reached",
            ),
            Self::BackendUnknown => (
                StatusCode::SERVICE_UNAVAILABLE,
                INTERNAL,
                14,
                "The backend of this session is not known here yet",
            ),
            // The client gets the same answer as for any lost session, so that it opens a new one.
            Self::BackendLost | Self::BackendOutOfReach => {
                (StatusCode::NOT_FOUND, -32001, 5, "Session not found")
            }
            Self::BackendBusy => {
                (StatusCode::SERVICE_UNAVAILABLE, INTERNAL, 8, "Too many requests to the backend")
            }
            Self::SessionMoved => (
                StatusCode::SERVICE_UNAVAILABLE,
                INTERNAL,
                14,
                "The session has moved to another backend: please retry",
            ),
            Self::ConnectFailed => (StatusCode::BAD_GATEWAY, INTERNAL, 14, "Backend unreachable"),
            Self::ConnectTimeout => (
                StatusCode::GATEWAY_TIMEOUT,
                INTERNAL,
                4,
                "Backend did not accept the connection in time",
            ),
            Self::ConnectionTerminated => {
                (StatusCode::BAD_GATEWAY, INTERNAL, 14, "Backend closed the connection")
            }
            Self::ResponseTimeout => {
                (StatusCode::GATEWAY_TIMEOUT, INTERNAL, 4, "Backend did not respond in time")
            }
            Self::InvalidResponse => {
                (StatusCode::BAD_GATEWAY, INTERNAL, 13, "Backend sent an invalid response")
            }
            Self::UpgradeNotSupported => (
                StatusCode::NOT_IMPLEMENTED,
                INVALID,
                12,
                "Upgrade to this protocol is not supported",
            ),
            Self::Misconfigured => (
                StatusCode::INTERNAL_SERVER_ERROR,
                INTERNAL,
                13,
                "Proxy is not configured for this request",
            ),
            Self::Panicked => (StatusCode::INTERNAL_SERVER_ERROR, INTERNAL, 13, "Internal error"),
        };
        Wording { status, rpc_code, grpc_status, message }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.message())
    }
}
