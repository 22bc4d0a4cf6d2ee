//! The keys that tokens are sealed with.

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};

use crate::ConfigError;

/// A ring of keys. New tokens are sealed with the first; any of them opens, so that keys can be rotated:
/// first add the new one on every replica, then make it the first, and drop the old one when the last
/// session that it sealed is past its lifetime.
#[must_use]
#[derive(Clone)]
pub struct TokenKeys {
    sealing: Key,
    accepted: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: u8,
    cipher: XChaCha20Poly1305,
}

/// Bytes of a nonce, which is drawn at random for each token.
const NONCE: usize = 24;

impl TokenKeys {
    /// Bytes of a secret: all of them random.
    pub const SECRET_BYTES: usize = 32;

    /// Seals with `secret`, which all replicas call `id`.
    ///
    /// # Errors
    ///
    /// If `secret` has not [`Self::SECRET_BYTES`].
    pub fn new(id: u8, secret: &[u8]) -> Result<Self, ConfigError> {
        Ok(Self { sealing: Key::new(id, secret)?, accepted: Vec::new() })
    }

    /// Also opens what was sealed with `secret`, which all replicas call `id`.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], and if there is a key `id` already.
    pub fn accept(mut self, id: u8, secret: &[u8]) -> Result<Self, ConfigError> {
        if self.find(id).is_some() {
            return Err(ConfigError::new(format!("there are two keys {id}")));
        }
        self.accepted.push(Key::new(id, secret)?);
        Ok(self)
    }

    /// Seals `content` for `owner`: the key's id, the nonce, what was made of the content.
    pub(crate) fn seal(&self, content: &[u8], owner: &[u8]) -> Option<Vec<u8>> {
        // From the system's source of randomness; should that fail, there is no token.
        let nonce = XNonce::try_generate().ok()?;
        let sealed =
            self.sealing.cipher.encrypt(&nonce, Payload { msg: content, aad: owner }).ok()?;
        Some([&[self.sealing.id][..], &nonce, &sealed].concat())
    }

    /// What was sealed for `owner`; none if it was not, or was changed.
    pub(crate) fn open(&self, token: &[u8], owner: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = token.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let key = self.find(*id)?;
        key.cipher.decrypt(&XNonce::from(*nonce), Payload { msg: sealed, aad: owner }).ok()
    }

    fn find(&self, id: u8) -> Option<&Key> {
        std::iter::once(&self.sealing).chain(&self.accepted).find(|key| key.id == id)
    }
}

impl Key {
    fn new(id: u8, secret: &[u8]) -> Result<Self, ConfigError> {
        // It is a key as it stands: deriving one from a password would cost every request dear.
        let cipher = XChaCha20Poly1305::new_from_slice(secret).map_err(|_| {
            let got = secret.len();
            ConfigError::new(format!(
                "the secret of key {id} has {got} bytes: expected 32 random ones"
            ))
        })?;
        Ok(Self { id, cipher })
    }
}

impl fmt::Debug for TokenKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.accepted.iter().map(|key| key.id).collect();
        f.debug_struct("TokenKeys")
            .field("sealing", &self.sealing.id)
            .field("accepted", &ids)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const OLD: [u8; 32] = [1; 32];
    const NEW: [u8; 32] = [2; 32];

    #[test]
    fn what_is_sealed_opens_for_its_owner_unchanged_and_for_nobody_else() {
        let keys = TokenKeys::new(1, &OLD).unwrap();
        let token = keys.seal(b"content", b"alice").unwrap();
        assert_eq!(keys.open(&token, b"alice").as_deref(), Some(&b"content"[..]));
        assert_eq!(keys.open(&token, b"bob"), None);
        assert_ne!(keys.seal(b"content", b"alice").unwrap(), token, "no two are alike");
        for at in 0..token.len() {
            let mut changed = token.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open(&changed, b"alice"), None, "{at}");
            assert_eq!(keys.open(&token[..at], b"alice"), None, "{at}");
        }
    }

    #[test]
    fn keys_rotate() {
        let old = TokenKeys::new(1, &OLD).unwrap();
        let both = TokenKeys::new(2, &NEW).unwrap().accept(1, &OLD).unwrap();
        let new = TokenKeys::new(2, &NEW).unwrap();
        let (by_old, by_new) = (old.seal(b"x", b"").unwrap(), both.seal(b"x", b"").unwrap());
        assert!(both.open(&by_old, b"").is_some() && both.open(&by_new, b"").is_some());
        assert!(new.open(&by_new, b"").is_some() && new.open(&by_old, b"").is_none());
        assert!(old.open(&by_new, b"").is_none());
    }

    #[test]
    fn keys_that_cannot_be_are_told_and_secrets_are_not() {
        assert!(TokenKeys::new(1, &OLD[1..]).unwrap_err().to_string().contains("has 31 bytes"));
        assert!(TokenKeys::new(1, &OLD).unwrap().accept(1, &NEW).is_err());
        let printed = format!("{:?}", TokenKeys::new(1, &[77; 32]).unwrap());
        assert_eq!(printed, "TokenKeys { sealing: 1, accepted: [], .. }");
    }
}
