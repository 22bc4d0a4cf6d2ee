//! Notifies waiters that a session has ended.
//!
//! A store may keep a million sessions, but few of them have waiters. So each session has only two bits for this, and
//! wakers are kept in a table of the process, under the address of the session.

use std::{
    collections::BTreeMap,
    fmt,
    pin::Pin,
    sync::{
        Mutex,
        atomic::{AtomicU64, Ordering},
    },
    task::{Context, Poll, Waker},
};

use super::{Session, lot::Lot};

/// Resolves when a session has ended: by its client, by its backend, by expiry, here or at another
/// replica. Made by [`Session::ended`].
///
/// # Cancellation
///
/// Dropping it has no effect on the session.
#[must_use = "futures do nothing unless polled"]
pub struct Ended {
    session: Session,
    parked: Option<Waiting>,
}

/// Where a waker is parked, and the waker itself.
struct Waiting {
    ticket: u64,
    waker: Waker,
}

const LOTS: usize = 32;
static PARKED: [Lot; LOTS] = [const { Lot(Mutex::new(BTreeMap::new())) }; LOTS];
static NEXT_TICKET: AtomicU64 = AtomicU64::new(0);

impl Session {
    /// Resolves when the session has ended. Costs nothing until it is polled. Ends in other processes are noticed
    /// only while the session is held.
    pub fn ended(&self) -> Ended {
        Ended::new(self.clone())
    }
}

impl Ended {
    const fn new(session: Session) -> Self {
        Self { session, parked: None }
    }

    /// The session whose end is awaited.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.session
    }
}

impl Future for Ended {
    type Output = ();

    fn poll(self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<()> {
        let this = self.get_mut();
        if this.session.is_ended() {
            return Poll::Ready(());
        }
        let ticket = match &this.parked {
            // Only the end of the session removes it.
            Some(parked) if parked.waker.will_wake(cx.waker()) => return Poll::Pending,
            Some(parked) => parked.ticket,
            None => NEXT_TICKET.fetch_add(1, Ordering::Relaxed),
        };
        let address = this.session.address();
        let has_ended =
            lot(address).park((address, ticket), cx.waker().clone(), this.session.holds());
        this.parked = Some(Waiting { ticket, waker: cx.waker().clone() });
        if has_ended { Poll::Ready(()) } else { Poll::Pending }
    }
}

impl Drop for Ended {
    fn drop(&mut self) {
        if let Some(parked) = &self.parked {
            let address = self.session.address();
            lot(address).leave((address, parked.ticket));
        }
    }
}

/// Wakes all waiters of the session at `address`.
pub(super) fn wake(address: usize) {
    lot(address).wake(address);
}

#[allow(clippy::indexing_slicing, reason = "the index is reduced modulo the length")]
fn lot(address: usize) -> &'static Lot {
    // Addresses of allocations of equal size differ by multiples of that size.
    let index = (address >> 6) % LOTS;
    &PARKED[index]
}

impl fmt::Debug for Ended {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ended").field("session", &self.session).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc, Barrier,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
        thread,
    };

    use super::*;
    use crate::{
        Key, Record, Route,
        store::{RecordVersion, StoredSession},
    };

    #[derive(Default)]
    struct Count(AtomicUsize);

    impl Wake for Count {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    fn session(id: &str) -> Session {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let route = Route::default();
        Session::new(Key::new(&route, None, id.as_bytes()), record, RecordVersion::FIRST, 1)
    }

    fn poll(ended: &mut Ended, count: &Arc<Count>) -> bool {
        let waker = Waker::from(Arc::clone(count));
        Pin::new(ended).poll(&mut Context::from_waker(&waker)).is_ready()
    }

    fn is_parked(session: &Session) -> bool {
        let address = session.address();
        lot(address).parked().range((address, 0)..=(address, u64::MAX)).next().is_some()
    }

    #[test]
    fn all_who_wait_for_any_version_are_told_once_and_nobody_else() {
        let (first, other) = (session("a"), session("b"));
        let second = first.next_version(first.record().clone());
        let (told, not_told) = (Arc::<Count>::default(), Arc::<Count>::default());
        let (mut one, mut two, mut three) = (first.ended(), second.ended(), other.ended());
        assert!(!poll(&mut one, &told) && !poll(&mut two, &told) && !poll(&mut three, &not_told));
        assert!(!poll(&mut one, &told), "parked once, however often it is polled");
        second.end();
        first.end();
        assert_eq!(told.0.load(Ordering::SeqCst), 2);
        assert_eq!(not_told.0.load(Ordering::SeqCst), 0);
        assert!(first.is_ended() && second.is_ended() && !other.is_ended());
        assert!(poll(&mut one, &told) && poll(&mut two, &told) && !poll(&mut three, &not_told));
        assert!(poll(&mut first.ended(), &told), "a late waiter is notified at once");
        assert!(first.holds().watch() && !other.holds().watch(), "and so is who comes just then");
        let third = second.next_version(first.record().clone());
        assert!(third.is_ended());
    }

    #[test]
    fn another_task_is_woken_instead_and_whoever_leaves_is_forgotten() {
        let session = session("a");
        let (before, after) = (Arc::<Count>::default(), Arc::<Count>::default());
        let mut ended = session.ended();
        assert!(!session.is_watched());
        assert!(!poll(&mut ended, &before) && !poll(&mut ended, &after));
        assert!(session.is_watched());
        let mut left = session.ended();
        assert!(!poll(&mut left, &before));
        drop(left);
        session.end();
        assert_eq!(
            (before.0.load(Ordering::SeqCst), after.0.load(Ordering::SeqCst)),
            (0, 1),
            "only the task that still waits"
        );
        let again = self::session("c");
        let mut ended = again.ended();
        assert!(!poll(&mut ended, &before) && is_parked(&again));
        drop(ended);
        assert!(!is_parked(&again));
    }

    /// The holds of a session and its end share one word.
    #[test]
    fn an_end_is_no_hold_and_a_hold_no_end() {
        let session = session("a");
        let hold = session.hold();
        session.end();
        assert!(session.is_held());
        drop(hold);
        assert!(!session.is_held() && session.is_ended());
        let hold = session.hold();
        assert!(session.is_held() && session.is_ended());
        drop(hold);
    }

    /// A waiter that registers while the session ends is notified.
    #[test]
    fn no_end_is_missed() {
        for _ in 0..500 {
            let session = session("a");
            let (told, both) = (Arc::<Count>::default(), Arc::new(Barrier::new(2)));
            let ending = {
                let (session, both) = (session.clone(), Arc::clone(&both));
                thread::spawn(move || {
                    both.wait();
                    session.end();
                })
            };
            let mut ended = session.ended();
            both.wait();
            let is_ready = poll(&mut ended, &told);
            ending.join().unwrap();
            assert!(is_ready || told.0.load(Ordering::SeqCst) == 1);
            assert!(poll(&mut ended, &told));
        }
    }
}
