//! What the socket and the requests of one connection know of each other.

use std::sync::{
    Arc,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

/// Counts the requests of one connection, so that its socket knows what it waits for.
#[derive(Debug, Default)]
pub(super) struct ConnectionState {
    requests: AtomicU32,
    in_flight: AtomicU32,
    uploads: AtomicU32,
    exempt: AtomicBool,
}

/// What the client must send next.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Expected {
    /// A request head.
    Head,
    /// The rest of a request body whose response is complete.
    RestOfBody,
    /// Nothing in particular: a response is in flight, or the connection has its own framing.
    Anything,
}

/// Counts a response as in flight until it is dropped.
#[derive(Debug)]
pub(super) struct InFlight(Arc<ConnectionState>);

/// Counts a request body as arriving until it is dropped.
#[derive(Debug)]
pub(super) struct Upload(Arc<ConnectionState>);

impl ConnectionState {
    /// How many request heads have arrived.
    pub(super) fn requests(&self) -> u32 {
        self.requests.load(Ordering::Relaxed)
    }

    /// What the client must send next.
    pub(super) fn expected(&self) -> Expected {
        if self.in_flight.load(Ordering::Acquire) > 0 || self.exempt.load(Ordering::Relaxed) {
            Expected::Anything
        } else if self.uploads.load(Ordering::Acquire) > 0 {
            Expected::RestOfBody
        } else {
            Expected::Head
        }
    }

    /// Expects no more request heads: the connection is a tunnel, or has its own framing.
    pub(super) fn exempt(&self) {
        self.exempt.store(true, Ordering::Relaxed);
    }
}

impl InFlight {
    /// Counts the request whose head has just arrived.
    pub(super) fn begin(connection: Arc<ConnectionState>) -> Self {
        connection.requests.fetch_add(1, Ordering::Relaxed);
        connection.in_flight.fetch_add(1, Ordering::Release);
        Self(connection)
    }

    /// The connection that the request arrived on.
    pub(super) fn connection(&self) -> &Arc<ConnectionState> {
        &self.0
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Ordering::Release);
    }
}

impl Upload {
    /// Counts a request body.
    pub(super) fn begin(connection: Arc<ConnectionState>) -> Self {
        connection.uploads.fetch_add(1, Ordering::Release);
        Self(connection)
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        self.0.uploads.fetch_sub(1, Ordering::Release);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_head_is_expected_only_when_response_and_request_body_are_complete() {
        let connection = Arc::<ConnectionState>::default();
        assert_eq!(connection.expected(), Expected::Head);
        let in_flight = InFlight::begin(Arc::clone(&connection));
        let upload = Upload::begin(Arc::clone(&connection));
        assert_eq!((connection.expected(), connection.requests()), (Expected::Anything, 1));
        drop(in_flight);
        assert_eq!(connection.expected(), Expected::RestOfBody);
        drop(upload);
        assert_eq!((connection.expected(), connection.requests()), (Expected::Head, 1));
        connection.exempt();
        assert_eq!(connection.expected(), Expected::Anything);
    }
}
