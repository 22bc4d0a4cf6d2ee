//! The outcome of an attempt to resume a session.

use bartizan_core::{Reason, Session};

use crate::replay::{by_session::BySession, opened::Denial, single_flight::SingleFlight};

/// The outcome of an attempt to resume a session.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The session is live, at the backend in this version.
    Moved(Session),
    /// The session no longer exists, or no backend can continue it.
    Ended,
    /// It could not be resumed just now.
    Failed(Reason),
    /// A backend did not serve the caller that made the attempt; others may be served.
    Denied(Denial),
}

/// The attempts of this process that are in progress. A DELETE leads an attempt without an outcome.
pub(crate) type Attempts = SingleFlight<BySession, Outcome>;
