//! The signature of a hop count: a keyed hash that the members of a federation can verify.
//!
//! ```text
//! X-Hop-Count: 3
//! X-Hop-Count-Signature: <key id> "." <HMAC-SHA-256 in 64 hexadecimal digits>
//! ```
//!
//! The hash covers the field's name, the key's id and the number. A proxy outside the federation cannot sign a lower
//! number. It can repeat a signed number that it saw, or drop both fields, which makes the request look new: `Via`
//! detects such loops.

use std::fmt;

use bartizan_core::fields::only_line;
use hmac::{Hmac, KeyInit, Mac};
use http::{HeaderMap, HeaderName, HeaderValue};
use sha2::Sha256;

use crate::{ConfigError, count::Malformed, hop_header::HopHeader};

/// The keys of a federation. Counts are signed with the first key and verified with any of them, so that
/// keys can be rotated: add the new key everywhere, then make it the first, then drop the old one.
#[must_use]
#[derive(Clone)]
pub struct SigningKeys {
    signing: Key,
    accepted: Vec<Key>,
}

#[derive(Clone)]
struct Key {
    id: Box<str>,
    // The key is hashed in once: a copy costs 200 bytes and no hashing.
    keyed: Hmac<Sha256>,
}

impl SigningKeys {
    /// The shortest secret, in bytes.
    pub const MIN_SECRET_BYTES: usize = 16;

    /// Signs with `secret`, which has the same `id` in the whole federation.
    ///
    /// # Errors
    ///
    /// If `id` is not 1 to 32 letters, digits, `-` or `_`, or `secret` is shorter than
    /// [`Self::MIN_SECRET_BYTES`].
    pub fn new(id: &str, secret: &[u8]) -> Result<Self, ConfigError> {
        Ok(Self { signing: Key::new(id, secret)?, accepted: Vec::new() })
    }

    /// Also verifies what was signed with `secret`, which has the same `id` in the whole
    /// federation.
    ///
    /// # Errors
    ///
    /// As for [`Self::new`], and if there already is a key with this `id`.
    pub fn accept(mut self, id: &str, secret: &[u8]) -> Result<Self, ConfigError> {
        if self.find(id.as_bytes()).is_some() {
            return Err(ConfigError::new(format!("the key id {id:?} is used twice")));
        }
        self.accepted.push(Key::new(id, secret)?);
        Ok(self)
    }

    fn find(&self, id: &[u8]) -> Option<&Key> {
        let mut keys = std::iter::once(&self.signing).chain(&self.accepted);
        keys.find(|key| key.id.as_bytes() == id)
    }

    /// The signature of `number` in the field `name`.
    pub(crate) fn sign(&self, name: &HeaderName, number: u32) -> Option<HeaderValue> {
        let hash = self.signing.hash(name, number).finalize().into_bytes();
        let text = format!("{}.{}", self.signing.id, base16ct::lower::encode_string(&hash));
        HeaderValue::try_from(text).ok()
    }

    /// Verifies the signature of `number` in `headers`. If there is no number, there must be no signature.
    pub(crate) fn verify(
        &self,
        headers: &HeaderMap,
        header: &HopHeader,
        number: Option<u32>,
    ) -> Result<(), Malformed> {
        let signature = only_line(headers, header.signature()).map_err(|_| Malformed)?;
        let (signature, number) = match (signature, number) {
            (None, None) => return Ok(()),
            (Some(signature), Some(number)) => (signature.as_bytes(), number),
            _ => return Err(Malformed),
        };
        let dot = signature.iter().position(|byte| *byte == b'.').ok_or(Malformed)?;
        let (id, hash) = signature.split_at(dot);
        let mut bytes = [0; 32];
        let hash = base16ct::lower::decode(hash.get(1..).unwrap_or_default(), &mut bytes)
            .map_err(|_| Malformed)?;
        let key = self.find(id).ok_or(Malformed)?;
        // In constant time.
        key.hash(header.name(), number).verify_slice(hash).map_err(|_| Malformed)
    }
}

impl Key {
    fn new(id: &str, secret: &[u8]) -> Result<Self, ConfigError> {
        let is_char = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'-' | b'_');
        if !matches!(id.len(), 1..=32) || !id.bytes().all(is_char) {
            let expected = "expected 1 to 32 letters, digits, - or _";
            return Err(ConfigError::new(format!("{id:?} is not a key id: {expected}")));
        }
        if secret.len() < SigningKeys::MIN_SECRET_BYTES {
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
            // Only the last part may contain a zero byte.
            hash.update(part);
            hash.update(&[0]);
        }
        hash
    }
}

impl fmt::Debug for SigningKeys {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let ids: Vec<_> = self.accepted.iter().map(|key| &key.id).collect();
        f.debug_struct("SigningKeys")
            .field("signing", &self.signing.id)
            .field("accepted", &ids)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COUNT: HeaderName = HeaderName::from_static("x-hop-count");

    fn keys(id: &str, secret: &[u8; 16]) -> SigningKeys {
        SigningKeys::new(id, secret).unwrap()
    }

    fn verifies(keys: &SigningKeys, signatures: &[HeaderValue], number: Option<u32>) -> bool {
        let header = HopHeader::default();
        let lines = signatures.iter().map(|line| (header.signature().clone(), line.clone()));
        keys.verify(&lines.collect(), &header, number).is_ok()
    }

    #[test]
    fn a_signature_is_good_for_its_number_and_no_other() {
        let keys = keys("a", b"0123456789abcdef");
        let signature = keys.sign(&COUNT, 3).unwrap();
        assert!(verifies(&keys, std::slice::from_ref(&signature), Some(3)));
        for (signatures, number) in [
            (vec![signature.clone()], Some(2)),
            (vec![signature.clone()], Some(4)),
            (vec![signature.clone()], None),
            (vec![], Some(3)),
            (vec![signature.clone(), signature.clone()], Some(3)),
        ] {
            assert!(!verifies(&keys, &signatures, number), "{signatures:?} {number:?}");
        }
        assert!(verifies(&keys, &[], None), "a new request");
        let text = signature.to_str().unwrap();
        for forged in [
            text.replacen('a', "b", 1),
            text[..text.len() - 1].to_owned(),
            "a.".into(),
            String::new(),
        ] {
            assert!(!verifies(&keys, &[forged.parse().unwrap()], Some(3)), "{forged}");
        }
        let other = HeaderName::from_static("x-other");
        let elsewhere = keys.sign(&other, 3).unwrap();
        assert!(!verifies(&keys, &[elsewhere], Some(3)), "of another field");
    }

    #[test]
    fn keys_rotate() {
        let (old, new) = (keys("2025", b"0123456789abcdef"), keys("2026", b"fedcba9876543210"));
        let both = new.clone().accept("2025", b"0123456789abcdef").unwrap();
        let (by_old, by_new) = ([old.sign(&COUNT, 1).unwrap()], [both.sign(&COUNT, 1).unwrap()]);
        assert!(verifies(&both, &by_old, Some(1)) && verifies(&both, &by_new, Some(1)));
        assert!(verifies(&new, &by_new, Some(1)) && !verifies(&new, &by_old, Some(1)));
        assert!(!verifies(&old, &by_new, Some(1)));
    }

    #[test]
    fn invalid_keys_are_errors_and_secrets_are_not_printed() {
        assert!(SigningKeys::new("a", b"short").is_err());
        for id in ["", "a.b", "a b", &"a".repeat(33)] {
            assert!(SigningKeys::new(id, b"0123456789abcdef").is_err(), "{id}");
        }
        let keys = keys("a", b"0123456789abcdef");
        assert!(keys.clone().accept("a", b"0123456789abcdef").is_err());
        assert_eq!(format!("{keys:?}"), r#"SigningKeys { signing: "a", accepted: [], .. }"#);
    }
}
