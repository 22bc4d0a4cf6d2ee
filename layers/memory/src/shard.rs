//! One part of the table, under one lock.

use bartizan_core::{Key, Session, store::StoredSession};
use hashbrown::HashTable;

use crate::{counts::Counts, fresh::Look, tombstones::Tombstones};

#[derive(Debug, Default)]
pub(crate) struct Shard {
    // One word per entry; the session owns its key.
    sessions: HashTable<Session>,
    // Where the next partial sweep starts.
    swept_to: usize,
    pub(crate) tombstones: Tombstones,
}

impl Shard {
    /// The live session of `key`. An expired session is removed.
    pub(crate) fn find(
        &mut self,
        hash: u64,
        key: Key<'_>,
        now_ms: u64,
        counts: &Counts,
    ) -> Option<&mut Session> {
        let entry = self.sessions.find_entry(hash, |session| session.key() == key).ok()?;
        if entry.get().is_expired(now_ms) {
            let (expired, _) = entry.remove();
            counts.expire(&expired, now_ms);
            expired.end();
            return None;
        }
        Some(entry.into_mut())
    }

    pub(crate) fn insert(&mut self, hash: u64, session: Session, rehash: impl Fn(&Session) -> u64) {
        self.sessions.insert_unique(hash, session, rehash);
    }

    pub(crate) fn remove(&mut self, hash: u64, key: Key<'_>) -> Option<Session> {
        let entry = self.sessions.find_entry(hash, |session| session.key() == key).ok()?;
        Some(entry.remove().0)
    }

    /// Whether the session whose key has this `hash` must still be confirmed.
    pub(crate) fn has_unconfirmed(&self, hash: u64, rehash: impl Fn(&Session) -> u64) -> bool {
        self.sessions
            .find(hash, |session| session.is_unconfirmed() && rehash(session) == hash)
            .is_some()
    }

    /// Removes the session whose key has this `hash`, if it must still be confirmed and `may_go`
    /// returns true.
    pub(crate) fn take_unconfirmed(
        &mut self,
        hash: u64,
        rehash: impl Fn(&Session) -> u64,
        may_go: impl Fn(&Session) -> bool,
    ) -> Look<Session> {
        let is_it = |session: &Session| session.is_unconfirmed() && rehash(session) == hash;
        match self.sessions.find_entry(hash, is_it) {
            Err(_) => Look::OutOfDate,
            Ok(entry) if may_go(entry.get()) => Look::Taken(entry.remove().0),
            Ok(_) => Look::Stays,
        }
    }

    /// Removes all expired sessions, and returns their number.
    pub(crate) fn sweep(
        &mut self,
        now_ms: u64,
        counts: &Counts,
        rehash: impl Fn(&Session) -> u64,
    ) -> usize {
        self.swept_to = 0;
        self.sweep_some(usize::MAX, now_ms, counts, rehash)
    }

    /// Checks this many places of the table, starting where the last sweep stopped, and removes expired sessions.
    /// Returns their number.
    ///
    /// A table that grows in the meantime moves its sessions: the next round finds those that this one missed.
    pub(crate) fn sweep_some(
        &mut self,
        places: usize,
        now_ms: u64,
        counts: &Counts,
        rehash: impl Fn(&Session) -> u64,
    ) -> usize {
        let before = self.sessions.len();
        let end = self.sessions.num_buckets();
        let stop = self.swept_to.saturating_add(places).min(end);
        for place in self.swept_to..stop {
            if let Ok(entry) = self.sessions.get_bucket_entry(place)
                && entry.get().is_expired(now_ms)
            {
                let (expired, _) = entry.remove();
                counts.expire(&expired, now_ms);
                expired.end();
            }
        }
        self.swept_to = stop;
        let after = self.sessions.len();
        if stop == end {
            self.swept_to = 0;
            self.tombstones.sweep(now_ms);
            if after < self.sessions.capacity() / 4 {
                self.sessions.shrink_to_fit(rehash);
            }
        }
        before - after
    }
}
