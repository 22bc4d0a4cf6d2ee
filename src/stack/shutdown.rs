//! Ending event streams before a server stops.

use std::time::Duration;

use bartizan_streams::Streams;

/// Ends what would keep a server from shutting down. Made by
/// [`ReverseProxyStack::shutdown`](crate::ReverseProxyStack::shutdown); cheap to clone.
#[derive(Clone, Debug)]
pub struct Shutdown(Streams);

impl Shutdown {
    pub(super) const fn new(streams: Streams) -> Self {
        Self(streams)
    }

    /// Ends the event streams on which clients listen, at once, and refuses new ones with 503. Waits for the streams
    /// that answer a call, for at most `within`, and ends the rest. Returns how many those were.
    ///
    /// Await it before the server stops, in the future that axum's `with_graceful_shutdown` takes: a listening stream
    /// does not end by itself, and a graceful server would wait for it forever. Calls that are not streams are still
    /// served, so the server accepts requests during `within`.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, listening streams have ended anyway, and the others continue.
    pub async fn shut_down(&self, within: Duration) -> usize {
        self.0.shut_down(within).await
    }
}
