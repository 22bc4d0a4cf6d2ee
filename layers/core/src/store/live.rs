//! The live sessions of this process, for a store that keeps its records elsewhere.

use std::{
    collections::{HashMap, hash_map::Entry},
    fmt,
    sync::{Mutex, MutexGuard, PoisonError},
};

use super::{Key, OwnedKey, RecordVersion, StoredSession};
use crate::{Record, Session, session::WeakSession};

/// The live sessions of this process: for a store that keeps its records elsewhere.
///
/// Calls and streams [hold](Session::hold) a session and wait for [its end](Session::ended). So every read of the same
/// session in this process must return the same [`Session`], or a version of it. Such a store passes each record that
/// it reads to [`Self::adopt`], and calls [`Self::end`] when it learns that a session has ended.
///
/// It does not keep sessions alive: a session that nothing in this process uses is forgotten, and created again by the
/// next read. So it needs no limit. Each call takes one lock, and never waits for anything else.
///
/// ```
/// use bartizan_core::{
///     Key, Record, Route,
///     store::{LiveSessions, RecordVersion, StoredRecord},
/// };
///
/// let (live, route) = (LiveSessions::default(), Route::default());
/// let key = Key::new(&route, None, b"id");
/// // What a database has of the session, read twice:
/// let record = Record::new(Record::IDLE, Record::LIFETIME);
/// let row = StoredRecord::new(record, RecordVersion::FIRST, 1_000);
/// let (one, other) = (live.adopt(key, row.clone()), live.adopt(key, row));
///
/// let hold = one.hold();
/// assert!(other.is_held());
/// live.end(key);
/// assert!(one.is_ended() && other.is_ended());
/// # drop(hold);
/// ```
#[derive(Default)]
pub struct LiveSessions(Mutex<Table>);

/// A session as it is stored: its record, its version and its times.
#[derive(Clone, Debug)]
pub struct StoredRecord {
    record: Record,
    version: RecordVersion,
    born_ms: u64,
    used_ms: u64,
}

#[derive(Default)]
struct Table {
    by_key: HashMap<OwnedKey, Known>,
    /// The number of entries at which unused ones are removed.
    sweep_at: usize,
}

struct Known {
    /// Valid while any version of the session exists.
    first: WeakSession,
    latest: WeakSession,
}

/// A smaller table is not swept.
const SMALL: usize = 64;

impl StoredRecord {
    /// Describes a session whose record was inserted at `born_ms` (milliseconds on the store's own clock), which
    /// distinguishes it from an earlier session with the same key.
    #[must_use]
    pub fn new(record: Record, version: RecordVersion, born_ms: u64) -> Self {
        Self { record, version, born_ms, used_ms: born_ms }
    }

    /// States when the session was last used, on the same clock. Default: when it was inserted.
    #[must_use]
    pub fn used_ms(self, used_ms: u64) -> Self {
        Self { used_ms, ..self }
    }
}

impl LiveSessions {
    /// Returns the session for a record that a store has read or written: the one that this process knows already, a
    /// later version of it, or a new one. If the known session was inserted at another time, it has ended. Call this
    /// in the order of the store's answers, for example under the lock of the connection.
    pub fn adopt(&self, key: Key<'_>, stored: StoredRecord) -> Session {
        let (mut gone, used_ms) = (None, stored.used_ms);
        let mut table = self.lock();
        let session = match table.by_key.entry(key.into()) {
            Entry::Occupied(mut entry) => {
                let known = entry.get().session();
                let session = match known {
                    Some(known) if known.born_ms() == stored.born_ms => {
                        known.as_stored(stored.record, stored.version)
                    }
                    known => {
                        gone = known;
                        stored.session(key)
                    }
                };
                entry.insert(Known::of(&session));
                session
            }
            Entry::Vacant(entry) => {
                let session = stored.session(key);
                entry.insert(Known::of(&session));
                session
            }
        };
        session.set_used_ms(used_ms);
        table.sweep();
        drop(table);
        if let Some(gone) = gone {
            gone.end();
        }
        session
    }

    /// The session of `key`, if anything in this process uses it: to hold it, or to note or see its use, which all
    /// versions share.
    ///
    /// Its record may be that of an earlier version, if nothing uses the later ones any more: what depends on the record,
    /// such as the idle time, must be decided by what [`Self::adopt`] returns.
    #[must_use]
    pub fn get(&self, key: Key<'_>) -> Option<Session> {
        self.lock().by_key.get(&key.into())?.session()
    }

    /// Ends the session of `key`: forgets it, and notifies all futures that wait for its end.
    pub fn end(&self, key: Key<'_>) {
        let known = self.lock().by_key.remove(&key.into());
        if let Some(session) = known.and_then(|known| known.session()) {
            session.end();
        }
    }

    /// Lists the sessions that a call or a stream [holds](Session::hold). A store records their use at intervals, so
    /// that they do not idle out, and checks that they still exist. Costs a pass over the table.
    #[must_use]
    pub fn held(&self) -> Vec<Session> {
        let sessions = self.lock().by_key.values().filter_map(Known::session).collect::<Vec<_>>();
        sessions.into_iter().filter(Session::is_held).collect()
    }

    fn lock(&self) -> MutexGuard<'_, Table> {
        // A panic while the lock was held leaves consistent data, because each change is one step.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoredRecord {
    fn session(self, key: Key<'_>) -> Session {
        Session::new(key, self.record, self.version, self.born_ms)
    }
}

impl Known {
    fn of(session: &Session) -> Self {
        Self { first: session.first_version(), latest: session.downgrade() }
    }

    /// The latest version, or the first if only earlier ones are in use.
    fn session(&self) -> Option<Session> {
        self.latest.upgrade().or_else(|| self.first.upgrade())
    }
}

impl Table {
    /// Forgets sessions that nothing uses any more. Costs a pass over the table each time its size has doubled.
    fn sweep(&mut self) {
        if self.by_key.len() < self.sweep_at.max(SMALL) {
            return;
        }
        self.by_key.retain(|_, known| known.first.is_in_use());
        self.sweep_at = self.by_key.len().saturating_mul(2);
    }
}

impl fmt::Debug for LiveSessions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LiveSessions").field("len", &self.lock().by_key.len()).finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::Route;

    fn record() -> Record {
        Record::new(Record::IDLE, Record::LIFETIME)
    }

    fn row(version: u32, born_ms: u64) -> StoredRecord {
        StoredRecord::new(record(), version.into(), born_ms)
    }

    #[test]
    fn all_that_is_read_of_one_session_is_one_session() {
        let (live, route) = (LiveSessions::default(), Route::default());
        let key = Key::new(&route, None, b"id");
        assert!(live.get(key).is_none());
        let first = live.adopt(key, row(1, 7));
        let hold = first.hold();
        let again = live.adopt(key, row(1, 7));
        assert!(again.is_held() && again.version() == first.version());
        let second = live.adopt(key, row(2, 7));
        assert_eq!((second.version(), second.born_ms()), (2.into(), 7));
        assert!(second.is_held() && live.get(key).unwrap().version() == 2.into());
        // The latest version is dropped and only the first is held: it is still the same session.
        drop((first, again, second));
        let third = live.adopt(key, row(3, 7));
        assert!(third.is_held());
        assert_eq!(live.held().len(), 1);
        drop(hold);
        assert!(!third.is_held() && live.held().is_empty());
    }

    #[test]
    fn an_end_reaches_every_version_and_a_later_session_of_the_key_is_another() {
        let (live, route) = (LiveSessions::default(), Route::default());
        let (key, other) = (Key::new(&route, None, b"id"), Key::new(&route, None, b"other"));
        let (first, bystander) = (live.adopt(key, row(1, 7)), live.adopt(other, row(1, 7)));
        let second = live.adopt(key, row(2, 7));
        live.end(key);
        assert!(first.is_ended() && second.is_ended() && !bystander.is_ended());
        assert!(live.get(key).is_none() && live.get(other).is_some());
        let opened = live.adopt(key, row(1, 8));
        assert!(!opened.is_ended());
        // Another replica has ended the session, and a session with the same key was opened again.
        let replaced = live.adopt(key, row(1, 9));
        assert!(opened.is_ended() && !replaced.is_ended());
    }

    /// After a restart, only the stored last use is known.
    #[test]
    fn the_last_use_is_the_later_of_the_stored_and_the_known_one() {
        let (live, route) = (LiveSessions::default(), Route::default());
        let key = Key::new(&route, None, b"id");
        let session = live.adopt(key, row(1, 7).used_ms(70));
        assert_eq!(session.used_ms(), 70);
        session.set_used_ms(80);
        assert_eq!(live.adopt(key, row(2, 7).used_ms(75)).used_ms(), 80);
        live.adopt(key, row(2, 7).used_ms(90));
        assert_eq!(session.used_ms(), 90);
    }

    #[test]
    fn what_nothing_uses_is_forgotten() {
        let (live, route) = (LiveSessions::default(), Route::default());
        let kept = live.adopt(Key::new(&route, None, b"kept"), row(1, 7));
        for n in 0..10_000_u32 {
            drop(live.adopt(Key::new(&route, None, &n.to_be_bytes()), row(1, 7)));
            assert!(live.lock().by_key.len() <= SMALL);
        }
        assert_eq!(live.get(kept.key()).unwrap().born_ms(), 7);
    }

    #[test]
    fn a_session_is_known_while_any_version_of_it_is_in_use() {
        let (live, route) = (LiveSessions::default(), Route::default());
        let key = Key::new(&route, None, b"id");
        let hold = live.adopt(key, row(1, 7)).hold();
        // The version that was read last is dropped, and unused entries are removed.
        drop(live.adopt(key, row(2, 7)));
        for n in 0..1_000_u32 {
            drop(live.adopt(Key::new(&route, None, &n.to_be_bytes()), row(1, 7)));
        }
        assert!(live.get(key).is_some_and(|known| known.is_held()));
        live.end(key);
        assert!(hold.session().is_ended());
    }

    #[test]
    fn what_nothing_uses_is_looked_for_when_the_table_has_doubled() {
        let (live, route) = (LiveSessions::default(), Route::default());
        let mut kept = Vec::new();
        for n in 1..=1_000_usize {
            kept.push(live.adopt(Key::new(&route, None, &n.to_be_bytes()), row(1, 7)));
            let expected = match n / SMALL {
                0 => 0,
                times => SMALL << (times.ilog2() + 1),
            };
            assert_eq!(live.lock().sweep_at, expected, "{n}");
        }
    }

    /// As after restoring the store from a backup.
    #[test]
    fn another_record_of_the_same_version_is_not_lost() {
        let (live, route) = (LiveSessions::default(), Route::default());
        let key = Key::new(&route, None, b"id");
        let first = live.adopt(key, row(1, 7));
        let moved = record().with_backend("http://b:1".parse().unwrap());
        let read = live.adopt(key, StoredRecord::new(moved.clone(), first.version(), 7));
        assert_eq!(read.record(), &moved);
        assert_eq!(live.get(key).unwrap().record(), &moved);
    }

    #[test]
    fn companions_outlive_a_read() {
        let (live, route) = (LiveSessions::default(), Route::default());
        let (key, companion) = (Key::new(&route, None, b"id"), std::sync::Arc::new(()));
        let with = record().with_companion(companion.clone());
        let first = live.adopt(key, StoredRecord::new(with, RecordVersion::FIRST, 7));
        let second = live.adopt(key, row(2, 7));
        drop(first);
        assert_eq!(std::sync::Arc::strong_count(&companion), 3, "the test's, and both versions'");
        drop(second);
    }
}
