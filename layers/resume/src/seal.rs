//! The keys that recorded handshakes are sealed with.

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};

use crate::ConfigError;

/// A ring of keys. What is recorded is sealed with the first; any of them opens, so that keys can be
/// rotated: first add the new one on every replica, then make it the first, and drop the old one when the
/// last session that it sealed is past its lifetime.
#[must_use]
#[derive(Clone)]
pub struct RecordKeys {
    sealing: Key,
    accepted: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: u8,
    cipher: XChaCha20Poly1305,
}

/// Bytes of a nonce, which is drawn at random for each session.
const NONCE: usize = 24;

impl RecordKeys {
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
        // From the system's source of randomness; should that fail, nothing is recorded.
        let nonce = XNonce::try_generate().ok()?;
        let payload = Payload { msg: content, aad: owner };
        let sealed = self.sealing.cipher.encrypt(&nonce, payload).ok()?;
        Some([&[self.sealing.id][..], &nonce, &sealed].concat())
    }

    /// What was sealed for `owner`; none if it was not, or was changed.
    pub(crate) fn open(&self, sealed: &[u8], owner: &[u8]) -> Option<Vec<u8>> {
        let (id, rest) = sealed.split_first()?;
        let (nonce, sealed) = rest.split_first_chunk::<NONCE>()?;
        let payload = Payload { msg: sealed, aad: owner };
        self.find(*id)?.cipher.decrypt(&XNonce::from(*nonce), payload).ok()
    }

    fn find(&self, id: u8) -> Option<&Key> {
        std::iter::once(&self.sealing).chain(&self.accepted).find(|key| key.id == id)
    }
}

impl Key {
    fn new(id: u8, secret: &[u8]) -> Result<Self, ConfigError> {
        let cipher = XChaCha20Poly1305::new_from_slice(secret).map_err(|_| {
            let got = secret.len();
            ConfigError::new(format!(
                "the secret of key {id} has {got} bytes: expected 32 random ones"
            ))
        })?;
        Ok(Self { id, cipher })
    }
}

impl fmt::Debug for RecordKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.accepted.iter().map(|key| key.id).collect();
        f.debug_struct("RecordKeys")
            .field("sealing", &self.sealing.id)
            .field("accepted", &ids)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_rotate_and_what_was_changed_does_not_open() {
        let old = RecordKeys::new(1, &[1; 32]).unwrap();
        let new = RecordKeys::new(2, &[2; 32]).unwrap().accept(1, &[1; 32]).unwrap();
        let sealed = old.seal(b"content", b"alice").unwrap();
        assert_eq!(new.open(&sealed, b"alice").as_deref(), Some(&b"content"[..]));
        assert_eq!(new.open(&sealed, b"bob"), None);
        assert_eq!(old.open(&new.seal(b"content", b"alice").unwrap(), b"alice"), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(new.open(&changed, b"alice"), None, "{at}");
            assert_eq!(new.open(&sealed[..at], b"alice"), None, "{at}");
        }
    }

    #[test]
    fn a_mistake_is_told_and_no_secret_is_printed() {
        assert!(RecordKeys::new(1, b"short").is_err());
        assert!(RecordKeys::new(1, &[1; 32]).unwrap().accept(1, &[2; 32]).is_err());
        let keys = RecordKeys::new(1, &[0xab; 32]).unwrap();
        assert_eq!(format!("{keys:?}"), "RecordKeys { sealing: 1, accepted: [], .. }");
    }
}
