//! A ring of keys that seals data which others keep: a store or a client.
//!
//! ```text
//! sealed = key id(1) nonce(24) what XChaCha20-Poly1305 makes of the content, 16 bytes longer
//! ```
//!
//! # Security
//!
//! The nonce is random each time, and long enough for that. Sealed data shows the id of its key and the length of the
//! content, and nothing else. Secrets are 32 random bytes: deriving them from a password would make every request
//! expensive. If two uses share a secret, their owners must differ, because each opens what the other has sealed;
//! use a separate secret for each.
//!
//! # Sources
//!
//! [XChaCha20-Poly1305](https://datatracker.ietf.org/doc/html/draft-irtf-cfrg-xchacha-03).

use std::fmt;

use chacha20poly1305::{
    KeyInit, XChaCha20Poly1305, XNonce,
    aead::{Aead, Generate, Payload},
};

use crate::ConfigError;

/// A ring of keys. The first key seals and every key opens, so keys can be rotated: first add the new key on every
/// replica, then make it the first, and drop the old key when the last session that it sealed is past its lifetime.
///
/// ```
/// use bartizan_core::seal::KeyRing;
///
/// # fn main() -> Result<(), bartizan_core::ConfigError> {
/// # let (old, new) = ([7; 32], [8; 32]);
/// let keys = KeyRing::new(2, &new)?.accept(1, &old)?;
/// let by_old = KeyRing::new(1, &old)?.seal(b"content", b"alice").unwrap();
/// assert_eq!(keys.open(&by_old, b"alice").unwrap(), b"content");
/// assert_eq!(keys.open(&by_old, b"mallory"), None);
/// # Ok(()) }
/// ```
#[must_use]
#[derive(Clone)]
pub struct KeyRing {
    sealing: Key,
    accepted: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: u8,
    cipher: XChaCha20Poly1305,
}

/// The length of a nonce, in bytes.
const NONCE: usize = 24;

impl KeyRing {
    /// The length of a secret, in bytes. All of them must be random.
    pub const SECRET_BYTES: usize = 32;

    /// Seals with `secret`, which has the same `id` on all replicas.
    ///
    /// # Errors
    ///
    /// If the length of `secret` is not [`Self::SECRET_BYTES`].
    pub fn new(id: u8, secret: &[u8]) -> Result<Self, ConfigError> {
        Ok(Self { sealing: Key::new(id, secret)?, accepted: Vec::new() })
    }

    /// Also opens what was sealed with `secret`, which has the same `id` on all replicas.
    ///
    /// # Errors
    ///
    /// As for [`Self::new`], and if there already is a key with this `id`.
    pub fn accept(mut self, id: u8, secret: &[u8]) -> Result<Self, ConfigError> {
        if self.find(id).is_some() {
            return Err(ConfigError::new(format!("the key id {id} is used twice")));
        }
        self.accepted.push(Key::new(id, secret)?);
        Ok(self)
    }

    /// Seals `content` for `owner`. The owner is not part of the result, and must be given to open it. Costs one
    /// encryption, two allocations and a call for random bytes. Returns `None` if the system cannot give random
    /// bytes.
    #[must_use]
    pub fn seal(&self, content: &[u8], owner: &[u8]) -> Option<Vec<u8>> {
        let nonce = XNonce::try_generate().ok()?;
        let payload = Payload { msg: content, aad: owner };
        let sealed = self.sealing.cipher.encrypt(&nonce, payload).ok()?;
        Some([&[self.sealing.id][..], &nonce, &sealed].concat())
    }

    /// Opens what was sealed for `owner` with a key of this ring. Returns `None` if it was sealed with another key or
    /// for another owner, or was changed. Costs one decryption and one allocation.
    #[must_use]
    pub fn open(&self, sealed: &[u8], owner: &[u8]) -> Option<Vec<u8>> {
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

// Written by hand, so that secrets are not shown.
impl fmt::Debug for KeyRing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.accepted.iter().map(|key| key.id).collect();
        f.debug_struct("KeyRing")
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
        let keys = KeyRing::new(1, &OLD).unwrap();
        let sealed = keys.seal(b"content", b"alice").unwrap();
        assert_eq!(keys.open(&sealed, b"alice").as_deref(), Some(&b"content"[..]));
        assert_eq!(keys.open(&sealed, b"bob"), None);
        assert_ne!(keys.seal(b"content", b"alice").unwrap(), sealed, "no two are alike");
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(keys.open(&changed, b"alice"), None, "{at}");
            assert_eq!(keys.open(&sealed[..at], b"alice"), None, "{at}");
        }
    }

    // draft-irtf-cfrg-xchacha-03, A.3.1: all releases that share a store must produce the same
    // bytes.
    #[test]
    fn what_is_sealed_is_the_id_the_nonce_and_the_ciphertext_of_the_draft() {
        let secret: Vec<u8> = (0x80..0xa0).collect();
        let nonce: Vec<u8> = (0x40..0x58).collect();
        let owner = b"PQRS\xc0\xc1\xc2\xc3\xc4\xc5\xc6\xc7";
        let ciphertext = "bd6d179d3e83d43b9576579493c0e939572a1700252bfaccbed2902c21396cbb\
            731c7f1b0b4aa6440bf3a82f4eda7e39ae64c6708c54c216cb96b72e1213b452\
            2f8c9ba40db5d945b11b69b982c1bb9e3f3fac2bc369488f76b2383565d3fff9\
            21f9664c97637da9768812f615c68b13b52ec0875924c1c7987947deafd8780acf49";
        let byte = |at| u8::from_str_radix(&ciphertext[at..at + 2], 16).unwrap();
        let ciphertext: Vec<u8> = (0..ciphertext.len()).step_by(2).map(byte).collect();
        let content = b"Ladies and Gentlemen of the class of '99: If I could offer you only one \
            tip for the future, sunscreen would be it.";
        let sealed = [&[1][..], &nonce, &ciphertext].concat();
        let keys = KeyRing::new(1, &secret).unwrap();
        assert_eq!(keys.open(&sealed, owner).as_deref(), Some(&content[..]));
        assert_eq!(keys.seal(content, owner).unwrap().len(), sealed.len());
    }

    #[test]
    fn keys_rotate() {
        let old = KeyRing::new(1, &OLD).unwrap();
        let both = KeyRing::new(2, &NEW).unwrap().accept(1, &OLD).unwrap();
        let new = KeyRing::new(2, &NEW).unwrap();
        let (by_old, by_new) = (old.seal(b"x", b"").unwrap(), both.seal(b"x", b"").unwrap());
        assert!(both.open(&by_old, b"").is_some() && both.open(&by_new, b"").is_some());
        assert!(new.open(&by_new, b"").is_some() && new.open(&by_old, b"").is_none());
        assert!(old.open(&by_new, b"").is_none());
    }

    #[test]
    fn keys_that_cannot_be_are_told_and_secrets_are_not() {
        assert!(KeyRing::new(1, &OLD[1..]).unwrap_err().to_string().contains("has 31 bytes"));
        assert!(KeyRing::new(1, &OLD).unwrap().accept(1, &NEW).is_err());
        let printed = format!("{:?}", KeyRing::new(1, &[77; 32]).unwrap());
        assert_eq!(printed, "KeyRing { sealing: 1, accepted: [], .. }");
    }
}
