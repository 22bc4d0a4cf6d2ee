//! What requests of one client have in common.

use std::fmt;

use sha2::{Digest, Sha256};

/// What distinguishes the request of one client from another's. It holds a digest: some values are secrets, and all of them may be long.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct OauthKey([u8; 33]);

/// What kind of value it is. One value of two kinds is two keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum KeyKind {
    /// A client.
    Client = b'c',
    /// One way through the login: an authorization code, a transaction, a state of the server's own.
    Flow = b'f',
    /// A token.
    Token = b't',
}

impl OauthKey {
    /// The key of `value`; none if that is empty.
    pub(super) fn new(kind: KeyKind, value: &str) -> Option<Self> {
        if value.is_empty() {
            return None;
        }
        let mut key = [kind as u8; 33];
        let (_, digest) = key.split_at_mut(1);
        digest.copy_from_slice(&Sha256::digest(value.as_bytes()));
        Some(Self(key))
    }

    pub(super) fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    pub(super) fn is_clients(&self) -> bool {
        self.0.first() == Some(&(KeyKind::Client as u8))
    }
}

impl fmt::Debug for OauthKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("OauthKey")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn kinds_and_values_tell_keys_apart_and_nothing_is_printed() {
        let key = |kind, value| OauthKey::new(kind, value).unwrap();
        assert_eq!(key(KeyKind::Client, "a"), key(KeyKind::Client, "a"));
        assert_ne!(key(KeyKind::Client, "a"), key(KeyKind::Flow, "a"));
        assert_ne!(key(KeyKind::Client, "a"), key(KeyKind::Client, "b"));
        assert!(key(KeyKind::Client, "a").is_clients() && !key(KeyKind::Token, "a").is_clients());
        assert_eq!(OauthKey::new(KeyKind::Client, ""), None);
        assert_eq!(format!("{:?}", key(KeyKind::Token, "secret")), "OauthKey");
    }
}
