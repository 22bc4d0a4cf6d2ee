//! The backends that have series of their own.

use std::sync::{
    Arc, Mutex, PoisonError,
    atomic::{AtomicBool, Ordering},
};

use arc_swap::{ArcSwap, Cache};
use bartizan_core::{BackendId, failure::FailureKind, gauges::Reading};

use super::slot::Slot;
use crate::{
    event,
    labels::Labelled,
    names::{BACKEND_FAILURES, BACKEND_SECONDS, OUTCOMES, WORK, WORKS},
};

/// Finds the numbers of a backend. To find is a load and a comparison of addresses for each backend; only a new backend
/// takes a lock.
pub(crate) struct BackendTable {
    max: usize,
    slots: Arc<ArcSwap<Vec<Arc<Slot>>>>,
    /// Held while the slots are changed.
    changing: Mutex<()>,
    other: Arc<Slot>,
    has_warned: AtomicBool,
}

/// The slots as a service saw them last: it costs a comparison to see that they are the same.
pub(super) type Known = Cache<Arc<ArcSwap<Vec<Arc<Slot>>>>, Arc<Vec<Arc<Slot>>>>;

impl BackendTable {
    pub(crate) fn new(max: usize) -> Self {
        Self {
            max,
            slots: Arc::default(),
            changing: Mutex::default(),
            other: Arc::new(Slot::new(None)),
            has_warned: AtomicBool::new(false),
        }
    }

    pub(super) fn known(&self) -> Known {
        Cache::new(Arc::clone(&self.slots))
    }

    /// The slot of `id`; a new one if there is room, else the one that is shared.
    #[inline]
    pub(super) fn slot(&self, id: Option<&BackendId>, known: &mut Known) -> Arc<Slot> {
        let Some(id) = id else { return Arc::clone(&self.other) };
        match known.load().iter().find(|slot| slot.is_same(id)) {
            Some(slot) => Arc::clone(slot),
            None => self.slot_of_other(id),
        }
    }

    /// A backend that is new, or that another one with its id has replaced.
    #[cold]
    fn slot_of_other(&self, id: &BackendId) -> Arc<Slot> {
        let find = |slots: &[Arc<Slot>]| slots.iter().find(|slot| slot.is_of(id)).cloned();
        if let Some(slot) = find(&self.slots.load()) {
            return slot;
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = self.slots.load().to_vec();
        if let Some(slot) = find(&slots) {
            return slot;
        }
        slots.retain(|slot| !slot.is_gone());
        if slots.len() >= self.max {
            if !self.has_warned.swap(true, Ordering::Relaxed) {
                event::too_many_backends(self.max);
            }
            return Arc::clone(&self.other);
        }
        let slot = Arc::new(Slot::new(Some(id.clone())));
        slots.push(Arc::clone(&slot));
        self.slots.store(Arc::new(slots));
        slot
    }

    pub(crate) fn removed(&self, id: &BackendId) {
        if let Some(slot) = self.slots.load().iter().find(|slot| slot.is_of(id)) {
            slot.remove();
        }
    }

    fn forget_gone(&self) {
        if !self.slots.load().iter().any(|slot| slot.is_gone()) {
            return;
        }
        let _changing = self.changing.lock().unwrap_or_else(PoisonError::into_inner);
        let mut slots = self.slots.load().to_vec();
        slots.retain(|slot| !slot.is_gone());
        self.slots.store(Arc::new(slots));
    }

    /// Gives all numbers. Durations that there are none of are left out, and so are the numbers of the shared slot
    /// if it was never used.
    pub(crate) fn read(&self, route: Option<&str>, out: &mut dyn FnMut(Reading<'_>)) {
        self.forget_gone();
        let mut slots = self.slots.load().to_vec();
        if self.other.is_used() {
            slots.push(Arc::clone(&self.other));
        }
        let mut out = Labelled::new(route, out);
        for slot in &slots {
            for (outcome, histogram) in OUTCOMES.iter().zip(&slot.durations) {
                let labels = [("backend", slot.name()), ("outcome", *outcome)];
                out.durations(&BACKEND_SECONDS, &labels, histogram);
            }
        }
        for slot in &slots {
            for (kind, counter) in FailureKind::ALL.iter().zip(&slot.failures) {
                let labels = [("backend", slot.name()), ("kind", kind.as_str())];
                out.count(&BACKEND_FAILURES, &labels, counter);
            }
        }
        for slot in &slots {
            for (work, counter) in WORKS.iter().zip(&slot.work) {
                out.count(&WORK, &[("backend", slot.name()), ("work", *work)], counter);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bartizan_core::Work;
    use tokio::time::advance;

    use super::*;

    impl BackendTable {
        fn slot_now(&self, id: Option<&BackendId>) -> Arc<Slot> {
            self.slot(id, &mut self.known())
        }
    }

    fn id(text: &str) -> BackendId {
        BackendId::new(text).unwrap()
    }

    fn names(table: &BackendTable) -> Vec<String> {
        let mut names = Vec::new();
        table.read(None, &mut |reading| {
            let name = reading.labels[0].1.to_owned();
            if !names.contains(&name) {
                names.push(name);
            }
        });
        names
    }

    #[test]
    fn a_backend_is_found_by_its_address_and_by_its_text() {
        let table = BackendTable::new(2);
        let (a, again) = (id("a"), id("a"));
        let slot = table.slot_now(Some(&a));
        let copy = a.clone();
        assert!(slot.is_same(&copy) && slot.is_same(&a) && !slot.is_same(&again));
        assert!(Arc::ptr_eq(&slot, &table.slot_now(Some(&again))));
        assert!(!Arc::ptr_eq(&slot, &table.slot_now(Some(&id("b")))));
    }

    #[test]
    fn what_finds_no_room_is_counted_together() {
        let table = BackendTable::new(2);
        for at in 0..100 {
            table.slot_now(Some(&id(&format!("backend-{at}")))).sent(Work::Free);
        }
        assert_eq!(names(&table), ["backend-0", "backend-1", "_OTHER"]);
        assert_eq!(table.other.work[1].get(), 98);
        // A request that names no backend.
        assert!(Arc::ptr_eq(&table.slot_now(None), &table.other));
    }

    #[tokio::test(start_paused = true)]
    async fn a_removed_backend_is_shown_for_five_minutes_and_makes_room_then() {
        let table = BackendTable::new(1);
        let (a, b) = (id("a"), id("b"));
        table.slot_now(Some(&a)).sent(Work::Pinned);
        table.removed(&a);
        table.removed(&b);
        advance(Duration::from_secs(299)).await;
        assert_eq!(names(&table), ["a"]);
        // Pinned work is still sent to one that drains: five minutes from then.
        table.slot_now(Some(&a)).sent(Work::Pinned);
        advance(Duration::from_secs(2)).await;
        assert_eq!(names(&table), ["a"]);
        assert!(Arc::ptr_eq(&table.slot_now(Some(&b)), &table.other));
        advance(Duration::from_secs(301)).await;
        assert!(!Arc::ptr_eq(&table.slot_now(Some(&b)), &table.other));
        assert_eq!(names(&table), ["b"]);
    }

    #[tokio::test(start_paused = true)]
    async fn a_backend_that_stays_keeps_its_series_however_idle_it_is() {
        let table = BackendTable::new(1);
        table.slot_now(Some(&id("a"))).sent(Work::Free);
        advance(Duration::from_secs(1_000_000)).await;
        assert_eq!(names(&table), ["a"]);
    }
}
