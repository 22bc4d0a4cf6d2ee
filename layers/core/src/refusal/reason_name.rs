//! The name of each reason, for labels of metrics.

use super::Reason;

/// From one list, so that neither the names nor [`Reason::ALL`] can lack a reason.
macro_rules! names {
    ($($reason:ident => $name:literal,)*) => {
        impl Reason {
            /// All reasons.
            pub const ALL: &'static [Self] = &[$(Self::$reason),*];

            /// The reason in snake case, as in the label of a metric: `unknown_session`.
            #[must_use]
            pub const fn as_str(self) -> &'static str {
                match self {
                    $(Self::$reason => $name,)*
                }
            }
        }
    };
}

names! {
    MalformedSessionId => "malformed_session_id",
    MissingSessionId => "missing_session_id",
    UnknownSession => "unknown_session",
    MethodNotAllowed => "method_not_allowed",
    MalformedBody => "malformed_body",
    BatchNotAllowed => "batch_not_allowed",
    HeaderMismatch => "header_mismatch",
    UnknownVersion => "unknown_version",
    UnsupportedMediaType => "unsupported_media_type",
    BodyTooLarge => "body_too_large",
    BodyTimeout => "body_timeout",
    BodyBroken => "body_broken",
    HeadersTooLarge => "headers_too_large",
    ProtectedField => "protected_field",
    InvalidHost => "invalid_host",
    HostNotAllowed => "host_not_allowed",
    OriginNotAllowed => "origin_not_allowed",
    InvalidTarget => "invalid_target",
    InvalidLength => "invalid_length",
    CodingNotSupported => "coding_not_supported",
    StoreUnavailable => "store_unavailable",
    TooManySessions => "too_many_sessions",
    TooManyStreams => "too_many_streams",
    AlreadyListening => "already_listening",
    LoopDetected => "loop_detected",
    MalformedHopCount => "malformed_hop_count",
    NoBackend => "no_backend",
    BackendUnreachable => "backend_unreachable",
    BackendLost => "backend_lost",
    BackendUnknown => "backend_unknown",
    BackendOutOfReach => "backend_out_of_reach",
    BackendBusy => "backend_busy",
    SessionMoved => "session_moved",
    ConnectFailed => "connect_failed",
    ConnectTimeout => "connect_timeout",
    ConnectionTerminated => "connection_terminated",
    ResponseTimeout => "response_timeout",
    InvalidResponse => "invalid_response",
    UpgradeNotSupported => "upgrade_not_supported",
    Misconfigured => "misconfigured",
    Panicked => "panicked",
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_name_is_the_reason_in_snake_case() {
        for reason in Reason::ALL {
            let mut snake = String::new();
            for letter in format!("{reason:?}").chars() {
                if letter.is_uppercase() && !snake.is_empty() {
                    snake.push('_');
                }
                snake.push(letter.to_ascii_lowercase());
            }
            assert_eq!(reason.as_str(), snake);
        }
    }
}
