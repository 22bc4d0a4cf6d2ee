//! What a script has answered about a key.

use bartizan_core::StoreError;
use bytes::Bytes;

use crate::{
    codec::{self, Stored},
    shared::Shared,
    unreadable::{Seen, Unreadable},
};

/// What a script has answered about a key.
pub(crate) enum Reply {
    /// It has done what it was asked to, and this is stored now.
    Done(Stored),
    /// It has not: this was stored.
    Not(Stored),
    /// There was nothing that it could be done to.
    Nothing,
    /// There was no room for it in the set with this number.
    Full(usize),
    /// No release wrote what is stored.
    Foreign(Seen),
}

impl Reply {
    /// Reads what a script answered; none if the key holds something of another type.
    ///
    /// # Errors
    ///
    /// If a later release wrote what is stored.
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
