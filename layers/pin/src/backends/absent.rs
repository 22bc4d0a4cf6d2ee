//! Backends that are not in the set although a session names them.
//!
//! One that was seen to leave is gone. One that was never here is unknown: another replica may know it, and it may
//! become known here in a moment.

use std::{
    collections::{HashMap, VecDeque},
    time::Duration,
};

use bartizan_core::BackendId;
use foldhash::fast::RandomState;

/// How many are remembered. The oldest is forgotten first, and counts as never met then, which ends no session.
const REMEMBERED: usize = 4_096;

/// What is known of a backend that is not in the set.
#[allow(clippy::exhaustive_enums, reason = "public for the model of this workspace alone")]
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub enum Absence {
    /// It was seen to leave.
    Gone,
    /// It was never here, and was first asked for a moment ago.
    Unknown,
    /// It was never here, and has been asked for since long ago.
    Foreign,
}

/// Absent backends that are remembered.
#[derive(Debug, Default)]
pub struct Absentees {
    by_id: HashMap<BackendId, Remembered, RandomState>,
    /// By age; may still name some that came back.
    order: VecDeque<BackendId>,
}

#[derive(Clone, Copy, Debug)]
enum Remembered {
    Left,
    /// First asked for at this time, in milliseconds.
    Met(u64),
}

impl Absentees {
    /// It has left the set.
    pub fn left(&mut self, id: &BackendId) {
        self.remember(id, Remembered::Left);
    }

    /// It has joined the set.
    pub fn joined(&mut self, id: &BackendId) {
        self.by_id.remove(id);
    }

    /// A session names it. It counts as unknown for the time `settle`, and as foreign from then on.
    pub fn meet(&mut self, id: &BackendId, now_ms: u64, settle: Duration) -> Absence {
        match self.by_id.get(id) {
            Some(Remembered::Left) => Absence::Gone,
            Some(Remembered::Met(since_ms)) => {
                let known_for = Duration::from_millis(now_ms.saturating_sub(*since_ms));
                if known_for < settle { Absence::Unknown } else { Absence::Foreign }
            }
            None => {
                self.remember(id, Remembered::Met(now_ms));
                if settle.is_zero() { Absence::Foreign } else { Absence::Unknown }
            }
        }
    }

    fn remember(&mut self, id: &BackendId, what: Remembered) {
        if self.by_id.insert(id.clone(), what).is_none() {
            self.order.push_back(id.clone());
        }
        while self.by_id.len() > REMEMBERED || self.order.len() > 2 * REMEMBERED {
            let Some(oldest) = self.order.pop_front() else { break };
            self.by_id.remove(&oldest);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SETTLE: Duration = Duration::from_secs(10);

    fn id(text: &str) -> BackendId {
        text.parse().unwrap()
    }

    #[test]
    fn one_that_was_never_here_is_unknown_at_first_and_foreign_later() {
        let mut absent = Absentees::default();
        assert_eq!(absent.meet(&id("a"), 1, SETTLE), Absence::Unknown);
        assert_eq!(absent.meet(&id("a"), 10_000, SETTLE), Absence::Unknown);
        assert_eq!(absent.meet(&id("a"), 10_001, SETTLE), Absence::Foreign);
        assert_eq!(absent.meet(&id("b"), 10_001, SETTLE), Absence::Unknown, "each by itself");
        assert_eq!(absent.meet(&id("c"), 1, Duration::ZERO), Absence::Foreign);
    }

    #[test]
    fn one_that_left_is_gone_until_it_comes_back() {
        let mut absent = Absentees::default();
        absent.left(&id("a"));
        assert_eq!(absent.meet(&id("a"), 1, SETTLE), Absence::Gone);
        absent.joined(&id("a"));
        assert_eq!(absent.meet(&id("a"), 1, SETTLE), Absence::Unknown);
        absent.left(&id("a"));
        assert_eq!(absent.meet(&id("a"), 1, SETTLE), Absence::Gone, "asked for before it left");
    }

    #[test]
    fn the_oldest_is_forgotten_and_counts_as_never_met() {
        let mut absent = Absentees::default();
        for number in 0..=REMEMBERED {
            absent.left(&id(&number.to_string()));
        }
        assert_eq!(absent.by_id.len(), REMEMBERED);
        assert_eq!(absent.meet(&id("1"), 1, SETTLE), Absence::Gone);
        assert_eq!(absent.meet(&id("0"), 1, SETTLE), Absence::Unknown);
        // Those that come and go leave nothing behind.
        for _ in 0..3 * REMEMBERED {
            absent.left(&id("x"));
            absent.joined(&id("x"));
        }
        assert!(absent.order.len() <= 2 * REMEMBERED);
    }
}
