//! The response to each failure. Pure.

use bartizan_core::{Reason, UpstreamFailure, Work, failure::FailureKind};

/// The reason in the response to a failure of `kind`.
///
/// | failure | pinned work | other work |
/// |---|---|---|
/// | no connection (refused, no route, no name, TLS) | 503, the pin stays | 502 |
/// | no connection in time | 503, the pin stays | 504 |
/// | connection limit reached | 503, the pin stays | 503 |
/// | connection ended before a response head | 502 | 502 |
/// | no response head in time | 504 | 504 |
/// | not an HTTP response | 502 | 502 |
pub(crate) fn reason(kind: FailureKind, work: Work) -> Reason {
    if work == Work::Pinned && UpstreamFailure::new(kind).is_unreachable() {
        return Reason::BackendUnreachable;
    }
    match kind {
        FailureKind::ConnectTimeout => Reason::ConnectTimeout,
        FailureKind::Dns | FailureKind::Refused | FailureKind::NoRoute | FailureKind::Tls => {
            Reason::ConnectFailed
        }
        FailureKind::ConnectionLimit => Reason::BackendBusy,
        FailureKind::ResponseTimeout => Reason::ResponseTimeout,
        FailureKind::Protocol => Reason::InvalidResponse,
        _ => Reason::ConnectionTerminated,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_unreachable_backend_is_503_for_its_sessions_and_502_or_504_for_others() {
        for (kind, pinned, free) in [
            (FailureKind::Refused, 503, 502),
            (FailureKind::Dns, 503, 502),
            (FailureKind::Tls, 503, 502),
            (FailureKind::ConnectTimeout, 503, 504),
            (FailureKind::ConnectionLimit, 503, 503),
            (FailureKind::Terminated, 502, 502),
            (FailureKind::RefusedStream, 502, 502),
            (FailureKind::ResponseTimeout, 504, 504),
            (FailureKind::Protocol, 502, 502),
        ] {
            assert_eq!(reason(kind, Work::Pinned).status(), pinned, "{kind:?}");
            assert_eq!(reason(kind, Work::Free).status(), free, "{kind:?}");
            assert_eq!(reason(kind, Work::Opening).status(), free, "{kind:?}");
        }
    }
}
