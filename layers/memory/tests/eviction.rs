//! Sessions that no request has confirmed make room for new ones, oldest first, when the store is nearly full.
#![allow(clippy::unwrap_used, clippy::panic, reason = "test")]

use std::time::Duration;

use bartizan_core::{
    Key, Principal, Record, Route, Session, SessionStore,
    session::ClientNetwork,
    store::{Applicant, CountSessions, Inserted},
};
use bartizan_memory::MemoryStore;
use tokio::time::advance;

fn record() -> Record {
    Record::new(Record::IDLE, Record::LIFETIME).with_backend("b".parse().unwrap())
}

async fn open(store: &MemoryStore, id: &str) -> Inserted {
    let route = Route::default();
    let key = Key::new(&route, None, id.as_bytes());
    store.insert_unconfirmed(key, record()).wait().await.unwrap()
}

async fn opens(store: &MemoryStore, id: &str) -> bool {
    matches!(open(store, id).await, Inserted::Inserted(_))
}

async fn get(store: &MemoryStore, id: &str) -> Option<Session> {
    let route = Route::default();
    store.get(Key::new(&route, None, id.as_bytes())).wait().await.unwrap()
}

fn evicted(store: &MemoryStore) -> Vec<String> {
    let taken = std::iter::from_fn(|| store.take_evicted(&Route::default()));
    taken.map(|session| String::from_utf8(session.id().into()).unwrap()).collect()
}

fn full_of(ids: std::ops::Range<u32>) -> Vec<String> {
    ids.map(|n| n.to_string()).collect()
}

#[tokio::test(start_paused = true)]
async fn below_80_percent_nothing_makes_room() {
    let store = MemoryStore::builder().max_sessions(10).build();
    for n in 0..8 {
        assert!(opens(&store, &n.to_string()).await);
        advance(Duration::from_secs(61)).await;
    }
    assert_eq!(evicted(&store), [""; 0]);
    // The ninth insert is the first that finds the store 80 % full.
    assert!(opens(&store, "8").await);
    assert_eq!(evicted(&store), ["0"]);
    assert!(get(&store, "0").await.is_none() && get(&store, "1").await.is_some());
    assert_eq!((store.len(), store.sessions_on(&"b".parse().unwrap())), (8, 8));
}

#[tokio::test(start_paused = true)]
async fn a_minute_is_given_until_the_store_is_full() {
    let store = MemoryStore::builder().max_sessions(10).build();
    for id in full_of(0..10) {
        assert!(opens(&store, &id).await);
    }
    assert_eq!(evicted(&store), [""; 0], "all are younger than a minute");
    // A flood within a minute evicts its own sessions, oldest first.
    for id in full_of(10..15) {
        assert!(opens(&store, &id).await);
    }
    assert_eq!(evicted(&store), full_of(0..5));
    assert_eq!(store.len(), 10);
}

#[tokio::test(start_paused = true)]
async fn a_confirmed_session_is_never_evicted() {
    let store = MemoryStore::builder().max_sessions(10).build();
    for id in full_of(0..10) {
        assert!(opens(&store, &id).await);
    }
    for id in full_of(0..5) {
        assert!(get(&store, &id).await.is_some());
    }
    advance(Duration::from_secs(3600)).await;
    for id in full_of(10..110) {
        assert!(opens(&store, &id).await);
        assert!(get(&store, "3").await.is_some());
    }
    assert_eq!(evicted(&store), [full_of(5..10), full_of(10..105)].concat());
    for id in full_of(105..110) {
        assert!(get(&store, &id).await.is_some());
    }
    // All sessions are confirmed, so the store is full.
    assert!(matches!(open(&store, "more").await, Inserted::Full));
    assert!(!store.has_room(&Route::default(), None));
    assert!(full_of(0..5).len() == 5 && evicted(&store).is_empty());
}

/// Pins by keys that clients choose, and sessions of protocols whose clients may take their time.
#[tokio::test(start_paused = true)]
async fn what_need_not_be_confirmed_is_not_evicted() {
    let store = MemoryStore::builder().max_sessions(2).build();
    let route = Route::default();
    for id in [&b"1"[..], b"2", b"3"] {
        let key = Key::new(&route, None, id);
        let inserted = store.insert_if_absent(key, record()).wait().await.unwrap();
        assert_eq!(matches!(inserted, Inserted::Full), id == b"3");
        advance(Duration::from_secs(61)).await;
    }
    assert!(!opens(&store, "4").await && store.take_evicted(&route).is_none());
}

#[tokio::test(start_paused = true)]
async fn whose_cap_is_met_displaces_nobody() {
    let caps = MemoryStore::builder().max_sessions(3);
    let store = caps.max_sessions_per_principal(1).max_sessions_per_client(1).build();
    let (route, alice) = (Route::default(), Principal::new("i", "alice"));
    let client = ClientNetwork::of("192.0.2.7".parse().unwrap());
    let by_alice = async |id: &str| {
        let key = Key::new(&route, Some(&alice), id.as_bytes());
        store.insert_unconfirmed(key, record()).wait().await.unwrap()
    };
    let by_client = async |id: &str| {
        let key = Key::new(&route, None, id.as_bytes());
        store.insert_unconfirmed(key, record().with_client(client)).wait().await.unwrap()
    };
    assert!(opens(&store, "0").await && store.counts_clients());
    assert!(matches!(by_alice("a").await, Inserted::Inserted(_)));
    assert!(matches!(by_client("c").await, Inserted::Inserted(_)));
    advance(Duration::from_secs(61)).await;
    assert!(matches!(by_alice("aa").await, Inserted::Full));
    assert!(matches!(by_client("cc").await, Inserted::Full));
    assert!(store.reserve(Applicant::new(&route, None, Some(client))).is_none());
    assert!(store.reserve(Applicant::new(&route, Some(&alice), None)).is_none());
    let other = ClientNetwork::of("192.0.2.8".parse().unwrap());
    assert!(store.reserve(Applicant::new(&route, None, Some(other))).is_some());
    assert!(evicted(&store).is_empty() && store.len() == 3);
    // A session that ends frees its place.
    store.remove(Key::new(&route, None, b"c")).wait().await.unwrap();
    assert!(matches!(by_client("ccc").await, Inserted::Inserted(_)));
}

#[tokio::test]
async fn openings_in_flight_take_their_places() {
    let store = MemoryStore::builder().max_sessions(3).build();
    let route = Route::default();
    let reserve = || store.reserve(Applicant::new(&route, None, None));
    assert!(opens(&store, "0").await && get(&store, "0").await.is_some());
    let (one, two) = (reserve(), reserve());
    assert!(one.is_some() && two.is_some() && reserve().is_none());
    drop(one);
    assert!(reserve().is_some());
    drop(two);
    for id in ["1", "2"] {
        assert!(opens(&store, id).await && get(&store, id).await.is_some());
    }
    assert!(reserve().is_none());
}

/// Eight tasks flood a small store while others are confirmed and used.
#[tokio::test(flavor = "multi_thread")]
async fn the_cap_and_the_confirmed_hold_in_a_storm() {
    let store = MemoryStore::builder().max_sessions(100).build();
    for id in full_of(0..50) {
        assert!(opens(&store, &id).await && get(&store, &id).await.is_some());
    }
    let tasks: Vec<_> = (0..8_u32)
        .map(|task| {
            let store = store.clone();
            tokio::spawn(async move {
                for n in 0..2_000_u32 {
                    assert!(opens(&store, &format!("{task} {n}")).await);
                    assert!(store.len() <= 100);
                    assert!(get(&store, &(n % 50).to_string()).await.is_some());
                }
            })
        })
        .collect();
    for task in tasks {
        task.await.unwrap();
    }
    assert_eq!((store.len(), store.sessions_on(&"b".parse().unwrap())), (100, 100));
    assert!(evicted(&store).len() > 100);
    for id in full_of(0..50) {
        assert!(get(&store, &id).await.is_some());
    }
}
