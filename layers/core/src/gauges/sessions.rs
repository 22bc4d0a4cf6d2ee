//! The ends of sessions, by cause.
//!
//! The session layer knows why a session is removed, and a store knows which sessions expired. Each counts what it knows
//! with a [`SessionEnds`] per cause, and a session is counted once in a process, whoever is first.

use std::time::Duration;

use super::{Gauges, Histogram, Metric, Reading};
use crate::Session;

/// Sessions that were opened.
pub const OPENED: Metric =
    Metric::counter("bartizan_sessions_opened_total", "Sessions that were opened.");

/// Sessions that ended. The label `cause` says why.
pub const ENDED: Metric = Metric::counter("bartizan_sessions_ended_total", "Sessions that ended.");

/// For how long sessions that ended had been in use. The label `cause` says why they ended.
pub const DURATION: Metric = Metric::histogram(
    "bartizan_session_duration_seconds",
    "Time from the opening of a session to its last request, of sessions that ended.",
);

/// Sessions in a store.
pub const LIVE: Metric = Metric::gauge("bartizan_sessions", "Sessions in the store.");

/// How many there may be.
pub const MAX: Metric =
    Metric::gauge("bartizan_sessions_max", "The maximum number of sessions in the store.");

const fn seconds(seconds: u64) -> Duration {
    Duration::from_secs(seconds)
}

/// A second to a day.
const BOUNDS: &[Duration] = &[
    seconds(1),
    seconds(10),
    seconds(60),
    seconds(5 * 60),
    seconds(15 * 60),
    seconds(30 * 60),
    seconds(60 * 60),
    seconds(2 * 60 * 60),
    seconds(4 * 60 * 60),
    seconds(8 * 60 * 60),
    seconds(24 * 60 * 60),
];

/// Counts the sessions that ended for one cause, and how long they were in use.
///
/// ```
/// use bartizan_core::{
///     Key, Record, Route, Session,
///     gauges::sessions::SessionEnds,
///     store::{RecordVersion, StoredSession},
/// };
///
/// let (idle, delete) = (SessionEnds::new("idle"), SessionEnds::new("delete"));
/// # let (route, record) = (Route::default(), Record::new(Record::IDLE, Record::LIFETIME));
/// # let session = Session::new(Key::new(&route, None, b"id"), record, RecordVersion::FIRST, 0);
/// assert!(delete.add(&session));
/// assert!(!delete.add(&session) && !idle.add(&session), "counted");
/// assert_eq!((delete.count(), idle.count()), (1, 0));
/// ```
#[derive(Debug)]
pub struct SessionEnds {
    cause: &'static str,
    durations: Histogram,
}

impl SessionEnds {
    /// Starts at zero. `cause` is the label, in `snake_case`.
    #[must_use]
    pub fn new(cause: &'static str) -> Self {
        Self { cause, durations: Histogram::new(BOUNDS) }
    }

    /// Counts the end of `session`, unless this process has counted it before, for this or another cause. Returns
    /// whether it did.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn add(&self, session: &Session) -> bool {
        let is_first = session.count_end();
        if is_first {
            self.durations.add(session.age_at_last_use());
        }
        is_first
    }

    /// Counts the end of a session that was never used, and that this process does not know.
    pub fn add_unused(&self) {
        self.durations.add(Duration::ZERO);
    }

    /// How many there were so far.
    #[must_use]
    pub fn count(&self) -> u64 {
        self.durations.count()
    }

    /// Passes the readings of [`ENDED`] and of [`DURATION`] for all of `ends` to `out`.
    pub fn read(ends: &[&Self], out: &mut dyn FnMut(Reading<'_>)) {
        ends.iter().for_each(|it| it.read_count(out));
        ends.iter().for_each(|it| it.read_durations(out));
    }

    /// Passes the reading of [`ENDED`] to `out`.
    pub fn read_count(&self, out: &mut dyn FnMut(Reading<'_>)) {
        out(Reading::new(&ENDED, &[("cause", self.cause)], self.count()));
    }

    /// Passes the reading of [`DURATION`] to `out`.
    pub fn read_durations(&self, out: &mut dyn FnMut(Reading<'_>)) {
        out(Reading::durations(&DURATION, &[("cause", self.cause)], &self.durations));
    }
}

impl Gauges for SessionEnds {
    fn read(&self, out: &mut dyn FnMut(Reading<'_>)) {
        Self::read(&[self], out);
    }
}

#[cfg(test)]
mod tests {
    use std::{sync::Barrier, thread};

    use super::*;
    use crate::{
        Key, Record, Route,
        store::{RecordVersion, StoredSession},
    };

    fn session() -> Session {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        Session::new(Key::new(&Route::default(), None, b"id"), record, RecordVersion::FIRST, 5_000)
    }

    #[test]
    fn a_session_ends_once_whatever_its_version_and_lasts_until_its_last_use() {
        let (idle, delete) = (SessionEnds::new("idle"), SessionEnds::new("delete"));
        let first = session();
        let second = first.next_version(first.record().clone());
        let hold = first.hold();
        second.set_used_ms(17_000);
        assert!(delete.add(&second) && !idle.add(&first) && !delete.add(&second));
        assert!(first.is_held() && !first.is_ended(), "only counted");
        drop(hold);
        assert!(!first.is_held());
        assert_eq!((delete.count(), idle.count()), (1, 0));
        assert_eq!(delete.durations.sum(), Duration::from_secs(12));
        idle.add_unused();
        let mut read = Vec::new();
        SessionEnds::read(&[&idle, &delete], &mut |reading| {
            read.push((reading.metric.name, reading.labels[0].1.to_owned()));
        });
        let expected = [(&ENDED, "idle"), (&ENDED, "delete"), (&DURATION, "idle")];
        let expected = expected.map(|(metric, cause)| (metric.name, cause.to_owned()));
        assert_eq!(read[..3], expected, "the readings of one metric follow each other");
    }

    #[test]
    fn of_many_at_once_one_counts() {
        for _ in 0..100 {
            let (session, ends, both) = (session(), SessionEnds::new("delete"), Barrier::new(2));
            thread::scope(|scope| {
                for _ in 0..2 {
                    scope.spawn(|| {
                        both.wait();
                        ends.add(&session)
                    });
                }
            });
            assert_eq!(ends.count(), 1);
        }
    }
}
