//! Time and bounds: idle and absolute expiry, use, tombstones, caps, counts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::time::Duration;

use bartizan_core::{
    Key, Principal, Record, Route, Session, SessionStore,
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
    // What has expired may be opened anew.
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
    store.touch(&session);
    advance(IDLE - SECOND).await;
    assert_eq!(store.sweep(), 0);
    advance(SECOND).await;
    assert_eq!(store.sweep(), 1);
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

#[tokio::test(flavor = "multi_thread")]
async fn the_cap_holds_under_a_race_and_live_sessions_stay() {
    let store = MemoryStore::builder().max_sessions(100).build();
    let tasks: Vec<_> = (0..8_u8)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let mut inserted = 0;
                for n in 0..50_u8 {
                    let outcome = insert(&store, &[task + 1, n + 1]).await;
                    inserted += usize::from(matches!(outcome, Inserted::Inserted(_)));
                }
                inserted
            })
        })
        .collect();
    let mut inserted = 0;
    for task in tasks {
        inserted += task.await.unwrap();
    }
    assert_eq!((inserted, store.len()), (100, 100));
    assert!(!store.has_room(&Route::default(), None));
    assert_eq!(store.sessions_on(&"b".parse().unwrap()), 100);
}

#[tokio::test(start_paused = true)]
async fn a_full_store_makes_room_of_what_has_expired() {
    let store = MemoryStore::builder().max_sessions(2).build();
    insert(&store, b"1").await;
    insert(&store, b"2").await;
    assert!(matches!(insert(&store, b"3").await, Inserted::Full));
    advance(IDLE).await;
    assert!(store.has_room(&Route::default(), None));
    assert!(matches!(insert(&store, b"3").await, Inserted::Inserted(_)));
    assert_eq!(store.len(), 1);
}

#[tokio::test]
async fn one_principal_cannot_take_all_the_room() {
    let store = MemoryStore::builder().max_sessions_per_principal(2).build();
    let (route, alice, bob) =
        (Route::default(), Principal::new("i", "alice"), Principal::new("i", "bob"));
    let insert = async |who: Option<&Principal>, id: &[u8]| {
        store.insert_if_absent(Key::new(&route, who, id), record()).wait().await.unwrap()
    };
    insert(Some(&alice), b"1").await;
    insert(Some(&alice), b"2").await;
    assert!(matches!(insert(Some(&alice), b"3").await, Inserted::Full));
    assert!(!store.has_room(&route, Some(&alice)));
    assert!(store.has_room(&route, Some(&bob)) && store.has_room(&route, None));
    assert!(matches!(insert(Some(&bob), b"3").await, Inserted::Inserted(_)));
    for n in 0..10_u8 {
        assert!(matches!(insert(None, &[n]).await, Inserted::Inserted(_)));
    }
    store.remove(Key::new(&route, Some(&alice), b"1")).wait().await.unwrap();
    assert!(matches!(insert(Some(&alice), b"3").await, Inserted::Inserted(_)));
    assert_eq!(store.len(), 13);
}

#[tokio::test(start_paused = true)]
async fn inserts_sweep_what_nobody_asks_for() {
    let store = MemoryStore::new();
    for n in 0..1000_u32 {
        insert(&store, &n.to_be_bytes()).await;
    }
    advance(IDLE).await;
    for n in 0..64_u32 {
        advance(Duration::from_millis(100)).await;
        insert(&store, format!("new {n}").as_bytes()).await;
    }
    assert_eq!(store.len(), 64);
}

proptest::proptest! {
    #![proptest_config(proptest::test_runner::Config {
        failure_persistence: None,
        ..Default::default()
    })]

    /// Any sequence of operations leaves what a simple model has.
    #[test]
    fn the_store_agrees_with_a_model(operations in proptest::collection::vec((0u8..4, 0u8..6, 0u8..3), 0..80)) {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        runtime.block_on(async {
            let (store, route) = (MemoryStore::new(), Route::default());
            let mut model = std::collections::HashMap::<u8, (u8, u32)>::new();
            let mut ended = std::collections::HashSet::new();
            for (operation, id, backend) in operations {
                let key_bytes = [id];
                let key = Key::new(&route, None, &key_bytes);
                let name = format!("b{backend}");
                let record = Record::new(IDLE, LIFETIME).with_backend(name.parse().unwrap());
                match operation {
                    0 => {
                        let outcome = store.insert_if_absent(key, record).wait().await.unwrap();
                        match (model.contains_key(&id), ended.contains(&id)) {
                            (true, _) => assert!(matches!(outcome, Inserted::Exists(_))),
                            (_, true) => assert!(matches!(outcome, Inserted::Ended)),
                            _ => {
                                assert!(matches!(outcome, Inserted::Inserted(_)));
                                model.insert(id, (backend, 1));
                            }
                        }
                    }
                    1 => {
                        let found = store.get(key).wait().await.unwrap();
                        let found = found.map(|session| {
                            (session.record().backend().unwrap().to_string(), session.version().get())
                        });
                        let expected = model.get(&id).map(|(b, version)| (format!("b{b}"), *version));
                        assert_eq!(found, expected);
                    }
                    2 => {
                        store.remove(key).wait().await.unwrap();
                        model.remove(&id);
                        ended.insert(id);
                    }
                    _ => {
                        let outcome = store.replace(key, 1.into(), record).wait().await.unwrap();
                        match model.get_mut(&id) {
                            None => assert!(matches!(outcome, Replaced::Gone)),
                            Some((there, version @ 1)) => {
                                assert!(matches!(outcome, Replaced::Replaced(_)));
                                *there = backend;
                                *version = 2;
                            }
                            Some(_) => assert!(matches!(outcome, Replaced::Changed(_))),
                        }
                    }
                }
                assert_eq!(store.len(), model.len());
                for b in 0..3_u8 {
                    let expected = model.values().filter(|(there, _)| *there == b).count();
                    assert_eq!(store.sessions_on(&format!("b{b}").parse().unwrap()), expected);
                }
            }
        });
    }
}
