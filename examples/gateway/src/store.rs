//! The session store that the options name.

use std::{env, error::Error};

use bartizan::{
    core::store::Either,
    memory::MemoryStore,
    observe::Metrics,
    redis::{RedisStore, RedisStoreBuilder},
    session::MintIds,
};

use crate::cli::{Options, STORE_PASSWORD, Store};

/// Sessions in this process or in Redis, under ids that this gateway or the backends make.
pub(crate) type SessionTable = MintIds<Either<MemoryStore, RedisStore>>;

/// The store, before it is given to the layers.
#[derive(Clone, Debug)]
pub(crate) struct OpenStore {
    store: Either<MemoryStore, RedisStore>,
    mint_ids: bool,
}

/// The keys that `--pin-oauth` learns, in this process or in Redis.
pub(crate) type PinTable = Either<MemoryStore, RedisStore>;

/// How many clients, codes and tokens are kept at once.
const MAX_PINS: usize = 1_000_000;

/// Makes the store. A shared store need not answer yet.
///
/// # Errors
///
/// If its URL cannot be read. The message does not repeat it: it may hold a password.
pub(crate) fn open(options: &Options) -> Result<OpenStore, Box<dyn Error + Send + Sync>> {
    let store = match &options.store.kind {
        Store::Memory => {
            let store = MemoryStore::builder().max_sessions(options.sessions.max_sessions.get());
            let store = match options.sessions.max_sessions_per_principal.get() {
                Some(cap) => store.max_sessions_per_principal(cap.get()),
                None => store,
            };
            Either::Left(match options.sessions.max_sessions_per_client.get() {
                Some(cap) => store.max_sessions_per_client(cap.get()).build(),
                None => store.build(),
            })
        }
        Store::Redis(url) => Either::Right(redis(url, options)?),
    };
    Ok(OpenStore { store, mint_ids: options.sessions.mint_ids })
}

impl OpenStore {
    /// The store that the layers use.
    pub(crate) fn table(&self) -> SessionTable {
        MintIds::new(self.store.clone()).only_if(self.mint_ids)
    }

    /// Returns why the store does not answer, or `None` if it does. May be called at any time.
    pub(crate) fn failure(&self) -> Option<&'static str> {
        match &self.store {
            Either::Left(_) => None,
            Either::Right(store) => store.failure(),
        }
    }

    /// Lets `metrics` read what the store counts.
    pub(crate) fn watched_by(&self, metrics: &Metrics) {
        metrics.watch(self.store.clone());
    }

    /// Waits for the first answer of the store; see [`ready`].
    pub(crate) async fn ready(&self) {
        ready(&self.store).await;
    }
}

/// Waits until `store` has answered or failed once. So a replica that starts does not refuse requests only because it
/// has no connection yet, and a replica whose store is down still serves what it can.
pub(crate) async fn ready(store: &Either<MemoryStore, RedisStore>) {
    if let Either::Right(store) = store {
        store.ready().await;
    }
}

/// Makes the store for the keys that `--pin-oauth` learns. It is in the same place as the sessions but separate, so
/// that neither uses up the other's capacity.
///
/// # Errors
///
/// As [`open`].
pub(crate) fn open_pins(options: &Options) -> Result<PinTable, Box<dyn Error + Send + Sync>> {
    Ok(match &options.store.kind {
        Store::Memory => Either::Left(MemoryStore::builder().max_sessions(MAX_PINS).build()),
        Store::Redis(url) => {
            let store = builder(url, options).prefix("bartizan-oauth").max_sessions(MAX_PINS);
            Either::Right(build(store)?)
        }
    })
}

fn redis(url: &str, options: &Options) -> Result<RedisStore, Box<dyn Error + Send + Sync>> {
    let store = builder(url, options).max_sessions(options.sessions.max_sessions.get());
    let store = match options.sessions.max_sessions_per_principal.get() {
        Some(cap) => store.max_sessions_per_principal(cap.get()),
        None => store,
    };
    build(match options.sessions.max_sessions_per_client.get() {
        Some(cap) => store.max_sessions_per_client(cap.get()),
        None => store,
    })
}

fn builder(url: &str, options: &Options) -> RedisStoreBuilder {
    let store = RedisStore::builder(url)
        .timeout(options.store.timeout)
        .grace(options.store.grace)
        .near_cache(options.store.near_cache);
    match env::var(STORE_PASSWORD) {
        Ok(password) => store.credentials(None, &password),
        Err(_) => store,
    }
}

fn build(store: RedisStoreBuilder) -> Result<RedisStore, Box<dyn Error + Send + Sync>> {
    Ok(store.build().map_err(|error| format!("--store: {error}"))?)
}
