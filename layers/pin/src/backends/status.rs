//! What an operator sees of a backend.

use bartizan_core::Backend;

use super::{set::Backends, slot::Slot};
use crate::balance::InFlightCount;

/// What a backend is good for just now.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BackendState {
    /// It takes any work.
    Ready,
    /// It keeps its sessions and gets no new ones, until none is left or a deadline has passed.
    Draining,
    /// No connection could be made: it gets no new work for a while. Its sessions are still tried.
    Down,
}

/// A backend as it stands.
#[derive(Clone, Debug)]
pub struct BackendStatus {
    backend: Backend,
    state: BackendState,
    sessions: usize,
    opening: usize,
    failures: u32,
}

impl Backends {
    /// The backends as they stand, in the order they were added.
    #[must_use]
    pub fn snapshot(&self) -> Vec<BackendStatus> {
        self.reap();
        let now_ms = self.now_ms();
        self.0.set.load().slots.iter().map(|slot| self.status(slot, now_ms)).collect()
    }

    fn status(&self, slot: &Slot, now_ms: u64) -> BackendStatus {
        let state = if slot.is_draining() {
            BackendState::Draining
        } else if slot.health().is_out(now_ms) {
            BackendState::Down
        } else {
            BackendState::Ready
        };
        BackendStatus {
            backend: slot.backend().clone(),
            state,
            sessions: self.sessions_on(slot),
            opening: slot.in_flight(),
            failures: slot.health().failures(),
        }
    }
}

impl BackendStatus {
    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// What it is good for just now.
    #[must_use]
    pub fn state(&self) -> BackendState {
        self.state
    }

    /// How many sessions it has; 0 when nobody counts them.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// How much work without a pin is on its way to it.
    #[must_use]
    pub fn opening(&self) -> usize {
        self.opening
    }

    /// How many connections in a row could not be made.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}
