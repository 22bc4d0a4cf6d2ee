//! Whether there is room for one more session, over all replicas.
//!
//! ```text
//! prefix ":live:{all}"          a sorted set: half of each session's digest, by when it idles out (ms)
//! prefix ":live:{all}:" hash    the same of one principal, where there is a cap on those
//! prefix ":live:{all}:client-" network    the same of one client
//! prefix ":fresh:{all}"         a sorted set: what no request has confirmed yet, by when it was opened (ms): the digest,
//!                               and the ends of the names of the sets above that the session is in
//! ```
//!
//! The script that inserts a session counts it in the same step, so concurrent inserts of several replicas do not
//! exceed a cap. A session that idles out is no longer counted from that moment on, even if no replica is running, and
//! a replica that ends a session removes it; so no error lasts longer than an idle time. In a cluster, a session and
//! the sets are on different nodes: there, a separate script takes the place at the same time, and the place is given
//! back if nothing was inserted. A session that found no place is removed before its id is sent.
//!
//! Unconfirmed sessions make room for others: the same script takes the oldest out of the sets and removes it; in a
//! cluster, the replica removes it afterwards.
//!
//! The names share a hash tag, so that one script reaches all sets in a cluster. A principal is in them as a hash.

use std::{
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    time::Duration,
};

use bartizan_core::{
    Principal, Session,
    session::ClientNetwork,
    store::{Applicant, Place, StoredSession},
};
use foldhash::quality::RandomState;
use fred::types::Value;
use quick_cache::{UnitWeighter, sync::Cache};
use sha2::{Digest as _, Sha256};

use crate::{codec, digest::Digest, store::number};

/// The limits.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Caps {
    pub(crate) all: usize,
    pub(crate) per_principal: Option<usize>,
    pub(crate) per_client: Option<usize>,
}

/// The caps, and whether they were reached recently.
pub(crate) struct Room {
    prefix: String,
    caps: Caps,
    /// The number of sessions at the last count, adjusted by openings and ends here since then.
    known: AtomicUsize,
    /// How many of them were unconfirmed, if counted.
    unconfirmed: AtomicUsize,
    /// Whether the server has refused one since.
    is_full: AtomicBool,
    /// Sessions that are being opened here.
    openings: Arc<AtomicUsize>,
    /// Until when a principal or a client counts as having reached its limit (ms).
    full_owners: Cache<OwnerHash, u64, UnitWeighter, RandomState>,
}

/// The sets that a session is counted in.
#[derive(Clone, Debug, Eq, PartialEq)]
pub(crate) struct Places {
    /// First the set of all sessions, then those of its owners.
    names: Vec<String>,
    owners: Vec<OwnerHash>,
    caps: Vec<usize>,
}

type OwnerHash = [u8; 16];

/// How many principals and clients that reached their cap are remembered.
const FULL_OWNERS: usize = 10_000;
/// For how long they are remembered: as long as it may take to learn of other replicas' sessions.
const FULL_MS: u64 = 1_000;
/// The age from which an unconfirmed session may be evicted from a nearly full store.
const CONFIRM_WITHIN: Duration = Duration::from_secs(60);

impl Room {
    pub(crate) fn new(prefix: &str, caps: Caps) -> Self {
        let (weighter, hasher) = (UnitWeighter, RandomState::default());
        let most = FULL_OWNERS as u64;
        Self {
            prefix: prefix.to_owned(),
            caps,
            known: AtomicUsize::new(0),
            unconfirmed: AtomicUsize::new(0),
            is_full: AtomicBool::new(false),
            openings: Arc::default(),
            full_owners: Cache::with(FULL_OWNERS, most, weighter, hasher, Default::default()),
        }
    }

    /// The set of all sessions.
    pub(crate) fn all(&self) -> String {
        format!("{}:live:{{all}}", self.prefix)
    }

    /// The list of unconfirmed sessions.
    pub(crate) fn list(&self) -> String {
        format!("{}:fresh:{{all}}", self.prefix)
    }

    /// How many sessions there may be.
    pub(crate) const fn most(&self) -> usize {
        self.caps.all
    }

    pub(crate) const fn counts_clients(&self) -> bool {
        self.caps.per_client.is_some()
    }

    /// The sets that a session of `principal` and `client` is counted in.
    pub(crate) fn places(
        &self,
        principal: Option<&Principal>,
        client: Option<ClientNetwork>,
    ) -> Places {
        let all = self.all();
        let mut places =
            Places { names: vec![all.clone()], owners: Vec::new(), caps: vec![self.caps.all] };
        if let Some((cap, principal)) = self.caps.per_principal.zip(principal) {
            let owner = hash(&[principal.as_str().as_bytes()]);
            let mut digits = [0; 32];
            let digits = base16ct::lower::encode_str(&owner, &mut digits).unwrap_or_default();
            places.add(format!("{all}:{digits}"), owner, cap);
        }
        if let Some((cap, client)) = self.caps.per_client.zip(client) {
            let owner = hash(&[b"client", client.as_bytes()]);
            let mut digits = [0; 16];
            let digits = base16ct::lower::encode_str(client.as_bytes(), &mut digits);
            places.add(format!("{all}:client-{}", digits.unwrap_or_default()), owner, cap);
        }
        places
    }

    /// The arguments for the scripts of a session with this `digest` in `places`, without the names of the sets.
    pub(crate) fn args(
        &self,
        places: &Places,
        digest: Digest,
        is_to_be_confirmed: bool,
        may_read_others: bool,
    ) -> Vec<Value> {
        let listed = if is_to_be_confirmed { places.listed(digest) } else { Vec::new() };
        let prefix = if may_read_others { &*self.prefix } else { "" };
        let mut args = vec![
            crate::script::bytes(digest.short()),
            self.caps.all.to_string().into(),
            self.pressed_from().to_string().into(),
            number(codec::millis(CONFIRM_WITHIN)),
            crate::script::bytes(listed),
            prefix.into(),
        ];
        args.extend(places.caps.iter().skip(1).map(|cap| Value::from(cap.to_string())));
        args
    }

    /// Whether there is room for a session of these owners, as far as is known at `now_ms`.
    pub(crate) fn is_there(
        &self,
        principal: Option<&Principal>,
        client: Option<ClientNetwork>,
        now_ms: u64,
    ) -> bool {
        self.fits(0) && self.owners_have_room(principal, client, now_ms)
    }

    /// Reserves a place for an opening if there is room, as far as is known at `now_ms`.
    pub(crate) fn place(&self, applicant: Applicant<'_>, now_ms: u64) -> Option<Place> {
        if !self.owners_have_room(applicant.principal, applicant.client, now_ms) {
            return None;
        }
        Place::take(&self.openings, |openings| self.fits(openings.saturating_sub(1)))
    }

    /// Whether `sessions` is at least 80 % of the cap.
    pub(crate) const fn is_pressed(&self, sessions: usize) -> bool {
        sessions >= self.pressed_from()
    }

    /// The same for the current number of sessions.
    pub(crate) fn is_pressed_now(&self) -> bool {
        self.is_pressed(self.known.load(Ordering::Relaxed))
    }

    /// Takes a new count of all sessions and of unconfirmed ones.
    pub(crate) fn counted_all(&self, sessions: usize, unconfirmed: usize) {
        self.known.store(sessions, Ordering::Relaxed);
        self.unconfirmed.store(unconfirmed, Ordering::Relaxed);
        self.is_full.store(false, Ordering::Relaxed);
    }

    /// Records that one session was inserted here, and how many were evicted for it.
    pub(crate) fn inserted(&self, is_to_be_confirmed: bool, evicted: usize) {
        change(&self.known, 1, evicted);
        change(&self.unconfirmed, is_to_be_confirmed.into(), evicted);
    }

    /// Records that one session was confirmed here.
    pub(crate) fn is_confirmed(&self) {
        change(&self.unconfirmed, 0, 1);
    }

    /// Records that the server found no room in the set with this number among [`Places::names`].
    pub(crate) fn is_met(&self, places: &Places, number: usize, now_ms: u64) {
        match number.checked_sub(1) {
            None => self.is_full.store(true, Ordering::Relaxed),
            Some(number) => {
                if let Some(owner) = places.owners.get(number) {
                    self.full_owners.insert(*owner, now_ms.saturating_add(FULL_MS));
                }
            }
        }
    }

    /// Records that a session in `places` has ended here.
    pub(crate) fn ended(&self, places: &Places) {
        change(&self.known, 0, 1);
        self.is_full.store(false, Ordering::Relaxed);
        for owner in &places.owners {
            self.full_owners.remove(owner);
        }
    }

    /// Whether one more session would fit in addition to the known ones and `openings` others. Sessions that may be
    /// evicted do not count.
    fn fits(&self, openings: usize) -> bool {
        let known = self.known.load(Ordering::Relaxed).saturating_add(openings);
        let taken = known.saturating_sub(self.unconfirmed.load(Ordering::Relaxed));
        taken < self.caps.all && !self.is_full.load(Ordering::Relaxed)
    }

    fn owners_have_room(
        &self,
        principal: Option<&Principal>,
        client: Option<ClientNetwork>,
        now_ms: u64,
    ) -> bool {
        let is_counted = self.caps.per_principal.is_some() && principal.is_some()
            || self.caps.per_client.is_some() && client.is_some();
        let has_room = |owner: &OwnerHash| {
            let until_ms = self.full_owners.get(owner);
            until_ms.is_none_or(|until_ms| now_ms >= until_ms)
        };
        !is_counted || self.places(principal, client).owners.iter().all(has_room)
    }

    const fn pressed_from(&self) -> usize {
        self.caps.all - self.caps.all / 5
    }
}

/// Adds and subtracts; never below zero.
fn change(count: &AtomicUsize, more: usize, less: usize) {
    let changed = |count: usize| Some(count.saturating_add(more).saturating_sub(less));
    let _ = count.fetch_update(Ordering::Relaxed, Ordering::Relaxed, changed);
}

impl Places {
    /// Their names, all on one node.
    pub(crate) fn names(&self) -> &[String] {
        &self.names
    }

    /// The list member of a session with this `digest` while it is unconfirmed.
    pub(crate) fn listed(&self, digest: Digest) -> Vec<u8> {
        let mut listed = digest.as_bytes().to_vec();
        let Some((all, others)) = self.names.split_first() else { return listed };
        for (number, name) in others.iter().enumerate() {
            if number > 0 {
                listed.push(b'|');
            }
            let end = name.get(all.len().saturating_add(1)..).unwrap_or_default();
            listed.extend_from_slice(end.as_bytes());
        }
        listed
    }

    fn add(&mut self, name: String, owner: OwnerHash, cap: usize) {
        self.names.push(name);
        self.owners.push(owner);
        self.caps.push(cap);
    }
}

/// How long `session` lives if it is not used after `server_ms` (ms).
pub(crate) fn left_ms(session: &Session, server_ms: u64) -> u64 {
    let (idle, lifetime) = (session.record().idle(), session.record().lifetime());
    let age_ms = server_ms.saturating_sub(session.born_ms());
    codec::millis(idle).min(codec::millis(lifetime).saturating_sub(age_ms)).max(1)
}

fn hash(parts: &[&[u8]]) -> OwnerHash {
    let hash = parts.iter().fold(Sha256::new(), Sha256::chain_update).finalize();
    let mut half = OwnerHash::default();
    half.iter_mut().zip(hash).for_each(|(to, from)| *to = from);
    half
}

impl std::fmt::Debug for Room {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Room")
            .field("caps", &self.caps)
            .field("known", &self.known)
            .field("is_full", &self.is_full)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use bartizan_core::{Key, Record, Route, store::RecordVersion};

    use super::*;

    fn caps(all: usize, per_principal: Option<usize>, per_client: Option<usize>) -> Caps {
        Caps { all, per_principal, per_client }
    }

    fn client() -> ClientNetwork {
        ClientNetwork::of("192.0.2.7".parse().unwrap())
    }

    #[test]
    fn an_owner_is_counted_where_there_is_a_cap_and_a_principal_not_by_its_name() {
        let alice = Principal::new("i", "alice");
        let none = Room::new("p", caps(3, None, None));
        assert_eq!(none.places(Some(&alice), Some(client())).names(), ["p:live:{all}"]);
        let room = Room::new("p", caps(3, Some(2), Some(4)));
        assert_eq!(room.places(None, None).names(), ["p:live:{all}"]);
        let places = room.places(Some(&alice), None);
        let [all, own] = places.names() else { panic!("{places:?}") };
        assert!(own.starts_with(&format!("{all}:")) && !own.contains("alice"), "{own}");
        assert_ne!(room.places(Some(&Principal::new("i", "bob")), None), places);
        let both = room.places(Some(&alice), Some(client()));
        assert_eq!(both.names()[2], "p:live:{all}:client-c0000207");
        assert_eq!(both.caps, [3, 2, 4]);
        let route = Route::default();
        let digest = Digest::of(Key::new(&route, None, b"id"));
        let ends = [own.strip_prefix("p:live:{all}:").unwrap(), "client-c0000207"].join("|");
        assert_eq!(both.listed(digest), [digest.as_bytes(), ends.as_bytes()].concat());
        assert_eq!(room.places(None, None).listed(digest), digest.as_bytes());
    }

    #[test]
    fn what_the_server_found_is_believed_until_it_may_have_changed() {
        let (alice, bob) = (Principal::new("i", "alice"), Principal::new("i", "bob"));
        let room = Room::new("p", caps(3, Some(2), Some(2)));
        let is_there = |principal, now_ms| room.is_there(principal, None, now_ms);
        let of = |principal| room.places(principal, None);
        room.counted_all(2, 0);
        assert!(is_there(None, 0));
        room.counted_all(3, 0);
        assert!(!is_there(None, 0) && !is_there(Some(&alice), 0));
        room.ended(&of(None));
        assert!(is_there(None, 0));
        room.is_met(&of(None), 0, 0);
        assert!(!is_there(None, 0));
        room.counted_all(0, 0);
        room.is_met(&of(Some(&alice)), 1, 5);
        assert!(!is_there(Some(&alice), 5 + FULL_MS - 1));
        assert!(is_there(Some(&bob), 5) && is_there(None, 5));
        assert!(is_there(Some(&alice), 5 + FULL_MS));
        room.is_met(&of(Some(&alice)), 1, 5);
        room.ended(&of(Some(&alice)));
        assert!(is_there(Some(&alice), 5));
        // The client's is the second owner here, and the first elsewhere.
        room.is_met(&room.places(Some(&alice), Some(client())), 2, 5);
        assert!(!room.is_there(None, Some(client()), 5) && is_there(Some(&alice), 5));
        let none = Room::new("p", caps(0, None, None));
        none.ended(&none.places(None, None));
        assert!(!none.is_there(None, None, 0));
    }

    #[test]
    fn openings_take_room_and_what_may_be_evicted_gives_it() {
        let (room, route) = (Room::new("p", caps(5, None, None)), Route::default());
        let place = || room.place(Applicant::new(&route, None, None), 0);
        room.counted_all(3, 0);
        let (one, two) = (place(), place());
        assert!(one.is_some() && two.is_some() && place().is_none());
        assert!(!room.is_pressed_now());
        room.inserted(true, 0);
        drop(one);
        // Four sessions, of which one may be evicted, and an opening.
        assert!(room.is_pressed_now());
        let three = place();
        assert!(three.is_some() && place().is_none());
        room.is_confirmed();
        drop(three);
        assert!(place().is_none());
        drop(two);
        assert!(place().is_some());
        room.inserted(true, 2);
        assert_eq!(room.known.load(Ordering::Relaxed), 3);
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
