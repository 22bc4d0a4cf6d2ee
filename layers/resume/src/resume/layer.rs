//! Configuration of [`ResumeSession`] services.

use std::{fmt, num::NonZeroU8, sync::Arc, time::Duration};

use bartizan_core::SessionStore;
use tower_layer::Layer;

use super::{config::Config, counts::ResumeCounts, service::ResumeSession};
use crate::replay::budget::Budget;

/// Builds [`ResumeSession`] services; see the [crate docs](crate).
///
/// ```
/// use std::time::Duration;
///
/// use bartizan_memory::MemoryStore;
/// use bartizan_resume::ResumeSessionLayer;
/// use bartizan_session::ValidateSessionLayer;
///
/// // Both layers need the same store.
/// let store = MemoryStore::new();
/// let sessions = ValidateSessionLayer::mcp(store.clone());
/// let resume = ResumeSessionLayer::new(store).timeout(Duration::from_secs(5));
/// assert_eq!(resume.counts().resumed(), 0);
/// # let _ = sessions;
/// ```
#[must_use]
#[derive(Clone)]
pub struct ResumeSessionLayer<T> {
    config: Config<T>,
    is_on: bool,
}

impl<T: SessionStore> ResumeSessionLayer<T> {
    /// Resumes sessions whose records are in `store`: the store of the layer that validates them.
    pub fn new(store: T) -> Self {
        Self { config: Config::new(store), is_on: true }
    }

    /// Switches the layer on or off. A service that is off passes every request and response on unchanged,
    /// and has the same type as one that is on. Default: on.
    pub fn only_if(mut self, is_on: bool) -> Self {
        self.is_on = is_on;
        self
    }

    /// How many bytes of an `initialize` are recorded with its session, and how many of the server's answer.
    /// Of a larger `initialize`, only the version, the capabilities, and the client's name and version are
    /// recorded; if that is too large as well, the session is not resumed. Default: 2 KiB.
    pub fn record_limit(mut self, bytes: usize) -> Self {
        self.config.record_limit_bytes = bytes;
        self
    }

    /// The maximum size of all records of openings together in this process, in bytes. Default: 256 MiB.
    ///
    /// A session that is opened when there is no space left works as usual but is not resumed: it ends when its
    /// backend is lost. Such sessions are [counted](ResumeCounts::unrecorded), and one WARN event a minute reports them.
    ///
    /// The limit covers the sessions that were opened through this process. With the memory store, a record counts
    /// until its session ends. With a store on a server, it counts until this replica's near-cache drops it; what the
    /// server keeps is bounded by [`record_limit`](Self::record_limit) and the number of sessions.
    pub fn total_record_limit(mut self, bytes: usize) -> Self {
        let refused = self.config.counts.unrecorded_cell();
        self.config.budget = Arc::new(Budget::new(bytes, refused));
        self
    }

    /// How many bytes of a request's body are kept while it is in flight. A request with a larger body is
    /// refused with 503 if its session is lost after more was sent. Default: 64 KiB.
    pub fn keep_limit(mut self, bytes: usize) -> Self {
        self.config.keep_limit_bytes = bytes;
        self
    }

    /// The timeout for resuming a session, from its loss; after it, the request is refused with 503. More
    /// than a day counts as a day. Default: 10 s.
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.config.timeout = timeout.min(Duration::from_secs(24 * 60 * 60));
        self
    }

    /// How many backends may fail to answer, or answer with 5xx, 429, 408 or 404, before the request is
    /// refused with 503. Backends are tried one after the other, at most 32. Default: 2.
    pub fn attempts(mut self, attempts: NonZeroU8) -> Self {
        self.config.attempts = attempts;
        self
    }

    /// The timeout of each store operation. Default: 250 ms.
    pub fn store_timeout(mut self, timeout: Duration) -> Self {
        self.config.store_timeout = timeout;
        self
    }

    /// Seals what is recorded with `keys`, for the session's principal. Unsealed records are still read.
    /// Default: not sealed.
    #[cfg(feature = "seal")]
    #[cfg_attr(docsrs, doc(cfg(feature = "seal")))]
    pub fn seal(mut self, keys: bartizan_core::seal::KeyRing) -> Self {
        self.config.entries.keys = Some(keys);
        self
    }

    /// How many sessions the services of this layer and its clones have resumed.
    #[must_use]
    pub fn counts(&self) -> ResumeCounts {
        self.config.counts.clone()
    }
}

impl<S: Clone, T: Clone> Layer<S> for ResumeSessionLayer<T> {
    type Service = ResumeSession<S, T>;

    fn layer(&self, inner: S) -> Self::Service {
        ResumeSession::new(inner, self.is_on.then(|| self.config.clone()))
    }
}

impl<T> fmt::Debug for ResumeSessionLayer<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ResumeSessionLayer")
            .field("config", &self.config)
            .field("is_on", &self.is_on)
            .finish()
    }
}
