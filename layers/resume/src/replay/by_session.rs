//! A session as a key.

use std::hash::{Hash, Hasher};

use bartizan_core::Session;

/// A session as a key: all versions of it are equal.
#[derive(Clone, Debug)]
pub(crate) struct BySession(pub(crate) Session);

impl PartialEq for BySession {
    fn eq(&self, other: &Self) -> bool {
        self.0.key() == other.0.key()
    }
}

impl Eq for BySession {}

impl Hash for BySession {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.0.key().hash(state);
    }
}

#[cfg(test)]
mod tests {
    use std::hash::{BuildHasher, RandomState};

    use bartizan_core::{Key, Record, Route, store::StoredSession};

    use super::*;

    #[test]
    fn all_versions_of_a_session_are_one_key() {
        let session = |id: &str| {
            let record = Record::new(Record::IDLE, Record::LIFETIME);
            Session::new(Key::new(&Route::default(), None, id.as_bytes()), record, 1.into(), 1)
        };
        let (one, other) = (session("one"), session("other"));
        let later = one.next_version(one.record().clone());
        let [one, other, later] = [one, other, later].map(BySession);
        assert!(one == later && one != other);
        let hasher = RandomState::new();
        assert_eq!(hasher.hash_one(&one), hasher.hash_one(&later));
    }
}
