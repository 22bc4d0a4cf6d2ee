//! Configuration of [`ResumeSession`] services.

use std::{fmt, num::NonZeroU8, sync::Arc, time::Duration};

use bartizan_core::SessionStore;
use tower_layer::Layer;

use crate::{ResumeCounts, ResumeSession, entry::Entries, flight::Flights, flow::Recording};

/// Builds [`ResumeSession`] services; see the [crate docs](crate).
#[must_use]
#[derive(Clone)]
pub struct ResumeSessionLayer<T> {
    config: Config<T>,
}

#[derive(Clone)]
pub(crate) struct Config<T> {
    pub(crate) store: T,
    pub(crate) entries: Entries,
    pub(crate) record_limit_bytes: usize,
    pub(crate) keep_limit_bytes: usize,
    pub(crate) timeout: Duration,
    pub(crate) attempts: NonZeroU8,
    pub(crate) store_timeout: Duration,
    pub(crate) flights: Arc<Flights>,
    pub(crate) counts: ResumeCounts,
}

impl<T: SessionStore> ResumeSessionLayer<T> {
    /// Resumes sessions whose records are in `store`: the one that the layer which guards them has.
    pub fn new(store: T) -> Self {
        let config = Config {
            store,
            entries: Entries::default(),
            record_limit_bytes: 16 * 1024,
            keep_limit_bytes: 64 * 1024,
            timeout: Duration::from_secs(10),
            attempts: NonZeroU8::MIN.saturating_add(1),
            store_timeout: Duration::from_millis(250),
            flights: Arc::default(),
            counts: ResumeCounts::default(),
        };
        Self { config }
    }

    /// How large the body of an `initialize` may be to be recorded, in bytes, and how large what the
    /// server agreed to; a session that was opened with more is not resumed. Default: 16 KiB.
    pub fn record_limit(mut self, bytes: usize) -> Self {
        self.config.record_limit_bytes = bytes;
        self
    }

    /// How much of a request's body is kept while it is on its way, in bytes; a larger one whose session
    /// is lost after more was sent is refused with 503. Default: 64 KiB.
    pub fn keep_limit(mut self, bytes: usize) -> Self {
        self.config.keep_limit_bytes = bytes;
        self
    }

    /// How long it may take to resume a session, from its loss; past it, the request is refused with
    /// 503. More than a day counts as a day. Default: 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout.min(Duration::from_secs(24 * 60 * 60));
        self
    }

    /// How many backends are asked to go on with a session, one after the other. Default: 2.
    pub fn attempts(mut self, attempts: NonZeroU8) -> Self {
        self.config.attempts = attempts;
        self
    }

    /// How long the store may take for one operation. Default: 250 ms.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.config.store_timeout = timeout;
        self
    }

    /// Seals what is recorded with `keys`, for the session's principal. What was recorded before is
    /// read all the same. Default: it is recorded as it is.
    #[cfg(feature = "seal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
    pub fn seal(mut self, keys: crate::KeyRing) -> Self {
        self.config.entries.keys = Some(keys);
        self
    }

    /// How many sessions were resumed so far by the services of this layer and its clones.
    #[must_use]
    pub fn counts(&self) -> ResumeCounts {
        self.config.counts.clone()
    }
}

impl<T> Config<T> {
    pub(crate) fn recording(&self) -> Recording {
        Recording {
            entries: self.entries.clone(),
            limit_bytes: self.record_limit_bytes,
            timeout: self.timeout,
        }
    }
}

impl<S: Clone, T: Clone> Layer<S> for ResumeSessionLayer<T> {
    type Service = ResumeSession<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        ResumeSession::new(inner, self.config.clone())
    }
}

impl<T> fmt::Debug for ResumeSessionLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.config.fmt(f)
    }
}

impl<T> fmt::Debug for Config<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeSession")
            .field("entries", &self.entries)
            .field("record_limit_bytes", &self.record_limit_bytes)
            .field("keep_limit_bytes", &self.keep_limit_bytes)
            .field("timeout", &self.timeout)
            .field("attempts", &self.attempts)
            .field("under_way", &self.flights.len())
            .finish_non_exhaustive()
    }
}
