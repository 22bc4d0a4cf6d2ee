//! Each number moves by the event that it names, once, and by no other.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::time::Duration;

use bartizan_core::{
    Key, Record, Route, Session, SessionStore,
    gauges::{Gauges, Value},
    store::{Inserted, RecordVersion},
};
use bartizan_memory::MemoryStore;
use tokio::time::advance;

#[path = "../../../tests/support/gauges.rs"]
mod gauges;

use gauges::Ledger;

const MINUTE: Duration = Duration::from_secs(60);

fn world(max: usize) -> (MemoryStore, Ledger<MemoryStore>) {
    let store = MemoryStore::builder().max_sessions(max).build();
    (store.clone(), Ledger::new(store))
}

fn with_key<T>(id: &str, use_it: impl FnOnce(Key<'_>) -> T) -> T {
    let route = Route::default();
    use_it(Key::new(&route, None, id.as_bytes()))
}

async fn open(store: &MemoryStore, id: &str, idle: Duration, lifetime: Duration) -> Session {
    let inserted = with_key(id, |key| store.insert_unconfirmed(key, Record::new(idle, lifetime)));
    match inserted.wait().await.unwrap() {
        Inserted::Inserted(session) => session,
        other => panic!("{other:?}"),
    }
}

async fn get(store: &MemoryStore, id: &str) -> Option<Session> {
    with_key(id, |key| store.get(key)).wait().await.unwrap()
}

/// One end, of which the duration is told as well.
fn one(cause: &str) -> [String; 2] {
    [
        format!("session_duration_seconds{{cause={cause}}} 1"),
        format!("sessions_ended_total{{cause={cause}}} 1"),
    ]
}

const NOTHING: [String; 0] = [];

#[tokio::test(start_paused = true)]
async fn what_expires_ends_by_the_time_that_is_over_when_it_is_looked_up_or_swept() {
    let (store, mut ledger) = world(10);
    for is_swept in [false, true] {
        for (idle, lifetime, cause) in
            [(MINUTE, 10 * MINUTE, "idle"), (10 * MINUTE, MINUTE, "lifetime")]
        {
            drop(open(&store, "a", idle, lifetime).await);
            advance(MINUTE).await;
            assert_eq!(ledger.moved(), NOTHING, "it is there until somebody looks");
            match is_swept {
                true => assert_eq!(store.sweep(), 1),
                false => assert!(get(&store, "a").await.is_none()),
            }
            assert_eq!(ledger.moved(), one(cause));
            assert!(get(&store, "a").await.is_none() && store.sweep() == 0);
            assert_eq!(ledger.moved(), NOTHING, "once");
        }
    }
}

#[tokio::test(start_paused = true)]
async fn what_makes_room_is_evicted() {
    let (store, mut ledger) = world(2);
    for id in ["a", "b"] {
        drop(open(&store, id, 10 * MINUTE, 10 * MINUTE).await);
    }
    assert_eq!(ledger.moved(), NOTHING);
    drop(open(&store, "c", 10 * MINUTE, 10 * MINUTE).await);
    assert_eq!(ledger.moved(), one("evicted"));
    let evicted = store.take_evicted(&Route::default()).unwrap();
    with_key("a", |key| store.remove(key)).wait().await.unwrap();
    assert_eq!((evicted.id(), ledger.moved()), (&b"a"[..], NOTHING.to_vec()));
}

#[tokio::test(start_paused = true)]
async fn what_a_caller_removes_is_the_callers_to_count() {
    let (store, mut ledger) = world(10);
    for id in ["a", "b"] {
        drop(open(&store, id, MINUTE, 10 * MINUTE).await);
        assert!(get(&store, id).await.is_some());
    }
    with_key("a", |key| store.remove(key)).wait().await.unwrap();
    let removed = with_key("b", |key| store.remove_if_unchanged(key, RecordVersion::FIRST));
    assert!(removed.wait().await.unwrap());
    drop(open(&store, "c", MINUTE, 10 * MINUTE).await);
    assert_eq!(ledger.moved(), NOTHING);
}

#[tokio::test(start_paused = true)]
async fn the_levels_are_those_of_the_store_and_a_session_lasts_until_its_last_use() {
    let (store, ledger) = world(7);
    drop(open(&store, "a", MINUTE, 10 * MINUTE).await);
    drop(open(&store, "b", MINUTE, 10 * MINUTE).await);
    assert_eq!((ledger.level("sessions"), ledger.level("sessions_max")), (2, 7));
    for _ in 0..3 {
        advance(MINUTE / 2).await;
        assert!(get(&store, "a").await.is_some());
    }
    advance(MINUTE).await;
    store.sweep();
    assert_eq!(ledger.level("sessions"), 0);
    let mut sum = Duration::ZERO;
    store.read(&mut |reading| {
        if let Value::Histogram(durations) = reading.value {
            sum += durations.sum();
        }
    });
    assert_eq!(sum, 3 * MINUTE / 2, "the one that was used for so long, and the one that was not");
}
