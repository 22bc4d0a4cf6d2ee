//! A session store on SQLite, for one process: its sessions survive a restart.
//!
//! | file | what it holds |
//! |---|---|
//! | `store.rs` | the store: what each operation decides, and `SessionStore` itself |
//! | `rows.rs` | the table: one function for each statement |
//! | `counts.rs` | how many sessions there are on each backend |

mod changes;
mod counts;
mod rows;
mod store;

pub use store::{OpenError, SqliteStore};
