//! The end of a session is noted in its record, and where a session is.

use bartizan_core::{Session, store::Replaced};

use super::super::resumer::{Resumer, Store};
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
        match shared.replace(&current, record).await {
            Ok(Replaced::Changed(other)) if entry::is_ending(other.record()) => return Noted::Ends,
            Ok(Replaced::Changed(other)) if !is_same_place(&other, &current) => {
                return Noted::Moved(other);
            }
            // Some other entry was changed.
            Ok(Replaced::Changed(other)) => current = other,
            Ok(_) => return Noted::Ends,
            Err(_) => return Noted::Failed,
        }
    }
    Noted::Ends
}

/// Whether two versions of a session are at one place.
pub(super) fn is_same_place(one: &Session, other: &Session) -> bool {
    let (one, other) = (one.record(), other.record());
    one.backend() == other.backend() && one.upstream_id() == other.upstream_id()
}
