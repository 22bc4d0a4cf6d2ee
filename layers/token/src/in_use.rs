//! The sessions that this process uses, so that waiters for the end of a session are notified.

use std::{
    collections::HashMap,
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Mutex, MutexGuard, PoisonError},
};

use bartizan_core::{Key, Session, store::StoredSession};

const SHARDS: usize = 16;
/// How many sessions a shard keeps before it removes unused ones.
const FIRST_SWEEP: usize = 64;
/// The maximum number of sessions in a shard. Beyond that, open streams of a session do not learn of its end.
const MAX_SESSIONS: usize = 8192;
/// How long a session is kept that no response holds, because a request may be about to hold it.
const RECENT_MS: u64 = 60_000;

/// One handle for each session that was used recently or is held, keyed by its token.
pub(crate) struct InUse {
    shards: [Mutex<Shard>; SHARDS],
    hasher: RandomState,
}

struct Shard {
    by_token: HashMap<Box<[u8]>, Session>,
    sweep_at: usize,
}

impl InUse {
    pub(crate) fn new() -> Self {
        Self { shards: Default::default(), hasher: RandomState::new() }
    }

    /// The handle that all requests of this session share. The first request contributes `session`.
    pub(crate) fn share(&self, session: Session, now_ms: u64) -> Session {
        let mut shard = self.shard(session.id());
        if let Some(shared) = shard.by_token.get(session.id()) {
            shared.set_used_ms(now_ms);
            return shared.clone();
        }
        if shard.by_token.len() >= shard.sweep_at {
            shard.sweep(now_ms);
        }
        if shard.by_token.len() < MAX_SESSIONS {
            shard.by_token.insert(session.id().into(), session.clone());
        }
        session
    }

    /// Ends the session of `key` for those who use it here.
    pub(crate) fn end(&self, key: Key<'_>) {
        let mut shard = self.shard(key.id);
        let is_owners = |session: &Session| {
            (session.key().route, session.key().principal) == (key.route, key.principal)
        };
        if !shard.by_token.get(key.id).is_some_and(is_owners) {
            return;
        }
        let ended = shard.by_token.remove(key.id);
        // After releasing the lock, because this wakes tasks.
        drop(shard);
        if let Some(session) = ended {
            session.end();
        }
    }

    fn shard(&self, token: &[u8]) -> MutexGuard<'_, Shard> {
        let hash = self.hasher.hash_one(token);
        let index = usize::try_from(hash % SHARDS as u64).unwrap_or_default();
        let shard = self.shards.get(index).unwrap_or(&self.shards[0]);
        // A panic while the lock was held leaves consistent data, because each change is one step.
        shard.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Shard {
    /// Removes unused sessions. The next pass comes only after enough inserts that the cost per session stays small.
    fn sweep(&mut self, now_ms: u64) {
        let is_recent = |session: &Session| now_ms.saturating_sub(session.used_ms()) < RECENT_MS;
        self.by_token.retain(|_, session| session.is_held() || is_recent(session));
        self.sweep_at = (2 * self.by_token.len()).max(FIRST_SWEEP);
    }
}

impl Default for Shard {
    fn default() -> Self {
        Self { by_token: HashMap::new(), sweep_at: FIRST_SWEEP }
    }
}

impl fmt::Debug for InUse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("InUse")
    }
}

#[cfg(test)]
mod tests {
    use bartizan_core::{Principal, Record, Route, store::RecordVersion};

    use super::*;

    fn session(token: &str, used_ms: u64) -> Session {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let route = Route::default();
        let key = Key::new(&route, None, token.as_bytes());
        Session::new(key, record, RecordVersion::FIRST, used_ms)
    }

    #[test]
    fn requests_of_a_session_share_one_handle_until_it_ends() {
        let in_use = InUse::new();
        let first = in_use.share(session("a", 1), 1);
        let second = in_use.share(session("a", 2), 2);
        let other = in_use.share(session("b", 2), 2);
        let route = Route::default();
        let stranger = Principal::new("issuer", "stranger");
        in_use.end(Key::new(&route, Some(&stranger), b"a"));
        assert!(!first.is_ended(), "another's");
        in_use.end(Key::new(&route, None, b"a"));
        assert!(first.is_ended() && second.is_ended() && !other.is_ended());
        // The token is still valid: without a store that remembers ends, the backend decides.
        assert!(!in_use.share(session("a", 3), 3).is_ended());
        in_use.end(Key::new(&route, None, b"never seen"));
    }

    #[test]
    fn what_is_neither_held_nor_recent_is_forgotten_and_the_rest_is_bounded() {
        let in_use = InUse::new();
        let held = in_use.share(session("held", 0), 0).hold();
        let later = 2 * RECENT_MS;
        for index in 0..SHARDS * FIRST_SWEEP * 4 {
            in_use.share(session(&format!("old {index}"), 0), 0);
        }
        for index in 0..SHARDS * MAX_SESSIONS * 2 {
            in_use.share(session(&format!("new {index}"), later), later);
        }
        let kept =
            |token: &str| in_use.shard(token.as_bytes()).by_token.contains_key(token.as_bytes());
        assert!(kept("held") && !kept("old 0") && !kept("old 4095"));
        let kept = in_use.shards.iter().map(|shard| shard.lock().unwrap().by_token.len());
        assert!(kept.sum::<usize>() <= SHARDS * MAX_SESSIONS);
        in_use.end(Key::new(&Route::default(), None, b"held"));
        assert!(held.session().is_ended());
    }
}
