//! What requests report of a backend's reachability, and what follows for its sessions.

use std::{sync::Arc, time::Duration};

use bartizan_core::{Reason, UpstreamFailure};

use super::{set::Backends, slot::Slot, status::DownCause};
use crate::why;

impl Backends {
    pub(crate) fn responded(slot: &Slot) {
        if slot.health().responded() {
            slot.comes_back(DownCause::Unreachable);
        }
    }

    pub(super) fn connected(slot: &Slot) {
        if slot.health().connected() {
            slot.comes_back(DownCause::Unreachable);
        }
    }

    /// A request could not be sent, since there was no connection. The backend is tried in the background from now on.
    pub(crate) fn unreachable(&self, slot: &Arc<Slot>, failure: UpstreamFailure) {
        self.failed(slot, failure);
        self.watch(slot);
    }

    /// Notes a failure, if it is one to connect.
    pub(super) fn failed(&self, slot: &Slot, failure: UpstreamFailure) {
        if failure.is_unreachable() && slot.health().failed(failure, self.now_ms()) {
            slot.goes_out(DownCause::Unreachable);
        }
    }

    /// Why pinned work is refused that met `failure`, by what was seen of its backend for the time `after`.
    pub(crate) fn loss(
        &self,
        slot: &Slot,
        failure: UpstreamFailure,
        after: Duration,
    ) -> Option<Reason> {
        let (health, now_ms) = (slot.health(), self.now_ms());
        // A request that was not refused may have reached a server that is back.
        let refused_for = health.refused_for(now_ms).filter(|_| failure.is_refused());
        why::unreachable(refused_for, health.unreachable_for(now_ms), after)
    }

    /// Whether no connection could be made for the time `after`, for whatever reason.
    pub(crate) fn is_out_of_reach(&self, slot: &Slot, after: Duration) -> bool {
        slot.health().unreachable_for(self.now_ms()).is_some_and(|time| time >= after)
    }
}
