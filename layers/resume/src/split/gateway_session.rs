//! A session that is open at a gateway.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU32, AtomicU64, Ordering},
    },
    time::Duration,
};

use bartizan_core::{Session, SessionId, store::RecordVersion};
use http::Uri;
use tokio::time::Instant;

use super::{gateway::Gateway, status::SplitStatus};
use crate::replay::closing::Closing;

/// A session that is open at a gateway.
pub(super) struct GatewaySession {
    pub(super) id: SessionId,
    /// The gateway, with its address and credentials when the session was opened.
    pub(super) gateway: Gateway,
    /// The path at which it was opened: a request that names another gateway may have another path.
    pub(super) uri: Uri,
    // The last version of the client session's record that is known to list it.
    listed_in: AtomicU32,
    known_since: Instant,
    used_ms: AtomicU64,
    asked_ms: AtomicU64,
    uses: AtomicU64,
    closing: Mutex<Option<Closing>>,
}

impl GatewaySession {
    /// The session `id`, which the record of `session` lists.
    pub(super) fn new(
        id: SessionId,
        gateway: Gateway,
        uri: Uri,
        session: &Session,
        closing: Option<Closing>,
    ) -> Self {
        Self {
            id,
            gateway,
            uri,
            listed_in: AtomicU32::new(session.version().get()),
            known_since: Instant::now(),
            used_ms: AtomicU64::new(0),
            asked_ms: AtomicU64::new(0),
            uses: AtomicU64::new(0),
            closing: Mutex::new(closing),
        }
    }

    pub(super) fn note_use(&self) {
        self.uses.fetch_add(1, Ordering::Relaxed);
        self.used_ms.fetch_max(self.now_ms(), Ordering::Relaxed);
    }

    /// The last version of the record that is known to list it.
    pub(super) fn listed_in(&self) -> RecordVersion {
        self.listed_in.load(Ordering::Relaxed).into()
    }

    /// Records that the record of `session` lists it, too.
    pub(super) fn note_listed_in(&self, session: &Session) {
        self.listed_in.fetch_max(session.version().get(), Ordering::Relaxed);
    }

    /// The handle to end it, once.
    pub(super) fn take_closing(&self) -> Option<Closing> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn idle(&self) -> Duration {
        let used = Duration::from_millis(self.used_ms.load(Ordering::Relaxed));
        self.known_since.elapsed().saturating_sub(used)
    }

    /// Whether to check if its client session, with the idle time `idle`, is still live: after this replica has not
    /// used it for that time, and from then on eight times as often.
    pub(super) fn is_to_be_asked_for(&self, idle: Duration) -> bool {
        if self.idle() <= idle {
            return false;
        }
        let (now_ms, asked_ms) = (self.now_ms(), self.asked_ms.load(Ordering::Relaxed));
        let is_due =
            asked_ms == 0 || Duration::from_millis(now_ms.saturating_sub(asked_ms)) >= idle / 8;
        if is_due {
            self.asked_ms.store(now_ms.max(1), Ordering::Relaxed);
        }
        is_due
    }

    pub(super) fn status(&self, session: &Session, gateway: &str) -> SplitStatus {
        SplitStatus {
            gateway: gateway.into(),
            session: session.fingerprint(),
            age: self.known_since.elapsed(),
            idle: self.idle(),
            uses: self.uses.load(Ordering::Relaxed),
        }
    }

    fn now_ms(&self) -> u64 {
        u64::try_from(self.known_since.elapsed().as_millis()).unwrap_or(u64::MAX)
    }
}
