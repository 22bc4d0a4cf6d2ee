//! Marks in the record that a session ends.

use bartizan_core::Session;

use super::{
    super::resumer::{Resumer, Store},
    written::Written,
};
use crate::replay::entry;

/// How often to retry if others change the record at the same time.
pub(super) const SWAPS: usize = 4;

/// The result of marking that a session ends.
pub(super) enum Noted {
    /// The mark is stored: the session can no longer be resumed.
    Ends,
    /// It has moved before.
    Moved(Session),
    Failed,
}

/// Marks that the session ends, unless it has moved by now.
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
