//! The openings at a backend against its drain and removal.
#![allow(dead_code, unreachable_pub, reason = "a file of a layer, of which not all is used here")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../../../layers/pin/src/backends/occupancy.rs"]
mod occupancy;

mod sync {
    pub(crate) use loom::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
}

use loom::{
    model,
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering::Relaxed},
    },
    thread,
};
use occupancy::Occupancy;

/// A backend and the count of its sessions, which takes no lock, so that only the occupancy orders it.
struct Backend {
    occupancy: Occupancy,
    sessions: AtomicUsize,
}

impl Backend {
    fn new() -> Arc<Self> {
        Arc::new(Self { occupancy: Occupancy::new(), sessions: AtomicUsize::new(0) })
    }

    /// Opens a session. Returns whether it was let in.
    fn open(&self) -> bool {
        let is_let_in = self.occupancy.enter_unless_draining();
        if is_let_in {
            self.sessions.fetch_add(1, Relaxed);
            self.occupancy.leave();
        }
        is_let_in
    }

    /// Whether it has drained and leaves.
    fn leaves(&self) -> bool {
        self.occupancy.is_vacant(|| self.sessions.load(Relaxed))
    }
}

#[test]
fn no_session_is_opened_at_a_backend_that_has_drained_and_left() {
    model(|| {
        let backend = Backend::new();
        let opening = {
            let backend = Arc::clone(&backend);
            thread::spawn(move || backend.open())
        };
        let draining = {
            let backend = Arc::clone(&backend);
            thread::spawn(move || backend.occupancy.drain(u64::MAX))
        };
        let has_left = backend.leaves();
        draining.join().unwrap();
        let has_left = has_left || backend.leaves();
        let is_open = opening.join().unwrap();
        assert!(!(is_open && has_left), "it was let in at a backend that has left");
        // Work that was refused does not keep it from leaving.
        assert_eq!(backend.leaves(), !is_open);
        assert_eq!(backend.occupancy.in_flight(), 0);
    });
}

#[test]
fn the_session_of_work_that_was_there_before_the_drain_is_seen() {
    model(|| {
        let backend = Backend::new();
        backend.occupancy.enter();
        let opening = {
            let backend = Arc::clone(&backend);
            thread::spawn(move || {
                // The session outlives the opening, and is counted before the opening ends.
                backend.occupancy.enter();
                backend.occupancy.leave();
                backend.sessions.fetch_add(1, Relaxed);
                backend.occupancy.leave();
            })
        };
        backend.occupancy.drain(u64::MAX);
        assert!(!backend.leaves());
        opening.join().unwrap();
        assert!(!backend.leaves());
    });
}
