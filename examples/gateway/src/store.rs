//! The session store that the options name.

use std::{env, error::Error};

use bartizan::{
    core::{SessionStore, store::CountSessions},
    memory::MemoryStore,
    redis::RedisStore,
};

use crate::cli::{Options, Store};

/// What the server asks of a store: that its futures may move between threads.
pub(crate) trait ServerStore:
    SessionStore<
        Get: Send + 'static,
        Insert: Send + 'static,
        Replace: Send + 'static,
        Remove: Send + 'static,
    > + CountSessions
{
}

impl<T> ServerStore for T where
    T: SessionStore<
            Get: Send + 'static,
            Insert: Send + 'static,
            Replace: Send + 'static,
            Remove: Send + 'static,
        > + CountSessions
{
}

/// A store of one kind or the other.
#[derive(Debug)]
pub(crate) enum Opened {
    Memory(MemoryStore),
    Redis(RedisStore),
}

/// Makes the store; one that is shared need not answer yet.
///
/// # Errors
///
/// If its URL cannot be read. The message does not repeat it: it may hold a password.
pub(crate) fn open(options: &Options) -> Result<Opened, Box<dyn Error + Send + Sync>> {
    let max_sessions = options.max_sessions.get();
    let url = match &options.store {
        Store::Memory => {
            let store = MemoryStore::builder().max_sessions(max_sessions).build();
            return Ok(Opened::Memory(store));
        }
        Store::Redis(url) => url,
    };
    let store = RedisStore::builder(url)
        .timeout(options.store_timeout)
        .grace(options.store_grace)
        .near_cache(options.near_cache)
        .max_sessions(max_sessions);
    let store = match env::var("BARTIZAN_STORE_PASSWORD") {
        Ok(password) => store.credentials(None, &password),
        Err(_) => store,
    };
    Ok(Opened::Redis(store.build().map_err(|error| format!("--store: {error}"))?))
}
