//! What the two directions of one exchange, and of one connection, know of each other.

use std::sync::{
    Arc, OnceLock,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use bartizan::core::Reason;

/// What the request body and the response of one exchange tell each other.
#[derive(Debug, Default)]
pub(super) struct Exchange {
    fault: OnceLock<Reason>,
    streams: AtomicBool,
}

/// What the socket and the requests of one connection tell each other.
#[derive(Debug, Default)]
pub(super) struct Phase {
    requests: AtomicU32,
    in_flight: AtomicU32,
    uploads: AtomicU32,
    exempt: AtomicBool,
}

/// What comes next on a connection.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Next {
    /// A request head.
    Head,
    /// More of a request body whose response is over.
    RestOfBody,
    /// An exchange is in flight, or the bytes are none of the server's business.
    Anything,
}

/// A request body that somebody may read.
#[derive(Debug)]
pub(super) struct Upload(Arc<Phase>);

impl Exchange {
    /// The request body was cut off for `reason`.
    pub(super) fn refuse_body(&self, reason: Reason) {
        let _ = self.fault.set(reason);
    }

    /// Why the request body was cut off, if it was.
    pub(super) fn fault(&self) -> Option<Reason> {
        self.fault.get().copied()
    }

    /// The response has begun.
    pub(super) fn begin_response(&self) {
        self.streams.store(true, Ordering::Release);
    }

    /// The response is over, or will never be.
    pub(super) fn end_response(&self) {
        self.streams.store(false, Ordering::Release);
    }

    /// Whether the response has begun and is not over.
    pub(super) fn streams(&self) -> bool {
        self.streams.load(Ordering::Acquire)
    }
}

impl Phase {
    /// A request head has come.
    pub(super) fn begin(&self) {
        self.requests.fetch_add(1, Ordering::Relaxed);
        self.in_flight.fetch_add(1, Ordering::Release);
    }

    /// The exchange is over.
    pub(super) fn end(&self) {
        self.in_flight.fetch_sub(1, Ordering::Release);
    }

    /// How many request heads have come.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What comes next on the connection.
    pub(super) fn next(&self) -> Next {
        if self.in_flight.load(Ordering::Acquire) > 0 || self.exempt.load(Ordering::Relaxed) {
            Next::Anything
        } else if self.uploads.load(Ordering::Acquire) > 0 {
            Next::RestOfBody
        } else {
            Next::Head
        }
    }

    /// No more request heads are expected: the connection is a tunnel, or has its own framing.
    pub(super) fn exempt(&self) {
        self.exempt.store(true, Ordering::Relaxed);
    }
}

impl Upload {
    /// Counts a request body until it is dropped.
    pub(super) fn begin(phase: Arc<Phase>) -> Self {
        phase.uploads.fetch_add(1, Ordering::Release);
        Self(phase)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.uploads.fetch_sub(1, Ordering::Release);
    }
}
