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
    /// There was no room for it, or nothing that it could be done to.
    Nothing,
    /// There was no room for one more of the principal.
    NothingOfPrincipal,
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
        match outcome {
            2 => return Ok(Self::Nothing),
            3 => return Ok(Self::NothingOfPrincipal),
            _ => {}
        }
        match codec::decode(&value) {
            Ok(stored) if outcome == 1 => Ok(Self::Done(stored)),
            Ok(stored) => Ok(Self::Not(stored)),
            Err(Unreadable::Later) => Err(shared.later()),
            Err(Unreadable::Foreign) => Ok(Self::Foreign(Seen::Value(value))),
        }
    }
}
