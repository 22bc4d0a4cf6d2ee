//! A session store on Redis or Valkey: any replica serves any session, and a restart loses none.
//!
//! | operation | outcome | commands |
//! |---|---|---|
//! | `get`, near | the session; its idle time starts anew | none |
//! | `get`, otherwise | the session, or nothing; then it is near | one `GET`, for all who ask at once |
//! | `insert_if_absent` | `Exists` with a live one; `Ended` within a minute of its end; else `Full` past a cap, or `Inserted` | one script (in a cluster two, at the same time); two more, behind, if inserted |
//! | `replace` | `Replaced` if the version is the one seen; else `Changed`; `Gone` if it is not live | one script |
//! | `remove` | ends it everywhere; for a minute nothing brings it back | one `SET`; one script, behind |
//! | `remove_if_unchanged` | ends it likewise if the version is the one seen; else nothing | one script; one more, behind |
//! | `touch` | its idle time starts anew; one that is gone stays gone | three scripts (in a cluster four), behind, per quarter of the idle time |
//!
//! # When to use it, and when not
//!
//! With more than one replica of a proxy, or where a restart must not end sessions. With one replica,
//! `bartizan-memory` costs less. It needs Redis 7 or Valkey (its tests pass on Redis
//! 7.0.15 and Valkey 8.0.1), and a server that evicts nothing
//! (`maxmemory-policy noeviction`): what is evicted is a session that is lost.
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
//! # What the near-cache believes
//!
//! The server tells a replica of every change of a key that it has read (client tracking, RESP3). What was
//! read is believed while the connection stands, for 30 s at most ([`RedisStoreBuilder::near_bound`]), until
//! a change is told. A new connection, or a server that was emptied, ends all belief. So a session that is
//! ended on one replica is over on every other after one message from the server; on one that is cut off
//! from the server, when the grace ends. A reply that is overtaken by the news of a later change is used for
//! the requests that asked before the news and not believed; who asks after it reads anew.
//!
//! Whoever waits for the end of a session that is held here (`Session::ended`: an open stream, say) is told in
//! the same way: on the news of a change it is read anew, and without the near-cache once a second.
//!
//! That a server was emptied is noticed within a quarter of a second, in a cluster only of the node that
//! has the store's own key: of the others, what was read is believed until the bound.
//!
//! # Failure modes
//!
//! | what happens | near sessions | all else |
//! |---|---|---|
//! | the server is gone, stopped, asleep, or unreachable | served for the grace (30 s; zero: not at all) | an error, at once or after the deadline (250 ms) |
//! | it is back | read anew, within a second or two | as before |
//! | it is back and empty | unknown: 404 | as before |
//! | it takes no writes (a replica, out of memory) | served | reads as before; new sessions and ends are errors |
//! | a primary steps down and closes nothing | served | the same, while its name is asked every second for one that takes writes |
//! | a later release wrote what is kept under a key, in a layout of its own | an error | |
//! | what is kept under a key is not a session record, or of another type | unknown: 404; it is removed, if it is unchanged | |
//! | wrong password | – | errors, until it is right |
//!
//! An error is never "absent": the layer answers 503, and no client throws a live session away. Nothing
//! queues up: while the server does not answer, it is sent one question every 250 ms. A store is made
//! before its server is there; [`RedisStore::is_ready`] tells when it answers, and [`RedisStore::ready`] waits for
//! the first try.
//!
//! # Counts
//!
//! The caps ([`RedisStoreBuilder::max_sessions`], [`RedisStoreBuilder::max_sessions_per_principal`]) are exact over all
//! replicas: the script that inserts a session counts the live ones in the same step. A session stops counting when it
//! idles out, whether or not a replica is left, and a moment after it was ended. If a replica breaks off at that very
//! moment, it counts until it would have idled out. In a cluster a session and the counts are on different nodes: the
//! place is taken at the same time, and a session that found none is removed before its id leaves. While a release
//! that counted otherwise shares the server, its sessions count once this one has told of their use.
//!
//! `has_room` says what the last count, a second ago at most, and the last refusals of this replica said.
//!
//! `sessions_on` and [`RedisStore::len`] come from sorted sets beside the sessions, read every second; what this replica
//! opens in between is added. They are approximate by what others open within a second, and by sessions that ended
//! without a word, until these idle out.
//!
//! # Security
//!
//! Keys are SHA-256 of route, principal and id: a copy of the store reveals no id that could be used. The
//! values name the backend. The URL and its password are never printed.
//!
//! The user that the store logs in as needs the keys `{prefix}:*` and these commands, and no more: `hello`,
//! `auth`, `client`, `ping`, `info`, `time`, `get`, `set`, `getrange`, `setrange`, `pexpire`, `pttl`, `eval`,
//! `evalsha`, `zadd`, `zrem`, `zrange`, `zcard`, `zremrangebyscore`; in a cluster `cluster` too.
//!
//! # Cost
//!
//! A near session: one hash and one look-up, no allocation. Whatever the load, a replica sends thirteen
//! small commands a second to see that the server is there and to count, and two for each backend. All go over one
//! connection (to each node of a cluster), in a pipeline: that replies and news come in one order is what the
//! near-cache rests on, and more connections would give it up. Memory: some 300 bytes per near session here,
//! some 470 bytes per session at the server, of which some 120 are for the caps. The figures are in the README of the workspace.
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
mod first_try;
mod flights;
mod insert;
mod link;
mod near;
mod reply;
mod room;
mod script;
mod shared;
mod status;
mod store;
mod unreadable;

pub use bartizan_core::ConfigError;
pub use builder::RedisStoreBuilder;
pub use store::RedisStore;
