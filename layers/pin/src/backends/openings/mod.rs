//! What new work has shown of a backend: whether it succeeds there.
//!
//! Pure: what was reported, and when, decides. A failure counts as load that decays. A backend where at least half of
//! the recent work failed is paused, as one that refuses a connection is: for 250 ms, then for twice as long after
//! each try that fails, up to ten seconds. With the third failure in a row it is out of service, for a second at
//! least. A success puts it back.
//!
//! A 4xx may be the client's own fault. It counts only if several clients in a row meet it here and the siblings do
//! not answer so; the caller compares.

mod clients;
mod tally;
mod waiting;

pub(crate) use clients::Client;

use clients::Rejected;
use tally::Tally;
use waiting::Waiting;

const FIRST_PAUSE_MS: u64 = 250;
const LONGEST_PAUSE_MS: u64 = 10_000;
/// How many pauses a backend that goes out of service has had at least.
const OUT_AFTER: u32 = 3;
/// For how long a try may take before another request may have one: longer than an opening may.
const TRY_MS: u64 = 2_500;
/// How many failures in a row put a backend out of service, however many successes were before.
const IN_A_ROW: u32 = 3;
/// How soon after its return a failing backend continues with the pauses of the last time.
const RELAPSE_MS: u64 = 10_000;

/// What is known of new work at one backend. Times are milliseconds since the set of backends was made.
#[derive(Debug, Default)]
pub(super) struct Openings {
    tally: Tally,
    failed_in_a_row: u32,
    /// Whether any of these is more than an opening that takes long.
    is_certain: bool,
    rejected: Rejected,
    waiting: Waiting,
    succeeded_ms: u64,
    paused: Option<Pause>,
    /// How many pauses the last time took, and when it ended.
    last: (u32, u64),
}

/// A backend that gets no new work, but for a try when its time is up.
#[derive(Clone, Copy, Debug)]
struct Pause {
    times: u32,
    until_ms: u64,
    /// Until when the one try is taken, in case nothing is heard of it.
    tried_until_ms: u64,
    is_out: bool,
}

/// What should become of a backend.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub(super) enum Wish {
    Stay,
    /// A short rest: so far it may be chance.
    Pause,
    /// It is out of service.
    Out,
}

/// Whether a backend may have new work.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub(super) enum Standing {
    Ready,
    /// Its openings pile up, or it has recently rejected clients and another opening is in flight to it: only if
    /// others are not enough.
    Doubtful,
    Paused,
}

/// How work adds to the load of a backend by having failed there.
#[derive(Clone, Copy, Debug, Default, Eq, PartialEq)]
pub(super) struct Burden {
    pub(super) failures: u32,
    /// At least half of the recent work has failed, though the backend is not paused.
    pub(super) is_suspect: bool,
}

/// What the siblings of a backend have answered.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Siblings {
    succeeded: u32,
    rejected: u32,
    /// When one of them last succeeded.
    succeeded_ms: u64,
}

impl Openings {
    /// Work that asks for a session begins.
    pub(super) fn begin(&mut self, now_ms: u64) -> Wish {
        let wish = self.look(now_ms);
        self.waiting.begin();
        wish
    }

    /// Such work has ended, however it did. Returns whether it was slow.
    pub(super) fn end(&mut self, begun_ms: u64, now_ms: u64) -> (bool, Wish) {
        let wish = self.look(now_ms);
        (self.waiting.end(begun_ms), wish)
    }

    /// Lets time pass: an opening in flight for more than two seconds is a failure.
    pub(super) fn look(&mut self, now_ms: u64) -> Wish {
        self.tally.roll(now_ms);
        let slow = self.waiting.advance(now_ms);
        (0..slow).for_each(|_| self.count_failure(now_ms));
        if slow > 0 { self.wish() } else { Wish::Stay }
    }

    /// The backend did what was asked. Returns whether it was out of service until now.
    pub(super) fn succeed(&mut self, was_slow: bool, now_ms: u64) -> bool {
        self.tally.roll(now_ms);
        self.waiting.answered(now_ms);
        if was_slow {
            self.tally.unfail();
        }
        self.tally.succeed();
        self.succeeded_ms = now_ms;
        (self.failed_in_a_row, self.is_certain) = (0, false);
        self.rejected.clear();
        self.put_back(now_ms)
    }

    /// The backend failed. One that was slow has been counted as a failure.
    pub(super) fn fail(&mut self, was_slow: bool, now_ms: u64) -> Wish {
        self.tally.roll(now_ms);
        self.waiting.answered(now_ms);
        self.is_certain = true;
        if !was_slow {
            self.count_failure(now_ms);
        }
        self.wish()
    }

    /// The backend said 4xx. Returns whether the siblings have to be compared.
    pub(super) fn reject(&mut self, client: Client, now_ms: u64) -> bool {
        self.tally.roll(now_ms);
        self.waiting.answered(now_ms);
        self.tally.reject();
        self.rejected.add(client, now_ms);
        let is_try = self.paused.is_some_and(|paused| paused.until_ms <= now_ms);
        is_try || (self.paused.is_none() && self.rejected.row().0 >= 3)
    }

    /// Decides on a 4xx after a look at the siblings. The other part of the answer is whether the backend was out of
    /// service until now.
    pub(super) fn compare(&mut self, siblings: &Siblings, now_ms: u64) -> (Wish, bool) {
        let (clients, since_ms) = self.rejected.row();
        if self.paused.is_some() {
            // A try. Where siblings reject as much, nothing is wrong with this one.
            if siblings.share_of_rejected() <= 0.2 {
                self.extend(now_ms);
                return (Wish::Stay, false);
            }
            self.rejected.clear();
            return (Wish::Stay, self.put_back(now_ms));
        }
        let is_worse = siblings.succeeded_ms >= since_ms && siblings.would_rarely_reject(clients);
        self.is_certain |= is_worse;
        (if is_worse { Wish::Out } else { Wish::Stay }, false)
    }

    /// Nothing came of a try: another request may have it.
    pub(super) fn release(&mut self) {
        if let Some(paused) = &mut self.paused {
            paused.tried_until_ms = 0;
        }
    }

    /// Gives it no new work for a while, and takes it out of service if `is_out`. Returns whether it was not out of
    /// service before.
    pub(super) fn pause(&mut self, is_out: bool, now_ms: u64) -> bool {
        let paused = self.paused.get_or_insert_with(|| {
            let (times, ended_ms) = self.last;
            let is_relapse = times > 0 && now_ms.saturating_sub(ended_ms) < RELAPSE_MS;
            let times = if is_relapse { times.saturating_add(1) } else { 1 };
            let until_ms = now_ms.saturating_add(pause_ms(times));
            Pause { times, until_ms, tried_until_ms: 0, is_out: false }
        });
        let goes_out = is_out && !paused.is_out;
        if goes_out {
            paused.is_out = true;
            paused.times = paused.times.max(OUT_AFTER);
            paused.until_ms = now_ms.saturating_add(pause_ms(paused.times));
        }
        goes_out
    }

    pub(super) fn standing(&self, now_ms: u64) -> Standing {
        match self.paused {
            Some(paused) if now_ms < paused.until_ms.max(paused.tried_until_ms) => Standing::Paused,
            Some(_) => Standing::Ready,
            None if self.waiting.piles_up(now_ms) => Standing::Doubtful,
            None if self.is_rejecting() && self.waiting.in_flight() > 0 => Standing::Doubtful,
            None => Standing::Ready,
        }
    }

    /// Claims the one try that a paused backend may have; any other belongs to everybody.
    pub(super) fn claim(&mut self, now_ms: u64) -> bool {
        if self.standing(now_ms) == Standing::Paused {
            return false;
        }
        if let Some(paused) = &mut self.paused {
            paused.tried_until_ms = now_ms.saturating_add(TRY_MS);
        }
        true
    }

    pub(super) fn failures(&mut self, now_ms: u64) -> u32 {
        self.tally.roll(now_ms);
        self.tally.failures()
    }

    pub(super) fn burden(&self) -> Burden {
        if self.paused.is_some() {
            // Its try must not wait for the load to decay.
            return Burden::default();
        }
        Burden { failures: self.tally.failures(), is_suspect: self.tally.is_half_failed() }
    }

    pub(super) fn is_paused(&self) -> bool {
        self.paused.is_some()
    }

    /// Whether more is known against it than that openings take long, which may have its cause on this side.
    pub(super) fn is_certain(&self) -> bool {
        self.is_certain
    }

    pub(super) fn is_out(&self) -> bool {
        self.paused.is_some_and(|paused| paused.is_out)
    }

    /// From when on a look changes anything.
    pub(super) fn look_at_ms(&self) -> u64 {
        if self.paused.is_some() || self.tally.failures() > 0 || self.is_rejecting() {
            return 0;
        }
        self.waiting.look_at_ms()
    }

    /// Adds what this backend has answered to what its siblings have.
    pub(super) fn add_to(&mut self, siblings: &mut Siblings, now_ms: u64) {
        self.tally.roll(now_ms);
        let (succeeded, rejected) = self.tally.answers();
        siblings.succeeded = siblings.succeeded.saturating_add(succeeded);
        siblings.rejected = siblings.rejected.saturating_add(rejected);
        siblings.succeeded_ms = siblings.succeeded_ms.max(self.succeeded_ms);
    }

    fn count_failure(&mut self, now_ms: u64) {
        self.tally.fail();
        self.failed_in_a_row = self.failed_in_a_row.saturating_add(1);
        self.extend(now_ms);
    }

    /// Pauses again after a try that failed. A burst that met the same sickness changes nothing.
    fn extend(&mut self, now_ms: u64) {
        if let Some(paused) = &mut self.paused
            && paused.until_ms <= now_ms
        {
            paused.times = paused.times.saturating_add(1);
            paused.until_ms = now_ms.saturating_add(pause_ms(paused.times));
            paused.tried_until_ms = 0;
        }
    }

    /// Lets it have new work again. Returns whether it was out of service until now.
    pub(super) fn put_back(&mut self, now_ms: u64) -> bool {
        let Some(paused) = self.paused.take() else { return false };
        self.tally.forget_failures();
        (self.failed_in_a_row, self.is_certain) = (0, false);
        self.last = (paused.times, now_ms);
        paused.is_out
    }

    /// Whether clients were rejected, more of late than others were served.
    fn is_rejecting(&self) -> bool {
        self.rejected.row().0 > 0 && self.tally.is_mostly_rejected()
    }

    fn wish(&self) -> Wish {
        let is_half_failed = self.tally.is_half_failed();
        if self.failed_in_a_row >= IN_A_ROW || (is_half_failed && self.tally.failures() >= IN_A_ROW)
        {
            Wish::Out
        } else if is_half_failed {
            Wish::Pause
        } else {
            Wish::Stay
        }
    }
}

impl Siblings {
    /// The share of their answers that are 4xx; a half where there are none.
    fn share_of_rejected(&self) -> f64 {
        (f64::from(self.rejected) + 1.0)
            / (f64::from(self.succeeded) + f64::from(self.rejected) + 2.0)
    }

    /// Whether it is improbable, to one in five hundred, that they would have rejected as many clients in a row.
    fn would_rarely_reject(&self, clients: usize) -> bool {
        let clients = i32::try_from(clients).unwrap_or(i32::MAX);
        clients >= 3 && self.share_of_rejected().powi(clients) <= 1.0 / 500.0
    }
}

fn pause_ms(times: u32) -> u64 {
    let doublings = times.saturating_sub(1).min(6);
    (FIRST_PAUSE_MS << doublings).min(LONGEST_PAUSE_MS)
}

#[cfg(test)]
mod tests;
