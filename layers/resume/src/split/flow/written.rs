//! The outcome of listing a session at a gateway in a record, and its meaning. Pure.

use bartizan_core::{Session, SessionId, store::Replaced};

use super::super::listed::Read;

/// The outcome of listing a session in a record.
#[derive(Debug)]
pub(super) enum Written {
    Done(Session),
    /// It lists another one: another replica was first.
    Theirs(Session),
    /// Something else was changed: the write can be repeated with this version.
    Again(Session),
    /// The client session is over, or about to be.
    Over,
    /// The list cannot be read, or this store cannot change records.
    Impossible,
}

impl Written {
    /// The meaning of `replaced` for a record that should replace `current`. `read` reads the list of a record, and
    /// `listed` finds the session at the gateway in it. Any session except the one that was `lost` is used.
    pub(super) fn of(
        replaced: Replaced,
        current: &Session,
        lost: Option<&SessionId>,
        read: impl FnOnce(&Session) -> Read,
        listed: impl FnOnce(&Session) -> Option<SessionId>,
    ) -> Self {
        let other = match replaced {
            Replaced::Replaced(session) => return Self::Done(session),
            Replaced::Changed(other) => other,
            _ => return Self::Over,
        };
        match read(&other) {
            Read::Ending(_) => Self::Over,
            Read::Unreadable => Self::Impossible,
            Read::Listed(_) if other.version() == current.version() => Self::Impossible,
            Read::Listed(_) => match listed(&other) {
                Some(id) if Some(&id) != lost => Self::Theirs(other),
                _ => Self::Again(other),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use bartizan_core::{Key, Record, Route, store::StoredSession};

    use super::*;

    #[test]
    fn the_first_one_wins_and_nothing_is_opened_for_a_session_that_ends() {
        let record = Record::new(Record::IDLE, Record::LIFETIME);
        let seen =
            Session::new(Key::new(&Route::default(), None, b"id"), record.clone(), 1.into(), 1);
        let other = || Replaced::Changed(seen.next_version(record.clone()));
        let lost: SessionId = "lost".parse().unwrap();
        let of = |replaced, read: Read, listed: Option<&str>| {
            let listed = listed.map(|id| id.parse().unwrap());
            Written::of(replaced, &seen, Some(&lost), |_| read, |_| listed)
        };
        let listed = || Read::Listed(Default::default());
        assert!(matches!(of(Replaced::Replaced(seen.clone()), listed(), None), Written::Done(_)));
        assert!(matches!(of(Replaced::Gone, listed(), None), Written::Over));
        assert!(matches!(of(other(), Read::Ending(Default::default()), None), Written::Over));
        assert!(matches!(of(other(), Read::Unreadable, None), Written::Impossible));
        assert!(matches!(of(other(), listed(), None), Written::Again(_)));
        assert!(matches!(of(other(), listed(), Some("lost")), Written::Again(_)));
        assert!(matches!(of(other(), listed(), Some("theirs")), Written::Theirs(_)));
        // A store that cannot change records returns the same record each time.
        let same = Replaced::Changed(seen.clone());
        assert!(matches!(of(same, listed(), None), Written::Impossible));
    }
}
