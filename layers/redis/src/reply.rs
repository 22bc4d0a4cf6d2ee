//! The answer of a script about a key.

use bartizan_core::StoreError;
use bytes::Bytes;

use crate::{
    codec::{self, Stored},
    shared::Shared,
    unreadable::{Seen, Unreadable},
};

/// The answer of a script about a key.
pub(crate) enum Reply {
    /// The script succeeded, and this is the stored value now.
    Done(Stored),
    /// The script did nothing, because this was stored.
    Not(Stored),
    /// There was no live value.
    Nothing,
    /// There was no room in the set with this number.
    Full(usize),
    /// The stored value was not written by any release.
    Foreign(Seen),
}

impl Reply {
    /// Reads the answer of a script; `None` if the key has another type.
    ///
    /// # Errors
    ///
    /// If a later release wrote the stored value.
    pub(crate) fn read(
        shared: &Shared,
        answered: Option<(i64, Bytes)>,
    ) -> Result<Self, StoreError> {
        let Some((outcome, value)) = answered else { return Ok(Self::Foreign(Seen::OtherType)) };
        if outcome == 2 {
            return Ok(Self::Nothing);
        }
        match codec::decode(&value) {
            Ok(stored) if outcome == 1 => Ok(Self::Done(stored)),
            Ok(stored) => Ok(Self::Not(stored)),
            Err(Unreadable::Later) => Err(shared.later()),
            Err(Unreadable::Foreign) => Ok(Self::Foreign(Seen::Value(value))),
        }
    }
}
