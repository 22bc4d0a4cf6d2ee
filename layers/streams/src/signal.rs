//! Tells the task that sends a stream that it must end.

use std::{
    fmt,
    sync::{Mutex, MutexGuard, OnceLock, PoisonError},
    task::Waker,
};

/// Why a stream ends.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(crate) enum Cause {
    /// Its session has ended, here or elsewhere.
    SessionEnded,
    /// The lifetime of its session is over.
    SessionExpired,
    /// Its session listens on another one now.
    Replaced,
    /// Its backend is gone.
    BackendGone,
    /// It was ended through the handle.
    Asked,
    /// The server shuts down.
    Leaving,
    /// Its backend has ended it.
    Finished,
    /// Its backend broke off.
    Failed,
}

/// Says once that a stream shall end, or has ended, and why.
#[derive(Debug, Default)]
pub(crate) struct Signal {
    cause: OnceLock<Cause>,
    waiting: Mutex<Option<Waker>>,
}

impl Signal {
    /// Ends the stream, if nobody has done so before; says whether that is so.
    pub(crate) fn raise(&self, cause: Cause) -> bool {
        let is_first = self.cause.set(cause).is_ok();
        if is_first {
            let waker = self.waiting().take();
            if let Some(waker) = waker {
                waker.wake();
            }
        }
        is_first
    }

    pub(crate) fn cause(&self) -> Option<Cause> {
        self.cause.get().copied()
    }

    /// Wakes `waker`, and no other, when the stream shall end. That it shall may have been said meanwhile:
    /// look after this, not before.
    pub(crate) fn wake(&self, waker: &Waker) {
        let before = self.waiting().replace(waker.clone());
        drop(before);
    }

    fn waiting(&self) -> MutexGuard<'_, Option<Waker>> {
        // A panic cannot leave the waker half set.
        self.waiting.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::SessionEnded => "its session has ended",
            Self::SessionExpired => "the lifetime of its session is over",
            Self::Replaced => "its session listens on another one",
            Self::BackendGone => "its backend is gone",
            Self::Asked => "ended by hand",
            Self::Leaving => "the server leaves",
            Self::Finished => "at its end",
            Self::Failed => "broken off by its backend",
        })
    }
}
