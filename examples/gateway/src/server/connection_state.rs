//! The state of one connection, shared by its socket, its requests and the table of connections.

use std::{
    num::NonZeroU32,
    sync::{
        Arc, Mutex, PoisonError,
        atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use tokio::time::Instant;

use super::reset_bound::{AT_ONCE, ResetBound};

/// Counts the requests of one connection: the socket then knows what it is waiting for, and the server whether the
/// connection is idle.
#[derive(Debug)]
pub(super) struct ConnectionState {
    accepted: Instant,
    requests: AtomicU32,
    in_flight: AtomicU32,
    uploads: AtomicU32,
    exempt: AtomicBool,
    has_tunnel: AtomicBool,
    is_shaking_hands: AtomicBool,
    // Time since the connection was accepted.
    idle_since_ms: AtomicU64,
    is_blocked: AtomicBool,
    is_dismissed: AtomicBool,
    resets: Mutex<ResetBound>,
    is_expelled: AtomicBool,
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
pub(super) struct InFlight {
    connection: Arc<ConnectionState>,
    // When the request began, if it uses HTTP/2 and has no response yet: its client may reset it.
    begun_ms: Option<NonZeroU32>,
}

/// Counts a request body as incomplete until it is dropped.
#[derive(Debug)]
pub(super) struct Upload(Arc<ConnectionState>);

impl Default for ConnectionState {
    fn default() -> Self {
        Self::new(1)
    }
}

impl ConnectionState {
    /// A connection that has just been accepted, from a client that may reset `headroom` times as many requests as
    /// others.
    pub(super) fn new(headroom: u32) -> Self {
        Self {
            accepted: Instant::now(),
            requests: AtomicU32::default(),
            in_flight: AtomicU32::default(),
            uploads: AtomicU32::default(),
            exempt: AtomicBool::default(),
            has_tunnel: AtomicBool::default(),
            is_shaking_hands: AtomicBool::default(),
            idle_since_ms: AtomicU64::default(),
            is_blocked: AtomicBool::default(),
            is_dismissed: AtomicBool::default(),
            resets: Mutex::new(ResetBound::new(headroom)),
            is_expelled: AtomicBool::default(),
        }
    }

    /// When it was accepted.
    pub(super) const fn accepted(&self) -> Instant {
        self.accepted
    }

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

    /// The same for a tunnel, which never counts as idle because its traffic is not observed.
    pub(super) fn open_tunnel(&self) {
        self.exempt();
        self.has_tunnel.store(true, Ordering::Relaxed);
    }

    /// Expects a TLS handshake: until it is over, the connection does not count as idle.
    pub(super) fn begin_handshake(&self) {
        self.is_shaking_hands.store(true, Ordering::Relaxed);
    }

    /// Records that the TLS handshake is over.
    pub(super) fn end_handshake(&self) {
        self.used(Instant::now());
        self.is_shaking_hands.store(false, Ordering::Relaxed);
    }

    /// Since when nothing has been in flight; `None` if something is.
    pub(super) fn idle_since(&self) -> Option<Instant> {
        let is_idle = self.in_flight.load(Ordering::Acquire) == 0
            && self.uploads.load(Ordering::Acquire) == 0
            && !self.has_tunnel.load(Ordering::Relaxed)
            && !self.is_shaking_hands.load(Ordering::Relaxed);
        let since = Duration::from_millis(self.idle_since_ms.load(Ordering::Relaxed));
        is_idle.then(|| self.accepted + since)
    }

    /// Records that the connection was busy until `now`.
    pub(super) fn used(&self, now: Instant) {
        let since = now.saturating_duration_since(self.accepted).as_millis();
        self.idle_since_ms.store(u64::try_from(since).unwrap_or(u64::MAX), Ordering::Relaxed);
    }

    /// Whether its requests share the connection, so that the socket has no timeout.
    pub(super) fn is_multiplexed(&self) -> bool {
        self.exempt.load(Ordering::Relaxed) && !self.has_tunnel.load(Ordering::Relaxed)
    }

    /// Records whether writes to its socket are blocked.
    pub(super) fn set_blocked(&self, is_blocked: bool) {
        self.is_blocked.store(is_blocked, Ordering::Relaxed);
    }

    /// Whether writes to its socket are blocked. Always `false` over HTTP/2.
    pub(super) fn is_blocked(&self) -> bool {
        self.is_blocked.load(Ordering::Relaxed)
    }

    /// Asks the connection to close, because it is idle. Returns `false` if it was asked before.
    pub(super) fn dismiss(&self) -> bool {
        !self.is_dismissed.swap(true, Ordering::Relaxed)
    }

    /// Whether it was asked to close.
    pub(super) fn is_dismissed(&self) -> bool {
        self.is_dismissed.load(Ordering::Relaxed)
    }

    /// Ends the connection because its client resets too many requests.
    pub(super) fn expel(&self) {
        self.is_expelled.store(true, Ordering::Relaxed);
    }

    /// Whether its client has reset too many requests.
    pub(super) fn is_expelled(&self) -> bool {
        self.is_expelled.load(Ordering::Relaxed)
    }

    #[inline(never)]
    fn record_end(&self, is_given_up: bool) {
        let mut resets = self.resets.lock().unwrap_or_else(PoisonError::into_inner);
        if resets.record(is_given_up) {
            self.expel();
        }
    }
}

impl InFlight {
    /// Counts the request whose head has just arrived.
    #[inline]
    pub(super) fn begin(connection: Arc<ConnectionState>) -> Self {
        connection.requests.fetch_add(1, Ordering::Relaxed);
        connection.in_flight.fetch_add(1, Ordering::Release);
        Self { connection, begun_ms: None }
    }

    /// The same over HTTP/2, where a client can reset a request at no cost.
    // Not inlined, so that HTTP/1.1 does not pay for what only HTTP/2 needs.
    #[inline(never)]
    pub(super) fn begin_stream(connection: Arc<ConnectionState>) -> Self {
        let begun = connection.accepted.elapsed().as_millis();
        let begun_ms = u32::try_from(begun).ok().and_then(|ms| NonZeroU32::new(ms.max(1)));
        let mut stream = Self::begin(connection);
        stream.begun_ms = begun_ms;
        stream
    }

    #[inline(never)]
    fn end_stream(&self) {
        if let Some(begun_ms) = self.begun_ms {
            let begun = self.connection.accepted + Duration::from_millis(begun_ms.get().into());
            self.connection.record_end(begun.elapsed() < AT_ONCE);
        }
        self.connection.used(Instant::now());
    }

    /// The connection that the request arrived on.
    pub(super) fn connection(&self) -> &Arc<ConnectionState> {
        &self.connection
    }

    /// Records that the response has begun. Returns whether it uses HTTP/2.
    #[inline]
    pub(super) fn respond(&mut self) -> bool {
        let is_stream = self.begun_ms.take().is_some();
        if is_stream {
            self.connection.record_end(false);
        }
        is_stream
    }
}

impl Drop for InFlight {
    #[inline]
    fn drop(&mut self) {
        // Over HTTP/1.1 the socket notes the time.
        if self.connection.exempt.load(Ordering::Relaxed) {
            self.end_stream();
        }
        self.connection.in_flight.fetch_sub(1, Ordering::Release);
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
    use tokio::time::advance;

    use super::*;

    #[tokio::test]
    async fn a_head_is_expected_only_when_response_and_request_body_are_complete() {
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

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_since_its_last_request_and_never_with_a_tunnel() {
        let connection = Arc::<ConnectionState>::default();
        let since = || connection.idle_since().map(|since| (since - connection.accepted).as_secs());
        assert_eq!(since(), Some(0));
        connection.exempt();
        let in_flight = InFlight::begin_stream(Arc::clone(&connection));
        let upload = Upload::begin(Arc::clone(&connection));
        assert_eq!(since(), None);
        advance(Duration::from_secs(7)).await;
        drop(in_flight);
        assert_eq!(since(), None, "the rest of a request body");
        drop(upload);
        assert_eq!(since(), Some(7));
        connection.open_tunnel();
        assert_eq!(since(), None);
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_is_idle_since_its_handshake_and_not_during_it() {
        let connection = ConnectionState::default();
        connection.begin_handshake();
        assert!(connection.idle_since().is_none());
        advance(Duration::from_secs(3)).await;
        connection.end_handshake();
        assert_eq!(connection.idle_since(), Some(connection.accepted + Duration::from_secs(3)));
    }

    #[tokio::test(start_paused = true)]
    async fn only_streams_that_are_given_up_at_once_and_without_a_response_count() {
        let late = Duration::from_secs(1);
        for (pause, responds, is_stream, is_expelled) in [
            (Duration::ZERO, false, true, true),
            (Duration::from_millis(900), false, true, true),
            (late, false, true, false),
            (Duration::ZERO, true, true, false),
            (Duration::ZERO, false, false, false),
        ] {
            let connection = Arc::<ConnectionState>::default();
            connection.exempt();
            for _ in 0..500 {
                let begin = if is_stream { InFlight::begin_stream } else { InFlight::begin };
                let mut in_flight = begin(Arc::clone(&connection));
                advance(pause).await;
                if responds {
                    in_flight.respond();
                }
            }
            assert_eq!(connection.is_expelled(), is_expelled, "{pause:?} {responds} {is_stream}");
        }
    }
}
