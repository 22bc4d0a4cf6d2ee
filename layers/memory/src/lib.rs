//! A session store for one process.
//!
//! | operation | outcome |
//! |---|---|
//! | `get` | the session, if it is live: its idle time starts anew; else nothing |
//! | `insert_if_absent` | `Inserted`; `Exists` with a live one; `Ended` within a minute of its end; `Full` past a cap |
//! | `replace` | `Replaced` if the version is the one seen; else `Changed`; `Gone` if it is not live |
//! | `remove` | ends it; for a minute nothing brings it back |
//! | `touch` | its idle time starts anew |
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
//! swept by later inserts, a part of the table at a time; until then it counts.
//!
//! # Security
//!
//! The table is hashed with keys of its own, fast but not cryptographic; only ids that a backend gave
//! are ever inserted, so that a client cannot choose where they fall.
//!
//! # Cost
//!
//! `get` takes one short lock of one of 64 shards and allocates nothing. A session with an id of 36
//! bytes takes at most 200 bytes in all (`tests/size.rs`).

mod builder;
mod clock;
mod counts;
mod shard;
mod store;
mod tombstones;

pub use builder::MemoryStoreBuilder;
pub use store::MemoryStore;
