//! A server that is down, slow, empty, full, or not a Redis server that accepts us.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::{
    sync::atomic::{AtomicU32, Ordering},
    time::Duration,
};

use bartizan_core::{Answer, Record, SessionStore, store::Inserted};
use bartizan_redis::{RedisStore, RedisStoreBuilder};
use bartizan_testkit::{RedisServer, eventually};
use common::{PATIENCE, fresh, get, insert, insert_record, on, ready, remove, with_key};
use futures_util::future::join_all;
use tokio::time::Instant;

/// The limit for every operation, whatever the server does: the deadline, plus some time for a busy machine.
const BOUND: Duration = Duration::from_secs(1);

/// Runs an operation, and checks that it answers in time.
async fn in_time<T>(asked: impl Future<Output = T>) -> T {
    let start = Instant::now();
    let answer = asked.await;
    let took = start.elapsed();
    assert!(took < BOUND, "{took:?}");
    answer
}

/// During an outage, cached sessions are served, everything else is an error, and nothing is
/// "absent".
async fn assert_is_out(store: &RedisStore, near: &str) {
    for _ in 0..3 {
        assert!(in_time(get(store, "unknown")).await.is_err(), "never absent");
        assert!(in_time(get(store, near)).await.unwrap().is_some());
        assert!(in_time(insert(store, "new")).await.is_err());
    }
    // No operation waits for its deadline any more, which would be five seconds.
    let many = async {
        for _ in 0..20 {
            assert!(insert(store, "new").await.is_err());
        }
    };
    in_time(many).await;
}

async fn down(store: &RedisStore) {
    eventually("the outage is noticed", PATIENCE, async || !store.is_ready()).await;
}

/// A store with a cached session.
async fn with_session(
    set: impl FnOnce(RedisStoreBuilder) -> RedisStoreBuilder,
) -> (RedisStore, RedisServer) {
    let (store, server) = fresh(set).await;
    insert(&store, "near").await.unwrap();
    assert!(get(&store, "near").await.unwrap().is_some());
    (store, server)
}

#[tokio::test]
async fn killed_it_is_an_error_and_back_it_is_asked_again() {
    let (store, mut server) = with_session(|builder| builder).await;
    server.kill();
    down(&store).await;
    assert_is_out(&store, "near").await;
    assert!(in_time(remove(&store, "near")).await.is_err());
    // The session may still exist at the server, but its owner has ended it.
    assert!(get(&store, "near").await.is_err());
    server.restart().await;
    let start = Instant::now();
    ready(&store).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    // The server came back empty: cached sessions are no longer trusted.
    assert!(get(&store, "near").await.unwrap().is_none());
    assert!(matches!(insert(&store, "new").await.unwrap(), Inserted::Inserted(_)));
}

/// The connection stays open, but the server does not answer.
#[tokio::test]
async fn stopped_it_is_an_error_within_the_deadline() {
    let (store, server) = with_session(|builder| builder).await;
    server.pause();
    // Before the outage is noticed, an operation waits until its deadline and no longer.
    assert!(in_time(get(&store, "unknown")).await.is_err());
    down(&store).await;
    assert_is_out(&store, "near").await;
    server.resume();
    let start = Instant::now();
    ready(&store).await;
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
    assert!(get(&store, "near").await.unwrap().is_some(), "it was never lost");
}

#[tokio::test]
async fn asleep_or_paused_it_is_the_same() {
    let (store, server) = with_session(|builder| builder).await;
    for command in [&["DEBUG", "SLEEP", "2"][..], &["CLIENT", "PAUSE", "2000", "ALL"]] {
        let args: Vec<_> = command.iter().map(|&arg| arg.to_owned()).collect();
        let addr = server.addr();
        let asleep = tokio::task::spawn_blocking(move || {
            let port = addr.port().to_string();
            std::process::Command::new("redis-cli").args(["-p", &port]).args(args).output()
        });
        down(&store).await;
        assert_is_out(&store, "near").await;
        asleep.await.unwrap().unwrap();
        ready(&store).await;
        assert!(get(&store, "near").await.unwrap().is_some());
    }
}

#[tokio::test]
async fn flushed_everything_is_forgotten() {
    let (store, server) = with_session(|builder| builder).await;
    server.cli(&["FLUSHALL"]);
    let gone = async || get(&store, "near").await.unwrap().is_none();
    eventually("what was near is gone", Duration::from_secs(2), gone).await;
    assert!(matches!(insert(&store, "near").await.unwrap(), Inserted::Inserted(_)));
    server.cli(&["SCRIPT", "FLUSH"]);
    assert!(matches!(insert(&store, "other").await.unwrap(), Inserted::Inserted(_)));
}

#[tokio::test]
async fn a_store_that_is_dropped_leaves_no_connection() {
    let server = RedisServer::start().await;
    let connections = || server.cli(&["CLIENT", "LIST"]).lines().count();
    let before = connections();
    let store = on(&server, |builder| builder).await;
    assert!(connections() > before);
    let copy = store.clone();
    drop(store);
    assert!(copy.is_ready());
    drop(copy);
    eventually("the connection is closed", PATIENCE, async || connections() == before).await;
}

#[tokio::test]
async fn the_grace_is_bounded_and_may_be_none() {
    let (store, mut server) = with_session(|builder| builder.grace(Duration::from_secs(1))).await;
    let strict = on(&server, |builder| builder.grace(Duration::ZERO)).await;
    assert!(get(&strict, "near").await.unwrap().is_some());
    server.kill();
    down(&store).await;
    down(&strict).await;
    assert!(get(&strict, "near").await.is_err());
    assert!(get(&store, "near").await.unwrap().is_some());
    let over = async || get(&store, "near").await.is_err();
    eventually("the grace is over", Duration::from_secs(3), over).await;
}

#[tokio::test]
async fn a_store_starts_before_its_server() {
    let mut server = RedisServer::start().await;
    server.kill();
    let store = RedisStore::builder(&server.url()).build().unwrap();
    assert!(!store.is_ready());
    assert!(in_time(get(&store, "id")).await.is_err());
    assert!(in_time(insert(&store, "id")).await.is_err());
    server.restart().await;
    ready(&store).await;
    assert!(matches!(insert(&store, "id").await.unwrap(), Inserted::Inserted(_)));
}

#[tokio::test]
async fn a_wrong_password_is_an_error_and_is_not_printed() {
    let server = RedisServer::with(&["--requirepass", "right"]).await;
    let url = server.url().replace("redis://", "redis://:wrong-password@");
    let store = RedisStore::builder(&url).build().unwrap();
    assert!(in_time(get(&store, "id")).await.is_err());
    assert!(!store.is_ready());
    let printed = format!("{:?} {store:?}", RedisStore::builder(&url));
    assert!(!printed.contains("wrong"), "{printed}");
    let right = RedisStore::builder(&server.url()).credentials(None, "right").build().unwrap();
    ready(&right).await;
    assert!(insert(&right, "id").await.is_ok());
    assert!(!store.is_ready());
    let error = RedisStore::builder("redis://:wrong-password@host:port").build().unwrap_err();
    assert!(!error.to_string().contains("wrong"), "{error}");
}

/// The client gives up on a wrong password; the store does not.
#[tokio::test]
async fn a_password_that_is_put_right_at_the_server_is_tried_again() {
    let server = RedisServer::with(&["--requirepass", "old"]).await;
    let store = RedisStore::builder(&server.url()).credentials(None, "new").build().unwrap();
    let tries = || server.cli(&["-a", "old", "INFO", "errorstats"]).contains("WRONGPASS");
    eventually("it was refused", PATIENCE, async || tries()).await;
    assert!(!store.is_ready());
    server.cli(&["-a", "old", "CONFIG", "SET", "requirepass", "new"]);
    ready(&store).await;
    assert!(insert(&store, "id").await.is_ok());
}

/// So many changes at once that some invalidations are lost here: then no entry is trusted.
#[tokio::test]
async fn more_news_than_can_be_taken_ends_all_belief() {
    const MANY: usize = 6_000;
    let (store, server) = fresh(|builder| builder.timeout(PATIENCE)).await;
    let ids: Vec<_> = (0..MANY).map(|n| format!("session-{n}")).collect();
    let is_near =
        |id: &String| with_key(id, |key| matches!(store.get(key), Answer::Now(Ok(Some(_)))));
    for some in ids.chunks(500) {
        let opened = join_all(some.iter().map(|id| insert(&store, id))).await;
        assert!(opened.iter().all(Result::is_ok));
    }
    let all = async || {
        // The invalidation of a session's own insert may overtake the first read of it.
        for some in ids.chunks(500) {
            join_all(some.iter().map(|id| get(&store, id))).await;
        }
        ids.iter().all(is_near)
    };
    eventually("all are near", PATIENCE, all).await;
    let end_all =
        "for _, key in ipairs(redis.call('KEYS', 'bartizan:{*')) do redis.call('DEL', key) end";
    server.cli(&["EVAL", end_all, "0"]);
    let none = async || !ids.iter().any(is_near);
    eventually("no session is cached any more", Duration::from_secs(5), none).await;
}

#[tokio::test]
async fn a_replica_of_the_server_is_read_and_not_written() {
    let (writer, server) = with_session(|builder| builder).await;
    let port = server.addr().port().to_string();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]).await;
    let store = on(&replica, |builder| builder).await;
    let copied = async || get(&store, "near").await.unwrap().is_some();
    eventually("the session was copied", PATIENCE, copied).await;
    assert!(in_time(insert(&store, "new")).await.is_err());
    assert!(in_time(remove(&store, "near")).await.is_err());
    assert!(get(&writer, "near").await.unwrap().is_some());
}

/// A use that cannot be reported is not reported again with each call.
#[tokio::test]
async fn a_server_that_takes_no_writes_is_seldom_asked_for_one() {
    let (writer, server) = with_session(|builder| builder).await;
    let port = server.addr().port().to_string();
    let replica = RedisServer::with(&["--replicaof", "127.0.0.1", &port]).await;
    let store = on(&replica, |builder| builder).await;
    let copied = async || get(&store, "near").await.unwrap().is_some();
    eventually("the replica has caught up", PATIENCE, copied).await;
    let brief = Record::new(Duration::from_secs(8), Duration::from_secs(60));
    insert_record(&writer, "brief", brief).await.unwrap();
    let copied = async || get(&store, "brief").await.unwrap().is_some();
    eventually("the session was copied", PATIENCE, copied).await;
    let (start, scripts) = (Instant::now(), replica.calls("evalsha"));
    let calls = AtomicU32::new(0);
    // A quarter of the idle time, and two more seconds in which each call finds that a use should be reported.
    let enough = async || {
        calls.fetch_add(1, Ordering::Relaxed);
        assert!(get(&store, "brief").await.unwrap().is_some());
        start.elapsed() > Duration::from_secs(4)
    };
    eventually("it was called for a while", PATIENCE, enough).await;
    let told = replica.calls("evalsha") - scripts;
    assert!((1..=6).contains(&told), "{told} reports in {calls:?} calls");
}

#[tokio::test]
async fn out_of_memory_new_sessions_are_refused_and_live_ones_live() {
    let (store, server) = fresh(|builder| builder).await;
    let brief = Record::new(Duration::from_secs(2), Duration::from_secs(60));
    insert_record(&store, "live", brief).await.unwrap();
    server.cli(&["CONFIG", "SET", "maxmemory-policy", "noeviction"]);
    server.cli(&["CONFIG", "SET", "maxmemory", "1"]);
    assert!(in_time(insert(&store, "new")).await.is_err());
    // The idle time is still restarted, at most once per quarter; the test runs for longer than the whole idle time.
    let touches = server.calls("setrange");
    let used = async || {
        assert!(get(&store, "live").await.unwrap().is_some());
        server.calls("setrange") - touches >= 6
    };
    eventually("its use was reported for a while", PATIENCE, used).await;
    server.cli(&["CONFIG", "SET", "maxmemory", "0"]);
    assert!(insert(&store, "new").await.is_ok());
}
