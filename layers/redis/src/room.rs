//! Whether there is room for one more session, over all replicas.
//!
//! ```text
//! prefix ":live:{all}"          a sorted set: half of each session's digest, by when it idles out (ms)
//! prefix ":live:{all}:" hash    the same of one principal, where there is a cap on those
//! ```
//!
//! The script that inserts a session counts it in the same step: replicas that insert at once do not pass a cap
//! together. What idles out is no longer counted from that moment on, whether or not a replica is left to say so, and a
//! replica that ends a session takes it out; so no error lasts longer than an idle time. In a cluster, a session and
//! the sets are on different nodes: there the place is taken by a script of its own at the same time, and given back if
//! nothing was inserted; a session that found no place is removed before its id leaves.
//!
//! The names share a hash tag, so that one script reaches both sets in a cluster. A principal is in them as a hash.

use std::sync::atomic::{AtomicBool, Ordering};

use bartizan_core::{Principal, Session, store::StoredSession};
use foldhash::quality::RandomState;
use fred::types::Value;
use quick_cache::{UnitWeighter, sync::Cache};
use sha2::{Digest as _, Sha256};

use crate::codec;

/// The caps, and whether they were met lately.
pub(crate) struct Room {
    prefix: String,
    max_sessions: usize,
    max_per_principal: Option<usize>,
    is_full: AtomicBool,
    /// Until when a principal is taken to have as many as it may (ms).
    full_principals: Cache<PrincipalHash, u64, UnitWeighter, RandomState>,
}

/// The sets that a session is counted in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Places {
    names: Vec<String>,
}

type PrincipalHash = [u8; 16];

/// How many principals that met their cap are remembered.
const FULL_PRINCIPALS: usize = 10_000;
/// For how long: as long as it may take to learn of other replicas' sessions.
const FULL_MS: u64 = 1_000;

impl Room {
    pub(crate) fn new(prefix: &str, max_sessions: usize, max_per_principal: Option<usize>) -> Self {
        let (weighter, hasher) = (UnitWeighter, RandomState::default());
        let most = FULL_PRINCIPALS as u64;
        let full_principals =
            Cache::with(FULL_PRINCIPALS, most, weighter, hasher, Default::default());
        let is_full = AtomicBool::new(max_sessions == 0);
        Self {
            prefix: prefix.to_owned(),
            max_sessions,
            max_per_principal,
            is_full,
            full_principals,
        }
    }

    /// The set of all sessions.
    pub(crate) fn all(&self) -> String {
        format!("{}:live:{{all}}", self.prefix)
    }

    /// The sets that a session of `principal` is counted in.
    pub(crate) fn places(&self, principal: Option<&Principal>) -> Places {
        let all = self.all();
        let of_principal = self.counted(principal).map(|principal| {
            let mut digits = [0; 32];
            let digits = base16ct::lower::encode_str(&hash(principal), &mut digits);
            format!("{all}:{}", digits.unwrap_or_default())
        });
        Places { names: std::iter::once(all).chain(of_principal).collect() }
    }

    /// The caps as a script takes them, in the order of [`Places::names`].
    pub(crate) fn caps(&self) -> [Value; 2] {
        let of_principal = self.max_per_principal.unwrap_or(usize::MAX);
        [self.max_sessions, of_principal].map(|cap| cap.to_string().into())
    }

    /// Whether a session of `principal` would find room, as far as is known at `now_ms`.
    pub(crate) fn is_there(&self, principal: Option<&Principal>, now_ms: u64) -> bool {
        if self.is_full.load(Ordering::Relaxed) {
            return false;
        }
        let Some(principal) = self.counted(principal) else { return true };
        let until_ms = self.full_principals.get(&hash(principal));
        until_ms.is_none_or(|until_ms| now_ms >= until_ms)
    }

    /// So many sessions were counted.
    pub(crate) fn counted_all(&self, sessions: usize) {
        self.is_full.store(sessions >= self.max_sessions, Ordering::Relaxed);
    }

    /// The server has found no room at all.
    pub(crate) fn is_met(&self) {
        self.is_full.store(true, Ordering::Relaxed);
    }

    /// The server has found that `principal` has as many sessions as it may.
    pub(crate) fn is_met_by(&self, principal: Option<&Principal>, now_ms: u64) {
        if let Some(principal) = self.counted(principal) {
            self.full_principals.insert(hash(principal), now_ms.saturating_add(FULL_MS));
        }
    }

    /// A session of `principal` has ended here.
    pub(crate) fn ended(&self, principal: Option<&Principal>) {
        self.is_full.store(self.max_sessions == 0, Ordering::Relaxed);
        if let Some(principal) = self.counted(principal) {
            self.full_principals.remove(&hash(principal));
        }
    }

    fn counted<'a>(&self, principal: Option<&'a Principal>) -> Option<&'a Principal> {
        principal.filter(|_| self.max_per_principal.is_some())
    }
}

impl Places {
    /// Their names, all on one node.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }
}

/// How long `session` lives if it is not used from `server_ms` on (ms).
pub(crate) fn left_ms(session: &Session, server_ms: u64) -> u64 {
    let (idle, lifetime) = (session.record().idle(), session.record().lifetime());
    let age_ms = server_ms.saturating_sub(session.born_ms());
    codec::millis(idle).min(codec::millis(lifetime).saturating_sub(age_ms)).max(1)
}

fn hash(principal: &Principal) -> PrincipalHash {
    let hash: [u8; 32] = Sha256::digest(principal.as_str()).into();
    let mut half = PrincipalHash::default();
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    half
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room")
            .field("max_sessions", &self.max_sessions)
            .field("max_per_principal", &self.max_per_principal)
            .field("is_full", &self.is_full)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bartizan_core::{Key, Record, Route, store::RecordVersion};

    use super::*;

    #[test]
    fn a_principal_is_counted_where_there_is_a_cap_and_not_by_its_name() {
        let alice = Principal::new("i", "alice");
        let none = Room::new("p", 3, None);
        assert_eq!(none.places(Some(&alice)).names(), ["p:live:{all}"]);
        let room = Room::new("p", 3, Some(2));
        assert_eq!(room.places(None).names(), ["p:live:{all}"]);
        let places = room.places(Some(&alice));
        let [all, own] = places.names() else { panic!("{places:?}") };
        assert!(own.starts_with(&format!("{all}:")) && !own.contains("alice"), "{own}");
        assert_ne!(room.places(Some(&Principal::new("i", "bob"))), places);
    }

    #[test]
    fn what_the_server_found_is_believed_until_it_may_have_changed() {
        let (alice, bob) = (Principal::new("i", "alice"), Principal::new("i", "bob"));
        let room = Room::new("p", 3, Some(2));
        room.counted_all(2);
        assert!(room.is_there(None, 0));
        room.counted_all(3);
        assert!(!room.is_there(None, 0) && !room.is_there(Some(&alice), 0));
        room.ended(None);
        assert!(room.is_there(None, 0));
        room.is_met();
        assert!(!room.is_there(None, 0));
        room.counted_all(0);
        room.is_met_by(Some(&alice), 5);
        assert!(!room.is_there(Some(&alice), 5 + FULL_MS - 1));
        assert!(room.is_there(Some(&bob), 5) && room.is_there(None, 5));
        assert!(room.is_there(Some(&alice), 5 + FULL_MS));
        room.is_met_by(Some(&alice), 5);
        room.ended(Some(&alice));
        assert!(room.is_there(Some(&alice), 5));
        let none = Room::new("p", 0, None);
        none.ended(None);
        assert!(!none.is_there(None, 0));
    }

    #[test]
    fn a_session_counts_until_it_idles_out_or_its_lifetime_ends() {
        let route = Route::default();
        let record = Record::new(Duration::from_secs(10), Duration::from_secs(30));
        let key = Key::new(&route, None, b"id");
        let session = Session::new(key, record, RecordVersion::FIRST, 1_000);
        let left = [1_000, 15_000, 25_000, 31_000, 99_000].map(|now| left_ms(&session, now));
        assert_eq!(left, [10_000, 10_000, 6_000, 1, 1]);
    }
}
