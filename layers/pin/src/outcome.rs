//! What a response shows about the backend that was chosen for new work. Pure.

use bartizan_core::{UpstreamFailure, Work, failure::FailureKind};
use http::StatusCode;

/// How new work has ended.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Outcome {
    /// The backend did what was asked.
    Succeeded,
    /// The backend failed.
    Failed,
    /// The backend rejected the request, rightly or not.
    Rejected,
    /// The response shows nothing about the backend.
    Unknown,
}

impl Outcome {
    pub(crate) fn of_status(status: StatusCode) -> Self {
        match status {
            // The client chose an unsupported method or HTTP version.
            StatusCode::NOT_IMPLEMENTED | StatusCode::HTTP_VERSION_NOT_SUPPORTED => Self::Rejected,
            _ if status.is_server_error() => Self::Failed,
            _ if status.is_client_error() => Self::Rejected,
            _ => Self::Succeeded,
        }
    }

    pub(crate) fn of_failure(failure: UpstreamFailure, work: Work) -> Self {
        match failure.kind() {
            FailureKind::Terminated | FailureKind::Protocol => Self::Failed,
            // Work that does not open a session may be a long call.
            FailureKind::ResponseTimeout if work != Work::Free => Self::Failed,
            // Failed connections are handled by `Health`; the other failures were not caused by the backend.
            _ => Self::Unknown,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_status_is_the_fault_of_the_backend_or_of_the_client() {
        for (status, outcome) in [
            (101, Outcome::Succeeded),
            (200, Outcome::Succeeded),
            (204, Outcome::Succeeded),
            (304, Outcome::Succeeded),
            (400, Outcome::Rejected),
            (401, Outcome::Rejected),
            (404, Outcome::Rejected),
            (429, Outcome::Rejected),
            (500, Outcome::Failed),
            (501, Outcome::Rejected),
            (502, Outcome::Failed),
            (503, Outcome::Failed),
            (504, Outcome::Failed),
            (505, Outcome::Rejected),
        ] {
            assert_eq!(Outcome::of_status(StatusCode::from_u16(status).unwrap()), outcome);
        }
    }

    #[test]
    fn a_failure_counts_if_the_backend_was_reached_and_is_slow_only_where_that_matters() {
        for (kind, opening, free) in [
            (FailureKind::Terminated, Outcome::Failed, Outcome::Failed),
            (FailureKind::Protocol, Outcome::Failed, Outcome::Failed),
            (FailureKind::ResponseTimeout, Outcome::Failed, Outcome::Unknown),
            (FailureKind::Refused, Outcome::Unknown, Outcome::Unknown),
            (FailureKind::Dns, Outcome::Unknown, Outcome::Unknown),
            (FailureKind::ConnectTimeout, Outcome::Unknown, Outcome::Unknown),
            (FailureKind::ConnectionLimit, Outcome::Unknown, Outcome::Unknown),
            (FailureKind::RefusedStream, Outcome::Unknown, Outcome::Unknown),
        ] {
            let failure = UpstreamFailure::new(kind);
            assert_eq!(Outcome::of_failure(failure, Work::Opening), opening, "{kind:?}");
            assert_eq!(Outcome::of_failure(failure, Work::MayOpen), opening, "{kind:?}");
            assert_eq!(Outcome::of_failure(failure, Work::Free), free, "{kind:?}");
        }
    }
}
