//! Session ids: 1 to 1,024 bytes of visible ASCII, never printed.

use std::{
    fmt,
    hash::{BuildHasher, Hasher, RandomState},
    str::FromStr,
    sync::OnceLock,
};

/// A well-formed session id: 1 to [`SessionId::MAX_BYTES`] bytes of visible ASCII (0x21 to 0x7E).
///
/// The bytes are opaque: `,`, `"`, `;` and `=` are legal, and case matters ([MCP 2025-11-25, Session
/// Management](https://modelcontextprotocol.io/specification/2025-11-25/basic/transports#session-management)). The id
/// is *copied*, because a slice of a header would keep the connection's read buffer alive.
#[derive(Clone, Eq, Hash, PartialEq)]
pub struct SessionId(Box<str>);

/// The error for bytes that are not a session id. It does not contain the bytes.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct InvalidSessionId(());

/// A hash of a session id with a secret key, which may be logged: 64 bits, shown as 16 hexadecimal digits.
///
/// Each process draws a key at random, so that its log reveals nothing about ids. A store that several replicas share
/// gives them one key ([`Self::share_key`]): then a session has one fingerprint in all their logs.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprint(u64);

type FingerprintKey = [u8; 16];

/// The key that a store has given.
static SHARED_KEY: OnceLock<FingerprintKey> = OnceLock::new();

impl SessionId {
    /// The longest id, in bytes.
    pub const MAX_BYTES: usize = 1024;

    /// Copies `bytes` as an id.
    ///
    /// # Errors
    ///
    /// If [`Self::check`] refuses them.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InvalidSessionId> {
        Self::check(bytes).map(|text| Self(text.into()))
    }

    /// Whether `bytes` are a well-formed id.
    #[must_use]
    pub fn is_valid(bytes: &[u8]) -> bool {
        // No early exit, so that the compiler can vectorise the loop.
        let all_graphic = bytes.iter().fold(true, |all, byte| all & byte.is_ascii_graphic());
        all_graphic && (1..=Self::MAX_BYTES).contains(&bytes.len())
    }

    /// Checks `bytes` without a copy, and returns them as text.
    ///
    /// # Errors
    ///
    /// If there are none, more than [`Self::MAX_BYTES`], or any outside 0x21 to 0x7E.
    pub fn check(bytes: &[u8]) -> Result<&str, InvalidSessionId> {
        if !Self::is_valid(bytes) {
            return Err(InvalidSessionId(()));
        }
        str::from_utf8(bytes).map_err(|_| InvalidSessionId(()))
    }

    /// The id as text. It is a secret.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The id as bytes. It is a secret.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        self.0.as_bytes()
    }

    /// A short hash that may be logged in place of the id.
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.as_bytes())
    }
}

impl Fingerprint {
    /// The fingerprint of the id in `bytes`.
    #[must_use]
    pub fn of(bytes: &[u8]) -> Self {
        static OWN_KEY: OnceLock<FingerprintKey> = OnceLock::new();
        let key = SHARED_KEY.get().unwrap_or_else(|| OWN_KEY.get_or_init(random_key));
        Self(keyed(*key, bytes))
    }

    /// Makes all fingerprints of this process with `key` from now on, so that they equal those of the other replicas
    /// that have it. For stores that replicas share. The first key stays: another one is ignored. Returns whether `key`
    /// is the one that is used.
    ///
    /// Earlier fingerprints were made with a key of this process. A `key` must be random, and is a secret: with it, one
    /// can check whether an id belongs to a fingerprint.
    #[allow(clippy::must_use_candidate, reason = "called for its effect")]
    pub fn share_key(key: [u8; 16]) -> bool {
        *SHARED_KEY.get_or_init(|| key) == key
    }
}

fn random_key() -> FingerprintKey {
    // Its keys come from the system's source of randomness.
    let random = RandomState::new();
    (u128::from(random.hash_one(0)) << 64 | u128::from(random.hash_one(1))).to_le_bytes()
}

/// SipHash-2-4: replicas of different releases agree.
#[allow(deprecated, reason = "std has no other hash that takes a key and stays the same")]
fn keyed(key: FingerprintKey, bytes: &[u8]) -> u64 {
    let key = u128::from_le_bytes(key);
    let mut hasher = std::hash::SipHasher::new_with_keys(key as u64, (key >> 64) as u64);
    hasher.write(bytes);
    hasher.finish()
}

impl FromStr for SessionId {
    type Err = InvalidSessionId;

    fn from_str(text: &str) -> Result<Self, InvalidSessionId> {
        Self::from_bytes(text.as_bytes())
    }
}

impl fmt::Debug for SessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SessionId(#{})", self.fingerprint())
    }
}

impl fmt::Display for InvalidSessionId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a session id is 1 to {} visible ASCII characters", SessionId::MAX_BYTES)
    }
}

impl std::error::Error for InvalidSessionId {}

impl fmt::Display for Fingerprint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:016x}", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// MCP 2025-11-25, Session Management.
    #[test]
    fn visible_ascii_up_to_the_bound_is_an_id() {
        let all: String = (0x21..=0x7e_u8).map(char::from).collect();
        for valid in ["!", "~", "a,b", "eyJh.eyJz.c2ln", &all, &"a".repeat(1024)] {
            assert_eq!(valid.parse::<SessionId>().unwrap().as_str(), valid);
        }
        let bad: &[&[u8]] =
            &[b"", b" ", b"ab cd", b"ab\tcd", b"abc\x7f", b"caf\xc3\xa9", b"a\0", b"a\r", b"a\n"];
        for bytes in bad {
            assert!(SessionId::from_bytes(bytes).is_err(), "{bytes:?}");
        }
        assert!("a".repeat(1025).parse::<SessionId>().is_err());
    }

    #[test]
    fn an_id_is_never_printed() {
        let id: SessionId = "secret-id".parse().unwrap();
        assert!(!format!("{id:?}").contains("secret"));
        assert_eq!(id.fingerprint().to_string().len(), 16);
    }

    /// The example of the paper, appendix A: <https://www.aumasson.jp/siphash/siphash.pdf>.
    #[test]
    fn a_fingerprint_is_the_same_in_every_release() {
        let bytes: [u8; 16] = std::array::from_fn(|n| n as u8);
        assert_eq!(keyed(bytes, &bytes[..15]), 0xa129_ca61_49be_45e5);
        assert_ne!(keyed([1; 16], &bytes[..15]), 0xa129_ca61_49be_45e5);
        assert_eq!(Fingerprint(7).to_string(), "0000000000000007");
    }

    /// The only test that shares a key: it is the process's.
    #[test]
    fn the_first_key_that_is_shared_stays() {
        assert!(Fingerprint::share_key([7; 16]) && Fingerprint::share_key([7; 16]));
        assert!(!Fingerprint::share_key([8; 16]));
        assert_eq!(Fingerprint::of(b"secret-id"), Fingerprint(keyed([7; 16], b"secret-id")));
        assert_ne!(random_key(), random_key());
    }

    proptest::proptest! {
        #[test]
        fn only_visible_ascii_passes(bytes in proptest::collection::vec(0u8.., 0..1100)) {
            let expected = !bytes.is_empty()
                && bytes.len() <= 1024
                && bytes.iter().all(|byte| (0x21..=0x7e).contains(byte));
            proptest::prop_assert_eq!(SessionId::from_bytes(&bytes).is_ok(), expected);
        }
    }
}
