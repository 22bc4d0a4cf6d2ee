//! Events, behind the feature `tracing`: one per refusal, one per change of a backend's state.

use bartizan_core::{Backend, BackendId, Reason};

use crate::backends::DownCause;

pub(crate) fn refused(reason: Reason, backend: Option<&BackendId>) {
    #[cfg(feature = "tracing")]
    tracing::debug!(
        target: "bartizan::pin",
        ?reason,
        backend.id = backend.map(BackendId::as_str),
        "refused"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (reason, backend);
}

pub(crate) fn out_of_service(backend: &Backend) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        target: "bartizan::pin",
        { backend.id = backend.id().as_str() },
        "backend unreachable: no new work"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = backend;
}

pub(crate) fn back_in_service(backend: &Backend) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        target: "bartizan::pin",
        { backend.id = backend.id().as_str() },
        "backend back in service"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = backend;
}

pub(crate) fn out(backend: &Backend, cause: DownCause) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        target: "bartizan::pin",
        { backend.id = backend.id().as_str(), cause = cause.as_str() },
        "backend out of service: no new work"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (backend, cause);
}

pub(crate) fn back(backend: &Backend, cause: DownCause) {
    #[cfg(feature = "tracing")]
    tracing::info!(
        target: "bartizan::pin",
        { backend.id = backend.id().as_str(), cause = cause.as_str() },
        "backend back in service"
    );
    #[cfg(not(feature = "tracing"))]
    let _ = (backend, cause);
}
