//! Session ids: 1 to 1,024 bytes of visible ASCII, never printed.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
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

/// A short hash of a session id, with a random key for each process. It may be logged.
#[derive(Clone, Copy, Debug, Eq, PartialEq)]
pub struct Fingerprint(u32);

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
        static KEY: OnceLock<RandomState> = OnceLock::new();
        let hash = KEY.get_or_init(RandomState::new).hash_one(bytes);
        Self((hash >> 32) as u32)
    }
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
        write!(f, "{:08x}", self.0)
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
        assert_eq!(id.fingerprint(), Fingerprint::of(b"secret-id"));
        assert_eq!(id.fingerprint().to_string().len(), 8);
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
