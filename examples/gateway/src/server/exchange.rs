//! What the two directions of one exchange, and of one connection, know of each other.

use std::sync::{
    OnceLock,
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
    exempt: AtomicBool,
}

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

    /// Whether what comes next on the connection is a request head.
    pub(super) fn expects_head(&self) -> bool {
        self.in_flight.load(Ordering::Acquire) == 0 && !self.exempt.load(Ordering::Relaxed)
    }

    /// No more request heads are expected: the connection is a tunnel, or has its own framing.
    pub(super) fn exempt(&self) {
        self.exempt.store(true, Ordering::Relaxed);
    }
}
