//! An owned session key.

use std::fmt;

use super::Key;
use crate::{Principal, Route};

/// An owned [`Key`], to be kept in a table or until an answer arrives.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct OwnedKey {
    route: Route,
    principal: Option<Principal>,
    id: Box<[u8]>,
}

impl OwnedKey {
    /// The key.
    #[must_use]
    pub fn as_key(&self) -> Key<'_> {
        Key::new(&self.route, self.principal.as_ref(), &self.id)
    }
}

impl From<Key<'_>> for OwnedKey {
    fn from(key: Key<'_>) -> Self {
        Self { route: key.route.clone(), principal: key.principal.cloned(), id: key.id.into() }
    }
}

impl fmt::Debug for OwnedKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.as_key().fmt(f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn it_is_the_key_that_it_was_made_of_and_prints_no_id() {
        let (route, alice) = (Route::new("here"), Principal::new("i", "alice"));
        let key = Key::new(&route, Some(&alice), b"secret");
        let owned = OwnedKey::from(key);
        assert_eq!(owned.as_key(), key);
        assert_ne!(owned, OwnedKey::from(Key::new(&route, None, b"secret")));
        assert!(!format!("{owned:?}").contains("secret"));
    }
}
