//! Values that the requests of one client have in common.

use std::fmt;

use sha2::{Digest, Sha256};

/// Identifies the requests of one client. It holds a digest, because values may be secret and long.
#[derive(Clone, Copy, Eq, PartialEq)]
pub(super) struct OauthKey([u8; 33]);

/// The kind of a value. The same value under two kinds makes two keys.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
#[repr(u8)]
pub(super) enum KeyKind {
    /// A client.
    Client = b'c',
    /// One login: an authorization code, a transaction, or a state that the server made.
    Flow = b'f',
    /// A token.
    Token = b't',
}

impl OauthKey {
    /// The key for `value`; `None` if it is empty.
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
