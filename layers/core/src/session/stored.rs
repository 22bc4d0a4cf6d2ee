//! Operations on sessions that only stores use.

use std::sync::Arc;

use super::{
    Session, ended,
    live::Inner,
    usage::{Holds, LastUse},
};
use crate::{Key, Record, store::RecordVersion};

/// Operations on sessions that only stores use: making, replacing and ending them, and recording
/// their use.
///
/// Layers and handlers get a [`Session`] to read. To end a session for good, remove it from its store: ending only
/// this handle leaves the record in the store.
pub trait StoredSession: Sized + sealed::Sealed {
    /// Makes the session with `key`, whose record was inserted at `born_ms` (milliseconds on the store's own
    /// clock).
    #[must_use]
    fn new(key: Key<'_>, record: Record, version: RecordVersion, born_ms: u64) -> Self;

    /// Makes the next version of this session, with `record`. Its age continues, and use of any version is use of
    /// all of them.
    #[must_use]
    fn next_version(&self, record: Record) -> Self;

    /// Makes a later version of this session that another replica wrote.
    #[must_use]
    fn next_version_as(&self, record: Record, version: RecordVersion) -> Self;

    /// The session for a record that a store has read: this one, if it has the same `record` and `version`, otherwise a
    /// later version, which keeps the [companions](Record::with_companion) of this one's record.
    #[must_use]
    fn as_stored(&self, record: Record, version: RecordVersion) -> Self;

    /// When the session was made, in milliseconds on the store's own clock.
    #[must_use]
    fn born_ms(&self) -> u64;

    /// When the session was last used, in milliseconds on the store's own clock.
    #[must_use]
    fn used_ms(&self) -> u64;

    /// Records a use at `now_ms` on the store's own clock; an earlier time changes nothing.
    fn set_used_ms(&self, now_ms: u64);

    /// How long the session has been unused at `now_ms` on the store's own clock, in milliseconds. `None` if it is
    /// held, which counts as use and is recorded.
    #[must_use]
    fn unused_ms(&self, now_ms: u64) -> Option<u64>;

    /// Whether the session has outlived its idle time or its lifetime at `now_ms` on the store's own clock. A held
    /// session does not idle out; holding counts as use and is recorded.
    #[must_use]
    fn is_expired(&self, now_ms: u64) -> bool;

    /// Records that the session has ended, in all its versions, and wakes tasks that wait for its end. A store calls it
    /// when it removes the session, and when it learns that the session is gone.
    fn end(&self);

    /// Records, for all versions of the session, that no request has presented its id yet.
    fn set_unconfirmed(&self);

    /// Records that a request has presented the id of the session; returns whether this is the
    /// first.
    fn confirm(&self) -> bool;

    /// Whether the session [must be confirmed](Self::set_unconfirmed) and no request has presented its id yet.
    #[must_use]
    fn is_unconfirmed(&self) -> bool;

    /// Whether a layer waits for the end of the session, or has waited. If not, a store need not ask its server about
    /// it.
    #[must_use]
    fn is_watched(&self) -> bool;
}

mod sealed {
    #[allow(unnameable_types, reason = "sealed: a session is the only one")]
    pub trait Sealed {}

    impl Sealed for super::Session {}
}

impl StoredSession for Session {
    fn new(key: Key<'_>, record: Record, version: RecordVersion, born_ms: u64) -> Self {
        Self(Arc::new(Inner {
            route: key.route.clone(),
            principal: key.principal.cloned(),
            id: key.id.into(),
            record,
            born_ms,
            first: None,
            version,
            holds: Holds::none(),
            last_use: LastUse::at(born_ms),
        }))
    }

    fn next_version(&self, record: Record) -> Self {
        self.next_version_as(record, self.0.version.next())
    }

    fn next_version_as(&self, record: Record, version: RecordVersion) -> Self {
        Self(Arc::new(Inner {
            route: self.0.route.clone(),
            principal: self.0.principal.clone(),
            id: self.0.id.clone(),
            record,
            born_ms: self.0.born_ms,
            first: Some(self.0.first.as_ref().unwrap_or(self).clone()),
            version,
            holds: Holds::none(),
            last_use: LastUse::at(0),
        }))
    }

    fn as_stored(&self, record: Record, version: RecordVersion) -> Self {
        if self.version() == version && self.record() == &record {
            return self.clone();
        }
        self.next_version_as(record.with_companions_of(self.record()), version)
    }

    #[inline]
    fn born_ms(&self) -> u64 {
        self.0.born_ms
    }

    #[inline]
    fn used_ms(&self) -> u64 {
        self.first().last_use.ms()
    }

    #[inline]
    fn set_used_ms(&self, now_ms: u64) {
        self.first().last_use.note(now_ms);
    }

    #[inline]
    fn unused_ms(&self, now_ms: u64) -> Option<u64> {
        let first = self.first();
        first.last_use.unused_ms(&first.holds, now_ms)
    }

    #[inline]
    fn is_expired(&self, now_ms: u64) -> bool {
        let (idle_ms, lifetime_ms) = (self.record().idle_ms(), self.record().lifetime_ms());
        now_ms.saturating_sub(self.born_ms()) >= lifetime_ms.into()
            || self.unused_ms(now_ms).is_some_and(|ms| ms >= idle_ms.into())
    }

    fn end(&self) {
        if self.holds().end() {
            ended::wake(self.address());
        }
    }

    fn set_unconfirmed(&self) {
        self.holds().set_unconfirmed();
    }

    #[inline]
    fn confirm(&self) -> bool {
        self.holds().confirm()
    }

    #[inline]
    fn is_unconfirmed(&self) -> bool {
        self.holds().is_unconfirmed()
    }

    fn is_watched(&self) -> bool {
        self.holds().is_watched()
    }
}
