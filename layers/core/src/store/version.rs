//! The version of a record.

/// Which version of a record it is; each replacement counts one up.
#[derive(Clone, Copy, Debug, Eq, Ord, PartialEq, PartialOrd)]
pub struct RecordVersion(u32);

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
