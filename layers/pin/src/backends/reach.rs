//! What requests report of a backend's reachability.

use std::time::Duration;

use super::{set::Backends, slot::Slot};
use crate::event;

impl Backends {
    pub(crate) fn responded(slot: &Slot) {
        if slot.health().responded() {
            event::back_in_service(slot.backend());
        }
    }

    pub(crate) fn unreachable(&self, slot: &Slot) {
        if slot.health().failed(self.now_ms()) {
            event::out_of_service(slot.backend());
        }
    }

    pub(crate) fn unreachable_for(&self, slot: &Slot) -> Option<Duration> {
        slot.unreachable_for(self.now_ms())
    }
}
