//! Time: idle and absolute expiry, use, tombstones.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::time::Duration;

use bartizan_core::{
    Key, Record, Route, Session, SessionStore,
    store::{CountSessions, Inserted, Replaced},
};
use bartizan_memory::MemoryStore;
use tokio::time::advance;

const SECOND: Duration = Duration::from_secs(1);
const IDLE: Duration = Duration::from_secs(100);
const LIFETIME: Duration = Duration::from_secs(1000);

fn record() -> Record {
    Record::new(IDLE, LIFETIME).with_backend("b".parse().unwrap())
}

async fn insert(store: &MemoryStore, id: &[u8]) -> Inserted {
    let route = Route::default();
    store.insert_if_absent(Key::new(&route, None, id), record()).wait().await.unwrap()
}

async fn get(store: &MemoryStore, id: &[u8]) -> Option<Session> {
    let route = Route::default();
    store.get(Key::new(&route, None, id)).wait().await.unwrap()
}

#[tokio::test(start_paused = true)]
async fn an_unused_session_expires_and_a_use_starts_the_time_anew() {
    let store = MemoryStore::new();
    insert(&store, b"id").await;
    for _ in 0..5 {
        advance(IDLE - SECOND).await;
        assert!(get(&store, b"id").await.is_some(), "found: that is a use");
    }
    advance(IDLE - SECOND).await;
    let session = get(&store, b"id").await.unwrap();
    advance(IDLE - SECOND).await;
    store.touch(&session);
    advance(IDLE - SECOND).await;
    assert_eq!(store.sweep(), 0);
    advance(SECOND).await;
    assert!(get(&store, b"id").await.is_none());
    assert_eq!((store.len(), store.sessions_on(&"b".parse().unwrap())), (0, 0));
    // An expired session may be opened again.
    assert!(matches!(insert(&store, b"id").await, Inserted::Inserted(_)));
}

#[tokio::test(start_paused = true)]
async fn nothing_outlives_its_lifetime() {
    let store = MemoryStore::new();
    insert(&store, b"id").await;
    let hold = get(&store, b"id").await.unwrap().hold();
    for _ in 0..10 {
        assert!(get(&store, b"id").await.is_some());
        advance(LIFETIME / 10).await;
    }
    assert!(get(&store, b"id").await.is_none(), "held and used, and over all the same");
    drop(hold);
}

#[tokio::test(start_paused = true)]
async fn a_held_session_does_not_idle_even_across_a_replacement() {
    let store = MemoryStore::new();
    insert(&store, b"id").await;
    let session = get(&store, b"id").await.unwrap();
    let hold = session.hold();
    advance(IDLE * 2).await;
    assert_eq!(store.sweep(), 0);
    let route = Route::default();
    let key = Key::new(&route, None, b"id");
    let replaced = store.replace(key, session.version(), record()).wait().await.unwrap();
    assert!(matches!(replaced, Replaced::Replaced(_)));
    advance(IDLE * 2).await;
    assert_eq!(store.sweep(), 0, "a stream of the earlier version is open");
    drop(hold);
    advance(IDLE - SECOND).await;
    assert_eq!(store.sweep(), 0, "in use, so its idle time started again");
    store.touch(&session);
    advance(IDLE - SECOND).await;
    assert_eq!(store.sweep(), 0, "touched by the earlier version");
    advance(SECOND).await;
    assert_eq!(store.sweep(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_stream_that_begins_on_a_replaced_version_is_use() {
    let store = MemoryStore::new();
    insert(&store, b"id").await;
    let early = get(&store, b"id").await.unwrap();
    let route = Route::default();
    let key = Key::new(&route, None, b"id");
    store.replace(key, early.version(), record()).wait().await.unwrap();
    let hold = early.hold();
    advance(IDLE * 2).await;
    assert!(get(&store, b"id").await.is_some());
    drop(hold);
    advance(IDLE).await;
    assert!(get(&store, b"id").await.is_none());
}

#[tokio::test(start_paused = true)]
async fn one_stream_may_see_any_number_of_replacements() {
    let store = MemoryStore::new();
    insert(&store, b"id").await;
    let mut now = get(&store, b"id").await.unwrap();
    let _hold = now.hold();
    let route = Route::default();
    let key = Key::new(&route, None, b"id");
    for _ in 0..100_000 {
        match store.replace(key, now.version(), record()).wait().await.unwrap() {
            Replaced::Replaced(next) => now = next,
            other => panic!("{other:?}"),
        }
    }
    assert!(now.is_held());
}

#[tokio::test(start_paused = true)]
async fn a_replacement_goes_on_with_the_age() {
    let store = MemoryStore::new();
    insert(&store, b"id").await;
    let session = get(&store, b"id").await.unwrap();
    advance(IDLE - SECOND).await;
    let route = Route::default();
    let key = Key::new(&route, None, b"id");
    store.replace(key, session.version(), record()).wait().await.unwrap();
    advance(SECOND).await;
    assert!(get(&store, b"id").await.is_none(), "it was not used");
}

#[tokio::test(start_paused = true)]
async fn a_tombstone_stands_for_a_minute() {
    let store = MemoryStore::new();
    let route = Route::default();
    store.remove(Key::new(&route, None, b"id")).wait().await.unwrap();
    advance(Duration::from_secs(59)).await;
    assert!(matches!(insert(&store, b"id").await, Inserted::Ended));
    advance(SECOND).await;
    assert!(matches!(insert(&store, b"id").await, Inserted::Inserted(_)));
}

/// However a session leaves the store, waiters for its end are notified. A replacement is not an
/// end.
#[tokio::test(start_paused = true)]
async fn every_end_is_told() {
    let store = MemoryStore::new();
    let ends: [(&str, fn(&MemoryStore)); 3] = [
        ("removed", |store| {
            let route = Route::default();
            let _ = store.remove(Key::new(&route, None, b"removed"));
        }),
        ("swept", |store| assert_eq!(store.sweep(), 1)),
        ("not found", |store| {
            let route = Route::default();
            let _ = store.get(Key::new(&route, None, b"not found"));
        }),
    ];
    for (id, end) in ends {
        insert(&store, id.as_bytes()).await;
        let session = get(&store, id.as_bytes()).await.unwrap();
        let waiting = tokio::spawn(session.ended());
        let route = Route::default();
        let key = Key::new(&route, None, id.as_bytes());
        let replaced = store.replace(key, session.version(), record()).wait().await.unwrap();
        assert!(matches!(replaced, Replaced::Replaced(_)));
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished() && !session.is_ended());
        if id != "removed" {
            advance(LIFETIME).await;
        }
        end(&store);
        tokio::time::timeout(SECOND, waiting).await.unwrap().unwrap();
        assert!(session.is_ended());
    }
}
