//! What an operator sees of a backend.

use std::sync::Arc;

use bartizan_core::Backend;

use super::{set::Backends, slot::Slot, watched::Kind};
use crate::balance::InFlightCount;

/// The state of a backend.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum BackendState {
    /// It takes any work.
    Ready,
    /// It keeps its sessions and gets no new ones, until none is left or a deadline has passed.
    Draining,
    /// It is out of service: it gets no new work for a while. Its sessions are still tried.
    /// [`BackendStatus::cause`] states why.
    Down,
}

/// Why a backend is out of service.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[non_exhaustive]
pub enum DownCause {
    /// No connection could be made.
    Unreachable,
    /// New work failed there.
    FailedOpenings,
    /// Its probes failed ([`Backends::probe`]).
    Probe,
}

impl DownCause {
    /// The cause as a word, for logs and metrics: `unreachable`, `failed-openings`, `probe`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Unreachable => "unreachable",
            Self::FailedOpenings => "failed-openings",
            Self::Probe => "probe",
        }
    }
}

/// A backend and its current state.
#[derive(Clone, Debug)]
pub struct BackendStatus {
    backend: Backend,
    state: BackendState,
    sessions: usize,
    opening: usize,
    failures: u32,
    failed_openings: u32,
    cause: Option<DownCause>,
}

impl Backends {
    /// The backends and their current states, in the order in which they were added.
    #[must_use]
    pub fn snapshot(&self) -> Vec<BackendStatus> {
        self.statuses().into_iter().map(|(status, _)| status).collect()
    }

    /// The same, each with its slot.
    pub(crate) fn statuses(&self) -> Vec<(BackendStatus, Arc<Slot>)> {
        self.reap();
        let now_ms = self.now_ms();
        let set = self.0.set.load();
        set.slots.iter().map(|slot| (self.status(slot, now_ms), Arc::clone(slot))).collect()
    }

    fn status(&self, slot: &Slot, now_ms: u64) -> BackendStatus {
        let watched = [Kind::Opening, Kind::Other].map(|kind| slot.watched(kind));
        let cause = if slot.health().is_out(now_ms) {
            Some(DownCause::Unreachable)
        } else if slot.probed().is_down() {
            Some(DownCause::Probe)
        } else {
            let is_out = watched.iter().any(|watched| watched.with(|openings| openings.is_out()));
            is_out.then_some(DownCause::FailedOpenings)
        };
        let state = match cause {
            _ if slot.occupancy().is_draining() => BackendState::Draining,
            Some(_) => BackendState::Down,
            None => BackendState::Ready,
        };
        let failed = watched.map(|watched| watched.with(|openings| openings.failures(now_ms)));
        BackendStatus {
            backend: slot.backend().clone(),
            state,
            sessions: self.sessions_on(slot),
            opening: slot.in_flight(),
            failures: slot.health().failures(),
            failed_openings: failed.iter().sum(),
            cause,
        }
    }
}

impl BackendStatus {
    /// The backend.
    #[must_use]
    pub fn backend(&self) -> &Backend {
        &self.backend
    }

    /// Its current state.
    #[must_use]
    pub fn state(&self) -> BackendState {
        self.state
    }

    /// How many sessions it has; 0 if sessions are not counted.
    #[must_use]
    pub fn sessions(&self) -> usize {
        self.sessions
    }

    /// How many requests without a pin are in flight to it.
    #[must_use]
    pub fn opening(&self) -> usize {
        self.opening
    }

    /// Why it is out of service; none if it is not.
    #[must_use]
    pub fn cause(&self) -> Option<DownCause> {
        self.cause
    }

    /// How much new work recently failed there. The count halves every five seconds.
    #[must_use]
    pub fn failed_openings(&self) -> u32 {
        self.failed_openings
    }

    /// How many connections in a row could not be made.
    #[must_use]
    pub fn failures(&self) -> u32 {
        self.failures
    }
}
