//! Outcomes of operations that can race.

use crate::Session;

/// The outcome of an insert.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Inserted {
    /// The record is in the store.
    Inserted(Session),
    /// The key already has a live record: this one.
    Exists(Session),
    /// The key had a record that ended within the last minute; nothing was inserted.
    Ended,
    /// The store is full; nothing was inserted.
    Full,
}

/// The outcome of a replacement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Replaced {
    /// The new record is in the store.
    Replaced(Session),
    /// The record has another version: this one.
    Changed(Session),
    /// The session is absent, expired or ended.
    Gone,
}
