//! The handle on the open streams of a layer.

use std::{
    sync::{Arc, atomic::Ordering},
    time::Duration,
};

use bartizan_core::{BackendId, Key};
use tokio::time::{Instant, timeout};

use super::{
    open::{OpenStream, StreamId},
    table::Table,
};
use crate::{gauges::StreamCounts, signal::Cause};

/// A handle on the open streams of a [`TrackStreamsLayer`](crate::TrackStreamsLayer): cheap to clone, and all
/// clones are one.
///
/// It only knows this process: the store reports sessions that ended elsewhere.
///
/// ```
/// use std::time::Duration;
/// use bartizan_streams::TrackStreamsLayer;
///
/// # #[tokio::main(flavor = "current_thread")] async fn main() {
/// let layer = TrackStreamsLayer::new();
/// let streams = layer.streams();
/// for stream in streams.list() {
///     println!("{:?} has sent {} bytes in {:?}", stream.session(), stream.bytes(), stream.age());
/// }
/// // When the server leaves:
/// let unfinished = streams.shut_down(Duration::from_secs(30)).await;
/// assert_eq!(unfinished, 0);
/// # }
/// ```
#[derive(Clone, Debug, Default)]
pub struct Streams(pub(super) Arc<Table>);

impl Streams {
    /// How many streams are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.open()
    }

    /// Whether none is.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    pub(crate) fn counts(&self) -> &StreamCounts {
        &self.0.counts
    }

    /// How many are listened on, or have a place for that.
    pub(crate) fn listening(&self) -> usize {
        self.0.listening.load(Ordering::Relaxed)
    }

    /// All open streams, in their current state. Costs a pass over them.
    #[must_use]
    pub fn list(&self) -> Vec<OpenStream> {
        let mut open = Vec::new();
        self.0.for_each(|stream| open.extend(OpenStream::of(stream)));
        open
    }

    /// The open streams of the session with `key` ([`Session::key`](bartizan_core::Session::key)).
    #[must_use]
    pub fn of(&self, key: Key<'_>) -> Vec<OpenStream> {
        let mut open = Vec::new();
        self.0.for_each_of(key, |stream| open.extend(OpenStream::of(stream)));
        open
    }

    /// Ends one stream. Returns whether it was open.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn end(&self, id: StreamId) -> bool {
        self.0.find(id).is_some_and(|stream| stream.end(Cause::Asked))
    }

    /// Ends all streams of the session with `key`, and returns how many. The session stays live.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn end_all_of(&self, key: Key<'_>) -> usize {
        let mut ended = 0;
        self.0.for_each_of(key, |stream| ended += usize::from(stream.end(Cause::Asked)));
        ended
    }

    /// Ends all streams from `backend`, and returns how many: for when it is taken out of service.
    /// Costs a pass over all streams.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn end_all_on(&self, backend: &BackendId) -> usize {
        let mut ended = 0;
        self.0.for_each(|stream| {
            let is_from = stream.backend() == Some(backend);
            ended += usize::from(is_from && stream.end(Cause::BackendGone));
        });
        ended
    }

    /// Ends all listening streams and refuses new ones. Waits until the streams that answer a call
    /// have ended by themselves, and ends the rest when `within` has passed. Returns how many those
    /// were. A stream that begins later, because its call was in flight, ends then as well; it is
    /// not waited for if no other is open.
    ///
    /// All of them end cleanly. A stream whose client reads nothing ends when the client reads
    /// again, or with its connection; closing that is up to the server.
    ///
    /// # Cancellation
    ///
    /// If the future is dropped, listening streams have ended anyway, and streams that answer a
    /// call continue.
    pub async fn shut_down(&self, within: Duration) -> usize {
        self.0.leave(Instant::now().checked_add(within));
        if timeout(within, self.0.closed()).await.is_ok() {
            return 0;
        }
        self.0.end_all()
    }
}
