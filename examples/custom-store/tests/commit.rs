//! What an operation leaves behind whose transaction cannot be committed.
#![allow(clippy::panic, clippy::unwrap_used, reason = "test")]

use std::time::Duration;

use bartizan::{
    Route, SessionStore,
    core::{
        Key, Record,
        store::{CountSessions, Inserted, RecordVersion, Replaced},
    },
};
use bartizan_example_custom_store::SqliteStore;

/// From then on, each transaction that writes a row fails at its commit: it leaves a reference to nothing.
const BREAK: &str = "
    CREATE TABLE a (id INTEGER PRIMARY KEY);
    CREATE TABLE b (id INTEGER REFERENCES a DEFERRABLE INITIALLY DEFERRED);
    CREATE TRIGGER broken AFTER INSERT ON sessions BEGIN INSERT INTO b VALUES (1); END;
";

fn record(backend: &str) -> Record {
    let hour = Duration::from_secs(3600);
    Record::new(hour, hour).with_backend(backend.parse().unwrap())
}

#[tokio::test]
async fn a_commit_that_fails_changes_nothing() {
    let (directory, route) = (tempfile::tempdir().unwrap(), Route::default());
    let path = directory.path().join("sessions.db");
    let store = SqliteStore::open(&path, 2).unwrap();
    let [old, new] = [&b"old"[..], b"new"].map(|id| Key::new(&route, None, id));
    let counts = || ["http://a:1", "http://b:1"].map(|id| store.sessions_on(&id.parse().unwrap()));
    let inserted = store.insert_if_absent(old, record("http://a:1")).wait().await.unwrap();
    let Inserted::Inserted(session) = inserted else { panic!("it is new: {inserted:?}") };
    assert_eq!(counts(), [1, 0]);

    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch(BREAK).unwrap();
    let first = RecordVersion::FIRST;
    for _ in 0..3 {
        store.insert_if_absent(new, record("http://b:1")).wait().await.unwrap_err();
        store.replace(old, first, record("http://b:1")).wait().await.unwrap_err();
        store.remove(old).wait().await.unwrap_err();
        store.remove_if_unchanged(old, first).wait().await.unwrap_err();
    }
    assert_eq!(counts(), [1, 0]);
    assert!(store.has_room(&route, None) && !session.is_ended());
    let found = store.get(old).wait().await.unwrap().unwrap();
    assert_eq!((found.version(), found.record()), (first, &record("http://a:1")));
    assert!(store.get(new).wait().await.unwrap().is_none());

    database.execute_batch("DROP TRIGGER broken").unwrap();
    let inserted = store.insert_if_absent(new, record("http://b:1")).wait().await.unwrap();
    assert!(matches!(inserted, Inserted::Inserted(_)), "{inserted:?}");
    let replaced = store.replace(old, first, record("http://b:1")).wait().await.unwrap();
    assert!(matches!(replaced, Replaced::Replaced(_)), "{replaced:?}");
    assert_eq!(counts(), [0, 2]);
    store.remove(old).wait().await.unwrap();
    assert!(session.is_ended());
    assert_eq!(counts(), [0, 1]);
}
