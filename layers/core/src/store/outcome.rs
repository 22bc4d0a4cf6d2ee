//! What became of an operation that races.

use crate::Session;

/// What became of an insert.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Inserted {
    /// The record is in the store.
    Inserted(Session),
    /// The key has a live record already: here it is.
    Exists(Session),
    /// The key had a record that ended a moment ago; nothing was inserted.
    Ended,
    /// The store holds as many sessions as it may; nothing was inserted.
    Full,
}

/// What became of a replacement.
#[derive(Clone, Debug)]
#[non_exhaustive]
pub enum Replaced {
    /// The new record is in the store.
    Replaced(Session),
    /// Another version is there: here it is.
    Changed(Session),
    /// The session is absent, expired or ended.
    Gone,
}
