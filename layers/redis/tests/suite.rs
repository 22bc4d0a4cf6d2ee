//! The suite for every store, on a real server, with and without the near-cache.
#![allow(clippy::unwrap_used, reason = "helpers of tests fail as tests do")]

mod common;

use std::{sync::Mutex, time::Duration};

use bartizan_redis::{RedisStore, RedisStoreBuilder};
use bartizan_store_suite::{Caps, Features, Harness};
use bartizan_testkit::RedisServer;

/// Stores with their own servers, which live as long as this value.
struct OnRedis {
    set: fn(RedisStoreBuilder) -> RedisStoreBuilder,
    servers: Mutex<Vec<RedisServer>>,
}

impl OnRedis {
    fn with(set: fn(RedisStoreBuilder) -> RedisStoreBuilder) -> Self {
        Self { set, servers: Mutex::default() }
    }

    /// Shortens the lifetime of every tombstone, because the server deletes them by its own clock.
    fn age_tombstones(&self, by: Duration) {
        let script = "for _, key in ipairs(redis.call('KEYS', 'bartizan:{*')) do
            if redis.call('TYPE', key).ok == 'string' and redis.call('GET', key) == 'T' then
                redis.call('PEXPIRE', key, redis.call('PTTL', key) - ARGV[1])
            end
        end";
        for server in &*self.servers.lock().unwrap() {
            server.cli(&["EVAL", script, "0", &by.as_millis().to_string()]);
        }
    }
}

impl Harness for OnRedis {
    type Store = RedisStore;

    async fn open(&self, caps: Caps) -> RedisStore {
        let (store, server) = common::fresh(|builder| {
            let mut builder = (self.set)(builder).max_sessions(caps.total);
            if caps.per_principal < usize::MAX {
                builder = builder.max_sessions_per_principal(caps.per_principal);
            }
            if caps.per_client < usize::MAX {
                builder = builder.max_sessions_per_client(caps.per_client);
            }
            builder
        })
        .await;
        self.servers.lock().unwrap().push(server);
        store
    }

    async fn advance(&self, by: Duration) {
        // The server's clock cannot be moved.
        if by <= 2 * self.idle() {
            tokio::time::sleep(by).await;
        } else {
            self.age_tombstones(by);
        }
    }

    /// Long enough for a busy machine, and for the work that the store does once a second.
    fn idle(&self) -> Duration {
        Duration::from_secs(3)
    }

    fn features(&self) -> Features {
        Features::none().caps_principals().caps_clients().evicts_unconfirmed().counts_openings()
    }
}

mod with_near_cache {
    use super::OnRedis;

    bartizan_store_suite::store_suite!(OnRedis::with(|builder| builder));
}

mod without_near_cache {
    use super::OnRedis;

    bartizan_store_suite::store_suite!(OnRedis::with(|builder| builder.near_cache(0)));
}
