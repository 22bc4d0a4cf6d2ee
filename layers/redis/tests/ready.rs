//! A new store: when it answers, and when it is known that it does not.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::time::Duration;

use bartizan_redis::RedisStore;
use bartizan_testkit::{RedisServer, Silent};
use common::{get, insert, ready};
use tokio::time::Instant;

#[tokio::test]
async fn once_it_is_ready_nothing_is_refused() {
    let server = RedisServer::start().await;
    for round in 0..30 {
        let store = RedisStore::builder(&server.url()).build().unwrap();
        assert!(!store.is_ready());
        assert!(store.ready().await, "round {round}");
        insert(&store, &format!("session-{round}")).await.unwrap();
        assert!(get(&store, "session-0").await.unwrap().is_some());
        assert!(store.ready().await);
    }
}

#[tokio::test]
async fn without_a_server_the_wait_ends_with_the_first_try() {
    let mut server = RedisServer::start().await;
    server.kill();
    let store = RedisStore::builder(&server.url()).build().unwrap();
    let start = Instant::now();
    assert!(!store.ready().await);
    assert!(start.elapsed() < Duration::from_secs(1), "{:?}", start.elapsed());
    server.restart().await;
    ready(&store).await;
    assert!(store.ready().await);
}

/// A server that accepts connections but never answers.
#[tokio::test]
async fn with_a_silent_server_the_wait_is_bounded() {
    let silent = Silent::start().await;
    let store = RedisStore::builder(&format!("redis://{}", silent.addr)).build().unwrap();
    let start = Instant::now();
    assert!(!store.ready().await);
    assert!(start.elapsed() < Duration::from_secs(3), "{:?}", start.elapsed());
}
