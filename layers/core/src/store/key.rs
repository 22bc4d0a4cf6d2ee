//! The key of a session.

use std::fmt;

use crate::{Principal, Route, session::Fingerprint};

/// The key of a session: its route, its principal and its id. All three must match, so an id is
/// unknown to another principal and on another route.
#[derive(Clone, Copy, Eq, Hash, PartialEq)]
#[non_exhaustive]
pub struct Key<'a> {
    /// The stack instance.
    pub route: &'a Route,
    /// The caller, or `None` for an anonymous session.
    pub principal: Option<&'a Principal>,
    /// The id, as the client presents it. It is a secret.
    pub id: &'a [u8],
}

impl<'a> Key<'a> {
    /// Makes a key from its parts.
    #[must_use]
    pub fn new(route: &'a Route, principal: Option<&'a Principal>, id: &'a [u8]) -> Self {
        Self { route, principal, id }
    }

    /// Passes the bytes of the key to `sink`, piece by piece. A store that keeps only a hash of them reveals no
    /// usable id if it is copied. Different keys have different bytes, and the bytes of a key are the same in every
    /// release: `length(route) route length(principal) principal id`, lengths in four bytes, big-endian.
    pub fn feed(&self, mut sink: impl FnMut(&[u8])) {
        // A principal is never empty, so a key without one differs from every key with one.
        let principal = self.principal.map_or("", Principal::as_str);
        for part in [self.route.as_str(), principal] {
            // Short, so that most keys fit into one block of a hash function.
            sink(&u32::try_from(part.len()).unwrap_or(u32::MAX).to_be_bytes());
            sink(part.as_bytes());
        }
        sink(self.id);
    }
}

impl fmt::Debug for Key<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Key")
            .field("route", &self.route.as_str())
            .field("principal", &self.principal)
            .field("id_hash", &format_args!("{}", Fingerprint::of(self.id)))
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_two_keys_have_the_same_bytes() {
        let (a, ab) = (Route::new("a"), Route::new("ab"));
        let alice = Principal::new("i", "x");
        let bytes = |key: Key<'_>| {
            let mut bytes = Vec::new();
            key.feed(|part| bytes.extend_from_slice(part));
            bytes
        };
        let keys = [
            Key::new(&a, None, b"id"),
            Key::new(&ab, None, b"id"),
            Key::new(&a, None, b"bid"),
            Key::new(&a, Some(&alice), b"id"),
        ];
        assert_eq!(bytes(keys[0]), b"\0\0\0\x01a\0\0\0\0id");
        assert_eq!(bytes(keys[3]), b"\0\0\0\x01a\0\0\0\x041:ixid");
        let mut all = keys.map(bytes);
        all.sort();
        assert!(all.windows(2).all(|pair| pair[0] != pair[1]));
    }
}
