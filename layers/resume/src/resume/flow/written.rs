//! The outcome of writing a session's record, and its meaning. Pure.

use bartizan_core::{Session, store::Replaced};

use crate::replay::entry;

/// The outcome of writing a record.
#[allow(clippy::exhaustive_enums, reason = "public for the model of this workspace alone")]
#[derive(Clone, Debug)]
pub enum Written {
    /// It is in the store.
    Done(Session),
    /// The session is being ended.
    Ending,
    /// The session has moved, to the backend in this version.
    Elsewhere(Session),
    /// The session has not moved, but something else was changed: the write can be repeated with
    /// this version.
    Again(Session),
    /// The session no longer exists.
    Gone,
}

impl Written {
    /// The meaning of `replaced` for a record that should replace `current`.
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

/// Whether two versions of a session are at the same backend with the same id.
#[must_use]
pub fn is_same_place(one: &Session, other: &Session) -> bool {
    let (one, other) = (one.record(), other.record());
    one.backend() == other.backend() && one.upstream_id() == other.upstream_id()
}
