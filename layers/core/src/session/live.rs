//! A session that a store knows to be live.

use std::{
    fmt,
    sync::{Arc, Weak},
    time::Duration,
};

use super::usage::{Holds, LastUse};
use crate::{Key, Principal, Record, Route, session::Fingerprint, store::RecordVersion};

/// A live session: its owner, its id and its record. Cloning costs one reference count.
#[derive(Clone)]
pub struct Session(pub(super) Arc<Inner>);

pub(super) struct Inner {
    pub(super) route: Route,
    pub(super) principal: Option<Principal>,
    // Copied once, when the store learns of the session.
    pub(super) id: Box<[u8]>,
    pub(super) record: Record,
    pub(super) born_ms: u64,
    pub(super) last_use: LastUse,
    // The first version, if this is a later one. It records the use of all versions: holding or
    // touching an earlier version uses the session.
    pub(super) first: Option<Session>,
    pub(super) version: RecordVersion,
    pub(super) holds: Holds,
}

/// A weak reference to one version of a session.
pub(crate) struct WeakSession(Weak<Inner>);

/// Keeps a session in use until it is dropped: for a call in flight, an open stream, a tunnel.
#[derive(Debug)]
pub struct Hold(Session);

impl Session {
    /// The key under which the store has the session.
    #[must_use]
    pub fn key(&self) -> Key<'_> {
        Key::new(&self.0.route, self.0.principal.as_ref(), &self.0.id)
    }

    /// The id. It is a secret.
    #[must_use]
    pub fn id(&self) -> &[u8] {
        &self.0.id
    }

    /// Its record in the store.
    #[must_use]
    pub fn record(&self) -> &Record {
        &self.0.record
    }

    /// Which version of the record this is.
    #[must_use]
    pub fn version(&self) -> RecordVersion {
        self.0.version
    }

    /// Counts as use until the returned value is dropped: a store does not let a held session idle
    /// out.
    #[must_use]
    pub fn hold(&self) -> Hold {
        self.holds().hold();
        Hold(self.clone())
    }

    /// Whether a call or a stream of the session is open in this process.
    #[must_use]
    pub fn is_held(&self) -> bool {
        self.holds().is_held()
    }

    /// Whether the session is known to have ended. A store may not have checked recently.
    #[must_use]
    pub fn is_ended(&self) -> bool {
        self.holds().is_ended()
    }

    /// Equal for all versions of one session, and different for any other session while this one
    /// exists.
    pub(super) fn address(&self) -> usize {
        std::ptr::from_ref(self.first()).addr()
    }

    /// How old the session was when it was last used.
    #[must_use]
    pub fn age_at_last_use(&self) -> Duration {
        let used_ms = self.first().last_use.ms();
        Duration::from_millis(used_ms.saturating_sub(self.0.born_ms))
    }

    /// A short hash that may be logged in place of the id.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(&self.0.id)
    }

    /// Marks the end of the session as counted, whatever version this is. Returns whether it was not before.
    pub(crate) fn count_end(&self) -> bool {
        self.holds().count_end()
    }

    pub(super) fn holds(&self) -> &Holds {
        &self.first().holds
    }

    pub(crate) fn downgrade(&self) -> WeakSession {
        WeakSession(Arc::downgrade(&self.0))
    }

    /// A weak reference to the first version of the session, valid while any version is in use.
    pub(crate) fn first_version(&self) -> WeakSession {
        self.0.first.as_ref().unwrap_or(self).downgrade()
    }

    /// The version that records the use of all versions.
    pub(super) fn first(&self) -> &Inner {
        self.0.first.as_ref().map_or(&self.0, |first| &first.0)
    }
}

impl WeakSession {
    pub(crate) fn upgrade(&self) -> Option<Session> {
        self.0.upgrade().map(Session)
    }

    pub(crate) fn is_in_use(&self) -> bool {
        self.0.strong_count() > 0
    }
}

impl Hold {
    /// The session that is held.
    #[must_use]
    pub fn session(&self) -> &Session {
        &self.0
    }
}

impl fmt::Debug for Session {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Session")
            .field("id_hash", &format_args!("{}", self.fingerprint()))
            .field("route", &self.0.route.as_str())
            .field("backend", &self.0.record.backend())
            .field("version", &self.0.version)
            .finish_non_exhaustive()
    }
}

impl Drop for Hold {
    fn drop(&mut self) {
        self.0.holds().release();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::StoredSession;

    #[test]
    fn a_session_is_held_until_the_last_hold_goes_and_never_prints_its_id() {
        let route = Route::default();
        let key = Key::new(&route, None, b"secret-id");
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let session = Session::new(key, record, RecordVersion::FIRST, 1);
        let (one, two) = (session.hold(), session.hold());
        drop(one);
        assert!(session.is_held());
        drop(two);
        assert!(!session.is_held());
        assert!(!format!("{session:?}").contains("secret"));
        session.set_used_ms(5);
        session.set_used_ms(3);
        assert_eq!(session.used_ms(), 5);
    }

    #[test]
    fn a_session_is_confirmed_once_whatever_its_version_and_that_is_no_hold() {
        let route = Route::default();
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let first = Session::new(Key::new(&route, None, b"id"), record.clone(), 1.into(), 1);
        assert!(!first.confirm(), "it need not be confirmed");
        first.set_unconfirmed();
        let second = first.next_version(record);
        assert!(first.is_unconfirmed() && second.is_unconfirmed() && !first.is_held());
        let hold = second.hold();
        assert!(second.confirm() && !first.confirm() && !second.is_unconfirmed());
        assert!(first.is_held() && !first.is_ended());
        drop(hold);
        assert!(!first.is_held());
    }

    #[test]
    fn use_of_any_version_is_use_of_all() {
        let route = Route::default();
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let first = Session::new(Key::new(&route, None, b"id"), record.clone(), 1.into(), 1);
        first.set_used_ms(5);
        let early = first.hold();
        let second = first.next_version(record.clone());
        assert_eq!((second.version(), second.born_ms(), second.used_ms()), (2.into(), 1, 5));
        assert!(second.is_held());
        drop(early);
        let third = second.next_version(record);
        assert!(!third.is_held());
        for (used_ms, version) in [(6, &first), (7, &second), (8, &third)] {
            let hold = version.hold();
            assert!(first.is_held() && second.is_held() && third.is_held());
            drop(hold);
            assert!(!first.is_held() && !second.is_held() && !third.is_held());
            version.set_used_ms(used_ms);
            assert_eq!([&first, &second, &third].map(Session::used_ms), [used_ms; 3]);
        }
        // However often a record is replaced, at most one earlier version stays.
        drop(second);
        assert_eq!(Arc::strong_count(&first.0), 2);
    }
}
