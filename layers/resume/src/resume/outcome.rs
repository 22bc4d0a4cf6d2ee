//! What became of an attempt to resume a session.

use bartizan_core::{Reason, Session};

use crate::replay::{by_session::BySession, opened::Denial, single_flight::SingleFlight};

/// What became of an attempt to resume a session.
#[derive(Clone, Debug)]
pub(crate) enum Outcome {
    /// The session is live, at the place that this version of it names.
    Moved(Session),
    /// There is no such session any more, or no backend can go on with it.
    Ended,
    /// It could not be resumed just now.
    Failed(Reason),
    /// A backend did not serve the caller that made the attempt; others may be served.
    Denied(Denial),
}

/// The attempts of this process that are on their way. A DELETE leads one without an outcome.
pub(crate) type Attempts = SingleFlight<BySession, Outcome>;
