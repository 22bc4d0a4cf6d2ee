//! What a store finds in the database of an earlier one.
#![allow(clippy::panic, clippy::unwrap_used, reason = "test")]

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use bartizan::{
    Route, SessionStore,
    core::{
        Key, Record,
        store::{CountSessions, Inserted, RecordVersion, Replaced, StoreErrorKind},
    },
};
use bartizan_example_custom_store::SqliteStore;

const IDLE: Duration = Duration::from_secs(100);

fn record() -> Record {
    Record::new(IDLE, IDLE * 10).with_backend("http://b:1".parse().unwrap())
}

fn open(path: &Path, now_ms: &Arc<AtomicU64>) -> SqliteStore {
    let now_ms = Arc::clone(now_ms);
    SqliteStore::with_clock(path, 2, move || now_ms.load(Ordering::Relaxed)).unwrap()
}

#[tokio::test]
async fn records_ages_uses_ends_and_counts_are_as_they_were() {
    let (directory, route) = (tempfile::tempdir().unwrap(), Route::default());
    let (path, now_ms) = (directory.path().join("sessions.db"), Arc::new(AtomicU64::new(1)));
    let pass = |time: Duration| {
        now_ms.fetch_add(u64::try_from(time.as_millis()).unwrap(), Ordering::Relaxed);
    };
    let [used, unused, ended] =
        [&b"used"[..], b"unused", b"ended"].map(|id| Key::new(&route, None, id));

    let store = open(&path, &now_ms);
    store.remove(ended).wait().await.unwrap();
    for key in [used, unused] {
        let inserted = store.insert_if_absent(key, record()).wait().await.unwrap();
        assert!(matches!(inserted, Inserted::Inserted(_)));
    }
    let full = store.insert_if_absent(Key::new(&route, None, b"3"), record()).wait().await;
    assert!(matches!(full.unwrap(), Inserted::Full));
    pass(IDLE / 2);
    assert!(store.get(used).wait().await.unwrap().is_some());
    drop(store);

    let store = open(&path, &now_ms);
    assert_eq!(store.sessions_on(&"http://b:1".parse().unwrap()), 2);
    assert!(!store.has_room(&route, None));
    let late = store.insert_if_absent(ended, record()).wait().await.unwrap();
    assert!(matches!(late, Inserted::Ended));
    pass(IDLE * 3 / 4);
    // Not looked up since: its last use is what is stored.
    let first = RecordVersion::FIRST;
    let moved = record().with_field("unknown", b"kept");
    let replaced = store.replace(used, first, moved.clone()).wait().await.unwrap();
    let Replaced::Replaced(session) = replaced else { panic!("it is live: {replaced:?}") };
    let found = store.get(used).wait().await.unwrap().unwrap();
    assert_eq!((found.record(), found.version()), (&moved, first.next()));
    assert!(store.get(unused).wait().await.unwrap().is_none());
    assert_eq!(store.sessions_on(&"http://b:1".parse().unwrap()), 1);
    drop((store, session, found));

    let store = open(&path, &now_ms);
    assert_eq!(store.get(used).wait().await.unwrap().unwrap().record(), &moved);
}

#[tokio::test]
async fn a_record_of_a_later_release_is_an_error_and_stays() {
    let (directory, route) = (tempfile::tempdir().unwrap(), Route::default());
    let (path, now_ms) = (directory.path().join("sessions.db"), Arc::new(AtomicU64::new(1)));
    let (store, key) = (open(&path, &now_ms), Key::new(&route, None, b"secret-id"));
    store.insert_if_absent(key, record()).wait().await.unwrap();
    let database = rusqlite::Connection::open(&path).unwrap();
    let stored: Vec<u8> =
        database.query_row("SELECT key FROM sessions", [], |row| row.get(0)).unwrap();
    assert!(!stored.windows(6).any(|bytes| bytes == b"secret"));
    database.execute("UPDATE sessions SET record = x'02ff'", []).unwrap();
    for _ in 0..2 {
        let error = store.get(key).wait().await.unwrap_err();
        assert_eq!(error.kind(), StoreErrorKind::Corrupt);
    }
}

#[test]
fn what_is_no_database_is_not_opened() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("sessions.db");
    std::fs::write(&path, [b'x'; 4_096]).unwrap();
    assert!(SqliteStore::open(&path, 1).is_err());
}
