//! A store may be made, used and dropped in different places, not always within a runtime.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::time::Duration;

use bartizan_core::{Record, SessionStore};
use bartizan_redis::RedisStore;
use bartizan_testkit::eventually;
use common::{PATIENCE, fresh, get, insert_record};
use tokio::runtime::Runtime;

#[test]
fn without_a_runtime_a_store_is_an_error() {
    let error = RedisStore::builder("redis://127.0.0.1:1").build().unwrap_err();
    assert!(error.to_string().contains("runtime"), "{error}");
}

/// A body may be dropped anywhere, and then reports the use of its session; so may the store.
#[test]
fn a_use_is_told_and_a_store_dropped_outside_of_the_runtime() {
    let runtime = Runtime::new().unwrap();
    let (store, server, session) = runtime.block_on(async {
        let (store, server) = fresh(|builder| builder).await;
        let brief = Record::new(Duration::from_secs(2), Duration::from_secs(60));
        insert_record(&store, "id", brief).await.unwrap();
        let session = get(&store, "id").await.unwrap().unwrap();
        (store, server, session)
    });
    let told = || server.calls("setrange");
    let connections = || server.cli(&["CLIENT", "LIST"]).lines().count();
    let before = told();
    let touched = async || {
        // Not a task of the runtime, but a separate thread.
        std::thread::scope(|scope| scope.spawn(|| store.touch(&session)).join().unwrap());
        told() > before
    };
    runtime.block_on(eventually("the use is reported", PATIENCE, touched));
    drop(store);
    let closed = async || connections() == 1;
    runtime.block_on(eventually("the connection is closed", PATIENCE, closed));
}
