//! A session store for one process.
//!
//! | operation | outcome |
//! |---|---|
//! | `get` | the session, if it is live: its idle time starts anew; else nothing |
//! | `insert_if_absent` | `Inserted`; `Exists` with a live one; `Ended` within a minute of its end; `Full` past a cap |
//! | `replace` | `Replaced` if the version is the one seen; else `Changed`; `Gone` if it is not live |
//! | `remove` | ends it; for a minute nothing brings it back |
//! | `remove_if_unchanged` | ends it likewise if the version is the one seen; else nothing |
//! | `touch` | its idle time starts anew; one that is gone stays gone |
//!
//! # When to use it, and when not
//!
//! For one replica of a proxy, and in tests. Sessions do not survive the process, and other replicas do
//! not see them.
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
//! It answers at once and never with an error. An expired session is forgotten when it is asked for, or
//! swept by later inserts, a part of the table at a time; until then it counts, towards the caps too.
//! Where inserts cease, [`MemoryStore::sweep`] gives the memory back.
//!
//! Full is full: a new session is refused, none that lives makes way for it. A refused insert sweeps
//! first, but only a part of a table of more than some thousand sessions: a later try may find room.
//!
//! Of the keys that ended within a minute the last 1,024 in each of 64 shards are remembered.
//!
//! # Security
//!
//! The table is hashed with keys of its own, drawn at random, fast but not cryptographic. Ids that a backend
//! gave are inserted, so that a client cannot choose where they fall. Where work is pinned by a key that
//! clients make, they choose the keys and do not know how those are hashed; cap their number.
//!
//! # Cost
//!
//! `get` takes one short lock of one of 64 shards and allocates nothing. An insert looks at 64 places of
//! one shard for what has expired; one that finds the store full, at 64 of every shard, at most once in
//! 10 ms. A shard that grows or shrinks moves its sessions under its lock. A session with an id of 36
//! bytes takes at most 208 bytes in all (`tests/size.rs`); one that was replaced keeps its first version
//! beside the latest.
//!
//! # Sources
//!
//! A session that has ended is answered as one that never was: [MCP 2025-11-25, Session Management][mcp].
//!
//! [mcp]: https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management

mod builder;
mod clock;
mod counts;
mod shard;
mod store;
mod tombstones;

pub use builder::MemoryStoreBuilder;
pub use store::MemoryStore;
