//! Whether a session is in use, when it was last used, and whether it has ended.
//!
//! A store reads all three to decide on expiry while requests begin and end. `tests/loom` checks all interleavings.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The session has ended.
const ENDED: u32 = 1 << 31;
/// A task waits for its end, or has waited.
const WATCHED: u32 = 1 << 30;
/// No request has presented its id yet.
const UNCONFIRMED: u32 = 1 << 29;
/// Its end is in the metrics.
const COUNTED: u32 = 1 << 28;
/// All flags: the remaining bits are the number of holds.
const FLAGS: u32 = ENDED | WATCHED | UNCONFIRMED | COUNTED;

/// The number of holds on a session, whether it has ended and been counted as such, and whether it is confirmed.
#[derive(Debug)]
pub(crate) struct Holds(AtomicU32);

/// When a session was last used, in milliseconds on its store's clock. Separate from [`Holds`], so that neither needs
/// padding.
#[derive(Debug)]
pub(crate) struct LastUse(AtomicU64);

impl Holds {
    pub(crate) fn none() -> Self {
        Self(AtomicU32::new(0))
    }

    /// The session is in use until [`release`](Self::release).
    pub(crate) fn hold(&self) {
        self.0.fetch_add(1, Ordering::Relaxed);
    }

    /// Ends one hold, whose use was recorded before.
    pub(crate) fn release(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn is_held(&self) -> bool {
        // A thread that sees no holds also sees the use that was recorded before the last one was released.
        self.0.load(Ordering::Acquire) & !FLAGS > 0
    }

    /// Records the end of the session. Returns whether there are waiters to wake.
    pub(crate) fn end(&self) -> bool {
        let before = self.0.fetch_or(ENDED, Ordering::AcqRel);
        before & (ENDED | WATCHED) == WATCHED
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) & ENDED != 0
    }

    /// Records that a task waits for the end. Returns whether the session has already ended.
    pub(crate) fn watch(&self) -> bool {
        self.0.fetch_or(WATCHED, Ordering::AcqRel) & ENDED != 0
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.0.load(Ordering::Acquire) & WATCHED != 0
    }

    /// The end of the session is counted. Returns whether it was not before.
    pub(crate) fn count_end(&self) -> bool {
        self.0.fetch_or(COUNTED, Ordering::Relaxed) & COUNTED == 0
    }

    /// Records that no request has presented the id of the session yet.
    pub(crate) fn set_unconfirmed(&self) {
        self.0.fetch_or(UNCONFIRMED, Ordering::AcqRel);
    }

    /// Records that a request has presented the id. Returns whether it is the first.
    #[inline]
    pub(crate) fn confirm(&self) -> bool {
        // Almost always it was confirmed long ago.
        self.is_unconfirmed() && self.0.fetch_and(!UNCONFIRMED, Ordering::AcqRel) & UNCONFIRMED != 0
    }

    #[inline]
    pub(crate) fn is_unconfirmed(&self) -> bool {
        self.0.load(Ordering::Relaxed) & UNCONFIRMED != 0
    }
}

impl LastUse {
    pub(crate) fn at(ms: u64) -> Self {
        Self(AtomicU64::new(ms))
    }

    #[inline]
    pub(crate) fn ms(&self) -> u64 {
        self.0.load(Ordering::Relaxed)
    }

    /// Records a use; an earlier time changes nothing.
    #[inline]
    pub(crate) fn note(&self, now_ms: u64) {
        self.0.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// How long the session has been unused at `now_ms`. `None` if it is held, which counts as use and is recorded.
    pub(crate) fn unused_ms(&self, holds: &Holds, now_ms: u64) -> Option<u64> {
        // In this order, because the last hold may be released between the two reads.
        if holds.is_held() {
            self.note(now_ms);
            return None;
        }
        Some(now_ms.saturating_sub(self.ms()))
    }
}
