//! One part of the table, under one lock.

use bartizan_core::{Key, Session};
use hashbrown::HashTable;

use crate::{counts::Counts, tombstones::Tombstones};

#[derive(Debug, Default)]
pub(crate) struct Shard {
    // One word an entry; the session owns its key.
    sessions: HashTable<Session>,
    pub(crate) tombstones: Tombstones,
}

impl Shard {
    /// The live session of `key`; one that has expired is forgotten.
    pub(crate) fn find(
        &mut self,
        hash: u64,
        key: Key<'_>,
        now_ms: u64,
        counts: &Counts,
    ) -> Option<&mut Session> {
        let entry = self.sessions.find_entry(hash, |session| session.key() == key).ok()?;
        if is_expired(entry.get(), now_ms) {
            let (expired, _) = entry.remove();
            counts.release(&expired);
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

    /// Forgets what has expired, and says how many sessions that were.
    pub(crate) fn sweep(
        &mut self,
        now_ms: u64,
        counts: &Counts,
        rehash: impl Fn(&Session) -> u64,
    ) -> usize {
        let before = self.sessions.len();
        self.sessions.retain(|session| {
            let expired = is_expired(session, now_ms);
            if expired {
                counts.release(session);
            }
            !expired
        });
        self.tombstones.sweep(now_ms);
        if self.sessions.len() < self.sessions.capacity() / 4 {
            self.sessions.shrink_to_fit(rehash);
        }
        before - self.sessions.len()
    }
}

/// Whether a session has outlived itself. One that is in use does not idle.
fn is_expired(session: &Session, now_ms: u64) -> bool {
    let passed = |since_ms: u64, time: std::time::Duration| {
        u128::from(now_ms.saturating_sub(since_ms)) >= time.as_millis()
    };
    if passed(session.born_ms(), session.record().lifetime()) {
        return true;
    }
    if session.is_held() {
        session.set_used_ms(now_ms);
        return false;
    }
    passed(session.used_ms(), session.record().idle())
}
