//! The version of a record.

/// The version of a record. Each replacement adds one.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RecordVersion(u32);

impl RecordVersion {
    /// The version of a record that was just inserted.
    pub const FIRST: Self = Self(1);

    /// The version after the next replacement.
    #[must_use]
    pub fn next(self) -> Self {
        Self(self.0.wrapping_add(1))
    }

    /// The version as a number, for stores that save it.
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
