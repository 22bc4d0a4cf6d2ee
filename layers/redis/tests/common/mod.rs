//! A server, and stores on it.
#![allow(dead_code, reason = "not every test uses all of it")]

pub(crate) mod relay;

use std::time::Duration;

use bartizan_core::{
    Key, Record, Route, Session, SessionStore, StoreError,
    store::{Inserted, RecordVersion, Replaced},
};
use bartizan_redis::{RedisStore, RedisStoreBuilder};
use bartizan_testkit::{RedisServer, eventually};

/// Longer than any step of a test takes.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// A store with its own server.
pub(crate) async fn fresh(
    set: impl FnOnce(RedisStoreBuilder) -> RedisStoreBuilder,
) -> (RedisStore, RedisServer) {
    let server = RedisServer::start().await;
    (on(&server, set).await, server)
}

/// A store on `server` that is ready.
pub(crate) async fn on(
    server: &RedisServer,
    set: impl FnOnce(RedisStoreBuilder) -> RedisStoreBuilder,
) -> RedisStore {
    let store = set(RedisStore::builder(&server.url())).build().unwrap();
    ready(&store).await;
    store
}

pub(crate) async fn ready(store: &RedisStore) {
    eventually("the store is ready", PATIENCE, async || store.is_ready()).await;
}

/// The key of an anonymous session on the route `default`.
pub(crate) fn with_key<T>(id: &str, use_it: impl FnOnce(Key<'_>) -> T) -> T {
    let route = Route::default();
    use_it(Key::new(&route, None, id.as_bytes()))
}

pub(crate) fn record() -> Record {
    Record::new(Record::IDLE, Record::LIFETIME)
}

pub(crate) async fn insert(store: &RedisStore, id: &str) -> Result<Inserted, StoreError> {
    insert_record(store, id, record()).await
}

pub(crate) async fn insert_record(
    store: &RedisStore,
    id: &str,
    record: Record,
) -> Result<Inserted, StoreError> {
    with_key(id, |key| store.insert_if_absent(key, record)).wait().await
}

pub(crate) async fn get(store: &RedisStore, id: &str) -> Result<Option<Session>, StoreError> {
    with_key(id, |key| store.get(key)).wait().await
}

pub(crate) async fn remove(store: &RedisStore, id: &str) -> Result<(), StoreError> {
    with_key(id, |key| store.remove(key)).wait().await
}

pub(crate) async fn replace(
    store: &RedisStore,
    id: &str,
    seen: RecordVersion,
    record: Record,
) -> Result<Replaced, StoreError> {
    with_key(id, |key| store.replace(key, seen, record)).wait().await
}
