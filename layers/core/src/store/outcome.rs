//! What became of an operation that races.

use crate::Session;

/// Which version of a record it is; each replacement counts one up.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RecordVersion(u32);

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

impl RecordVersion {
    /// The version that an insert makes.
    pub const FIRST: Self = Self(1);

    /// The version that a replacement of this one makes.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The version as a number, for stores that write it down.
    #[must_use]
    pub fn get(self) -> u32 {
        self.0
    }
}

impl From<u32> for RecordVersion {
    fn from(number: u32) -> Self {
        Self(number)
    }
}
