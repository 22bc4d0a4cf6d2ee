//! The end of a session is noted in its record.

use bartizan_core::Session;

use super::{
    super::resumer::{Resumer, Store},
    written::Written,
};
use crate::replay::entry;

/// How often a record that others change at the same time is written again.
pub(super) const SWAPS: usize = 4;

/// What became of the intent to end a session.
pub(super) enum Noted {
    /// It cannot be resumed any more.
    Ends,
    /// It has moved before.
    Moved(Session),
    Failed,
}

/// Notes that the session ends, unless it is elsewhere by now.
pub(super) async fn note_end<S, T: Store>(shared: &Resumer<S, T>, mut current: Session) -> Noted {
    for _ in 0..SWAPS {
        let record = current.record().clone().with_field(entry::NAME, entry::ENDING);
        let Ok(replaced) = shared.replace(&current, record).await else { return Noted::Failed };
        match Written::of(replaced, &current) {
            Written::Done(_) | Written::Ending | Written::Gone => return Noted::Ends,
            Written::Elsewhere(other) => return Noted::Moved(other),
            Written::Again(other) => current = other,
        }
    }
    Noted::Ends
}
