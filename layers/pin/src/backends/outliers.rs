//! Which backends get no new work because it fails there: the decision over the set.

use std::sync::{Arc, PoisonError};

use bartizan_core::Work;

use super::{
    openings::{Burden, Client, Siblings, Standing, Wish},
    set::{Backends, Set},
    slot::Slot,
    status::DownCause,
    watched::Kind,
};
use crate::{balance::Candidate, outcome::Outcome};

/// New work on its way to a backend. Dropped, it says nothing of it: the client may have left.
pub(crate) struct Ticket {
    backends: Backends,
    slot: Arc<Slot>,
    kind: Kind,
    begun_ms: u64,
    is_settled: bool,
}

impl Backends {
    /// New work is sent to a backend that was chosen for it.
    pub(crate) fn sent(&self, slot: &Arc<Slot>, work: Work) -> Ticket {
        let (kind, begun_ms) = (Kind::of(work), self.now_ms());
        if kind == Kind::Opening {
            let wish = slot.watched(kind).with(|openings| openings.begin(begun_ms));
            self.grant(slot, kind, wish, begun_ms);
        }
        Ticket { backends: self.clone(), slot: Arc::clone(slot), kind, begun_ms, is_settled: false }
    }

    /// Looks at what time has brought about. Returns whether any backend needs a closer look.
    pub(super) fn look(&self, set: &Set, kind: Kind, now_ms: u64) -> bool {
        let mut needs_look = false;
        for slot in &set.slots {
            let watched = slot.watched(kind);
            if watched.is_quiet(now_ms) {
                continue;
            }
            needs_look = true;
            let wish = watched.with(|openings| openings.look(now_ms));
            self.grant(slot, kind, wish, now_ms);
        }
        needs_look
    }

    /// Pauses a backend, or takes it out of service, as long as half of the set stays. One that is merely slow comes
    /// back in exchange for one that fails.
    fn grant(&self, slot: &Slot, kind: Kind, wish: Wish, now_ms: u64) {
        if wish == Wish::Stay {
            return;
        }
        // One at a time: of two that go at once, the second sees that the first has gone.
        let deciding = self.0.deciding.lock().unwrap_or_else(PoisonError::into_inner);
        let set = self.0.set.load();
        let watched = slot.watched(kind);
        let (is_paused, is_certain) =
            watched.with(|openings| (openings.is_paused(), openings.is_certain()));
        let mut has_room = is_paused || has_room_without(slot, &set, kind, now_ms);
        let mut swapped = None;
        if !has_room && is_certain {
            swapped = set
                .slots
                .iter()
                .find(|slot| slot.watched(kind).with(|it| it.is_paused() && !it.is_certain()));
            has_room = swapped.is_some();
        }
        let is_back = swapped.is_some_and(|it| it.watched(kind).with(|it| it.put_back(now_ms)));
        let goes_out =
            has_room && watched.with(|openings| openings.pause(wish == Wish::Out, now_ms));
        drop(deciding);
        if let Some(slot) = swapped
            && is_back
        {
            slot.comes_back(DownCause::FailedOpenings);
        }
        if goes_out {
            slot.goes_out(DownCause::FailedOpenings);
        }
    }

    /// What all backends but this one have answered to work of this kind.
    fn siblings_of(&self, slot: &Slot, kind: Kind, now_ms: u64) -> Siblings {
        let mut siblings = Siblings::default();
        for other in &self.0.set.load().slots {
            if !std::ptr::eq(&**other, slot) {
                other.watched(kind).with(|openings| openings.add_to(&mut siblings, now_ms));
            }
        }
        siblings
    }
}

/// Whether at least half of the backends, rounded up, stay in service without this one.
fn has_room_without(slot: &Slot, set: &Set, kind: Kind, now_ms: u64) -> bool {
    let (mut all, mut out) = (0_usize, 1_usize);
    for other in set.slots.iter().filter(|slot| !slot.occupancy().is_draining()) {
        all += 1;
        let is_out = || {
            !other.takes_new_work(now_ms)
                || other.watched(kind).with(|openings| openings.is_paused())
        };
        if !std::ptr::eq(&**other, slot) && is_out() {
            out += 1;
        }
    }
    out <= all / 2
}

impl Slot {
    /// Whether new work of this kind may be sent, if a closer look is needed.
    pub(super) fn standing(&self, kind: Kind, now_ms: u64) -> Standing {
        let watched = self.watched(kind);
        if watched.is_quiet(now_ms) {
            return Standing::Ready;
        }
        watched.with(|openings| openings.standing(now_ms))
    }

    pub(super) fn burden(&self, kind: Kind, now_ms: u64) -> Burden {
        let watched = self.watched(kind);
        if watched.is_quiet(now_ms) {
            return Burden::default();
        }
        watched.with(|openings| openings.burden())
    }

    /// Claims the right to send new work: while a backend is tried, one request has it.
    pub(super) fn claim(&self, kind: Kind, now_ms: u64) -> bool {
        let watched = self.watched(kind);
        if watched.is_quiet(now_ms) {
            return self.health().claim(now_ms);
        }
        if !watched.with(|openings| openings.claim(now_ms)) {
            return false;
        }
        let is_claimed = self.health().claim(now_ms);
        if !is_claimed {
            watched.with(|openings| openings.release());
        }
        is_claimed
    }
}

impl Ticket {
    /// Says how the work has ended. `client` is asked for after a 4xx alone.
    pub(crate) fn settle(&mut self, outcome: Outcome, client: impl FnOnce() -> Client) {
        if std::mem::replace(&mut self.is_settled, true) {
            return;
        }
        let Self { backends, slot, kind, .. } = self;
        let (kind, watched) = (*kind, slot.watched(*kind));
        let now_ms = backends.now_ms();
        let mut is_back = false;
        let mut must_compare = false;
        let wish = watched.with(|openings| {
            let (was_slow, wish) = match kind {
                Kind::Opening => openings.end(self.begun_ms, now_ms),
                Kind::Other => (false, Wish::Stay),
            };
            match outcome {
                Outcome::Succeeded => {
                    is_back = openings.succeed(was_slow, now_ms);
                    Wish::Stay
                }
                Outcome::Failed => wish.max(openings.fail(was_slow, now_ms)),
                Outcome::Rejected => {
                    must_compare = openings.reject(client(), now_ms);
                    wish
                }
                Outcome::Unknown => {
                    openings.release();
                    wish
                }
            }
        });
        backends.grant(slot, kind, wish, now_ms);
        if must_compare {
            let siblings = backends.siblings_of(slot, kind, now_ms);
            let (wish, back) = watched.with(|openings| openings.compare(&siblings, now_ms));
            is_back = back;
            backends.grant(slot, kind, wish, now_ms);
        }
        if is_back {
            slot.comes_back(DownCause::FailedOpenings);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.is_settled || self.kind != Kind::Opening {
            return;
        }
        let now_ms = self.backends.now_ms();
        let watched = self.slot.watched(self.kind);
        let (_, wish) = watched.with(|openings| openings.end(self.begun_ms, now_ms));
        self.backends.grant(&self.slot, self.kind, wish, now_ms);
    }
}

/// Adds what failed at each candidate to its load. One where most work fails, but which has to stay, bears as much as
/// the busiest of the others: without sessions, it would win by having none.
pub(super) fn burdened<'a>(
    candidates: Vec<Candidate<'a>>,
    burden: impl Fn(&Candidate<'a>) -> Option<Burden>,
) -> Vec<Candidate<'a>> {
    let burdens: Vec<_> =
        candidates.iter().map(|candidate| burden(candidate).unwrap_or_default()).collect();
    let mut busiest = 0;
    if burdens.iter().any(|burden| burden.is_suspect) {
        let sound = candidates.iter().zip(&burdens).filter(|(_, burden)| !burden.is_suspect);
        busiest = sound.map(|(candidate, _)| candidate.load()).max().unwrap_or_default();
    }
    let pairs = candidates.into_iter().zip(burdens);
    pairs
        .map(|(candidate, Burden { failures, is_suspect })| {
            let failures = usize::try_from(failures).unwrap_or(usize::MAX);
            candidate.burden(if is_suspect { busiest.saturating_add(failures) } else { failures })
        })
        .collect()
}
