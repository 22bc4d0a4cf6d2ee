//! The numbers of a store.
//!
//! | metric | is |
//! |---|---|
//! | `bartizan_sessions`, `bartizan_sessions_max` | sessions over all replicas, approximately; and how many there may be |
//! | `bartizan_sessions_ended_total{cause}` | `evicted` by this replica's inserts; `expired`: idle or past their lifetime, found by this replica |
//! | `bartizan_session_duration_seconds{cause="evicted"}` | zero: those were never used |
//! | `bartizan_store_up` | 1 while the server answers, else 0 |
//! | `bartizan_store_outages_total` | how often it stopped answering |
//! | `bartizan_store_reads_total{result}` | lookups: `hit`, answered from the near-cache; `stale`, the same while the server does not answer; `read`, answered by the server, for all who ask at once; `failed` |
//! | `bartizan_store_seconds{op}` | how long the server and the way to it took, for operations that succeed or fail: `get`, `insert`, `replace`, `remove`, `remove_if_unchanged` |
//! | `bartizan_store_errors_total{kind}` | commands that failed: `timeout`, `unavailable`, `corrupt` |
//!
//! Add up the replicas for the ends of sessions. What expires, the server removes by itself; the replica that takes it out
//! of the counts counts it, a second later at most. A session whose end was not recorded there is counted as expired, too.
//! Sessions that a caller removes are counted by the caller, who knows why.

use std::time::Duration;

use bartizan_core::{
    Session, StoreError,
    gauges::{
        Counter, Gauges, Histogram, Metric, Reading,
        sessions::{ENDED, LIVE, MAX, SessionEnds},
    },
    store::StoreErrorKind,
};
use tokio::time::Instant;

use crate::RedisStore;

const UP: Metric = Metric::gauge("bartizan_store_up", "Whether the server of the store answers.");
const OUTAGES: Metric = Metric::counter(
    "bartizan_store_outages_total",
    "Times that the server of the store stopped answering.",
);
const READS: Metric =
    Metric::counter("bartizan_store_reads_total", "Lookups of sessions, by where they ended.");
const SECONDS: Metric = Metric::histogram(
    "bartizan_store_seconds",
    "Time that operations of the store's server took, with the way to it.",
);
const ERRORS: Metric = Metric::counter(
    "bartizan_store_errors_total",
    "Commands that the server of the store did not answer, or not well.",
);

const fn micros(micros: u64) -> Duration {
    Duration::from_micros(micros)
}

/// 100 µs to 1 s.
const BOUNDS: &[Duration] = &[
    micros(100),
    micros(250),
    micros(500),
    micros(1_000),
    micros(2_500),
    micros(5_000),
    micros(10_000),
    micros(25_000),
    micros(50_000),
    micros(100_000),
    micros(250_000),
    micros(500_000),
    micros(1_000_000),
];

/// What is counted of a store.
#[derive(Debug)]
pub(crate) struct StoreCounts {
    pub(crate) hits: Counter,
    pub(crate) stale: Counter,
    pub(crate) reads: Counter,
    pub(crate) failed: Counter,
    pub(crate) outages: Counter,
    pub(crate) expired: Counter,
    evicted: SessionEnds,
    timeouts: Counter,
    unavailable: Counter,
    corrupt: Counter,
    get: Histogram,
    insert: Histogram,
    replace: Histogram,
    remove: Histogram,
    remove_if_unchanged: Histogram,
}

/// An operation that is timed.
#[derive(Clone, Copy, Debug)]
pub(crate) enum Op {
    Get,
    Insert,
    Replace,
    Remove,
    RemoveIfUnchanged,
}

/// An operation on its way. It does not count if nobody waits for its end.
#[derive(Debug)]
pub(crate) struct Timed<'a> {
    durations: &'a Histogram,
    begun: Instant,
}

impl StoreCounts {
    pub(crate) fn new() -> Self {
        let durations = || Histogram::new(BOUNDS);
        Self {
            hits: Counter::new(),
            stale: Counter::new(),
            reads: Counter::new(),
            failed: Counter::new(),
            outages: Counter::new(),
            expired: Counter::new(),
            evicted: SessionEnds::new("evicted"),
            timeouts: Counter::new(),
            unavailable: Counter::new(),
            corrupt: Counter::new(),
            get: durations(),
            insert: durations(),
            replace: durations(),
            remove: durations(),
            remove_if_unchanged: durations(),
        }
    }

    /// A session has made room for another; none if this replica does not know it.
    pub(crate) fn evicted(&self, session: Option<&Session>) {
        match session {
            Some(session) => drop(self.evicted.add(session)),
            None => self.evicted.add_unused(),
        }
    }

    /// A command has failed.
    pub(crate) fn error(&self, error: &StoreError) {
        match error.kind() {
            StoreErrorKind::Timeout => self.timeouts.add_one(),
            StoreErrorKind::Corrupt => self.corrupt.add_one(),
            _ => self.unavailable.add_one(),
        }
    }

    /// Begins to time an operation.
    pub(crate) fn begin(&self, op: Op) -> Timed<'_> {
        let durations = match op {
            Op::Get => &self.get,
            Op::Insert => &self.insert,
            Op::Replace => &self.replace,
            Op::Remove => &self.remove,
            Op::RemoveIfUnchanged => &self.remove_if_unchanged,
        };
        Timed { durations, begun: Instant::now() }
    }
}

impl Timed<'_> {
    /// The operation has ended, well or not.
    pub(crate) fn end(self) {
        self.durations.add(self.begun.elapsed());
    }
}

impl Gauges for RedisStore {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        let counts = self.store_counts();
        out(Reading::new(&LIVE, &[], self.len() as u64));
        out(Reading::new(&MAX, &[], self.max_sessions() as u64));
        counts.evicted.read_count(out);
        out(Reading::new(&ENDED, &[("cause", "expired")], counts.expired.get()));
        counts.evicted.read_durations(out);
        out(Reading::new(&UP, &[], self.is_ready().into()));
        out(Reading::new(&OUTAGES, &[], counts.outages.get()));
        for (result, count) in [
            ("hit", &counts.hits),
            ("stale", &counts.stale),
            ("read", &counts.reads),
            ("failed", &counts.failed),
        ] {
            out(Reading::new(&READS, &[("result", result)], count.get()));
        }
        for (op, durations) in [
            ("get", &counts.get),
            ("insert", &counts.insert),
            ("replace", &counts.replace),
            ("remove", &counts.remove),
            ("remove_if_unchanged", &counts.remove_if_unchanged),
        ] {
            out(Reading::durations(&SECONDS, &[("op", op)], durations));
        }
        for (kind, count) in [
            ("timeout", &counts.timeouts),
            ("unavailable", &counts.unavailable),
            ("corrupt", &counts.corrupt),
        ] {
            out(Reading::new(&ERRORS, &[("kind", kind)], count.get()));
        }
    }
}
