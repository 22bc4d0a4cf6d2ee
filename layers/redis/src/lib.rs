//! A session store on Redis or Valkey: any replica serves any session, and a restart loses none.
//!
//! | operation | outcome | commands |
//! |---|---|---|
//! | `get`, near | the session; its idle time restarts | none |
//! | `get`, otherwise | the session, or nothing; then it is near | one `GET`, shared by concurrent callers |
//! | `insert_if_absent` | `Exists` with a live one; `Ended` within a minute of its end; else `Full` past a cap, or `Inserted` | one script (in a cluster two, at the same time); two more in the background if inserted |
//! | `insert_unconfirmed` | the same, and the session may be evicted until it was read once | the same script; its first use is reported at once, as by `touch` |
//! | `replace` | `Replaced` if the version is the one seen; else `Changed`; `Gone` if it is not live | one script |
//! | `remove` | ends it everywhere; for a minute, it cannot be inserted again | one `SET`; one script in the background |
//! | `remove_if_unchanged` | the same if the version is the one seen; else nothing | one script; one more in the background |
//! | `touch` | its idle time restarts; one that is gone stays gone | one `ZREM` and three scripts (in a cluster four) in the background, per quarter of the idle time |
//!
//! # When to use it, and when not
//!
//! With more than one replica of a proxy, or if a restart must not end sessions. With one replica, `bartizan-memory`
//! costs less. The store needs Redis 7 or Valkey (its tests pass on Redis 7.0.15 and Valkey 8.0.1), and a server that
//! evicts nothing (`maxmemory-policy noeviction`): an evicted session is lost.
//!
//! ```no_run
//! use bartizan_redis::RedisStore;
//!
//! # fn main() -> Result<(), bartizan_redis::ConfigError> {
//! let store = RedisStore::builder("redis://127.0.0.1:6379").build()?;
//! # let _ = store;
//! # Ok(())
//! # }
//! ```
//!
//! Configured, with the password from the environment:
//!
//! ```no_run
//! use std::time::Duration;
//! use bartizan_redis::RedisStore;
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let store = RedisStore::builder("redis-sentinel://sentinel:26379?sentinelServiceName=sessions")
//!     .credentials(Some("gateway"), &std::env::var("REDIS_PASSWORD")?)
//!     .timeout(Duration::from_millis(100))
//!     .grace(Duration::ZERO)
//!     .build()?;
//! # let _ = store;
//! # Ok(())
//! # }
//! ```
//!
//! # When a cached session is valid
//!
//! The server notifies a replica of every change of a key that the replica has read (client tracking, RESP3). A
//! cached session is valid until such an invalidation arrives, while the connection is up, and for at most 30 s
//! ([`RedisStoreBuilder::near_bound`]). A new connection, or a server that was emptied, clears the cache. So a
//! session that one replica ends is over on every other after one message from the server, and on a replica that is
//! cut off when the grace period ends. If a reply and a later invalidation cross, the reply is used for the requests
//! that asked before the invalidation, and is not cached.
//!
//! The end of a session in use here (`Session::ended`, for an open stream) is noticed in the same way: the session is
//! read again after an invalidation, and once a second without the near-cache.
//!
//! An emptied server is noticed within a quarter of a second. In a cluster that holds only for the node with the
//! store's own key; what was read from other nodes stays valid until the bound.
//!
//! # Failure modes
//!
//! | event | cached sessions | everything else |
//! |---|---|---|
//! | the server is gone, stopped, asleep, or unreachable | served for the grace (30 s; zero: not at all) | an error, at once or after the timeout (250 ms) |
//! | it is back | read again, within a second or two | as before |
//! | it is back and empty | unknown: 404 | as before |
//! | it refuses writes (a replica, out of memory) | served | reads as before; new sessions and ends are errors |
//! | a primary steps down without closing connections | served | the same; every second its name is looked up for a primary that accepts writes |
//! | the stored value is in the layout of a later release | an error | |
//! | the stored value is not a session record, or the key has another type | unknown: 404; it is removed if unchanged | |
//! | no password, or a wrong one | – | errors, until it is corrected |
//!
//! An error is never "absent": the layer answers 503, and the client keeps its session. Nothing queues up: while the
//! server does not answer, one command every 250 ms checks whether it is back. A store can be built before its server
//! is up; [`RedisStore::is_ready`] states whether the server answers, [`RedisStore::failure`] why it does not, and
//! [`RedisStore::ready`] waits for the first attempt. With the feature `tracing`, an event at `WARN` reports an
//! outage and its cause when it begins, and then once a minute.
//!
//! # Counts
//!
//! The limits ([`RedisStoreBuilder::max_sessions`], [`RedisStoreBuilder::max_sessions_per_principal`]) are exact over
//! all replicas: the script that inserts a session counts the live ones in the same step. A session stops counting
//! when it idles out, even if no replica is running, and a moment after it was ended. If a replica crashes at that
//! very moment, the session counts until it would have idled out. In a cluster a session and the counts are on
//! different nodes: a place is reserved at the same time, and a session that found none is removed before its id is
//! sent. While an older release that counted differently shares the server, its sessions count as soon as this
//! release has written their use.
//!
//! A session that was inserted by `insert_unconfirmed` is evicted to make room for another insert: the oldest first,
//! from 80 % of the cap on if it is older than 60 s, and at any age if the store is full. The script that inserts evicts
//! it in the same step. A session is confirmed as soon as any replica has reported a use of it to the server, a moment
//! after the first request that shows its id; earlier releases report it too. Keys hold no ids, so only a replica that has
//! the session in its near-cache can end it at its backend: the one that evicts, or another one with its next opening.
//!
//! `reserve` adds the openings of this replica to the last count. `has_room` answers from the last count, at most a second
//! old, and the last refusals of this replica.
//!
//! `sessions_on` and [`RedisStore::len`] come from sorted sets next to the sessions, read every second, plus what this
//! replica has opened since. They are off by what other replicas open within a second, and by sessions whose end was
//! not recorded, until these idle out.
//!
//! # Metrics
//!
//! The store implements [`Gauges`](bartizan_core::gauges::Gauges): sessions and their maximum, sessions that ended by
//! `evicted` or `expired`, lookups by `hit`, `stale`, `read` or `failed`, the duration of operations, errors, and whether the
//! server answers. A cached session pays one atomic addition for it.
//!
//! # Security
//!
//! Keys are SHA-256 of route, principal and id: a copy of the store reveals no usable id. The values name the
//! backend, and the network of the client where sessions are capped by it. The URL and its password are never printed.
//!
//! Under `{prefix}:salt`, the server keeps the key of [fingerprints](bartizan_core::session::Fingerprint), so that a session
//! has one fingerprint in the logs of all replicas. The first store of a process that connects sets the key for all of
//! it. A copy of the store and a log together show which ids belong to a line only to those who know the ids.
//!
//! The store's user needs access to the keys `{prefix}:*` and to these commands only: `hello`, `auth`, `client`,
//! `ping`, `info`, `time`, `get`, `set`, `getrange`, `setrange`, `pexpire`, `pttl`, `eval`, `evalsha`, `zadd`,
//! `zrem`, `zrange`, `zcard`, `zremrangebyscore`; in a cluster `cluster` too.
//!
//! # Cost
//!
//! A cached session costs one hash and one lookup, no allocation. Regardless of the load, a replica sends thirteen
//! small commands a second to check the server and to count, and two for each backend; three more while the store is 80 %
//! full. All commands go over one connection (to each node of a cluster), in a pipeline: the near-cache depends on replies
//! and invalidations arriving in one order. Memory: about 300 bytes per cached session here, and about 470 bytes per
//! session at the server, of which about 120 are for the limits, and about 140 more while it is unconfirmed. Measured
//! figures are in the guide of the crate `bartizan`.
//!
//! # Sources
//!
//! [Client-side caching](https://redis.io/docs/latest/develop/reference/client-side-caching/),
//! [RESP3](https://redis.io/docs/latest/develop/reference/protocol-spec/).
#![cfg_attr(docsrs, feature(doc_cfg))]

mod builder;
mod clock;
mod codec;
mod counts;
mod digest;
mod error;
mod event;
mod evicted;
mod first_try;
mod flights;
mod gauges;
mod insert;
mod link;
mod near;
mod outage;
mod reply;
mod room;
mod salt;
mod script;
mod shared;
mod status;
mod store;
mod unreadable;

pub use bartizan_core::ConfigError;
pub use builder::RedisStoreBuilder;
pub use store::RedisStore;

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
