//! A session that is open at a gateway.

use std::{
    sync::{
        Mutex, PoisonError,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bartizan_core::{Session, SessionId};
use http::Uri;
use tokio::time::Instant;

use super::{gateway::Gateway, status::SplitStatus};
use crate::replay::closing::Closing;

/// A session that is open at a gateway.
pub(super) struct GatewaySession {
    pub(super) id: SessionId,
    /// As it was reached when the session was opened.
    pub(super) gateway: Gateway,
    /// Where it was asked for there: a request that names another gateway may have another path.
    pub(super) uri: Uri,
    opened: Instant,
    used_ms: AtomicU64,
    uses: AtomicU64,
    // Opened by the client itself: known to all replicas, and used by them while it idles here.
    pub(super) is_home: bool,
    closing: Mutex<Option<Closing>>,
}

impl GatewaySession {
    pub(super) fn new(
        id: SessionId,
        gateway: Gateway,
        uri: Uri,
        is_home: bool,
        closing: Option<Closing>,
    ) -> Self {
        Self {
            id,
            gateway,
            uri,
            opened: Instant::now(),
            used_ms: AtomicU64::new(0),
            uses: AtomicU64::new(0),
            is_home,
            closing: Mutex::new(closing),
        }
    }

    pub(super) fn note_use(&self) {
        self.uses.fetch_add(1, Ordering::Relaxed);
        let now_ms = u64::try_from(self.opened.elapsed().as_millis()).unwrap_or(u64::MAX);
        self.used_ms.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// How it is ended, once.
    pub(super) fn take_closing(&self) -> Option<Closing> {
        self.closing.lock().unwrap_or_else(PoisonError::into_inner).take()
    }

    pub(super) fn idle(&self) -> Duration {
        let used = Duration::from_millis(self.used_ms.load(Ordering::Relaxed));
        self.opened.elapsed().saturating_sub(used)
    }

    pub(super) fn status(&self, session: &Session, gateway: &str) -> SplitStatus {
        SplitStatus {
            gateway: gateway.into(),
            session: session.fingerprint(),
            age: self.opened.elapsed(),
            idle: self.idle(),
            uses: self.uses.load(Ordering::Relaxed),
        }
    }
}
