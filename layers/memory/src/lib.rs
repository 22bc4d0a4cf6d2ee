//! A session store for one process.
//!
//! | operation | outcome |
//! |---|---|
//! | `get` | the session, if it is live, and its idle time restarts; else nothing |
//! | `insert_if_absent` | `Inserted`; `Exists` with a live one; `Ended` within a minute of its end; `Full` past a cap |
//! | `insert_unconfirmed` | the same, and the session may be evicted until a `get` has found it |
//! | `replace` | `Replaced` if the version is the one seen; else `Changed`; `Gone` if it is not live |
//! | `remove` | ends it; for a minute, it cannot be inserted again |
//! | `remove_if_unchanged` | the same if the version is the one seen; else nothing |
//! | `touch` | its idle time restarts; one that is gone stays gone |
//!
//! # When to use it, and when not
//!
//! For one replica of a proxy, and for tests. Sessions do not survive the process, and other replicas do not see
//! them.
//!
//! ```
//! use bartizan_core::{Key, Record, Route, SessionStore};
//! use bartizan_memory::MemoryStore;
//!
//! # #[tokio::main(flavor = "current_thread")] async fn main() {
//! let store = MemoryStore::new();
//! let route = Route::default();
//! let key = Key::new(&route, None, b"an id that a backend gave");
//! let record = Record::new(Record::IDLE, Record::LIFETIME);
//! store.insert_if_absent(key, record).wait().await.unwrap();
//! assert!(store.get(key).wait().await.unwrap().is_some());
//! # }
//! ```
//!
//! # Failure modes
//!
//! It answers at once and never with an error. An expired session is removed when it is looked up, or by later
//! inserts, which sweep a part of the table each; until then it counts towards the limits. If inserts stop, call
//! [`MemoryStore::sweep`] to release the memory.
//!
//! A session that was inserted by `insert_unconfirmed` is evicted to make room for another insert: the oldest first,
//! from 80 % of the cap on if it is older than 60 s, and at any age if the store is full. So a flood of unused
//! sessions evicts only its own sessions. A confirmed session is never evicted: if all are confirmed, a full store
//! refuses new sessions. An insert into a full store sweeps first, but only a part of a table of more than some
//! thousand sessions, so a later attempt may find room. The last 1,024 evicted sessions are kept for a layer that
//! ends them at their backends (`take_evicted`).
//!
//! Each of the 64 shards remembers the last 1,024 keys that ended within a minute.
//!
//! The store implements [`Gauges`](bartizan_core::gauges::Gauges): the number of sessions, their maximum, and how many
//! ended by `idle`, `lifetime` or `evicted`.
//!
//! # Security
//!
//! The hash function is fast but not cryptographic, with random keys for each store. Session ids come from backends,
//! so a client cannot choose which shard they go to. If requests are pinned by keys that clients choose, the clients do
//! not know the hash; limit the number of keys.
//!
//! # Cost
//!
//! `get` takes one short lock of one of 64 shards and allocates nothing. An insert checks 64 places of one shard for
//! expired sessions; an insert into a store that is 80 % full checks 64 places of every shard, at most once in 10 ms. A
//! shard that grows or shrinks moves its sessions under its lock. A session with an id of 36 bytes takes at most 208
//! bytes in all (`tests/size.rs`), and at most 24 more in a queue while it is unconfirmed; a session that was replaced also
//! keeps its first version.
//!
//! # Sources
//!
//! A session that has ended and one that never existed get the same answer: [MCP 2025-11-25, Session
//! Management][mcp].
//!
//! [mcp]: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management

mod builder;
mod clock;
mod counts;
mod fresh;
mod gauges;
mod shard;
mod shares;
mod store;
mod tombstones;

pub use builder::MemoryStoreBuilder;
pub use store::MemoryStore;

/// The example in the README, as a test.
#[cfg(doctest)]
#[doc = include_str!("../README.md")]
mod readme {}
