//! What is known of a stream.

use std::{
    fmt,
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bartizan_core::{BackendId, Session};
use tokio::time::Instant;

use crate::{
    event,
    signal::{Cause, Signal},
};

/// Names a stream within this process.
#[derive(Clone, Copy, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct StreamId {
    // Streams of one session are neighbours.
    pub(super) owner: u64,
    pub(super) number: u64,
}

/// An open stream, in its state when it was listed.
#[derive(Clone, Debug)]
pub struct OpenStream {
    live: Arc<Live>,
    age: Duration,
    bytes: u64,
}

/// A stream from the request on that asks for it.
#[derive(Debug)]
pub(crate) struct Live {
    pub(super) id: StreamId,
    pub(super) session: Option<Session>,
    /// Whether it is a listening stream, or answers a call.
    pub(super) is_listening: bool,
    opened: OnceLock<Opened>,
    bytes: AtomicU64,
    pub(crate) signal: Signal,
}

/// The facts from the response.
#[derive(Debug)]
struct Opened {
    at: Instant,
    backend: Option<BackendId>,
}

impl OpenStream {
    pub(super) fn of(live: &Arc<Live>) -> Option<Self> {
        let opened = live.opened.get()?;
        let bytes = live.bytes.load(Ordering::Relaxed);
        Some(Self { live: Arc::clone(live), age: opened.at.elapsed(), bytes })
    }

    /// What [`Streams::end`](crate::Streams::end) takes.
    #[must_use]
    pub fn id(&self) -> StreamId {
        self.live.id
    }

    /// The session that it belongs to, if a layer found one.
    #[must_use]
    pub fn session(&self) -> Option<&Session> {
        self.live.session.as_ref()
    }

    /// The backend that sends it, according to the response or else to the record of its session.
    #[must_use]
    pub fn backend(&self) -> Option<&BackendId> {
        self.live.backend()
    }

    /// Whether its client listens on it; otherwise it answers a call.
    #[must_use]
    pub fn is_listening(&self) -> bool {
        self.live.is_listening
    }

    /// How long it has been open.
    #[must_use]
    pub fn age(&self) -> Duration {
        self.age
    }

    /// How many bytes came from its backend.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.bytes
    }
}

impl Live {
    pub(super) fn new(id: StreamId, session: Option<Session>, is_listening: bool) -> Self {
        Self {
            id,
            session,
            is_listening,
            opened: OnceLock::new(),
            bytes: AtomicU64::new(0),
            signal: Signal::default(),
        }
    }

    pub(crate) fn session(&self) -> Option<&Session> {
        self.session.as_ref()
    }

    pub(super) fn backend(&self) -> Option<&BackendId> {
        let opened = self.opened.get()?;
        opened.backend.as_ref().or_else(|| self.session.as_ref()?.record().backend())
    }

    /// Its response has come; says whether that is news.
    pub(super) fn open(&self, at: Instant, backend: Option<BackendId>) -> bool {
        self.opened.set(Opened { at, backend }).is_ok()
    }

    pub(super) fn is_open(&self) -> bool {
        self.opened.get().is_some()
    }

    pub(crate) fn count(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    /// Its backend has ended it, or broken off. If it was to be ended here as well, that was before.
    pub(crate) fn has_ended(&self, cause: Cause) {
        self.signal.raise(cause);
    }

    /// Ends it, unless that has been done; says whether it was to be done.
    pub(crate) fn end(&self, cause: Cause) -> bool {
        let is_news = self.signal.raise(cause);
        if is_news {
            event::ended(cause, self.session());
        }
        is_news
    }
}

impl fmt::Debug for StreamId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "StreamId({})", self.number)
    }
}
