//! The caps over all replicas.
#![allow(
    clippy::indexing_slicing,
    clippy::panic,
    clippy::print_stdout,
    clippy::unwrap_used,
    reason = "helpers of tests fail as tests do"
)]

mod common;

use std::{sync::Arc, time::Duration};

use bartizan_core::{Key, Principal, Record, Route, SessionStore, store::Inserted};
use bartizan_redis::{RedisStore, RedisStoreBuilder};
use bartizan_testkit::{RedisServer, eventually};
use common::{PATIENCE, fresh, insert, insert_record, on, record, remove};
use futures_util::{StreamExt, stream};

/// How many inserts are in flight at once, over all replicas.
const AT_ONCE: usize = 300;

async fn replicas(
    server: &RedisServer,
    set: impl Fn(RedisStoreBuilder) -> RedisStoreBuilder,
) -> Vec<RedisStore> {
    let mut replicas = Vec::new();
    for _ in 0..3 {
        // A long timeout, because these tests do not measure time.
        replicas.push(on(server, |builder| set(builder.timeout(PATIENCE))).await);
    }
    replicas
}

/// Inserts sessions through all replicas at once; returns the ids of those that found room.
async fn insert_many(
    replicas: &[RedisStore],
    prefix: &str,
    many: usize,
    record: &Record,
) -> Vec<String> {
    let inserts = (0..many).map(|n| {
        let (store, id, record) =
            (replicas[n % replicas.len()].clone(), format!("{prefix}-{n}"), record.clone());
        async move {
            match insert_record(&store, &id, record).await.unwrap() {
                Inserted::Inserted(_) => Some(id),
                Inserted::Full => None,
                other => panic!("{other:?}"),
            }
        }
    });
    stream::iter(inserts).buffer_unordered(AT_ONCE).filter_map(async |id| id).collect().await
}

fn live(server: &RedisServer) -> usize {
    server
        .cli(&["--scan", "--pattern", "bartizan:{*"])
        .lines()
        .filter(|line| !line.is_empty())
        .count()
}

#[tokio::test(flavor = "multi_thread")]
async fn three_replicas_keep_the_cap_together() {
    let server = RedisServer::start().await;
    let replicas = replicas(&server, |builder| builder.max_sessions(500)).await;
    let record = record().with_backend("http://b:1".parse().unwrap());
    let opened = insert_many(&replicas, "first", 2_000, &record).await;
    println!("{} of 2,000 were opened, {} are live", opened.len(), live(&server));
    assert_eq!((opened.len(), live(&server)), (500, 500));
    let full = async || replicas.iter().all(|store| !store.has_room(&Route::default(), None));
    eventually("all know", PATIENCE, full).await;

    // Each end makes room for one session.
    for id in &opened[..100] {
        remove(&replicas[0], id).await.unwrap();
    }
    let counted = async || server.cli(&["ZCARD", "bartizan:live:{all}"]) == "400";
    eventually("the ends are counted", PATIENCE, counted).await;
    let room = async || replicas.iter().all(|store| store.has_room(&Route::default(), None));
    eventually("all know that there is room", PATIENCE, room).await;
    let again = insert_many(&replicas, "second", 300, &record).await;
    assert_eq!(again.len(), 100);
}

/// Whether or not a replica is left to remove it from the count.
#[tokio::test(flavor = "multi_thread")]
async fn what_expires_makes_room() {
    let server = RedisServer::start().await;
    let replicas = replicas(&server, |builder| builder.max_sessions(50)).await;
    let brief = Record::new(Duration::from_secs(2), Duration::from_secs(60));
    assert_eq!(insert_many(&replicas, "brief", 100, &brief).await.len(), 50);
    drop(replicas);
    let later = on(&server, |builder| builder.max_sessions(50)).await;
    assert!(matches!(insert(&later, "one-more").await.unwrap(), Inserted::Full));
    let over = async || live(&server) == 0;
    eventually("they have idled out", PATIENCE, over).await;
    assert!(matches!(insert(&later, "one-more").await.unwrap(), Inserted::Inserted(_)));
}

/// A session that is in use is counted for as long as it lives, and not longer than its lifetime.
#[tokio::test(flavor = "multi_thread")]
async fn what_is_used_keeps_its_place() {
    let (store, server) = fresh(|builder| builder.max_sessions(2)).await;
    let brief = Record::new(Duration::from_secs(2), Duration::from_secs(5));
    let used = insert_record(&store, "used", brief.clone()).await.unwrap();
    let Inserted::Inserted(session) = used else { panic!("there is room") };
    let hold = session.hold();
    // Its idle time would end later.
    let unused = insert_record(&store, "unused", brief).await.unwrap();
    assert!(matches!(unused, Inserted::Inserted(_)));
    let room = async || matches!(insert(&store, "other").await.unwrap(), Inserted::Inserted(_));
    eventually("unused sessions have idled out", PATIENCE, room).await;
    assert!(matches!(insert(&store, "another").await.unwrap(), Inserted::Full));
    drop(hold);
    eventually("its lifetime is over", PATIENCE, async || live(&server) == 1).await;
    assert!(matches!(insert(&store, "another").await.unwrap(), Inserted::Inserted(_)));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_principal_has_as_many_as_it_may_and_takes_nobody_elses() {
    let server = RedisServer::start().await;
    let replicas =
        replicas(&server, |builder| builder.max_sessions(100).max_sessions_per_principal(10)).await;
    let (alice, bob) = (Principal::new("i", "alice"), Principal::new("i", "bob"));
    let open = async |principal: Option<&Principal>, prefix: &str| {
        let principal = Arc::new(principal.cloned());
        let inserts = (0..40).map(|n| {
            let (store, principal) = (replicas[n % 3].clone(), Arc::clone(&principal));
            let id = format!("{prefix}-{n}");
            async move {
                let route = Route::default();
                let key = Key::new(&route, principal.as_ref().as_ref(), id.as_bytes());
                let inserted = store.insert_if_absent(key, record()).wait().await.unwrap();
                matches!(inserted, Inserted::Inserted(_)).then_some(id)
            }
        });
        let opened = stream::iter(inserts).buffer_unordered(AT_ONCE).filter_map(async |id| id);
        opened.collect::<Vec<_>>().await
    };
    let alices = open(Some(&alice), "a").await;
    assert_eq!(alices.len(), 10);
    let route = Route::default();
    assert!(
        !replicas.iter().any(|store| store.has_room(&route, Some(&alice))),
        "each knows the refusal"
    );
    assert!(replicas.iter().all(|store| store.has_room(&route, Some(&bob))));
    assert_eq!(open(None, "anonymous").await.len(), 40, "these are not counted");
    assert_eq!(open(Some(&bob), "b").await.len(), 10);
    // An end, through any replica, makes room for one.
    let key = Key::new(&route, Some(&alice), alices[0].as_bytes());
    replicas[1].remove(key).wait().await.unwrap();
    let room = async || replicas.iter().all(|store| store.has_room(&route, Some(&alice)));
    eventually("there is room", PATIENCE, room).await;
    let one = async || !open(Some(&alice), "again").await.is_empty();
    eventually("one more is opened", PATIENCE, one).await;
    let sets = server.cli(&["--scan", "--pattern", "bartizan:live:*"]);
    assert_eq!(sets.lines().count(), 3, "{sets}");
    assert!(sets.lines().all(|set| server.cli(&["PTTL", set]) != "-1"), "every set expires");
    for set in sets.lines().filter(|set| !set.ends_with("{all}")) {
        assert_eq!(server.cli(&["ZCARD", set]), "10", "{set}");
    }
}
