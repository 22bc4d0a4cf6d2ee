//! Sessions that a store has evicted.

use std::{
    collections::VecDeque,
    fmt,
    sync::{
        Mutex, MutexGuard, PoisonError,
        atomic::{AtomicUsize, Ordering},
    },
};

use crate::{Route, Session};

/// How many evicted sessions are kept. Beyond that, the oldest is forgotten, and must idle out at
/// its backend.
const MOST: usize = 1_024;

/// The sessions that a store has evicted, until a layer takes them to end them at their backends: the last 1,024.
///
/// Stores use it to implement [`SessionStore::take_evicted`](super::SessionStore::take_evicted).
#[derive(Default)]
pub struct Evicted {
    // So that a call takes no lock if there is nothing to take.
    len: AtomicUsize,
    sessions: Mutex<VecDeque<Session>>,
}

impl Evicted {
    /// Adds a session that was evicted.
    pub fn add(&self, session: Session) {
        let mut sessions = self.lock();
        sessions.push_back(session);
        if sessions.len() > MOST {
            sessions.pop_front();
        }
        self.len.store(sessions.len(), Ordering::Release);
    }

    /// Takes the session of `route` that was evicted first. Costs one atomic load if there is none.
    #[must_use]
    pub fn take(&self, route: &Route) -> Option<Session> {
        if self.len.load(Ordering::Acquire) == 0 {
            return None;
        }
        let mut sessions = self.lock();
        let place = sessions.iter().position(|session| session.key().route == route)?;
        let session = sessions.remove(place);
        self.len.store(sessions.len(), Ordering::Release);
        session
    }

    fn lock(&self) -> MutexGuard<'_, VecDeque<Session>> {
        // A panic while the lock was held leaves consistent data, because each change is one step.
        self.sessions.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl fmt::Debug for Evicted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Evicted").field("len", &self.len).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use crate::{
        Key, Record,
        store::{RecordVersion, StoredSession},
    };

    use super::*;

    #[test]
    fn each_route_takes_its_own_and_there_is_a_bound() {
        let (evicted, here, there) = (Evicted::default(), Route::new("a"), Route::new("b"));
        let add = |route: &Route, n: usize| {
            let record = Record::new(Record::IDLE, Record::LIFETIME);
            let id = n.to_string();
            let key = Key::new(route, None, id.as_bytes());
            evicted.add(Session::new(key, record, RecordVersion::FIRST, 0));
        };
        assert!(evicted.take(&here).is_none());
        add(&there, 0);
        add(&here, 1);
        assert_eq!(evicted.take(&here).unwrap().id(), b"1");
        assert!(evicted.take(&here).is_none());
        for n in 1..=MOST {
            add(&there, n);
        }
        assert_eq!(evicted.take(&there).unwrap().id(), b"1", "the oldest is forgotten");
        assert_eq!(evicted.lock().len(), MOST - 1);
    }
}
