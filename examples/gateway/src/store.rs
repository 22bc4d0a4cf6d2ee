//! The session store that the options name.

use std::{env, error::Error};

use bartizan::{core::store::Either, memory::MemoryStore, redis::RedisStore, session::MintIds};

use crate::cli::{Options, Store};

/// Sessions in this process or in Redis, under ids of this gateway's own or of the backends.
pub(crate) type SessionTable = MintIds<Either<MemoryStore, RedisStore>>;

/// Makes the store; one that is shared need not answer yet. Also returns whether it does, to be asked at any time.
///
/// # Errors
///
/// If its URL cannot be read. The message does not repeat it: it may hold a password.
pub(crate) fn open(
    options: &Options,
) -> Result<(SessionTable, impl Fn() -> bool + Send + Sync + use<>), Box<dyn Error + Send + Sync>> {
    let store = match &options.store {
        Store::Memory => {
            Either::Left(MemoryStore::builder().max_sessions(options.max_sessions.get()).build())
        }
        Store::Redis(url) => Either::Right(redis(url, options)?),
    };
    let asked = store.clone();
    let answers = move || match &asked {
        Either::Left(_) => true,
        Either::Right(store) => store.is_ready(),
    };
    Ok((MintIds::new(store).only_if(options.mint_ids), answers))
}

fn redis(url: &str, options: &Options) -> Result<RedisStore, Box<dyn Error + Send + Sync>> {
    let store = RedisStore::builder(url)
        .timeout(options.store_timeout)
        .grace(options.store_grace)
        .near_cache(options.near_cache)
        .max_sessions(options.max_sessions.get());
    let store = match env::var("BARTIZAN_STORE_PASSWORD") {
        Ok(password) => store.credentials(None, &password),
        Err(_) => store,
    };
    Ok(store.build().map_err(|error| format!("--store: {error}"))?)
}
