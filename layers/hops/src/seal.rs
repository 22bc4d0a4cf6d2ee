//! The seal of a hop count: a keyed hash by which the members of a federation know each other's numbers.
//!
//! ```text
//! X-Hop-Count: 3
//! X-Hop-Count-Seal: <key id> "." <HMAC-SHA-256 in 64 hexadecimal digits>
//! ```
//!
//! The hash covers the field's name, the key's id and the number. A proxy outside the federation cannot
//! make up a lower number; it can repeat one that it saw, and it can drop both fields, which makes the
//! request look new: `Via` finds those loops.

use std::fmt;

use bartizan_core::fields::only_line;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use crate::{ConfigError, count::Malformed};

/// The keys of a federation. New numbers are sealed with the first; any of them opens, so that keys can
/// be rotated: first add the new one everywhere, then make it the first, then drop the old one.
#[must_use]
#[derive(Clone)]
pub struct SealKeys {
    signing: Key,
    accepted: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: Box<str>,
    // The key is hashed in once: a copy costs 200 bytes and no hashing.
    keyed: Hmac<Sha256>,
}

impl SealKeys {
    /// The shortest secret, in bytes.
    pub const MIN_SECRET_BYTES: usize = 16;

    /// Seals with `secret`, which the federation calls `id`.
    ///
    /// # Errors
    ///
    /// If `id` is not 1 to 32 letters, digits, `-` or `_`, or `secret` is shorter than
    /// [`Self::MIN_SECRET_BYTES`].
    pub fn new(id: &str, secret: &[u8]) -> Result<Self, ConfigError> {
        Ok(Self { signing: Key::new(id, secret)?, accepted: Vec::new() })
    }

    /// Also opens what was sealed with `secret`, which the federation calls `id`.
    ///
    /// # Errors
    ///
    /// As [`Self::new`], and if there is a key `id` already.
    pub fn accept(mut self, id: &str, secret: &[u8]) -> Result<Self, ConfigError> {
        if self.find(id.as_bytes()).is_some() {
            return Err(ConfigError::new(format!("there are two keys {id:?}")));
        }
        self.accepted.push(Key::new(id, secret)?);
        Ok(self)
    }

    fn find(&self, id: &[u8]) -> Option<&Key> {
        let mut keys = std::iter::once(&self.signing).chain(&self.accepted);
        keys.find(|key| key.id.as_bytes() == id)
    }

    /// The seal of `number` in the field `name`.
    pub(crate) fn seal(&self, name: &HeaderName, number: u32) -> Option<HeaderValue> {
        let hash = self.signing.hash(name, number).finalize().into_bytes();
        let text = format!("{}.{}", self.signing.id, base16ct::lower::encode_string(&hash));
        HeaderValue::try_from(text).ok()
    }

    /// Opens the seal that stands in `headers` for `number`; none may stand there for no number.
    pub(crate) fn open(
        &self,
        headers: &HeaderMap,
        names: (&HeaderName, &HeaderName),
        number: Option<u32>,
    ) -> Result<(), Malformed> {
        let (name, seal_name) = names;
        let seal = only_line(headers, seal_name).map_err(|_| Malformed)?;
        let (seal, number) = match (seal, number) {
            (None, None) => return Ok(()),
            (Some(seal), Some(number)) => (seal.as_bytes(), number),
            _ => return Err(Malformed),
        };
        let dot = seal.iter().position(|byte| *byte == b'.').ok_or(Malformed)?;
        let (id, hash) = seal.split_at(dot);
        let mut bytes = [0; 32];
        let hash = base16ct::lower::decode(hash.get(1..).unwrap_or_default(), &mut bytes)
            .map_err(|_| Malformed)?;
        let key = self.find(id).ok_or(Malformed)?;
        // In constant time.
        key.hash(name, number).verify_slice(hash).map_err(|_| Malformed)
    }
}

impl Key {
    fn new(id: &str, secret: &[u8]) -> Result<Self, ConfigError> {
        let is_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !matches!(id.len(), 1..=32) || !id.bytes().all(is_char) {
            let expected = "expected 1 to 32 letters, digits, - or _";
            return Err(ConfigError::new(format!("{id:?} is no key id: {expected}")));
        }
        if secret.len() < SealKeys::MIN_SECRET_BYTES {
            return Err(ConfigError::new(format!(
                "the secret of key {id:?} has {} bytes: expected 16 or more",
                secret.len()
            )));
        }
        let keyed = Hmac::new_from_slice(secret)
            .map_err(|_| ConfigError::new(format!("the secret of key {id:?} cannot be used")))?;
        Ok(Self { id: id.into(), keyed })
    }

    fn hash(&self, name: &HeaderName, number: u32) -> Hmac<Sha256> {
        let mut hash = self.keyed.clone();
        for part in [name.as_str().as_bytes(), self.id.as_bytes(), &number.to_be_bytes()] {
            // No part holds a zero byte before the last.
            hash.update(part);
            hash.update(&[0]);
        }
        hash
    }
}

impl fmt::Debug for SealKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.accepted.iter().map(|key| &key.id).collect();
        f.debug_struct("SealKeys")
            .field("signing", &self.signing.id)
            .field("accepted", &ids)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: HeaderName = HeaderName::from_static("x-hop-count");
    const SEAL: HeaderName = HeaderName::from_static("x-hop-count-seal");

    fn keys(id: &str, secret: &[u8; 16]) -> SealKeys {
        SealKeys::new(id, secret).unwrap()
    }

    fn opens(keys: &SealKeys, seals: &[HeaderValue], number: Option<u32>) -> bool {
        let headers = seals.iter().map(|seal| (SEAL, seal.clone())).collect();
        keys.open(&headers, (&COUNT, &SEAL), number).is_ok()
    }

    #[test]
    fn a_seal_opens_for_its_number_and_no_other() {
        let keys = keys("a", b"0123456789abcdef");
        let seal = keys.seal(&COUNT, 3).unwrap();
        assert!(opens(&keys, std::slice::from_ref(&seal), Some(3)));
        for (seals, number) in [
            (vec![seal.clone()], Some(2)),
            (vec![seal.clone()], Some(4)),
            (vec![seal.clone()], None),
            (vec![], Some(3)),
            (vec![seal.clone(), seal.clone()], Some(3)),
        ] {
            assert!(!opens(&keys, &seals, number), "{seals:?} {number:?}");
        }
        assert!(opens(&keys, &[], None), "a new request");
        let text = seal.to_str().unwrap();
        for forged in [
            text.replacen('a', "b", 1),
            text[..text.len() - 1].to_owned(),
            "a.".into(),
            String::new(),
        ] {
            assert!(!opens(&keys, &[forged.parse().unwrap()], Some(3)), "{forged}");
        }
        let other = HeaderName::from_static("x-other");
        let elsewhere = keys.seal(&other, 3).unwrap();
        assert!(!opens(&keys, &[elsewhere], Some(3)), "of another field");
    }

    #[test]
    fn keys_rotate() {
        let (old, new) = (keys("2025", b"0123456789abcdef"), keys("2026", b"fedcba9876543210"));
        let both = new.clone().accept("2025", b"0123456789abcdef").unwrap();
        let (by_old, by_new) = ([old.seal(&COUNT, 1).unwrap()], [both.seal(&COUNT, 1).unwrap()]);
        assert!(opens(&both, &by_old, Some(1)) && opens(&both, &by_new, Some(1)));
        assert!(opens(&new, &by_new, Some(1)) && !opens(&new, &by_old, Some(1)));
        assert!(!opens(&old, &by_new, Some(1)));
    }

    #[test]
    fn keys_that_cannot_be_are_told_and_secrets_are_not() {
        assert!(SealKeys::new("a", b"short").is_err());
        for id in ["", "a.b", "a b", &"a".repeat(33)] {
            assert!(SealKeys::new(id, b"0123456789abcdef").is_err(), "{id}");
        }
        let keys = keys("a", b"0123456789abcdef");
        assert!(keys.clone().accept("a", b"0123456789abcdef").is_err());
        assert_eq!(format!("{keys:?}"), r#"SealKeys { signing: "a", accepted: [], .. }"#);
    }
}
