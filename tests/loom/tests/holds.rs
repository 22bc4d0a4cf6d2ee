//! Holds on a session racing with its expiry, and its end racing with waiters.
#![allow(dead_code, unreachable_pub, reason = "files of a layer, of which not all is used here")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../../../layers/core/src/session/lot.rs"]
mod lot;
#[path = "../../../layers/core/src/session/usage.rs"]
mod usage;

mod sync {
    pub(crate) use loom::sync::{
        Mutex, MutexGuard,
        atomic::{AtomicU32, AtomicU64, Ordering},
    };
}

use std::{collections::BTreeMap, task::Wake};

use loom::{
    model,
    sync::{
        Arc, Mutex,
        atomic::{AtomicU32, Ordering::Relaxed},
    },
    thread,
};
use lot::Lot;
use usage::{Holds, LastUse};

const IDLE_MS: u64 = 10;

/// The parts of a session under test.
struct Session {
    holds: Holds,
    last_use: LastUse,
    lot: Lot,
}

impl Session {
    /// It was last used at 0.
    fn new() -> Arc<Self> {
        let lot = Lot(Mutex::new(BTreeMap::new()));
        Arc::new(Self { holds: Holds::none(), last_use: LastUse::at(0), lot })
    }

    fn unused_ms(&self, now_ms: u64) -> Option<u64> {
        self.last_use.unused_ms(&self.holds, now_ms)
    }

    fn end(&self) {
        if self.holds.end() {
            self.lot.wake(1);
        }
    }
}

#[test]
fn a_session_does_not_idle_out_while_it_is_held_or_when_it_was_just_let_go() {
    model(|| {
        // It was opened long ago, and a request of it is in flight.
        let session = Session::new();
        session.holds.hold();
        let request = {
            let session = Arc::clone(&session);
            thread::spawn(move || {
                session.last_use.note(100);
                session.holds.release();
            })
        };
        let other = {
            let session = Arc::clone(&session);
            thread::spawn(move || {
                session.holds.hold();
                session.holds.release();
            })
        };
        let unused = session.unused_ms(100);
        assert!(unused.is_none_or(|unused| unused < IDLE_MS), "it idled out: {unused:?}");
        request.join().unwrap();
        other.join().unwrap();
        assert!(!session.holds.is_held());
        assert_eq!(session.unused_ms(120), Some(20), "let go, it idles");
    });
}

#[test]
fn an_end_is_told_once_whatever_holds_come_and_go() {
    model(|| {
        let session = Session::new();
        assert!(!session.holds.watch());
        let ends = [0, 1].map(|_| {
            let session = Arc::clone(&session);
            thread::spawn(move || session.holds.end())
        });
        session.holds.hold();
        assert!(session.holds.is_held(), "an end is not the end of a hold");
        session.holds.release();
        let told = ends.map(|end| u32::from(end.join().unwrap())).iter().sum::<u32>();
        assert_eq!(told, 1);
        let holds = &session.holds;
        assert!(holds.is_ended() && holds.is_watched() && !holds.is_held());
    });
}

/// Counts how often it is woken.
#[derive(Default)]
struct Count(AtomicU32);

impl Wake for Count {
    fn wake(self: std::sync::Arc<Self>) {
        self.0.fetch_add(1, Relaxed);
    }
}

#[test]
fn whoever_begins_to_wait_while_the_session_ends_is_woken_or_sees_it() {
    model(|| {
        let session = Session::new();
        let ending = {
            let session = Arc::clone(&session);
            thread::spawn(move || session.end())
        };
        // The last waiter waits for another session, which does not end.
        let other = Holds::none();
        let places = [((1, 0), &session.holds), ((1, 1), &session.holds), ((2, 0), &other)];
        let parked = places.map(|(place, holds)| {
            let count = std::sync::Arc::<Count>::default();
            let has_ended = session.lot.park(place, std::sync::Arc::clone(&count).into(), holds);
            (has_ended, count)
        });
        ending.join().unwrap();
        let [one, two, other] = parked.map(|(has_ended, count)| (has_ended, count.0.load(Relaxed)));
        for (has_ended, times) in [one, two] {
            assert!(has_ended || times == 1, "nobody woke it");
            assert!(times <= 1);
        }
        assert_eq!(other, (false, 0));
    });
}

#[test]
fn whoever_leaves_is_not_left_behind() {
    model(|| {
        let session = Session::new();
        let count = std::sync::Arc::<Count>::default();
        let waker = std::sync::Arc::clone(&count).into();
        assert!(!session.lot.park((1, 0), waker, &session.holds));
        let ending = {
            let session = Arc::clone(&session);
            thread::spawn(move || session.end())
        };
        session.lot.leave((1, 0));
        ending.join().unwrap();
        assert!(count.0.load(Relaxed) <= 1);
        assert!(session.lot.parked().is_empty());
    });
}
