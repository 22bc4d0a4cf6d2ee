//! Configuration of [`TrackStreams`] services.

use std::{num::NonZeroUsize, sync::Arc, time::Duration};

use bartizan_core::Dialect;
use tower_layer::Layer;

use crate::{
    SecondStream, Streams, TrackStreams, config::Config, keep_alive::KeepAlive, streams::Rules,
};

/// Builds [`TrackStreams`] services, whose streams are one set; see the [crate docs](crate).
///
/// ```
/// use std::time::Duration;
///
/// use bartizan_streams::TrackStreamsLayer;
///
/// let layer = TrackStreamsLayer::new().keep_alive(Duration::from_secs(25));
/// let streams = layer.streams(); // lists, counts and ends the open streams
/// assert_eq!(streams.len(), 0);
/// ```
#[must_use]
#[derive(Clone, Debug)]
pub struct TrackStreamsLayer {
    config: Config,
}

const MAX: NonZeroUsize = NonZeroUsize::new(100_000).unwrap();
const MAX_PER_SESSION: NonZeroUsize = NonZeroUsize::new(32).unwrap();

impl TrackStreamsLayer {
    /// Allows 100,000 listening streams, 32 of them in a session, and sends nothing of its own.
    pub fn new() -> Self {
        let second = SecondStream::default();
        let config = Config {
            streams: Streams::default(),
            rules: Rules { max: MAX, max_per_session: MAX_PER_SESSION, second },
            keep_alive: None,
            dialect: None,
        };
        config.streams.counts().set_max(MAX.get());
        Self { config }
    }

    /// The handle on the streams of all services of this layer and of its clones.
    #[must_use]
    pub fn streams(&self) -> Streams {
        self.config.streams.clone()
    }

    /// The maximum number of listening streams; a further one is refused with
    /// 503. Default: 100,000.
    pub fn max(mut self, streams: NonZeroUsize) -> Self {
        self.config.rules.max = streams;
        self.config.streams.counts().set_max(streams.get());
        self
    }

    /// How many of them one session may have. Default: 32.
    pub fn max_per_session(mut self, streams: NonZeroUsize) -> Self {
        self.config.rules.max_per_session = streams;
        self
    }

    /// What to do with a request to listen in a session that already has a listening stream. Default: it is allowed.
    pub fn second_stream(mut self, choice: SecondStream) -> Self {
        self.config.rules.second = choice;
        self
    }

    /// Sends a comment on an event stream that has been silent for `interval`, between two events and never
    /// inside one. One of less than 100 ms counts as 100 ms. Default: nothing is sent.
    pub fn keep_alive(mut self, interval: Duration) -> Self {
        self.config.keep_alive = Some(interval.max(KeepAlive::SHORTEST));
        self
    }

    /// The format of this layer's refusals, except for gRPC requests, which always get a gRPC response. Default: the
    /// format that a layer above decided, or else the one that the header fields of the request suggest.
    pub fn refuse_as(mut self, dialect: Dialect) -> Self {
        self.config.dialect = Some(dialect);
        self
    }
}

impl<S> Layer<S> for TrackStreamsLayer {
    type Service = TrackStreams<S>;

    fn layer(&self, inner: S) -> TrackStreams<S> {
        TrackStreams::new(inner, Arc::new(self.config.clone()))
    }
}

impl Default for TrackStreamsLayer {
    fn default() -> Self {
        Self::new()
    }
}
