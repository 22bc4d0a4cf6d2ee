//! Limits: caps, sweeping, counts.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::time::Duration;

use bartizan_core::{
    Key, Principal, Record, Route, SessionStore,
    store::{CountSessions, Inserted},
};
use bartizan_memory::MemoryStore;
use tokio::time::advance;

const IDLE: Duration = Duration::from_secs(100);
const LIFETIME: Duration = Duration::from_secs(1000);

fn record() -> Record {
    Record::new(IDLE, LIFETIME).with_backend("b".parse().unwrap())
}

async fn insert(store: &MemoryStore, id: &[u8]) -> Inserted {
    let route = Route::default();
    store.insert_if_absent(Key::new(&route, None, id), record()).wait().await.unwrap()
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
    for generation in 0..3 {
        for n in 0..1000 {
            insert(&store, format!("{generation} {n}").as_bytes()).await;
        }
        advance(IDLE).await;
        for n in 0..64 {
            insert(&store, format!("{generation} late {n}").as_bytes()).await;
        }
        assert_eq!(store.len(), 64);
    }
}

#[tokio::test(start_paused = true)]
async fn no_insert_sweeps_the_whole_table() {
    const ONE: usize = 64;
    let route = Route::default();
    let store = MemoryStore::builder().max_sessions_per_principal(1).build();
    for n in 0..20_000 {
        insert(&store, format!("{n}").as_bytes()).await;
    }
    advance(IDLE).await;
    let mut before = store.len();
    let mut swept = || {
        let swept = before - store.len();
        before = store.len();
        swept
    };
    let alice = Principal::new("i", "alice");
    let insert = async |id: &[u8]| {
        store.insert_if_absent(Key::new(&route, Some(&alice), id), record()).wait().await.unwrap()
    };
    assert!(matches!(insert(b"1").await, Inserted::Inserted(_)));
    assert!(swept() < ONE);
    assert!(matches!(insert(b"2").await, Inserted::Full));
    assert!((ONE..=ONE * 65).contains(&swept()), "some of every shard, for room");
    assert!(matches!(insert(b"2").await, Inserted::Full));
    assert!(swept() <= ONE, "not again within a moment");
    advance(Duration::from_millis(10)).await;
    assert!(!store.has_room(&route, Some(&alice)));
    assert!((ONE..=ONE * 64).contains(&swept()));
    assert!(store.sweep() > ONE);
    assert_eq!(store.len(), 1);
}

/// Eight tasks insert, replace and remove the same sessions, beyond both caps.
#[tokio::test(flavor = "multi_thread")]
async fn the_counts_agree_after_a_storm() {
    const LAST: u32 = 2000;
    let store = MemoryStore::builder().max_sessions(10).max_sessions_per_principal(4).build();
    let tasks: Vec<_> = (0..8_u32)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                let route = Route::default();
                let principals = ["a", "b", "c"].map(|name| Principal::new("i", name));
                let who = |n: u32| Some(&principals[(n % 3) as usize]);
                for n in 20..LAST {
                    let backend = format!("b{}", (n + task) % 3);
                    let record = record().with_backend(backend.parse().unwrap());
                    let id = n.to_be_bytes();
                    let key = Key::new(&route, who(n), &id);
                    store.insert_if_absent(key, record.clone()).wait().await.unwrap();
                    assert!(store.len() <= 10);
                    let id = (n - 1).to_be_bytes();
                    let key = Key::new(&route, who(n - 1), &id);
                    store.replace(key, 1.into(), record).wait().await.unwrap();
                    let id = (n - 20).to_be_bytes();
                    let key = Key::new(&route, who(n - 20), &id);
                    store.remove(key).wait().await.unwrap();
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    let on = |backend: &str| store.sessions_on(&backend.parse().unwrap());
    assert!(!store.is_empty());
    assert_eq!(on("b0") + on("b1") + on("b2"), store.len());
    let (route, names) = (Route::default(), ["a", "b", "c"]);
    for n in LAST - 20..LAST {
        let who = Principal::new("i", names[(n % 3) as usize]);
        store.remove(Key::new(&route, Some(&who), &n.to_be_bytes())).wait().await.unwrap();
    }
    assert_eq!((store.len(), on("b0"), on("b1"), on("b2")), (0, 0, 0, 0));
    assert!(names.iter().all(|who| store.has_room(&route, Some(&Principal::new("i", who)))));
}

#[tokio::test]
async fn a_store_prints_no_id() {
    let store = MemoryStore::new();
    insert(&store, b"secret").await;
    assert_eq!(format!("{store:?}"), "MemoryStore { sessions: 1, .. }");
}
