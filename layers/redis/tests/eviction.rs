//! Sessions that no request has confirmed make room for new ones, oldest first, over all replicas.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::{collections::BTreeSet, time::Duration};

use bartizan_core::{
    Key, Principal, Record, Route, SessionStore,
    session::ClientNetwork,
    store::{Applicant, Inserted},
};
use bartizan_redis::RedisStore;
use bartizan_testkit::{RedisServer, eventually};
use common::{PATIENCE, fresh, get, insert, on, record};
use futures_util::{StreamExt, stream};
use tokio::time::sleep;

const LIST: &str = "bartizan:fresh:{all}";
const ALL: &str = "bartizan:live:{all}";

async fn open(store: &RedisStore, id: &str) -> Inserted {
    open_by(store, None, None, id).await
}

async fn open_by(
    store: &RedisStore,
    principal: Option<&Principal>,
    client: Option<ClientNetwork>,
    id: &str,
) -> Inserted {
    let route = Route::default();
    let key = Key::new(&route, principal, id.as_bytes());
    let record = record().with_backend("http://b:1".parse().unwrap());
    let record = match client {
        Some(client) => record.with_client(client),
        None => record,
    };
    store.insert_unconfirmed(key, record).wait().await.unwrap()
}

async fn opens(store: &RedisStore, id: &str) -> bool {
    matches!(open(store, id).await, Inserted::Inserted(_))
}

/// Opens a session, and waits until the server knows that a request has shown its id at `other`.
async fn confirmed(server: &RedisServer, store: &RedisStore, other: &RedisStore, id: &str) {
    let waiting = count(server, LIST);
    assert!(opens(store, id).await);
    assert!(get(other, id).await.unwrap().is_some());
    let told = async || count(server, LIST) == waiting;
    eventually("it is confirmed", PATIENCE, told).await;
}

fn count(server: &RedisServer, set: &str) -> usize {
    server.cli(&["ZCARD", set]).parse().unwrap()
}

fn evicted(store: &RedisStore) -> impl Iterator<Item = String> {
    let taken = std::iter::from_fn(|| store.take_evicted(&Route::default()));
    taken.map(|session| String::from_utf8(session.id().into()).unwrap())
}

/// Makes all unconfirmed sessions a minute older.
fn a_minute_passes(server: &RedisServer) {
    let script = "for _, member in ipairs(redis.call('ZRANGE', KEYS[1], 0, -1)) do
        redis.call('ZINCRBY', KEYS[1], -61000, member)
    end";
    server.cli(&["EVAL", script, "1", LIST]);
}

fn touched(server: &RedisServer) -> String {
    let script = "local value = redis.call('GETRANGE', KEYS[1], 9, 16)
        return (value:gsub('.', function(byte) return string.format('%02x', byte:byte()) end))";
    let key = server.cli(&["--scan", "--pattern", "bartizan:{*"]);
    server.cli(&["EVAL", script, "1", &key])
}

async fn two(server: &RedisServer, cap: usize) -> [RedisStore; 2] {
    let set =
        |builder: bartizan_redis::RedisStoreBuilder| builder.timeout(PATIENCE).max_sessions(cap);
    [on(server, set).await, on(server, set).await]
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_through_two_replicas_displaces_itself_and_no_confirmed_session() {
    let server = RedisServer::start().await;
    let stores = two(&server, 20).await;
    for n in 0..8 {
        confirmed(&server, &stores[n % 2], &stores[(n + 1) % 2], &format!("mine-{n}")).await;
    }
    let opened = stream::iter(0..500)
        .map(|n| {
            let store = stores[n % 2].clone();
            async move { (opens(&store, &format!("flood-{n}")).await, n) }
        })
        .buffer_unordered(50)
        .filter(|(is_open, _)| std::future::ready(*is_open));
    assert_eq!(opened.count().await, 500, "no client is locked out");
    assert_eq!((count(&server, ALL), count(&server, LIST)), (20, 12));
    let live = server.cli(&["--scan", "--pattern", "bartizan:{*"]);
    assert_eq!(live.lines().count(), 20, "their records are gone");
    for n in 0..8 {
        for store in &stores {
            assert!(get(store, &format!("mine-{n}")).await.unwrap().is_some());
        }
    }
    // Each session is ended once: by the replica that evicted it, or by the one that knows its id.
    let ended = std::sync::Mutex::new(Vec::new());
    let all = async || {
        let mut ended = ended.lock().unwrap();
        ended.extend(stores.iter().flat_map(evicted));
        ended.len() >= 488
    };
    eventually("all can be ended", PATIENCE, all).await;
    let ended = ended.into_inner().unwrap();
    let (ended, once) = (ended.len(), ended.into_iter().collect::<BTreeSet<_>>());
    assert_eq!((ended, once.len()), (488, 488));
    assert!(once.iter().all(|id| id.starts_with("flood")));
    let backend = "http://b:1".parse().unwrap();
    let counts = async || {
        use bartizan_core::store::CountSessions;
        stores.iter().all(|store| store.sessions_on(&backend) == 20)
    };
    eventually("they no longer count on their backend", PATIENCE, counts).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_minute_is_given_until_the_store_is_full() {
    let server = RedisServer::start().await;
    let [store, _] = two(&server, 10).await;
    for n in 0..8 {
        assert!(opens(&store, &n.to_string()).await);
    }
    assert!(opens(&store, "8").await);
    assert_eq!((count(&server, ALL), evicted(&store).count()), (9, 0), "all are young");
    a_minute_passes(&server);
    assert!(opens(&store, "9").await);
    assert_eq!((count(&server, ALL), evicted(&store).collect::<Vec<_>>()), (9, vec!["0".into()]));
    assert!(get(&store, "0").await.unwrap().is_none());
}

#[tokio::test(flavor = "multi_thread")]
async fn where_all_are_confirmed_full_is_full() {
    let server = RedisServer::start().await;
    let [store, other] = two(&server, 3).await;
    for n in 0..2 {
        confirmed(&server, &store, &other, &n.to_string()).await;
    }
    // Neither is a session that need not be confirmed.
    assert!(matches!(insert(&store, "2").await.unwrap(), Inserted::Inserted(_)));
    assert!(matches!(open(&store, "3").await, Inserted::Full));
    assert!(matches!(insert(&store, "4").await.unwrap(), Inserted::Full));
    assert_eq!((count(&server, ALL), count(&server, LIST)), (3, 0));
    assert_eq!(evicted(&store).count(), 0);
    for n in 0..3 {
        assert!(get(&store, &n.to_string()).await.unwrap().is_some());
    }
}

/// A release without this feature reports a use as it always did: at once, because none is recorded yet.
#[tokio::test(flavor = "multi_thread")]
async fn a_use_that_an_earlier_release_told_of_confirms() {
    let server = RedisServer::start().await;
    let [store, _] = two(&server, 3).await;
    assert!(opens(&store, "used").await);
    assert_eq!(touched(&server), "0000000000000000", "no use is written down");
    let key = server.cli(&["--scan", "--pattern", "bartizan:{*"]);
    server.cli(&["SETRANGE", &key, "9", "12345678"]);
    for n in 0..10 {
        assert!(opens(&store, &n.to_string()).await);
    }
    assert!(get(&store, "used").await.unwrap().is_some());
    assert_eq!(count(&server, ALL), 3);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_is_confirmed_once() {
    for near in [100, 0] {
        let (store, server) = fresh(|builder| builder.near_cache(near)).await;
        assert!(opens(&store, "a").await);
        // When another session is confirmed, this one would be, too.
        confirm(&store, &server, "first", 1).await;
        assert_eq!(count(&server, LIST), 1, "the opening does not confirm it");
        for _ in 0..3 {
            assert!(get(&store, "a").await.unwrap().is_some());
        }
        eventually("it is confirmed", PATIENCE, async || count(&server, LIST) == 0).await;
        confirm(&store, &server, "second", 0).await;
        let commands = || server.calls("zrem") + server.calls("pexpire");
        let before = commands();
        for _ in 0..100 {
            assert!(get(&store, "a").await.unwrap().is_some());
        }
        confirm(&store, &server, "third", 0).await;
        // Some are those of the others, which may come late.
        let more = commands() - before;
        assert!(more < 50, "near {near}: {more} for 100 uses");
    }
}

/// Opens the session `id` and uses it, until `left` others wait to be confirmed.
async fn confirm(store: &RedisStore, server: &RedisServer, id: &str, left: usize) {
    assert!(opens(store, id).await);
    assert!(get(store, id).await.unwrap().is_some());
    eventually("it is confirmed", PATIENCE, async || count(server, LIST) == left).await;
}

/// An evicted session frees the place of its owner, and an owner at its cap does not evict other
/// sessions.
#[tokio::test(flavor = "multi_thread")]
async fn each_owner_has_as_many_as_it_may() {
    let (store, server) = fresh(|builder| {
        builder.max_sessions(6).max_sessions_per_principal(2).max_sessions_per_client(2)
    })
    .await;
    let route = Route::default();
    let (alice, client) =
        (Principal::new("i", "alice"), ClientNetwork::of("192.0.2.7".parse().unwrap()));
    let by = async |principal, client, id: &str| {
        matches!(open_by(&store, principal, client, id).await, Inserted::Inserted(_))
    };
    assert!(store.counts_clients());
    assert!(by(Some(&alice), Some(client), "0").await && by(Some(&alice), None, "1").await);
    assert!(!by(Some(&alice), None, "2").await, "the principal's");
    assert!(store.reserve(Applicant::new(&route, Some(&alice), None)).is_none());
    assert!(by(None, Some(client), "3").await && !by(None, Some(client), "4").await);
    assert!(store.reserve(Applicant::new(&route, None, Some(client))).is_none());
    let neighbour = ClientNetwork::of("192.0.2.8".parse().unwrap());
    assert!(store.reserve(Applicant::new(&route, None, Some(neighbour))).is_some());
    for id in ["5", "6", "7"] {
        assert!(by(None, None, id).await);
    }
    a_minute_passes(&server);
    // Six sessions: the next one has to evict another, unless its owner is at its cap.
    assert!(!by(Some(&alice), None, "8").await && !by(None, Some(client), "9").await);
    assert_eq!((count(&server, ALL), evicted(&store).count()), (6, 0));
    assert!(by(None, None, "10").await);
    assert_eq!(evicted(&store).collect::<Vec<_>>(), ["0"]);
    assert!(by(Some(&alice), Some(client), "11").await, "of both, one has made room");
    // An end does, too.
    let key = Key::new(&route, None, b"3");
    store.remove(key).wait().await.unwrap();
    let again = async || by(None, Some(client), "12").await;
    eventually("there is room for the client", PATIENCE, again).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn openings_in_flight_take_their_places() {
    let server = RedisServer::start().await;
    let [store, other] = two(&server, 3).await;
    let route = Route::default();
    let reserve = || store.reserve(Applicant::new(&route, None, None));
    confirmed(&server, &store, &other, "0").await;
    let known = async || {
        let places = [reserve(), reserve(), reserve()];
        places.iter().flatten().count() == 2
    };
    eventually("one is known", PATIENCE, known).await;
    let (one, two) = (reserve(), reserve());
    assert!(one.is_some() && two.is_some() && reserve().is_none());
    drop(one);
    assert!(reserve().is_some());
}

/// The list never has more entries than there are unconfirmed sessions.
#[tokio::test(flavor = "multi_thread")]
async fn what_idles_out_is_not_listed_for_ever() {
    let (store, server) = fresh(|builder| builder).await;
    let brief = Record::new(Duration::from_secs(1), Duration::from_secs(60));
    let route = Route::default();
    let open = async |id: &str| {
        let key = Key::new(&route, None, id.as_bytes());
        store.insert_unconfirmed(key, brief.clone()).wait().await.unwrap();
    };
    open("first").await;
    open("second").await;
    let expired = async || server.cli(&["EXISTS", LIST]) == "0";
    eventually("the list expires with the last", PATIENCE, expired).await;
    // The list must not expire while sessions keep coming; a slow machine opens fewer in a second.
    for n in 0..30 {
        open(&n.to_string()).await;
        sleep(Duration::from_millis(100)).await;
    }
    assert!(count(&server, LIST) <= 11);
}
