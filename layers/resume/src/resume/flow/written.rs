//! What became of a record that was to be written for a session at its place, and what that means. Pure.

use bartizan_core::{Session, store::Replaced};

use crate::replay::entry;

/// What became of a record that was to be written.
#[allow(clippy::exhaustive_enums, reason = "public for the model of this workspace alone")]
#[derive(Clone, Debug)]
pub enum Written {
    /// It is in the store.
    Done(Session),
    /// The session is being ended.
    Ending,
    /// It has moved before, to the place that this version names.
    Elsewhere(Session),
    /// It is where it was, and something else was changed: it can be written upon this version.
    Again(Session),
    /// There is no such session any more.
    Gone,
}

impl Written {
    /// What `replaced` means for a record that was written upon `current`.
    #[must_use]
    pub fn of(replaced: Replaced, current: &Session) -> Self {
        match replaced {
            Replaced::Replaced(session) => Self::Done(session),
            Replaced::Changed(other) if entry::is_ending(other.record()) => Self::Ending,
            Replaced::Changed(other) if !is_same_place(&other, current) => Self::Elsewhere(other),
            Replaced::Changed(other) => Self::Again(other),
            _ => Self::Gone,
        }
    }
}

/// Whether two versions of a session are at one place.
#[must_use]
pub fn is_same_place(one: &Session, other: &Session) -> bool {
    let (one, other) = (one.record(), other.record());
    one.backend() == other.backend() && one.upstream_id() == other.upstream_id()
}
