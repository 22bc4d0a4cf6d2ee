//! Whether a session is in use, when it was last used, and whether it has ended.
//!
//! All three are read by a store that decides on expiry while requests begin and end. `tests/loom` goes through all
//! orders.

use crate::sync::{AtomicU32, AtomicU64, Ordering};

/// The session has ended.
const ENDED: u32 = 1 << 31;
/// Somebody waits for its end, or did.
const WATCHED: u32 = 1 << 30;
/// No request has shown its id yet.
const UNCONFIRMED: u32 = 1 << 29;
/// All of them: what is left is the number of holds.
const FLAGS: u32 = ENDED | WATCHED | UNCONFIRMED;

/// How many hold a session, whether it has ended, and whether it is confirmed.
#[derive(Debug)]
pub(crate) struct Holds(AtomicU32);

/// When a session was last used, in milliseconds by its store's clock. Apart from [`Holds`], so that neither is padded.
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

    /// One use has ended, and was noted before.
    pub(crate) fn release(&self) {
        self.0.fetch_sub(1, Ordering::Release);
    }

    pub(crate) fn is_held(&self) -> bool {
        // Whoever finds it no longer held also finds the use that was noted before the last hold went.
        self.0.load(Ordering::Acquire) & !FLAGS > 0
    }

    /// The session has ended. Returns whether those who wait for that are still to be woken.
    pub(crate) fn end(&self) -> bool {
        let before = self.0.fetch_or(ENDED, Ordering::AcqRel);
        before & (ENDED | WATCHED) == WATCHED
    }

    pub(crate) fn is_ended(&self) -> bool {
        self.0.load(Ordering::Acquire) & ENDED != 0
    }

    /// Notes that the end is waited for. Returns whether it has come already.
    pub(crate) fn watch(&self) -> bool {
        self.0.fetch_or(WATCHED, Ordering::AcqRel) & ENDED != 0
    }

    pub(crate) fn is_watched(&self) -> bool {
        self.0.load(Ordering::Acquire) & WATCHED != 0
    }

    /// No request has shown the id of the session yet.
    pub(crate) fn set_unconfirmed(&self) {
        self.0.fetch_or(UNCONFIRMED, Ordering::AcqRel);
    }

    /// A request has shown the id. Returns whether it is the first.
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

    /// Notes a use; an earlier one changes nothing.
    #[inline]
    pub(crate) fn note(&self, now_ms: u64) {
        self.0.fetch_max(now_ms, Ordering::Relaxed);
    }

    /// For how long the session has not been used at `now_ms`. None if it is held: that is a use, and is noted.
    pub(crate) fn unused_ms(&self, holds: &Holds, now_ms: u64) -> Option<u64> {
        // In this order: the last hold may go between the two.
        if holds.is_held() {
            self.note(now_ms);
            return None;
        }
        Some(now_ms.saturating_sub(self.ms()))
    }
}
