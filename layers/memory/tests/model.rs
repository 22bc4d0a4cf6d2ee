//! After any sequence of operations, the store agrees with a model of a few lines.
#![allow(clippy::indexing_slicing, clippy::panic, clippy::unwrap_used, reason = "test")]

use std::{collections::HashMap, time::Duration};

use bartizan_core::{
    Key, Principal, Record, Route, Session, SessionStore,
    session::Hold,
    store::{CountSessions, Inserted, Replaced},
};
use bartizan_memory::MemoryStore;
use proptest::prelude::*;

const IDLE: u64 = 100;
const LIFETIME: u64 = 250;
const STANDS: u64 = 60;
const CAP: usize = 5;
const CAP_EACH: usize = 3;

/// The caller (none, alice or bob) and the id.
type Id = (usize, u8);

#[derive(Clone, Debug)]
enum Op {
    Insert(Id, u8),
    Get(Id),
    Replace(Id, u32, u8),
    Remove(Id),
    /// With the version that was found, or the oldest.
    Hold(Id, bool),
    /// A call ends: a touch, then the hold is released.
    Release(usize),
    /// With the newest version, or the oldest.
    Touch(Id, bool),
    Advance(u64),
    Sweep,
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let id = || (0..3_usize, 0..3_u8);
    let op = prop_oneof![
        4 => (id(), 0..3_u8).prop_map(|(id, backend)| Op::Insert(id, backend)),
        2 => id().prop_map(Op::Get),
        2 => (id(), 1..4_u32, 0..3_u8).prop_map(|(id, seen, backend)| Op::Replace(id, seen, backend)),
        1 => id().prop_map(Op::Remove),
        1 => (id(), any::<bool>()).prop_map(|(id, newest)| Op::Hold(id, newest)),
        1 => (0..4_usize).prop_map(Op::Release),
        1 => (id(), any::<bool>()).prop_map(|(id, newest)| Op::Touch(id, newest)),
        3 => (1..60_u64).prop_map(Op::Advance),
        1 => Just(Op::Sweep),
    ];
    prop::collection::vec(op, 0..120)
}

struct Entry {
    backend: u8,
    version: u32,
    born: u64,
    used: u64,
    holds: usize,
    oldest: Session,
    newest: Session,
}

#[derive(Default)]
struct Model {
    now: u64,
    live: HashMap<Id, Entry>,
    ended: HashMap<Id, u64>,
    // Of sessions that may have ended by now.
    holds: Vec<(Id, u64, Hold)>,
}

impl Model {
    fn expire(&mut self) -> usize {
        let (now, before) = (self.now, self.live.len());
        self.live.retain(|_, entry| {
            now - entry.born < LIFETIME && (entry.holds > 0 || now - entry.used < IDLE)
        });
        before - self.live.len()
    }

    fn has_room(&self, who: usize) -> bool {
        let of_who = self.live.keys().filter(|id| id.0 == who).count();
        self.live.len() < CAP && (who == 0 || of_who < CAP_EACH)
    }
}

fn record(backend: u8) -> Record {
    Record::new(Duration::from_secs(IDLE), Duration::from_secs(LIFETIME))
        .with_backend(format!("b{backend}").parse().unwrap())
}

async fn agree(ops: Vec<Op>) {
    let store =
        MemoryStore::builder().max_sessions(CAP).max_sessions_per_principal(CAP_EACH).build();
    let route = Route::default();
    let principals = [None, Some(Principal::new("i", "alice")), Some(Principal::new("i", "bob"))];
    let mut model = Model::default();
    // So that a full store may sweep for room.
    tokio::time::advance(Duration::from_secs(1)).await;
    for op in ops {
        // An expired session counts as absent, whether it was removed or not.
        model.expire();
        let bytes = |id: Id| [id.1];
        match op {
            Op::Insert(id, backend) => {
                let bytes = bytes(id);
                let key = Key::new(&route, principals[id.0].as_ref(), &bytes);
                let outcome = store.insert_if_absent(key, record(backend)).wait().await.unwrap();
                if model.live.contains_key(&id) {
                    assert!(matches!(outcome, Inserted::Exists(_)), "{outcome:?}");
                } else if model.ended.get(&id).is_some_and(|at| model.now - at < STANDS) {
                    assert!(matches!(outcome, Inserted::Ended), "{outcome:?}");
                } else if !model.has_room(id.0) {
                    assert!(matches!(outcome, Inserted::Full), "{outcome:?}");
                } else {
                    let Inserted::Inserted(session) = outcome else { panic!("{outcome:?}") };
                    let (born, used) = (model.now, model.now);
                    let (oldest, newest) = (session.clone(), session);
                    let entry = Entry { backend, version: 1, born, used, holds: 0, oldest, newest };
                    model.live.insert(id, entry);
                }
            }
            Op::Get(id) => {
                let bytes = bytes(id);
                let key = Key::new(&route, principals[id.0].as_ref(), &bytes);
                let found = store.get(key).wait().await.unwrap();
                let found = found.map(|session| {
                    (session.record().backend().unwrap().to_string(), session.version().get())
                });
                let expected = model.live.get_mut(&id).map(|entry| {
                    entry.used = model.now;
                    (format!("b{}", entry.backend), entry.version)
                });
                assert_eq!(found, expected);
            }
            Op::Replace(id, seen, backend) => {
                let bytes = bytes(id);
                let key = Key::new(&route, principals[id.0].as_ref(), &bytes);
                let outcome =
                    store.replace(key, seen.into(), record(backend)).wait().await.unwrap();
                match (model.live.get_mut(&id), outcome) {
                    (None, Replaced::Gone) => {}
                    (Some(entry), Replaced::Changed(session)) => {
                        assert_ne!(entry.version, seen);
                        assert_eq!(session.version().get(), entry.version);
                    }
                    (Some(entry), Replaced::Replaced(session)) => {
                        assert_eq!(entry.version, seen);
                        entry.version += 1;
                        entry.backend = backend;
                        entry.newest = session;
                    }
                    (_, outcome) => panic!("{outcome:?}"),
                }
            }
            Op::Remove(id) => {
                let bytes = bytes(id);
                let key = Key::new(&route, principals[id.0].as_ref(), &bytes);
                store.remove(key).wait().await.unwrap();
                model.live.remove(&id);
                model.ended.insert(id, model.now);
            }
            Op::Hold(id, newest) => {
                // A layer holds the session that it has just found: a lookup is a use.
                let bytes = bytes(id);
                let key = Key::new(&route, principals[id.0].as_ref(), &bytes);
                let found = store.get(key).wait().await.unwrap();
                assert_eq!(found.is_some(), model.live.contains_key(&id));
                if let (Some(entry), Some(found)) = (model.live.get_mut(&id), found) {
                    entry.used = model.now;
                    entry.holds += 1;
                    let session = if newest { &found } else { &entry.oldest };
                    model.holds.push((id, entry.born, session.hold()));
                }
            }
            Op::Release(nth) if nth < model.holds.len() => {
                let (id, born, hold) = model.holds.remove(nth);
                store.touch(hold.session());
                drop(hold);
                if let Some(entry) = model.live.get_mut(&id).filter(|entry| entry.born == born) {
                    entry.used = model.now;
                    entry.holds -= 1;
                }
            }
            Op::Release(_) => {}
            Op::Touch(id, newest) => {
                if let Some(entry) = model.live.get_mut(&id) {
                    store.touch(if newest { &entry.newest } else { &entry.oldest });
                    entry.used = model.now;
                }
            }
            Op::Advance(seconds) => {
                tokio::time::advance(Duration::from_secs(seconds)).await;
                model.now += seconds;
            }
            Op::Sweep => drop(store.sweep()),
        }
        model.expire();
        assert!(store.len() >= model.live.len(), "more at the most, until swept");
        for (who, principal) in principals.iter().enumerate() {
            assert_eq!(store.has_room(&route, principal.as_ref()), model.has_room(who));
        }
        // Counts are exact after a sweep; half of the steps run without one.
        if model.now % 2 == 0 {
            store.sweep();
            assert_eq!(store.len(), model.live.len());
            for backend in 0..3 {
                let expected = model.live.values().filter(|e| e.backend == backend).count();
                let on = store.sessions_on(&format!("b{backend}").parse().unwrap());
                assert_eq!(on, expected, "b{backend}");
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..Default::default() })]

    #[test]
    fn the_store_agrees_with_a_model(ops in ops()) {
        tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap()
            .block_on(agree(ops));
    }
}
