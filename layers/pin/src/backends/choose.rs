//! Choosing a backend for new work.

use std::{ptr, sync::Arc};

use bartizan_core::{BackendId, Work, store::CountSessions};

use super::{
    openings::Standing,
    outliers::burdened,
    set::{Backends, Set},
    slot::{InFlight, Slot},
    watched::Kind,
};
use crate::balance::{Balance, Candidate};

impl Backends {
    /// Chooses a backend for new work among those that were not `tried`, before anything is dialled.
    ///
    /// One that is out of service is chosen only when there is no other: a try is better than a
    /// refusal. One that is in doubt is chosen only when fewer than half of the set are left without it.
    pub(crate) fn choose(
        &self,
        balance: &dyn Balance,
        work: Work,
        key: Option<&[u8]>,
        tried: &[BackendId],
    ) -> Option<InFlight> {
        loop {
            let slot = self.pick(balance, work, key, tried)?;
            // One that began to drain meanwhile may have left already.
            if let Some(in_flight) = slot.open_unless_draining() {
                return Some(in_flight);
            }
        }
    }

    fn pick(
        &self,
        balance: &dyn Balance,
        work: Work,
        key: Option<&[u8]>,
        tried: &[BackendId],
    ) -> Option<Arc<Slot>> {
        self.reap();
        let now_ms = self.now_ms();
        let set = self.0.set.load();
        let kind = Kind::of(work);
        let needs_look = self.look(&set, kind, now_ms);
        // Work that opens no session does not avoid a backend for those that it has.
        let counts = (work != Work::Free).then_some(&set.counters as &dyn CountSessions);
        let candidates = |is_eligible: &dyn Fn(&Slot) -> bool| -> Vec<_> {
            let untried = set.slots.iter().filter(|slot| !tried.contains(slot.backend().id()));
            let eligible = untried.filter(|slot| is_eligible(slot));
            let mut candidates = Vec::with_capacity(set.slots.len());
            candidates.extend(eligible.map(|slot| Candidate::new(slot.backend(), &**slot, counts)));
            candidates
        };
        let mut in_service = if needs_look {
            let eligible = |even_doubtful: bool| {
                candidates(&|slot| match slot.standing(kind, now_ms) {
                    Standing::Ready => slot.takes_new_work(now_ms),
                    Standing::Doubtful => even_doubtful && slot.takes_new_work(now_ms),
                    Standing::Paused => false,
                })
            };
            let ready = eligible(false);
            let are_enough = ready.len() >= set.slots.len().div_ceil(2);
            let eligible = if are_enough { ready } else { eligible(true) };
            burdened(eligible, |candidate| Some(set.slot_of(candidate)?.burden(kind, now_ms)))
        } else {
            candidates(&|slot| slot.takes_new_work(now_ms))
        };
        while !in_service.is_empty() {
            let index = balance.choose(&in_service, key)?;
            let slot = set.slot_of(in_service.get(index)?)?;
            if slot.claim(kind, now_ms) {
                return Some(Arc::clone(slot));
            }
            // Its time was up, and another request tries it already.
            in_service.remove(index);
        }
        let out_of_service = candidates(&|slot| !slot.occupancy().is_draining());
        let index = balance.choose(&out_of_service, key)?;
        set.slot_of(out_of_service.get(index)?).map(Arc::clone)
    }

    /// Opens work at a backend, if it is in service or the one try that it may have is the caller's.
    pub(crate) fn retry(&self, slot: &Arc<Slot>) -> Option<InFlight> {
        slot.health().claim(self.now_ms()).then(|| slot.open())
    }
}

impl Set {
    /// The slot that `candidate` was made of.
    fn slot_of(&self, candidate: &Candidate<'_>) -> Option<&Arc<Slot>> {
        self.slots.iter().find(|slot| ptr::eq(slot.backend(), candidate.backend()))
    }
}
