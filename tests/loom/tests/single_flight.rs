//! Attempts that one request makes and others wait for.
#![allow(dead_code, unreachable_pub, reason = "a file of a layer, of which not all is used here")]
#![allow(
    clippy::expect_used,
    clippy::panic,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

#[path = "../../../layers/resume/src/replay/single_flight.rs"]
mod single_flight;

/// Replaces the file of the layer, which waits in a task.
mod follow {
    use crate::sync::watch;

    #[derive(Clone)]
    pub(crate) struct Follow<V>(pub(super) watch::Receiver<Option<V>>);

    impl<V: Clone> Follow<V> {
        /// The outcome; `None` if its lead was dropped without one.
        pub(crate) fn outcome(self) -> Option<V> {
            self.0.wait_for(Option::is_some).flatten()
        }
    }
}

mod sync {
    pub(crate) use loom::sync::{Mutex, MutexGuard};

    /// The used part of tokio's channel of this name, with threads in place of tasks.
    pub(crate) mod watch {
        use loom::sync::{Arc, Condvar, Mutex};

        struct Shared<T> {
            state: Mutex<State<T>>,
            changed: Condvar,
        }

        struct State<T> {
            value: T,
            is_closed: bool,
        }

        pub(crate) struct Sender<T>(Arc<Shared<T>>);
        pub(crate) struct Receiver<T>(Arc<Shared<T>>);

        pub(crate) fn channel<T>(value: T) -> (Sender<T>, Receiver<T>) {
            let state = Mutex::new(State { value, is_closed: false });
            let shared = Arc::new(Shared { state, changed: Condvar::new() });
            (Sender(Arc::clone(&shared)), Receiver(shared))
        }

        impl<T> Sender<T> {
            pub(crate) fn send_replace(&self, value: T) {
                self.0.state.lock().unwrap().value = value;
                self.0.changed.notify_all();
            }

            pub(crate) fn subscribe(&self) -> Receiver<T> {
                Receiver(Arc::clone(&self.0))
            }
        }

        impl<T> Drop for Sender<T> {
            fn drop(&mut self) {
                self.0.state.lock().unwrap().is_closed = true;
                self.0.changed.notify_all();
            }
        }

        impl<T> Receiver<T> {
            pub(crate) fn same_channel(&self, other: &Self) -> bool {
                Arc::ptr_eq(&self.0, &other.0)
            }
        }

        impl<T: Clone> Receiver<T> {
            /// `None` if the sender is gone and the condition can never hold.
            pub(crate) fn wait_for(&self, is_it: impl Fn(&T) -> bool) -> Option<T> {
                let mut state = self.0.state.lock().unwrap();
                while !is_it(&state.value) && !state.is_closed {
                    state = self.0.changed.wait(state).unwrap();
                }
                is_it(&state.value).then(|| state.value.clone())
            }
        }

        impl<T> Clone for Receiver<T> {
            fn clone(&self) -> Self {
                Self(Arc::clone(&self.0))
            }
        }
    }
}

use std::sync::Arc;

use loom::{
    model,
    model::Builder,
    sync::atomic::{AtomicU32, Ordering::SeqCst},
    thread,
};
use single_flight::{Part, SingleFlight};

type Flights = SingleFlight<u8, u32>;

/// Requests that join at the same time: only one of them leads.
fn join_at_once<const OTHERS: usize>() {
    let flights = Arc::<Flights>::default();
    let (running, made) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
    let request = {
        let (flights, running, made) =
            (Arc::clone(&flights), Arc::clone(&running), Arc::clone(&made));
        move || match flights.join(1) {
            Part::Lead(lead) => {
                assert_eq!(running.fetch_add(1, SeqCst), 0, "two lead at once");
                let outcome = made.fetch_add(1, SeqCst) + 1;
                running.fetch_sub(1, SeqCst);
                lead.publish(outcome);
                outcome
            }
            Part::Follow(follow) => follow.outcome().expect("the lead published"),
        }
    };
    let others = [(); OTHERS].map(|()| thread::spawn(request.clone()));
    let outcome = request();
    let outcomes = others.map(|other| other.join().unwrap());
    let made = made.load(SeqCst);
    assert!(outcomes.iter().chain([&outcome]).all(|outcome| (1..=made).contains(outcome)));
    assert_eq!(flights.len(), 0);
}

#[test]
fn one_leads_at_a_time_and_the_other_gets_its_outcome() {
    model(join_at_once::<1>);
}

#[test]
fn one_of_three_leads_at_a_time() {
    // All interleavings would take minutes.
    let mut bounded = Builder::new();
    bounded.preemption_bound = Some(3);
    bounded.check(join_at_once::<2>);
}

#[test]
fn whoever_learns_that_the_lead_was_dropped_may_lead() {
    model(|| {
        let flights = Arc::<Flights>::default();
        let Part::Lead(lead) = flights.join(1) else { panic!("the first leads") };
        let dropping = thread::spawn(move || drop(lead));
        match flights.join(1) {
            Part::Lead(lead) => assert!(lead.is_current()),
            Part::Follow(follow) => {
                assert_eq!(follow.outcome(), None);
                assert!(matches!(flights.join(1), Part::Lead(_)), "it follows a dead attempt");
            }
        }
        dropping.join().unwrap();
        assert_eq!(flights.len(), 0);
    });
}

#[test]
fn the_end_of_an_attempt_that_was_called_off_is_not_that_of_the_next() {
    model(|| {
        let flights = Arc::<Flights>::default();
        let Part::Lead(first) = flights.join(1) else { panic!("the first leads") };
        let first = thread::spawn(move || first.publish(1));
        flights.call_off(|key| *key == 1);
        let Part::Lead(next) = flights.join(1) else { panic!("the next leads, too") };
        assert!(next.is_current());
        first.join().unwrap();
        assert!(next.is_current(), "the end of the first was taken for its own");
        let Some(follow) = flights.follow(&1) else { panic!("it is on its way") };
        next.publish(2);
        assert_eq!(follow.outcome(), Some(2));
        assert_eq!(flights.len(), 0);
    });
}

#[test]
fn a_lead_that_was_called_off_finds_out() {
    model(|| {
        let flights = Arc::<Flights>::default();
        let Part::Lead(lead) = flights.join(1) else { panic!("the first leads") };
        // The session is ended first and the attempt cancelled afterwards. The lead writes first and checks afterwards.
        let (ended, written) = (Arc::new(AtomicU32::new(0)), Arc::new(AtomicU32::new(0)));
        let ending = {
            let (flights, ended, written) =
                (Arc::clone(&flights), Arc::clone(&ended), Arc::clone(&written));
            thread::spawn(move || {
                ended.store(1, SeqCst);
                flights.call_off(|_| true);
                written.load(SeqCst) == 1
            })
        };
        written.store(1, SeqCst);
        let knows = !lead.is_current();
        lead.publish(1);
        let is_seen = ending.join().unwrap();
        assert!(knows || is_seen, "neither knows of the other");
    });
}
