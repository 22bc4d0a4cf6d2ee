//! What probes have shown of a backend.

use std::sync::{
    Arc, Weak,
    atomic::{AtomicBool, AtomicU32, Ordering},
};

use super::{
    set::{Backends, SharedSet},
    slot::Slot,
    status::DownCause,
};
/// A handle on the set of backends that does not keep it.
#[derive(Clone)]
pub(crate) struct WeakBackends(Weak<SharedSet>);

impl WeakBackends {
    pub(crate) fn upgrade(&self) -> Option<Backends> {
        self.0.upgrade().map(Backends)
    }
}

impl Backends {
    pub(crate) fn downgrade(&self) -> WeakBackends {
        WeakBackends(Arc::downgrade(&self.0))
    }

    pub(crate) fn slots(&self) -> Vec<Arc<Slot>> {
        self.0.set.load().slots.clone()
    }

    /// A probe of a backend has ended.
    pub(crate) fn probed(
        &self,
        slot: &Arc<Slot>,
        is_healthy: bool,
        down_after: u32,
        up_after: u32,
    ) {
        let change = slot.probed().record(is_healthy, down_after, up_after);
        let is_there = || self.0.set.load().slots.iter().any(|other| Arc::ptr_eq(other, slot));
        match change {
            Some(true) if is_there() => slot.goes_out(DownCause::Probe),
            Some(false) if is_there() => slot.comes_back(DownCause::Probe),
            _ => {}
        }
    }

    /// No more probes come.
    pub(crate) fn forget_probes(&self) {
        for slot in &self.0.set.load().slots {
            if slot.probed().forget() {
                slot.comes_back(DownCause::Probe);
            }
        }
    }
}

/// Written by one task, the one that probes.
#[derive(Debug, Default)]
pub(super) struct Probed {
    is_down: AtomicBool,
    /// How many probes in a row speak against what `is_down` says.
    against: AtomicU32,
}

impl Probed {
    pub(super) fn is_down(&self) -> bool {
        self.is_down.load(Ordering::Relaxed)
    }

    /// A probe has ended. Returns whether that takes the backend out of service (`Some(true)`) or puts it back. It takes
    /// as many that agree as `down_after` and `up_after` say.
    pub(super) fn record(&self, is_healthy: bool, down_after: u32, up_after: u32) -> Option<bool> {
        let is_down = self.is_down();
        if is_healthy != is_down {
            self.against.store(0, Ordering::Relaxed);
            return None;
        }
        let against = self.against.load(Ordering::Relaxed).saturating_add(1);
        let needed = if is_down { up_after } else { down_after };
        if against < needed {
            self.against.store(against, Ordering::Relaxed);
            return None;
        }
        self.against.store(0, Ordering::Relaxed);
        self.is_down.store(!is_down, Ordering::Relaxed);
        Some(!is_down)
    }

    /// Forgets what probes have shown. Returns whether it was down.
    pub(super) fn forget(&self) -> bool {
        self.against.store(0, Ordering::Relaxed);
        self.is_down.swap(false, Ordering::Relaxed)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn as_many_probes_in_a_row_as_needed_change_the_state() {
        let probed = Probed::default();
        let mut states = Vec::new();
        for is_healthy in [true, false, true, false, false, false, true, false, true, true, true] {
            states.push((probed.record(is_healthy, 2, 2), probed.is_down()));
        }
        let none = |is_down| (None, is_down);
        assert_eq!(states[..4], [none(false), none(false), none(false), none(false)]);
        assert_eq!(states[4..8], [(Some(true), true), none(true), none(true), none(true)]);
        assert_eq!(states[8..], [none(true), (Some(false), false), none(false)]);
        assert!(!probed.forget());
        assert_eq!(probed.record(false, 1, 1), Some(true));
        assert!(probed.forget() && !probed.is_down());
    }
}
