//! The rules of a session store, for the one key of the model. `tests/store.rs` compares them with those of the store in
//! memory.

/// The state of the key in a store.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, PartialEq)]
pub enum Stored {
    /// There was no record, or it has idled out.
    #[default]
    Absent,
    /// A record.
    Live(Record),
    /// A record was removed a moment ago.
    Ended,
}

/// A record.
#[derive(Clone, Copy, Debug, Default, Eq, Hash, Ord, PartialEq, PartialOrd)]
pub struct Record {
    /// The backend of the session.
    pub backend: u8,
    /// The session at the backend.
    pub upstream: u8,
    /// How often the record was written.
    pub version: u8,
    /// Whether it says that the session is being ended.
    pub is_ending: bool,
}

/// The outcome of an insert.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Insert {
    /// The record is in the store.
    Inserted,
    /// There is one already.
    Exists,
    /// There was one a moment ago.
    Ended,
}

/// The outcome of a replacement.
#[derive(Clone, Copy, Debug, Eq, Hash, PartialEq)]
pub enum Replace {
    /// The new record is in the store.
    Replaced(Record),
    /// Another version is there.
    Changed(Record),
    /// There is none.
    Gone,
}

impl Stored {
    /// The record, if there is one.
    #[must_use]
    pub fn get(self) -> Option<Record> {
        match self {
            Self::Live(record) => Some(record),
            _ => None,
        }
    }

    /// Inserts `record` in its first version.
    pub fn insert(&mut self, record: Record) -> Insert {
        match self {
            Self::Live(_) => Insert::Exists,
            Self::Ended => Insert::Ended,
            Self::Absent => {
                *self = Self::Live(Record { version: 1, ..record });
                Insert::Inserted
            }
        }
    }

    /// Replaces the record if its version is `seen`.
    pub fn replace(&mut self, seen: u8, record: Record) -> Replace {
        match self {
            Self::Live(current) if current.version == seen => {
                *current = Record { version: seen + 1, ..record };
                Replace::Replaced(*current)
            }
            Self::Live(current) => Replace::Changed(*current),
            _ => Replace::Gone,
        }
    }

    /// Ends the session.
    pub fn remove(&mut self) {
        *self = Self::Ended;
    }

    /// Ends the session if the version of its record is `seen`. Returns whether it was.
    pub fn remove_if_unchanged(&mut self, seen: u8) -> bool {
        let is_it = self.get().is_some_and(|record| record.version == seen);
        if is_it {
            self.remove();
        }
        is_it
    }

    /// Enough time passes for the record to idle out and for a tombstone to expire.
    pub fn idle(&mut self) {
        *self = Self::Absent;
    }
}
