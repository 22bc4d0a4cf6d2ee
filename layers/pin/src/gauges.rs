//! The numbers of a set of backends.
//!
//! | metric | is |
//! |---|---|
//! | `bartizan_backend_state{backend,state}` | 1 for the state that the backend is in, else 0: `ready`, `draining`, `down` |
//! | `bartizan_backend_sessions{backend}` | sessions bound to it, if they are [counted](crate::Backends::counted_by) |
//! | `bartizan_backend_opening{backend}` | requests without a pin that are in flight to it |
//! | `bartizan_backend_requests_total{backend,choice}` | requests sent to it: `pinned` there by session, key or cookie; `named` by an outer layer; `chosen` by the policy; `failover`, chosen after another could not be reached |
//! | `bartizan_backend_out_total{backend,cause}`, `bartizan_backend_back_total{backend,cause}` | how often it went out of service for new work, and came back: `unreachable`, `failed_openings`, `probe` |
//! | `bartizan_pins_lost_total{cause}` | requests whose pin led nowhere: `backend_lost`, `out_of_reach` (both answered 404), `backend_404` (the backend does not know a key, where [that removes its pin](crate::PinBackendLayer::lost_on_404)) |
//! | `bartizan_pins_moved_total` | pins of keys that lead to another backend now |

use std::sync::Arc;

use bartizan_core::{
    Reason,
    gauges::{Counter, Gauges, Metric, Reading},
};

use crate::{BackendState, BackendStatus, Backends, DownCause, backends::Slot};

const STATE: Metric =
    Metric::gauge("bartizan_backend_state", "1 for the state that the backend is in, else 0.");
const SESSIONS: Metric =
    Metric::gauge("bartizan_backend_sessions", "Sessions that are bound to the backend.");
const OPENING: Metric = Metric::gauge(
    "bartizan_backend_opening",
    "Requests without a pin that are in flight to the backend.",
);
const REQUESTS: Metric = Metric::counter(
    "bartizan_backend_requests_total",
    "Requests sent to the backend, by how it was chosen.",
);
const OUT: Metric = Metric::counter(
    "bartizan_backend_out_total",
    "Times that the backend went out of service for new work.",
);
const BACK: Metric = Metric::counter(
    "bartizan_backend_back_total",
    "Times that the backend came back into service.",
);
const LOST: Metric = Metric::counter(
    "bartizan_pins_lost_total",
    "Requests whose pin led to a backend that is lost or does not know it.",
);
const MOVED: Metric =
    Metric::counter("bartizan_pins_moved_total", "Pins of keys that moved to another backend.");

/// What is counted of one backend.
#[derive(Debug, Default)]
pub(crate) struct SlotCounts {
    pub(crate) pinned: Counter,
    pub(crate) named: Counter,
    pub(crate) chosen: Counter,
    pub(crate) failover: Counter,
    pub(crate) out: ByCause,
    pub(crate) back: ByCause,
}

/// How often a backend went out of service, or came back, by why.
#[derive(Debug, Default)]
pub(crate) struct ByCause {
    unreachable: Counter,
    failed_openings: Counter,
    probe: Counter,
}

/// What is counted of the pins of a set.
#[derive(Debug, Default)]
pub(crate) struct PinCounts {
    backend_lost: Counter,
    out_of_reach: Counter,
    pub(crate) backend_404: Counter,
    pub(crate) moved: Counter,
}

impl ByCause {
    pub(crate) fn add(&self, cause: DownCause) {
        match cause {
            DownCause::Unreachable => self.unreachable.add_one(),
            DownCause::FailedOpenings => self.failed_openings.add_one(),
            DownCause::Probe => self.probe.add_one(),
        }
    }

    fn all(&self) -> [(&'static str, u64); 3] {
        let Self { unreachable, failed_openings, probe } = self;
        [
            ("unreachable", unreachable.get()),
            ("failed_openings", failed_openings.get()),
            ("probe", probe.get()),
        ]
    }
}

impl PinCounts {
    /// Pinned work is refused for `reason`.
    pub(crate) fn refused(&self, reason: Reason) {
        match reason {
            Reason::BackendLost => self.backend_lost.add_one(),
            Reason::BackendOutOfReach => self.out_of_reach.add_one(),
            // It may be found yet.
            _ => {}
        }
    }
}

/// A backend: its state, and what is counted of it.
type One = (BackendStatus, Arc<Slot>);

impl Gauges for Backends {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        let all = self.statuses();
        by_label(&all, &STATE, "state", states, out);
        by_backend(&all, &SESSIONS, BackendStatus::sessions, out);
        by_backend(&all, &OPENING, BackendStatus::opening, out);
        by_label(&all, &REQUESTS, "choice", choices, out);
        by_label(&all, &OUT, "cause", |(_, slot)| slot.counts().out.all(), out);
        by_label(&all, &BACK, "cause", |(_, slot)| slot.counts().back.all(), out);
        let PinCounts { backend_lost, out_of_reach, backend_404, moved } = self.pin_counts();
        for (cause, count) in [
            ("backend_lost", backend_lost),
            ("out_of_reach", out_of_reach),
            ("backend_404", backend_404),
        ] {
            out(Reading::new(&LOST, &[("cause", cause)], count.get()));
        }
        out(Reading::new(&MOVED, &[], moved.get()));
    }
}

fn by_backend(
    all: &[One],
    metric: &'static Metric,
    level: impl Fn(&BackendStatus) -> usize,
    out: &mut dyn FnMut(Reading<'_>),
) {
    for (status, _) in all {
        let labels = [("backend", status.backend().id().as_str())];
        out(Reading::new(metric, &labels, level(status) as u64));
    }
}

fn by_label<const N: usize>(
    all: &[One],
    metric: &'static Metric,
    label: &'static str,
    numbers: impl Fn(&One) -> [(&'static str, u64); N],
    out: &mut dyn FnMut(Reading<'_>),
) {
    for one in all {
        let id = one.0.backend().id().as_str();
        for (value, number) in numbers(one) {
            out(Reading::new(metric, &[("backend", id), (label, value)], number));
        }
    }
}

fn states((status, _): &One) -> [(&'static str, u64); 3] {
    let is = |state| u64::from(status.state() == state);
    [
        ("ready", is(BackendState::Ready)),
        ("draining", is(BackendState::Draining)),
        ("down", is(BackendState::Down)),
    ]
}

fn choices((_, slot): &One) -> [(&'static str, u64); 4] {
    let SlotCounts { pinned, named, chosen, failover, .. } = slot.counts();
    [
        ("pinned", pinned.get()),
        ("named", named.get()),
        ("chosen", chosen.get()),
        ("failover", failover.get()),
    ]
}
